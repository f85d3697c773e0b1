"""Files of public benchmarks, read as items: which files, which of their rows, and what is wrong with one."""

import random
from pathlib import Path

from orchard import jsonl
from orchard.errors import UserError
from orchard.jsonl import Line
from orchard.tasks import formats

PATTERN = {"bbh": "*.json"}  # of a format's files in a folder, where it is not *.jsonl
PLACE = {"bbh": "example"}  # what its rows are called, where these are no lines


def read(path: str, form: str, offset: int = 0, limit: int | None = None, seed: int = 0) -> list[dict]:
    """The items of a file, or of every file in a folder (in the order of their names).

    Args:
        path: of the file or folder.
        form: how rows become items, one of `orchard.tasks.formats`.
        offset: rows of each file's draw that are left to other sets.
        limit: rows drawn of each file; None: all that offset leaves.
        seed: of the draw.

    Raises:
        UserError: there is no such file, or a row is broken or lacks a field (file and row are named).
    """
    items = []
    for file in files_of(Path(path), form):
        rows = read_rows(file, form)
        for number in drawn(len(rows), offset, limit, f"{seed} {file.name}"):
            items.append(make_item(form, rows[number], file))
    return with_different_ids(items, path)


def files_of(path: Path, form: str) -> list[Path]:
    """The file itself, or the files of the format in a folder."""
    pattern = PATTERN.get(form, "*.jsonl")
    files = sorted(path.glob(pattern)) if path.is_dir() else [path]
    if not files:
        raise UserError(
            found=f"{path} holds no {pattern}",
            rule=f"data of format {form} is there",
            why="it is read here",
            fix="correct data.ingest in config.yaml, or put the files there",
        )
    return files


def read_rows(file: Path, form: str) -> list[Line]:
    """The rows of a JSONL file, or the examples of a BIG-Bench Hard file, numbered from 1."""
    if form != "bbh":
        return jsonl.lines(file)
    try:
        rows = jsonl.parse(jsonl.text(file))["examples"]
        if not isinstance(rows, list) or not rows or not all(isinstance(row, dict) for row in rows):
            raise ValueError("`examples` is no list of objects, or is empty")
    except (ValueError, KeyError, TypeError) as error:
        problem = f"no field {error}" if isinstance(error, KeyError) else error
        raise UserError(
            found=f"{file}: no whole BIG-Bench Hard file ({problem})",
            rule="it is one JSON object with a list `examples`",
            why="a truncated file would silently become a smaller data set",
            fix="fetch the file again",
        ) from error
    return [Line(number, row) for number, row in enumerate(rows, start=1)]


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


def make_item(form: str, line: Line, file: Path) -> dict:
    """The item of one row.

    Raises:
        UserError: the row lacks a field, or a field holds what the format does not allow.
    """
    try:
        return formats.item(form, line.row, file.stem, line.number)
    except ValueError as error:
        raise UserError(
            found=f"{file}, {PLACE.get(form, 'line')} {line.number}: {error}",
            rule=f"each row has the fields of the format {form}",
            why="an item is made of them, and of nothing else",
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
