"""BIG-Bench Hard (arXiv 2210.09261): multiple choice where the question lists its options, else a short answer."""

import re

from orchard.tasks import fields

CHOICES = re.compile(r"^(?:\(([A-Z])\)|- (\w+))", re.MULTILINE)  # "(A) text" or "- Yes", at the beginning of a line


class Row(fields.Row):
    """An example of one of its files."""

    input: fields.Text
    target: fields.Text


def from_row(row: dict, name: str, number: int) -> dict:
    """An item of an example of one of its files, whose name is the task's."""
    given = fields.read(Row, row)
    item = {
        "id": f"bbh-{name}-{number:05d}",
        "task": f"bbh-{name}",
        "prompt": f"Q: {given.input}\nA:",
        "answer": given.target,
    }
    options = [f"({letter})" if letter else word for letter, word in CHOICES.findall(given.input)]
    if not options and name == "sports_understanding":  # its options are not listed in the question
        options = ["yes", "no"]
    return item | fields.with_choices(options, given.target) if options else item
