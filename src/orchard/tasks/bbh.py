"""BIG-Bench Hard (arXiv 2210.09261): multiple choice where the question lists its options, else a short answer."""

import re

from orchard.tasks.fields import text, with_choices

CHOICES = re.compile(r"^(?:\(([A-Z])\)|- (\w+))", re.MULTILINE)  # "(A) text" or "- Yes", at the beginning of a line


def from_row(row: dict, name: str, number: int) -> dict:
    """An item of an example of one of its files, whose name is the task's."""
    item = {
        "id": f"bbh-{name}-{number:05d}",
        "task": f"bbh-{name}",
        "prompt": f"Q: {text(row, 'input')}\nA:",
        "answer": text(row, "target"),
    }
    options = [f"({letter})" if letter else word for letter, word in CHOICES.findall(row["input"])]
    if not options and name == "sports_understanding":  # its options are not listed in the question
        options = ["yes", "no"]
    return item | with_choices(options, row["target"]) if options else item
