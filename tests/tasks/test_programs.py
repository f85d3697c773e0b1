"""Programming problems: what of a response is taken for code."""

import pytest

from orchard.errors import UserError
from orchard.tasks import programs
from tests.helpers.judging import ODD, judge
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


@needs_bubblewrap
@pytest.mark.parametrize("response", ODD)
def test_an_odd_response_is_wrong(response):
    assert not judge(ITEM, response).right


@pytest.mark.parametrize("name", ["(a+)+$", ".*", "(", "a b", "", "1a", "def", "a\n", "running_total|x"])
def test_what_is_tested_has_a_name(name):
    with pytest.raises(UserError, match="entry_point"):
        judge(ITEM | {"entry_point": name}, "def a(): pass")


def test_no_row_runs_outside_the_sandbox(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))  # no bubblewrap
    with pytest.raises(UserError, match="no bubblewrap"):
        judge(ITEM | {"unsafe": True, "unsafe_programs": True}, BODY)


@needs_bubblewrap
def test_what_the_prompt_defines_no_program_defines_anew():
    """HumanEval's tests of `find_zero` ask `poly`, which the prompt defines, whether the answer is right."""
    row = {
        "prompt": 'def poly(x):\n    return x - 2\n\n\ndef zero():\n    """Return where poly is 0."""\n',
        "canonical_solution": "    return 2\n",
        "entry_point": "zero",
        "test": "def check(candidate):\n    assert poly(candidate()) == 0\n",
    }
    item = programs.from_humaneval(row, "problems", 1)
    assert judge(item, "    return 2\n").right
    assert not judge(item, "    return 1\n\n\ndef poly(x):\n    return 0\n").right
    assert not judge(item, "```python\ndef poly(x):\n    return 0\ndef zero():\n    return 1\n```").right


@needs_bubblewrap
def test_a_class_of_the_reference_solution_is_the_programs():
    """MBPP's tests make the trees that they ask about."""
    row = {
        "text": "Write a class Node and a function that adds up a tree.",
        "code": "class Node:\n    def __init__(self, x):\n        self.x, self.left = x, None\n"
        "def total(a):\n    return a.x + (total(a.left) if a.left else 0)",
        "test_list": ["assert total(root) == 3"],
        "test_setup_code": "root = Node(1)\nroot.left = Node(2)",
    }
    item = programs.from_mbpp(row, "problems", 1)
    assert judge(item, item["answer"]).right
    assert judge(item, item["answer"].replace("Node", "Tree")).error == "NameError"
