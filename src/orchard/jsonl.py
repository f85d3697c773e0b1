"""Reading and writing of JSONL files: one JSON object per line."""

import json
from pathlib import Path

from orchard.errors import UserError


def read(path: str | Path) -> list[dict]:
    """The rows of a JSONL file.

    Raises:
        UserError: the file is missing, empty, or has a line that is not a JSON object (its number is named).
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(
            found=f"no file {path}",
            rule="a data set that the config names exists",
            why="a stage reads it",
            fix="correct the path in config.yaml, or put the file there",
        )
    rows = []
    for number, line in enumerate(path.read_text().splitlines(), start=1):
        try:
            row = json.loads(line)
            if not isinstance(row, dict):
                raise ValueError("not an object")
        except ValueError as error:
            raise UserError(
                found=f"{path}, line {number}: {line[:60]!r} ({error})",
                rule="every line is one whole JSON object",
                why="a truncated file would silently become a smaller data set",
                fix="fetch or write the file again",
            ) from error
        rows.append(row)
    if not rows:
        raise UserError(
            found=f"{path} has no rows",
            rule="a data set has at least one row",
            why="nothing can be learnt or scored on none",
            fix="check the step that made it, and the limits in config.yaml",
        )
    return rows


def write(path: Path, rows: list[dict]) -> None:
    """Writes rows, one per line."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
