"""Tasks with a reference answer: a number is compared by its value, any other answer word for word."""

import re

from orchard.tasks.task import Task

NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?")


class Text(Task):
    """A short answer: the last number of the response if the reference is a number, else the whole response."""

    def score(self, item: dict, response: str) -> float:
        return float(agrees(item.get("final") or item["answer"], response))

    def has_answer(self, item: dict, response: str) -> bool:
        """Whether a response holds something of the reference answer's kind."""
        answer = item.get("final") or item["answer"]
        return bool(NUMBER.search(response) if NUMBER.fullmatch(answer.strip()) else response.strip())


def agrees(answer: str, response: str) -> bool:
    """Whether a response gives a reference answer: as its last number if that is a number, else word for word."""
    if NUMBER.fullmatch(answer.strip()):
        numbers = NUMBER.findall(response)
        return bool(numbers) and float(numbers[-1].replace(",", "")) == float(answer.replace(",", ""))
    return response.strip() == answer.strip()


TASKS = {"any": Text()}
