r"""Tasks with a reference answer: a number is compared by its value, any other answer word for word.

Where the reference is a number, the response's answer is the first that there is of

1. the number in its last box (`orchard.tasks.boxes`);
2. the number behind the last "answer is" or "answer:", and where an equation begins there, what it comes to;
3. the last number: the convention of lm-eval's filter ``flexible-extract`` for GSM8K.

A last paragraph that begins with "Note:" or the like does not count. `orchard.tasks.quantities` says what a number is.
Numbers are equal if their values are, exactly: 0.333 is not a third. Any other reference is compared with the whole
response, without the white space around both: lm-eval's exact match.
"""

import functools
import re
from fractions import Fraction

from orchard.tasks import quantities
from orchard.tasks.boxes import last_box
from orchard.tasks.task import Task

ANSWER = re.compile(
    r"(?:\b(?:the|final|my|correct) |^[\s#>*_-]{0,10})answer\b ?(?:is|was|:|=|comes to)"
    r"[ :=*_({]{0,6}(?:(?:about|approximately|exactly|around) )?",
    re.IGNORECASE | re.MULTILINE,
)
REMARK = re.compile(
    r"\n\s{0,10}[(*_]{0,3}(?:note|nb|n\.b\.|p\.?s\.?|remark|disclaimer|check|verification)\b[*_]{0,3}:", re.IGNORECASE
)


class Text(Task):
    """A short answer: a number by its value, any other word for word."""

    def score(self, item: dict, response: str) -> float:
        expected = quantities.reference(final_of(item))
        if not expected:
            return float(response.strip() == final_of(item).strip())
        return float(not expected.isdisjoint(self.number(response)))

    def has_answer(self, item: dict, response: str) -> bool:
        """Whether a response holds something of the reference answer's kind."""
        return bool(self.number(response) if quantities.reference(final_of(item)) else response.strip())

    def number(self, response: str) -> frozenset[Fraction]:
        """The values of the number that a response gives; none if it gives none."""
        return number_in(response)


def final_of(item: dict) -> str:
    """The final answer of an item: ``final``, or where that is missing or empty the whole answer."""
    return item.get("final") or item["answer"]


@functools.lru_cache(maxsize=1)  # a judgement asks twice for the same
def number_in(response: str) -> frozenset[Fraction]:
    """The values of the number that a response gives, by the module's three rules; none if it gives none."""
    if (box := last_box(response)) and (found := quantities.last(quantities.plain(box))):
        return found
    text = quantities.plain(response)
    for answer in reversed(list(ANSWER.finditer(text))):
        if found := quantities.at(text, _end_of_equation(text, answer.end())):
            return found
    remark = REMARK.search(text)
    return (remark and quantities.last(text[: remark.start()])) or quantities.last(text)


def _end_of_equation(text: str, place: int) -> int:
    """The place behind the last "=" of the line, or of the sentence, that goes on from a place."""
    sentence = re.split(r"\n|[.;(](?=\s|$)| \(", text[place : place + quantities.LONGEST])[0]
    behind = sentence.rpartition("=")[2]
    return place + len(sentence) - len(behind.lstrip()) if "=" in sentence else place


TASKS = {"any": Text()}
