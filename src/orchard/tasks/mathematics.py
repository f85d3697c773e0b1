"""Problems in English and LaTeX whose final answer stands in a box, as in MATH (arXiv 2103.03874)."""

import logging

from orchard.tasks.limit import OutOfTimeError, time_limit

INSTRUCTION = "Reason step by step, and put the final answer in \\boxed{}."
LONGEST_ANSWER = 200  # characters: more than the answers of MATH have; longer ones take the parser seconds
SECONDS = 10


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
    import math_verify

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
