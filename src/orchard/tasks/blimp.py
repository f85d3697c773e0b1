"""BLiMP (arXiv 1912.00582): pairs of sentences of which one is good."""

import hashlib

from orchard.tasks import fields


class Row(fields.Row):
    """A minimal pair of one of its files."""

    sentence_good: fields.Text
    sentence_bad: fields.Text
    UID: fields.Text


def from_row(row: dict, name: str, number: int) -> dict:
    """An item of a minimal pair. A hash of the id deals the order, so that the position says nothing."""
    given = fields.read(Row, row)
    pair = {"id": f"blimp-{name}-{number:05d}", "task": "blimp", "prompt": "", "answer": given.sentence_good}
    choices = [given.sentence_good, given.sentence_bad]
    if hashlib.sha256(pair["id"].encode()).digest()[0] % 2:
        choices.reverse()
    return pair | fields.with_choices(choices, given.sentence_good) | {"paradigm": given.UID}
