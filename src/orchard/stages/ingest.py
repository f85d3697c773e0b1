"""Brings the files of a public benchmark into orchard's form: items, one JSON object per line.

python -m orchard.stages.ingest SET
"""

import json
import random
from pathlib import Path

from orchard import jsonl, paths
from orchard.errors import UserError
from orchard.stages import stage
from orchard.study.schema.data import Ingest
from orchard.tasks import registry
from orchard.tasks.formats import FORMATS

PATTERN = {"bbh": "*.json"}  # of a format's files in a folder, where it is not *.jsonl


def main(name: str) -> None:
    asked = stage.params(Ingest, "data", "ingest", name)
    items = registry.stamped(ingest(asked))
    with stage.output(paths.data_set(asked.role, name)) as scratch:
        jsonl.write(scratch, items)


def ingest(asked: Ingest) -> list[dict]:
    """The items of a file, or of every file in a folder (in the order of their names).

    Raises:
        UserError: there is no such file, or a row is broken or lacks a field (file and row are named).
    """
    items = []
    for file in files_of(Path(asked.path), asked.format):
        rows = read_rows(file, asked.format)
        for number in drawn(len(rows), asked.offset, asked.limit, f"{asked.seed} {file.name}"):
            items.append(make_item(asked.format, rows[number], file, number + 1))
    return with_different_ids(items, asked.path)


def files_of(path: Path, form: str) -> list[Path]:
    """The file itself, or the files of the format in a folder."""
    pattern = PATTERN.get(form, "*.jsonl")
    files = [path] if path.is_file() else sorted(path.glob(pattern))
    if not files:
        raise UserError(
            found=f"{path} is no file and holds no {pattern}",
            rule=f"data of format {form} is there",
            why="it is read here",
            fix="correct data.ingest in config.yaml, or put the files there",
        )
    return files


def read_rows(file: Path, form: str) -> list[dict]:
    """The rows of a JSONL file, or the examples of a BIG-Bench Hard file."""
    if form != "bbh":
        return jsonl.read(file)
    try:
        return json.loads(file.read_text())["examples"]
    except (ValueError, KeyError, TypeError) as error:
        place = f", line {error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
        raise UserError(
            found=f"{file}{place}: no whole BIG-Bench Hard file ({error})",
            rule="it is one JSON object with a list `examples`",
            why="a truncated file would silently become a smaller data set",
            fix="fetch the file again",
        ) from error


def drawn(count: int, offset: int, limit: int | None, seed: str) -> list[int]:
    """Which rows of ``count`` are taken, in order: those from ``offset`` on, ``limit`` at most, of a shuffled list."""
    shuffled = random.Random(seed).sample(range(count), count)
    if offset >= count:
        raise UserError(
            found=f"offset {offset} of {count} rows: no row is left",
            rule="a set takes rows after those that it leaves to others",
            why="an empty set can be neither learnt nor scored",
            fix="lower data.ingest.<name>.offset",
        )
    return sorted(shuffled[offset:][:limit])


def make_item(form: str, row: dict, file: Path, number: int) -> dict:
    """The item of one row.

    Raises:
        UserError: the row lacks a field, or a field holds what the format does not allow.
    """
    try:
        return FORMATS[form](row, file.stem, number)
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(
            found=f"{file}, line {number}: {f'no field {error}' if isinstance(error, KeyError) else error}",
            rule=f"each row has the fields of the format {form}",
            why="an item is made of them",
            fix="correct the row, or the format in data.ingest",
        ) from error


def with_different_ids(items: list[dict], path: str) -> list[dict]:
    """The items themselves, if no id comes twice."""
    seen = set()
    for item in items:
        if item["id"] in seen:
            raise UserError(
                found=f"{path}: id {item['id']} comes twice",
                rule="an id names one item",
                why="scores are joined by it",
                fix="give each row its own id",
            )
        seen.add(item["id"])
    return items


if __name__ == "__main__":
    stage.run(main)
