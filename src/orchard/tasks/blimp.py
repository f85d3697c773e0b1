"""BLiMP (arXiv 1912.00582): pairs of sentences of which one is good."""

import hashlib

from orchard.tasks.fields import text, with_choices


def from_row(row: dict, name: str, number: int) -> dict:
    """An item of a minimal pair. A hash of the id deals the order, so that the position says nothing."""
    pair = {"id": f"blimp-{name}-{number:05d}", "task": "blimp", "prompt": "", "answer": text(row, "sentence_good")}
    choices = [row["sentence_good"], text(row, "sentence_bad")]
    if hashlib.sha256(pair["id"].encode()).digest()[0] % 2:
        choices.reverse()
    return pair | with_choices(choices, row["sentence_good"]) | {"paradigm": text(row, "UID")}
