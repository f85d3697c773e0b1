"""Which part of a response is the program: the forms in which chat and base models write a right function."""

import textwrap
import time

import pytest

from orchard.tasks import extraction

PROMPT = '''from typing import List


def doubled(number: int) -> int:
    return 2 * number


def spread(numbers: List[int]) -> int:
    """Return twice the difference of the largest and the smallest number, 0 of none.

    >>> spread([1, 4])
    6
    """
'''
BODY = """    if not numbers:
        return 0
    return doubled(max(numbers) - min(numbers))
"""
DEF = f"def spread(numbers: List[int]) -> int:\n{BODY}"  # needs what the prompt imports and defines
WHOLE = f"def doubled(number):\n    return 2 * number\n\n\ndef spread(numbers):\n{BODY}"
DRAFT = "def spread(numbers):\n    return 1\n"
USE = "numbers = [int(word) for word in input().split()]\nresult = spread(numbers)\nprint(result)\n"
FLAT = textwrap.dedent(BODY)


def block(code: str, mark: str = "python", fence: str = "```") -> str:
    return f"{fence}{mark}\n{code}{fence}\n"


FORMS = {
    "the rest": BODY,
    "the rest, then the fence that the prompt stands in": f"{BODY}```\nIt takes the largest and the smallest.",
    "the rest, then prose and a call": f"{BODY}\nprint(spread(input()))\nThis works.",
    "the rest, then all again": f"{BODY}\n\ndef other():\n    pass\n\n{DEF}",
    "the rest without its first indentation": BODY.lstrip(),
    "the rest, not indented": FLAT,
    "a fenced rest": block(BODY),
    "a fenced rest, not indented": f"Here:\n{block(FLAT)}",
    "prompt and rest": block(PROMPT + BODY),
    "the function alone": block(DEF),
    "the function alone, without a fence": DEF,
    "the function between prose": f"Sure, here it is:\n\n{DEF}\nI hope that it helps.\n",
    "the function between other marks": f"[PYTHON]\n{DEF}[/PYTHON]",
    "python3": block(DEF, "python3"),
    "Python with a capital": block(DEF, "Python"),
    "py with a title": block(DEF, "py title=spread.py"),
    "a space before the mark": block(DEF, " python"),
    "no mark": block(DEF, ""),
    "another mark": block(DEF, "text"),
    "a long fence": block(DEF, fence="````"),
    "tildes": block(DEF, fence="~~~"),
    "line ends of Windows": f"Here:\n{block(DEF)}".replace("\n", "\r\n"),
    "a fence that is not closed": f"```python\n{DEF}",
    "a fence in a list": f"1. Here:\n{textwrap.indent(block(DEF), '   ')}2. Done\n",
    "a fence in the docstring": block(f'{PROMPT}\n    """Use:\n    ```\n    spread([1])\n    ```\n    """\n{BODY}'),
    "a helper in an earlier fence": (
        block("def ends(numbers):\n    return min(numbers), max(numbers)\n")
        + "and then\n"
        + block("def spread(n):\n    return doubled(ends(n)[1] - ends(n)[0]) if n else 0\n")
    ),
    "a helper in a later fence": (
        block("def spread(n):\n    return doubled(width(n)) if n else 0\n")
        + block("def width(numbers):\n    return max(numbers) - min(numbers)\n")
    ),
    "a helper whose name begins so": block("def spread_of(n):\n    return 1\n") + block(DEF),
    "a draft before": f"{block(DRAFT)}No, better:\n{block(DEF)}",
    "a draft that is no program": block("def spread(numbers:\n    ...\n") + block(DEF),
    "another language before": block("pip install numpy\n", "bash") + block(DEF),
    "what it prints, behind": block(DEF) + block("6\n0\n", ""),
    "a test, behind": block(DEF) + block("def test_spread():\n    assert spread([1]) == 'no'\n"),
    "use below": block(f"{DEF}\n{USE}"),
    "a wrong assertion below": block(f"{DEF}\nassert spread([1, 2]) == 7\n"),
    "a main part below": block(f"{DEF}\nif __name__ == '__main__':\n    raise SystemExit(spread([]))\n"),
    "use below that is cut off": f"```python\n{DEF}\nprint(spread([1, 2",
    "a constant above": block(f"ZERO = 0\n\n{DEF.replace('return 0', 'return ZERO')}"),
    "a space before the bracket": block(DEF.replace("spread(", "spread (")),
    "a lambda": block("spread = lambda numbers: doubled(max(numbers) - min(numbers)) if numbers else 0\n"),
    "an annotated lambda": block("spread: object = lambda n: doubled(max(n) - min(n)) if n else 0\n"),
    "a decorator": block(f"import functools\n\n@functools.wraps(doubled)\n{DEF}"),
    "a future import": block(f"from __future__ import annotations\n\n{DEF}"),
    "a draft in its thoughts": f"<think>\n{block(DRAFT)}</think>\n{block(DEF)}",
}  # fmt: skip


def results(program: str) -> list[int]:
    names: dict = {"__name__": "program"}
    exec(compile(program, "program", "exec"), names)
    return [names["spread"](numbers) for numbers in ([], [3], [4, 1, 2])]


@pytest.mark.parametrize("form", FORMS)
def test_a_right_function_in_the_forms_that_models_write(form):
    assert results(extraction.program_of(PROMPT, "spread", FORMS[form])) == [0, 0, 6]


@pytest.mark.parametrize(
    "response",
    [
        WHOLE,
        block(WHOLE),
        f"Here:\n\n{WHOLE}\nDone.",
        f"[BEGIN]\n{WHOLE}[DONE]",
        block(f"{WHOLE}\n{USE}"),
        block(DRAFT) + block(WHOLE),
        f"```python\n{WHOLE}",
    ],
)
def test_a_function_that_the_prompt_did_not_begin(response):
    assert results(extraction.program_of("", "spread", response)) == [0, 0, 6]


@pytest.mark.parametrize(
    "response", ["", "I cannot.", "```python\n```", block("x = 1\n"), block("def spread(n:\n"), "\0", "spread(1)"]
)
def test_what_is_no_such_function_is_left_to_python(response):
    with pytest.raises((SyntaxError, ValueError, NameError, KeyError, TypeError)):
        results(extraction.program_of("", "spread", response))


@pytest.mark.parametrize(
    "response",
    ["-" * 10**6 + "1", "(" * 10**6, "```\n" * 10**5, "```\n(\n```\n" * 10**4, "`" * 10**6, "a: " + " " * 10**6,
     "x=" + "not " * 10**5 + "1", "def spread(:\n" * 10**5, '```python\n"""' + "a\n```\n" * 10**4, "\0" * 10**6,
     "```python\nx = '\ud800'\n```", "if 1: pass\n" + "elif 1: pass\n" * 10**4, "\n" * 10**6],
    ids=lambda text: text[:12].encode("unicode_escape").decode(),
)  # fmt: skip
def test_no_response_takes_long(response):
    started = time.process_time()
    assert extraction.program_of(PROMPT, "spread", response)
    assert extraction.program_of("", "spread", response) is not None
    assert time.process_time() - started < 5


def test_only_what_runs_is_left_out():
    kept = "import sys\nsys.setrecursionlimit(99)\nX = 1\n\ndef f():\n    pass"
    assert extraction.whole("", "f", [f"{kept}\nf()\nprint(X)\nassert X"]).strip() == kept
