"""Dolci-Instruct-SFT: conversations to learn from, whose last turn is the response. Nothing of them is judged."""

from typing import Any

from orchard.tasks import conversations, fields


class Row(fields.Row):
    """A row of its file."""

    messages: list[dict[str, Any]]


def from_row(row: dict, name: str, number: int) -> dict:
    """An item of a row of its file."""
    given = fields.read(Row, row)
    found = conversations.of(given.messages)
    if "response" not in found:
        raise ValueError("the last turn is not the assistant's: there is no response to learn from")
    return {"id": f"dolci-{name}-{number:05d}", "task": "dolci", "answer": ""} | found
