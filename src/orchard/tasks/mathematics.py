"""Problems in English and LaTeX whose final answer stands in a box, as in MATH (arXiv 2103.03874)."""

import logging

from orchard.sandbox.timeout import OutOfTimeError, time_limit
from orchard.tasks import fields
from orchard.tasks.task import Task

INSTRUCTION = "Reason step by step, and put the final answer in \\boxed{}."
LONGEST_ANSWER = 200  # characters: more than the answers of MATH have; longer ones take the parser seconds
SECONDS = 10


class Mathematics(Task):
    """The value of the last box counts, or without any that of the last line; strictly, it stands in a box."""

    def score(self, item: dict, response: str) -> float:
        return float(agrees(item.get("final") or item["answer"], response))

    def has_answer(self, item: dict, response: str) -> bool:
        return bool(final_answer(response))

    def is_strict(self, item: dict, response: str, right: bool) -> bool:
        return right and "\\boxed{" in response


def agrees(answer: str, response: str) -> bool:
    """Whether a response gives a reference answer, by the value that Math-Verify reads from both.

    What counts in a response is its last box, or without any its last line: Math-Verify by itself would take several
    boxes for one set. Whatever it cannot read, or not in time, is wrong.

    Args:
        answer: the final answer in LaTeX, without a box.
        response: any text.
    """
    given = final_answer(response)
    if given is None or len(given) > LONGEST_ANSWER:
        return False
    import math_verify  # takes a second to import, and most studies do without

    logging.getLogger("math_verify").setLevel(logging.ERROR)  # it warns that its own limit is off
    try:
        with time_limit(SECONDS):
            gold, found = (math_verify.parse(text, parsing_timeout=None) for text in (f"\\boxed{{{answer}}}", given))
            return math_verify.verify(gold, found, timeout_seconds=None)
    except (Exception, OutOfTimeError):  # parser and algebra fail in many ways on text that means nothing
        return False


def final_answer(response: str) -> str | None:
    """The last box of a response with its braces, or without any its last line; None for an open box and no text."""
    start = response.rfind("\\boxed{")
    if start < 0:
        return (response.strip().splitlines() or [None])[-1]
    depth = 0
    for place in range(start, len(response)):
        depth += {"{": 1, "}": -1}.get(response[place], 0)
        if response[place] == "}" and depth == 0:
            return response[start : place + 1]
    return None


class Row(fields.Row):
    """A row of MATH or the like: a problem, or question, with its solution, its final answer, or both."""

    problem: fields.Text | None = None
    question: fields.Text | None = None
    solution: fields.Text | None = None
    answer: fields.Text | None = None


def from_row(row: dict, name: str, number: int) -> dict:
    """An item of a row of MATH or the like. The answer is the worked solution, if there is one, or the final one."""
    given = fields.read(Row, row)
    problem = given.problem or given.question
    if problem is None:
        raise ValueError("no field 'question', and none 'problem'")
    if given.answer is None and given.solution is None:
        raise ValueError("no field 'solution', and none 'answer'")
    final = given.answer if given.answer is not None else _in_last_box(given.solution)
    return {
        "id": f"math-{name}-{number:05d}",
        "task": "math",
        "prompt": f"Problem: {problem}\n{INSTRUCTION}\nSolution:",
        "answer": given.solution if given.solution is not None else f"\\boxed{{{final}}}",
        "final": final,
    }


def _in_last_box(solution: str) -> str:
    """What stands in the last ``\\boxed{…}`` of a solution."""
    box = final_answer(solution)
    if not box or not box.startswith("\\boxed{"):
        raise ValueError("there is no field 'answer', and the solution has no final answer in \\boxed{}")
    return box.removeprefix("\\boxed{").removesuffix("}")


TASKS = {"math": Mathematics()}
