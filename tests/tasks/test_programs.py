"""Programming problems: what of a response is taken for code."""

import pytest

from orchard.tasks import programs
from tests.helpers.judging import judge
from tests.helpers.problems import PROBLEMS
from tests.helpers.sandboxes import needs_bubblewrap

ITEM = programs.from_humaneval(PROBLEMS[0], "problems", 1)
BODY = PROBLEMS[0]["canonical_solution"]
WHOLE = PROBLEMS[0]["prompt"] + BODY
MBPP = {
    "text": "Write a function to add two numbers.",
    "code": "def add(a, b):\n    return a + b",
    "test_list": ["assert add(1, 2) == 3", "assert add(-1, 1) == 0"],
    "test_setup_code": "",
}

RESPONSES = {  # response, whether it passes read flexibly, and read strictly
    "the rest of the function": (BODY, True, True),
    "the rest, then prose": (f"{BODY}\nThis function adds up the numbers.\n", True, False),
    "the rest, then another function": (f"{BODY}\ndef other():\n    return 1\n", True, True),
    "the rest, then a call of input": (f"{BODY}\nprint(running_total(input()))\n", True, False),
    "a whole function": (f"\n{WHOLE}", True, True),
    "a fenced function in prose": (f"Here it is:\n```python\n{WHOLE}```\nIt works.", True, False),
    "a fence without a name": (f"```\n{WHOLE}```", True, False),
    "a fence that is not closed": (f"Sure!\n```python\n{WHOLE}", True, False),
    "two fences, the second is it": (f"```python\nx = 1\n```\nand\n```python\n{WHOLE}```", True, False),
    "a fenced rest": (f"```python\n{BODY}```", True, False),
    "nothing": ("", False, False),
    "a wrong rest": ("    return numbers\n", False, False),
    "prose": ("I cannot do that.", False, False),
}


@needs_bubblewrap
@pytest.mark.parametrize("name", RESPONSES)
def test_what_is_code_in_a_response(name):
    response, flexible, strict = RESPONSES[name]
    judgement = judge(ITEM, response)
    assert (judgement.right, judgement.strict) == (flexible, strict)
    assert judgement.score == float(judgement.right)
    assert (judgement.error is None) == judgement.right


@needs_bubblewrap
def test_mbpp_asks_in_words_and_takes_a_function():
    item = programs.from_mbpp(MBPP, "problems", 1)
    assert item["entry_point"] == "add"
    assert "assert add(1, 2) == 3" in item["prompt"]
    assert judge(item, item["answer"]).error is None
    assert judge(item, "def add(a, b):\n    return a - b").error == "wrong answer"
    assert judge(item, "def plus(a, b):\n    return a + b").error == "NameError"
    assert judge(item, "def add(a, b:\n    return a + b").error == "unbalanced brackets"
