"""GSM8K (arXiv 2110.14168): word problems whose reference solution ends in ``#### <number>``.

- Strictly, an answer is the number right behind the first ``####``, without marks such as ``**`` or ``$`` between: the
  convention of lm-eval's filter ``strict-match``. Unlike there, the white space may be missing, the whole number counts
  as `orchard.tasks.quantities` reads it (``.5``, ``1e3``), and a heading such as ``#### 1. Add`` is none.
- Flexibly, which is the usual reading, it is that number or, without any, what `orchard.tasks.text` takes: lm-eval's
  ``flexible-extract``, the last number, where neither a box nor "the answer is" says more.

A model that runs on asks itself the next question: what stands behind a line ``Question:`` does not count, as that is
where lm-eval stops it.
"""

import re
from fractions import Fraction

from orchard.tasks import fields, quantities
from orchard.tasks.text import Text, final_of, number_in

FINAL = re.compile(r"####[ \t]{0,3}(?=[-−\d.])")
MARKED = re.compile(r"####[\s*_$\\({]{0,8}(?=[-−\d.])")
HEADING = re.compile(r"####[^\w\n]{0,8}\d+[.)][*_]{0,3} +\w")  # no answer, but the number of a step
NEXT_QUESTION = re.compile(r"\n\s{0,10}(?:Question|Q):")


class Gsm8k(Text):
    """The number behind ``####`` counts, or without one the number that any text gives; strictly, only the former."""

    def number(self, response: str) -> frozenset[Fraction]:
        return behind_hashes(response, MARKED) or number_in(_own(response))

    def is_strict(self, item: dict, response: str, right: bool) -> bool:
        return not quantities.reference(final_of(item)).isdisjoint(behind_hashes(response, FINAL))


def behind_hashes(response: str, mark: re.Pattern) -> frozenset[Fraction]:
    """The values of the number behind the first mark that is no heading; none if there is none."""
    response = _own(response)
    for found in mark.finditer(response):
        if not HEADING.match(response, found.start()):
            line = response[found.end() :].partition("\n")[0]
            return quantities.at(quantities.plain(line[: quantities.LONGEST]), 0)
    return frozenset()


def _own(response: str) -> str:
    """The response up to where it asks the next question."""
    return NEXT_QUESTION.split(response, maxsplit=1)[0]


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
