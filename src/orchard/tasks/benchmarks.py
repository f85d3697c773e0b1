"""Files of public benchmarks, read as items: which files, which of their rows, and what is wrong with one."""

import random
from array import array
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from orchard import jsonl, rows
from orchard.errors import UserError
from orchard.jsonl import Line
from orchard.tasks import formats
from orchard.tasks.columns import Where

PATTERNS = {"bbh": ["*.json"]}  # of a format's files in a folder, where these are not the usual ones
USUAL = [f"*{ending}" for ending in rows.ENDINGS]
PLACE = {"bbh": "example"}  # what its rows are called, where these are no lines
MOST_NAMED = 20  # rows in one message: ours


class Asked(Protocol):
    """Which rows of which files are read, and how they become items, as `data.ingest` says it."""

    path: str
    format: str
    columns: Any
    task: str | None
    where: Mapping[str, Any]
    offset: int
    limit: int | None
    seed: int
    leave_out: Collection[str]


class Broken(NamedTuple):
    """A row that makes no item.

    Attributes:
        id: of the item that it would be.
        place: the file and the row's number.
        problem: what is wrong with it.
    """

    id: str
    place: str
    problem: str


def read(asked: Asked) -> list[dict]:
    """The items of a file, or of every file in a folder (in the order of their names).

    No other rows are in memory than those that are drawn: ``limit`` of each file's, after ``offset`` others, by a draw
    from ``seed``; without a limit all that the offset leaves.

    Raises:
        UserError: there is no such file, no row counts, a row is broken or lacks a field (file and row are named), or
            an item to be left out is not there.
    """
    items, broken, left_out = [], [], set()
    for file in files_of(Path(asked.path), asked.format):
        for line in drawn_rows(file, asked):
            name = formats.id_of(asked.format, line.row, file.stem, line.number, mapped(asked))
            if name in asked.leave_out:
                left_out.add(name)
                continue
            try:
                items.append(formats.item(asked.format, line.row, file.stem, line.number, mapped(asked)))
            except ValueError as error:
                broken.append(Broken(name, place_of(file, line.number, asked.format), str(error)))
    refuse_broken(broken, asked.format)
    refuse_not_there(set(asked.leave_out) - left_out, asked.path)
    return with_different_ids(items, asked.path)


def mapped(asked: Asked) -> formats.Map:
    """The study's map of columns."""
    return formats.Map(asked.columns or (), asked.task)


def drawn_rows(file: Path, asked: Asked) -> Iterator[Line]:
    """The rows of a file that are drawn of those that count."""
    where, seed = Where(asked.where) if asked.where else None, f"{asked.seed} {file.name}"
    if asked.format == "bbh":
        examples = [line for line in read_examples(file) if not where or where.fits(line.row)]
        refuse_none_left(len(examples), asked, file, where)
        return (examples[number] for number in drawn(len(examples), asked.offset, asked.limit, seed))
    numbers = rows.numbers(file, where)
    refuse_none_left(len(numbers), asked, file, where)
    wanted = [numbers[place] for place in drawn(len(numbers), asked.offset, asked.limit, seed)]
    return rows.taken(file, wanted)


def files_of(path: Path, form: str) -> list[Path]:
    """The file itself, or the files of the format in a folder."""
    patterns = PATTERNS.get(form, USUAL)
    files = sorted(file for each in patterns for file in path.glob(each)) if path.is_dir() else [path]
    if not files:
        raise UserError(
            found=f"{path} holds no {' and no '.join(patterns)}",
            rule=f"data of format {form} is there",
            why="it is read here",
            fix="correct data.ingest in config.yaml, or put the files there",
        )
    return files


def read_examples(file: Path) -> list[Line]:
    """The examples of a BIG-Bench Hard file, numbered from 1."""
    try:
        examples = jsonl.parse(jsonl.text(file))["examples"]
        if not isinstance(examples, list) or not examples or not all(isinstance(row, dict) for row in examples):
            raise ValueError("`examples` is no list of objects, or is empty")
    except (ValueError, KeyError, TypeError) as error:
        problem = f"no field {error}" if isinstance(error, KeyError) else error
        raise UserError(
            found=f"{file}: no whole BIG-Bench Hard file ({problem})",
            rule="it is one JSON object with a list `examples`",
            why="a truncated file would silently become a smaller data set",
            fix="fetch the file again",
        ) from error
    return [Line(number, row) for number, row in enumerate(examples, start=1)]


def drawn(count: int, offset: int, limit: int | None, seed: str) -> list[int]:
    """Which of ``count`` rows are taken, in order: those from ``offset`` on, ``limit`` at most, of a shuffled list.

    It is the beginning of ``random.sample`` of all of them, drawn no further than it is needed.
    """
    rng, pool, shuffled = random.Random(seed), array("Q", range(count)), array("Q")
    end = count if limit is None else min(count, offset + limit)
    for left in range(count, count - end, -1):
        place = rng.randrange(left)
        shuffled.append(pool[place])
        pool[place] = pool[left - 1]
    return sorted(shuffled[offset:])


def place_of(file: Path, number: int, form: str) -> str:
    """Where a row stands, as a message says it."""
    return f"{file}, {PLACE.get(form) or ('row' if rows.is_parquet(file) else 'line')} {number}"


# What is refused


def refuse_none_left(count: int, asked: Asked, file: Path, where: Where | None) -> None:
    """Raises a UserError where no row counts, or the offset leaves none."""
    if where:
        where.refuse_unseen(str(file), next(iter(_first(file, asked.format)), Line(0, {})).row)
    if asked.offset < count:
        return
    if count == 0:
        raise UserError(
            found=f"{file}: no row fits where {dict(asked.where)}",
            rule="a filter leaves at least one row",
            why="an empty set can be neither learnt nor scored",
            fix="correct data.ingest.<name>.where: text is compared with text, numbers with numbers, exactly",
        )
    raise UserError(
        found=f"offset {asked.offset} of {count} rows: no row is left",
        rule="a set takes rows after those that it leaves to others",
        why="an empty set can be neither learnt nor scored",
        fix="lower data.ingest.<name>.offset",
    )


def _first(file: Path, form: str) -> Iterator[Line]:
    """The first row of a file."""
    if form == "bbh":
        return iter(read_examples(file))
    return rows.taken(file, rows.numbers(file)[:1])


def refuse_broken(broken: list[Broken], form: str) -> None:
    """Raises one UserError for all rows that make no item."""
    if not broken:
        return
    more = f"\nand {len(broken) - MOST_NAMED:,} more" if len(broken) > MOST_NAMED else ""
    fix = "correct the row, or the format in data.ingest; take such rows out by `where`, or by name:"
    raise UserError(
        found="\n".join(f"{row.place}: {row.problem}" for row in broken[:MOST_NAMED]) + more,
        rule=f"each row has the fields of the format {form}",
        why="an item is made of them, and of nothing else",
        fix=f"{fix} {leaves_out([row.id for row in broken])}",
    )


def leaves_out(names: list[str]) -> str:
    """What a study writes to leave items out."""
    return f"leave_out: [{', '.join(names[:MOST_NAMED])}{', …' if len(names) > MOST_NAMED else ''}]"


def refuse_not_there(names: set[str], path: str) -> None:
    """Raises a UserError for items to be left out that are not there."""
    if names:
        raise UserError(
            found=f"leave_out names {', '.join(sorted(names))}, which no row that is drawn of {path} has as its id",
            rule="what is left out is there",
            why="a misspelt id would leave the item in",
            fix="correct data.ingest.<name>.leave_out",
        )


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
