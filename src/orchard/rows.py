"""Rows of a file of data, JSONL or Parquet, of which no more is held than what is asked for.

A set of some thousand rows is often drawn of a file of millions. So rows are first counted, or looked through one by
one, and then those that are drawn are read: of Parquet the row groups that hold them, of JSONL the lines.
"""

import contextlib
from array import array
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import NamedTuple

from orchard import jsonl
from orchard.errors import UserError
from orchard.jsonl import Line

ENDINGS = (".jsonl", ".parquet")
AT_ONCE = 500  # rows of Parquet that become Python's objects together: ours; some megabytes of text


class Filter(NamedTuple):
    """Which rows count.

    Attributes:
        fits: says it of a row.
        columns: the columns that it looks at; of Parquet no others are read.
    """

    fits: Callable[[dict], bool]
    columns: Collection[str]


def is_parquet(path: str | Path) -> bool:
    """Whether a file is read as Parquet: by its name."""
    return Path(path).suffix == ".parquet"


def count(path: str | Path) -> int:
    """How many rows a file has; none is read."""
    return _parquet_size(path) if is_parquet(path) else len(jsonl.numbers(path))


def numbers(path: str | Path, which: Filter | None = None) -> array:
    """The numbers of the rows that count, as whole numbers of 8 bytes: from 1, and of JSONL those of the lines.

    Raises:
        UserError: the file is missing, empty or unreadable, or a row that is looked at is broken.
    """
    if which:
        found = _parquet(path, columns=which.columns) if is_parquet(path) else jsonl.each(path)
        return array("Q", (number for number, row in found if which.fits(row)))
    return array("Q", range(1, _parquet_size(path) + 1)) if is_parquet(path) else jsonl.numbers(path)


def taken(path: str | Path, wanted: Collection[int]) -> Iterator[Line]:
    """The rows with these numbers, in the order of the file, one by one.

    Raises:
        UserError: as `numbers`.
    """
    return _parquet(path, frozenset(wanted)) if is_parquet(path) else jsonl.each(path, frozenset(wanted))


def _parquet(
    path: str | Path, wanted: frozenset[int] | None = None, columns: Collection[str] | None = None
) -> Iterator[Line]:
    """Rows of a Parquet file; a row group without one that is wanted is left where it is."""
    with _opened(path) as file:
        names = None if columns is None else [name for name in file.schema_arrow.names if name in columns]
        first = 1
        for group in range(file.num_row_groups):
            size = file.metadata.row_group(group).num_rows
            if wanted is None or not wanted.isdisjoint(range(first, first + size)):
                start = first
                for batch in file.iter_batches(AT_ONCE, [group], names):
                    places = [n for n in range(len(batch)) if wanted is None or start + n in wanted]
                    rows = batch.take(places).to_pylist() if places else []
                    yield from (Line(start + n, row) for n, row in zip(places, rows, strict=True))
                    start += len(batch)
            first += size


def _parquet_size(path: str | Path) -> int:
    with _opened(path) as file:
        return file.metadata.num_rows


@contextlib.contextmanager
def _opened(path: str | Path) -> Iterator:
    """A Parquet file that has rows; what is wrong with it becomes one message."""
    import pyarrow
    from pyarrow import parquet

    jsonl.refuse_no_file(path)
    try:
        with parquet.ParquetFile(path) as file:
            if not file.metadata.num_rows:
                raise pyarrow.ArrowInvalid("it has no rows")
            yield file
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:
        raise UserError(
            found=f"{path}: no whole Parquet file ({(str(error).splitlines() or [''])[0]})",
            rule="a file that ends in .parquet is one, with rows",
            why="a truncated file would silently become a smaller data set",
            fix="fetch or write the file again",
        ) from error
