"""Reading and writing of JSONL files: one JSON object per line, in UTF-8.

A file is data from anywhere, so what JSON leaves open is settled here: a key stands once in an object, a number is
finite, and text can be written as UTF-8. Only a line feed ends a line; other separators may stand in a string. A byte
order mark and blank lines say nothing, and are passed over.
"""

import codecs
import json
import math
import os
import re
from array import array
from collections.abc import Collection, Container, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from orchard.errors import UserError, shown

SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")  # the escape of half a character
ENCODINGS = {b"\xff\xfe": "UTF-16", b"\xfe\xff": "UTF-16"}  # the byte order marks of what else editors write


class Line(NamedTuple):
    """A row with the number of its line, counted from 1."""

    number: int
    row: dict


def read(path: str | Path, texts: Collection[str] = ()) -> list[dict]:
    """The rows of a JSONL file.

    Args:
        path: of the file.
        texts: fields that must be there and text, in each row.

    Raises:
        UserError: the file is missing, empty or unreadable, or has a line that is not one JSON object with these
            fields (its number is named).
    """
    found = []
    for number, row in each(path):
        found.append(row)
        for key in texts:
            if not isinstance(row.get(key), str):
                raise broken(f"{path}, line {number}", f"field {key!r} is {shown(row.get(key))}, not text")
    return found


def lines(path: str | Path) -> list[Line]:
    """The rows of a JSONL file with the numbers of their lines.

    Raises:
        UserError: as `read`.
    """
    return list(each(path))


def each(path: str | Path, wanted: Container[int] | None = None) -> Iterator[Line]:
    """The rows of a JSONL file one by one: no more than one is in memory.

    Args:
        path: of the file.
        wanted: the numbers of the lines that are parsed; None: all. The last line always is: a file that was cut off
            shows there.

    Raises:
        UserError: as `read`.
    """
    last = None
    for last in _raw(path):
        if wanted is None or last.number in wanted:
            yield Line(last.number, _row(path, last))
    if last is None:
        raise UserError(
            found=f"{path} has no rows",
            rule="a data set has at least one row",
            why="nothing can be learnt or scored on none",
            fix="check the step that made it, and the limits in config.yaml",
        )
    if wanted is not None and last.number not in wanted:
        _row(path, last)


def numbers(path: str | Path) -> array:
    """The numbers of the lines of a JSONL file that are not blank, as whole numbers of 8 bytes; none is parsed."""
    return array("Q", (line.number for line in _raw(path)))


class _RawLine(NamedTuple):
    number: int
    content: bytes


def _raw(path: str | Path) -> Iterator[_RawLine]:
    """The lines of a file that are not blank. A line feed alone ends one."""
    refuse_no_file(path)
    try:
        with open(path, "rb") as file:
            for number, content in enumerate(file, start=1):
                content = content.removeprefix(codecs.BOM_UTF8) if number == 1 else content
                if content.strip():
                    yield _RawLine(number, content)
    except OSError as error:
        raise broken(str(path), f"{error.strerror}") from error


def _row(path: str | Path, line: _RawLine) -> dict:
    """The object of a line."""
    source = _decoded(line.content, path, line.number).removesuffix("\n")
    try:
        row = parse(source)
        if not isinstance(row, dict):
            raise ValueError("not an object")
    except ValueError as error:
        raise broken(f"{path}, line {line.number}: {source[:60]!r}", str(error)) from error
    return row


def text(path: str | Path) -> str:
    """The text of a file of data.

    Raises:
        UserError: there is no such file, or it is not in UTF-8 (the line is named).
    """
    refuse_no_file(path)
    try:
        content = Path(path).read_bytes()
    except OSError as error:
        raise broken(str(path), f"{error.strerror}") from error
    return _decoded(content.removeprefix(codecs.BOM_UTF8), path, 1)


def refuse_no_file(path: str | Path) -> None:
    """Raises a UserError for a path that is neither there, nor a file."""
    if not os.path.isfile(path):  # neither a folder, nor a device or a pipe, which would never end
        raise UserError(
            found=f"{path}, which is no file" if os.path.exists(path) else f"no file {path}",
            rule="a data set that the config names exists, as a file",
            why="a stage reads it",
            fix="correct the path in config.yaml, or put the file there",
        )


def _decoded(content: bytes, path: str | Path, first: int) -> str:
    """The text of bytes that begin in a line."""
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        guess = ENCODINGS.get(content[:2], "Latin-1 or another encoding")
        place = f"{path}, line {content.count(10, 0, error.start) + first}: byte {error.object[error.start]:#04x}"
        raise UserError(
            found=f"{place} is no UTF-8 (it may be {guess})",
            rule="a file of data is written in UTF-8",
            why="read as anything else it would be another text",
            fix=f"convert it: `iconv -f {guess.partition(' ')[0]} -t UTF-8`",
        ) from error


def parse(source: str) -> Any:
    """The value of one JSON text.

    Raises:
        ValueError: it is no JSON, an object has a key twice, a number is not finite, a text holds half a character, or
            it is nested too deeply.
    """
    try:
        value = DECODER.decode(source)
        if SURROGATE.search(source):
            json.dumps(value, ensure_ascii=False).encode()
    except RecursionError:
        raise ValueError("nested too deeply") from None
    except UnicodeEncodeError:
        raise ValueError("half a character (a lone surrogate) in a text, which no tokenizer takes") from None
    return value


def write(path: Path, rows: Iterable[dict]) -> None:
    """Writes rows, one per line, each as it comes."""
    with open(path, "w") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)


def broken(place: str, problem: str) -> UserError:
    """The message for a line, or a file, that cannot be read."""
    return UserError(
        found=f"{place} ({problem})",
        rule="every line is one whole JSON object",
        why="a truncated file would silently become a smaller data set",
        fix="fetch or write the file again",
    )


def _object(pairs: list[tuple[str, Any]]) -> dict:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"key {shown(key)} twice in one object")
        found[key] = value
    return found


def _constant(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON")


def _fraction(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError(f"{shown(digits)} is too large a number")
    return number


DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_constant, parse_float=_fraction)
