"""The judgement of a response: its brackets, and what is wrong with a wrong one."""

import itertools

import pytest

from orchard.tasks import generated
from orchard.tasks.task import BALANCED, BROKEN, OPEN, bracketing, brackets
from tests.helpers.judging import judge

CALC = generated.make_item("calc", "calc 9 + 6 :", 0, "eval")
BRACKETS = generated.make_item("brackets", "close ( 3 [ 4 ] 4 { 5 :", 0, "eval")
GSM8K = {"id": "g", "task": "gsm8k", "prompt": "How many (in all)?", "answer": "… 9 + 9 = 18 #### 18", "final": "18"}


def shrunk(text: str) -> str:
    """Takes matching neighbours out until none is left, which leaves nothing of balanced brackets."""
    while True:
        shorter = text.replace("()", "").replace("[]", "").replace("{}", "")
        if shorter == text:
            return text
        text = shorter


def test_brackets_against_brute_force():
    for length in range(7):
        for signs in itertools.product("()[]{", repeat=length):
            text = "".join(signs)
            left = shrunk(text)
            # What is left of brackets that may still be closed are opening ones alone.
            expected = BALANCED if not left else OPEN if set(left) <= set("([{") else BROKEN
            assert brackets(" x ".join(text)) == expected, text


def test_brackets_that_the_prompt_opened_are_closed_by_the_answer():
    assert bracketing(BRACKETS, "} 5 ) 3") == BALANCED
    assert bracketing(BRACKETS, "} 5") == OPEN
    assert bracketing(BRACKETS, ") 3 } 5") == BROKEN
    assert bracketing(GSM8K, "(9 + 9) = 18") == BALANCED
    assert bracketing(GSM8K, "so (9 + 9 = 18") == OPEN


@pytest.mark.parametrize(
    ("item", "response", "ended", "expected"),
    [
        (CALC, "9 + 6 = 5 ans 5", True, None),
        (CALC, "9 + 6 = 5 ans 5", False, None),  # right, whatever became of the end
        (CALC, "9 + 6 = 4 ans 4", True, "wrong answer"),
        (CALC, "9 + 6 = 5", True, "no answer"),
        (CALC, "9 + 6 = 5 9 + 6", False, "cut off"),
        (CALC, "9 + 6 = 5 ) ans 4", True, "unbalanced brackets"),
        (BRACKETS, "} 5 ) 3", True, None),
        (BRACKETS, "} 5", True, "unbalanced brackets"),
        (BRACKETS, "} 5", False, "cut off"),  # it might have been closed
        (BRACKETS, ") 3 } 5", False, "unbalanced brackets"),  # no end can mend it
        (BRACKETS, "} 5 ) 3 ( 3 ) 3", True, "wrong answer"),
        (BRACKETS, "} 5 ) 4", True, "wrong answer"),  # structure right, content wrong
        (BRACKETS, "", True, "unbalanced brackets"),
        (GSM8K, "(9 + 8) = 17", True, "wrong answer"),
        (GSM8K, "nobody knows", True, "no answer"),
        (GSM8K, "", True, "no answer"),
        (GSM8K, "(9 + 8 = 17", True, "unbalanced brackets"),
    ],
)
def test_what_is_wrong_with_a_response(item, response, ended, expected):
    assert judge(item, response, ended=ended).error == expected
