"""Verifiers of what models write in English: mathematics in LaTeX."""

import threading
import time

import pytest

from orchard.sandbox import timeout
from orchard.tasks import mathematics
from tests.helpers.judging import ODD, judge


def math(final: str) -> dict:
    return {"id": "1", "task": "math", "prompt": "?", "answer": f"\\boxed{{{final}}}", "final": final}


# Mathematics


@pytest.mark.parametrize(
    ("final", "response", "right"),
    [
        ("\\frac{1}{2}", "so it is \\boxed{1/2}.", True),
        ("\\frac{1}{2}", "\\boxed{0.5}", True),
        ("\\frac12", "\\boxed{\\dfrac{2}{4}}", True),
        ("\\frac{1}{2}", "\\boxed{\\frac{1}{3}}", False),
        ("5", "It is $5$.", True),
        ("5", "5 is not it.\nThe answer is 6", False),
        ("5", "first \\boxed{6}, no: \\boxed{5}", True),
        ("5", "first \\boxed{5}, no: \\boxed{6}", False),
        ("\\{1, 2\\}", "\\boxed{\\{2, 1\\}}", True),
        ("\\{1, 2\\}", "\\boxed{\\{1, 3\\}}", False),
        ("1,2", "\\boxed{2,1}", True),
        ("(1,2]", "\\boxed{(1, 2]}", True),
        ("(1,2]", "\\boxed{[1, 2]}", False),
        ("(-\\infty,2)\\cup(3,\\infty)", "\\boxed{(-\\infty, 2) \\cup (3, \\infty)}", True),
        ("x^2+2x+1", "\\boxed{(x+1)^2}", True),
        ("\\left( 3, \\frac{\\pi}{2} \\right)", "\\boxed{(3, \\pi/2)}", True),
        ("\\text{Evelyn}", "\\boxed{\\text{Evelyn}}", True),
        ("90^\\circ", "\\boxed{90}", True),
    ],
)
def test_answers_in_latex_are_compared_by_value(final, response, right):
    assert judge(math(final), response).right is right
    assert judge(math(final), response).score == float(right)


@pytest.mark.parametrize("response", ODD, ids=range(len(ODD)))
def test_an_odd_response_is_a_wrong_one(response):
    assert judge(math("5"), response).right is False


def test_an_answer_that_takes_for_ever_is_a_wrong_one(monkeypatch):
    monkeypatch.setattr(mathematics, "SECONDS", 0.2)
    assert judge(math("5"), "\\boxed{10^{10^{10}}}").right is False


def test_a_thread_gets_the_same_verdict():
    verdicts = []
    thread = threading.Thread(target=lambda: verdicts.append(judge(math("5"), "\\boxed{5}").right))
    thread.start()
    thread.join()
    assert verdicts == [True]


def test_the_time_limit_ends_with_its_block():
    with pytest.raises(timeout.OutOfTimeError), timeout.time_limit(0.05):
        time.sleep(5)
    with timeout.time_limit(0.05):
        pass
    time.sleep(0.1)
