"""Columns of any data set: where a value stands in a row, and which rows count.

A column is named by the keys that lead to it, joined by dots: ``verification_info.ground_truth``. A key of a list is a
number (``messages.0.content``; ``-1`` is the last). Where a text stands in the way it is read as JSON, as many sets
keep objects as text. A column whose own name has dots is found as well.
"""

import re
from collections.abc import Mapping
from typing import Any, Protocol

from orchard import jsonl
from orchard.errors import UserError, did_you_mean, shown

PLACE = re.compile(r"-?\d+")


class Bounds(Protocol):
    """The least and the largest number that counts; None: no bound."""

    at_least: float | None
    at_most: float | None


def value(row: Any, column: str) -> Any:
    """What stands in a column of a row; None where nothing does.

    Raises:
        ValueError: on the way stands a text that is no JSON.
    """
    if row is None or not column:
        return row
    if isinstance(row, str):
        row = parsed(row, column)
    keys = column.split(".")
    if isinstance(row, list) and PLACE.fullmatch(keys[0]):
        place = int(keys[0])
        return value(row[place], ".".join(keys[1:])) if -len(row) <= place < len(row) else None
    if isinstance(row, dict):
        for count in range(len(keys), 0, -1):
            if (key := ".".join(keys[:count])) in row:
                return value(row[key], ".".join(keys[count:]))
    return None


def parsed(text: str, column: str) -> Any:
    """What a text of JSON holds.

    Raises:
        ValueError: it is no JSON; the column is named.
    """
    try:
        return jsonl.parse(text)
    except ValueError as error:
        raise ValueError(f"{shown(text)} is no JSON, in which column {column!r} is looked for ({error})") from None


def known(row: Any, deep: int = 3) -> list[str]:
    """The columns of a row, as a message lists them."""
    if isinstance(row, dict) and deep:
        below = {key: known(each, deep - 1) for key, each in row.items()}
        return [name for key, names in below.items() for name in ([f"{key}.{each}" for each in names] or [key])]
    return []


class Where:
    """Which rows count, by a study's ``where``: by column a value, a list of values, or bounds.

    Args:
        asked: what is asked of each column.
    """

    def __init__(self, asked: Mapping[str, Any]):
        self.asked = asked
        self.columns = {top for column in asked for top in _tops(column)}
        self.unseen = set(asked)

    def fits(self, row: dict) -> bool:
        """Whether a row counts."""
        self.unseen -= {column for column in self.unseen if any(top in row for top in _tops(column))}
        return all(_fits(value(row, column), asked) for column, asked in self.asked.items())

    def refuse_unseen(self, place: str, row: dict) -> None:
        """Raises a UserError for a column that no row had, which was meant for another.

        Args:
            place: of the rows.
            row: one of them.
        """
        if self.unseen:
            raise UserError(
                found=f"where names column {min(self.unseen)!r}, which no row of {place} has",
                rule="a filter looks at a column that is there",
                why="a misspelt one would let all rows pass, or none",
                fix=did_you_mean(min(self.unseen), known(row)),
            )


def _tops(column: str) -> list[str]:
    """The names that the top of a dotted column may have."""
    keys = column.split(".")
    return [".".join(keys[:count]) for count in range(1, len(keys) + 1)]


def _fits(found: Any, asked: Any) -> bool:
    if isinstance(asked, list):
        return any(_fits(found, each) for each in asked)
    if hasattr(asked, "at_least"):
        return is_number(found) and _is_within(found, asked)
    return found == asked and isinstance(found, bool) == isinstance(asked, bool)


def _is_within(number: float, bounds: Bounds) -> bool:
    low, high = bounds.at_least, bounds.at_most
    return (low is None or number >= low) and (high is None or number <= high)


def is_number(found: Any) -> bool:
    """Whether a value is a number, which true and false are not."""
    return isinstance(found, int | float) and not isinstance(found, bool)
