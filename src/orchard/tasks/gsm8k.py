"""GSM8K (arXiv 2110.14168): word problems whose reference solution ends in ``#### <number>``."""

import re

from orchard.tasks import fields
from orchard.tasks.text import Text, agrees

FINAL = re.compile(r"#### (-?[0-9.,]+)")  # lm-eval's strict-match


class Gsm8k(Text):
    """The last number counts (lm-eval's flexible-extract); strictly, the first one behind ``####``."""

    def is_strict(self, item: dict, response: str, right: bool) -> bool:
        found = FINAL.search(response)
        return bool(found) and agrees(item["final"], found[1])


class Row(fields.Row):
    """A row of GSM8K's files."""

    question: fields.Text
    answer: fields.Text


def from_row(row: dict, name: str, number: int) -> dict:
    """An item of a row of GSM8K's files; the answer is the worked solution."""
    given = fields.read(Row, row)
    if "####" not in given.answer:
        raise ValueError("the answer has no final number after ####")
    return {
        "id": f"gsm8k-{name}-{number:05d}",
        "task": "gsm8k",
        "prompt": f"Question: {given.question}\nAnswer:",
        "answer": given.answer,
        "final": given.answer.rpartition("####")[2].strip(),
    }


TASKS = {"gsm8k": Gsm8k()}
