"""Verifiers of what models write in English: mathematics in LaTeX."""

import threading
import time

import pytest

from orchard.errors import UserError
from orchard.sandbox import timeout
from orchard.tasks import mathematics
from tests.helpers.judging import ODD, judge


def math(final: str) -> dict:
    return {"id": "1", "task": "math", "prompt": "?", "answer": f"\\boxed{{{final}}}", "final": final}


# Mathematics

ANSWERS = [
    ("\\frac{1}{2}", "\\boxed{0.5}", True),
    ("0.5", "\\boxed{\\frac{1}{2}}", True),
    ("50\\%", "\\boxed{0.5}", True),
    ("50", "\\boxed{50\\%}", True),
    ("0.5", "\\boxed{50\\%}", True),
    ("0.5", "\\boxed{50}", False),
    ("x=5", "\\boxed{5}", True),
    ("x=5", "\\boxed{y=5}", False),
    ("(1,2)", "\\boxed{(2,1)}", False),
    ("(1,2)", "\\boxed{[1,2]}", False),
    ("1,2", "\\boxed{12}", False),
    ("12", "\\boxed{1,2}", False),
    ("\\frac{3}{4}", "\\boxed{3/4 \\text{ cup}}", True),
    ("1000", "\\boxed{1e3}", True),
    ("10^{3}", "\\boxed{1000}", True),
    ("1000", "\\boxed{1{,}000}", True),
    ("1,000", "\\boxed{1000}", True),
    ("1000", "\\boxed{1,000}", True),
    ("5", "\\boxed{−5}", False),
    ("5", "\\boxed{5.}", True),
    ("72", "\\boxed{72 \\text{ dollars}}", True),
    ("72", "\\boxed{\\$72}", True),
    ("\\frac{1}{2}", "\\boxed{\\dfrac{1}{2}}", True),
    ("\\frac{1}{2}", "\\boxed{\\tfrac12}", True),
    ("1\\frac{1}{2}", "\\boxed{\\frac{3}{2}}", True),
    ("\\frac{3}{2}", "\\boxed{1\\frac{1}{2}}", True),
    ("90^\\circ", "\\boxed{90^{\\circ}}", True),
    ("90", "\\boxed{90^\\circ}", True),
    ("[0,1)", "\\boxed{[0,1)}", True),
    ("[0,1)", "\\boxed{[0,1]}", False),
    ("x \\le 2", "\\boxed{(-\\infty, 2]}", True),
    ("(0,1)", "\\boxed{0<x<1}", True),
    ("\\begin{pmatrix} 1 & 2 \\\\ 3 & 4 \\end{pmatrix}", "\\boxed{\\begin{pmatrix}1&2\\\\3&4\\end{pmatrix}}", True),
    ("\\begin{pmatrix} 1 & 2 \\\\ 3 & 4 \\end{pmatrix}", "\\boxed{\\begin{pmatrix}1&2\\\\4&3\\end{pmatrix}}", False),
    ("\\text{Evelyn}", "\\boxed{Evelyn}", True),
    ("\\text{(B)}", "\\boxed{B}", True),
    ("\\text{Sunday}", "\\boxed{\\text{Monday}}", False),
    ("\\sqrt{2}", "\\boxed{1.414}", False),
    ("2\\sqrt{3}", "\\boxed{\\sqrt{12}}", True),
    ("\\frac{\\sqrt{2}}{2}", "\\boxed{\\frac{1}{\\sqrt{2}}}", True),
    ("\\pm 3", "\\boxed{3,-3}", True),
    ("\\pm 3", "\\boxed{3}", False),
    ("5", "First \\boxed{4}. Correcting: \\boxed{5}.", True),
    ("5", "\\boxed{5} and that is it. We also check that 7 is not.", True),
    ("5", "\\boxed 5", True),
    ("5", "\\fbox{5}", True),
    ("5", "$\\boxed{\\boxed{5}}$", True),
    ("\\{x \\mid x > 2\\}", "\\boxed{\\{x \\mid x > 2\\}}", True),
    ("5", "ten minus five is five", True),
    ("5", "٥", True),
    ("2^{10}", "\\boxed{1024}", True),
    ("1024", "\\boxed{2^{11}}", False),
    ("0.333", "\\boxed{\\frac13}", False),
    ("\\frac13", "\\boxed{0.333}", False),
    ("12:30", "\\boxed{12:30}", True),
    ("12:00", "\\boxed{1:00}", False),
    ("1:2", "\\boxed{2:1}", False),
    ("101_2", "\\boxed{101_2}", True),
    ("101_2", "\\boxed{101_3}", False),
    ("101_2", "\\boxed{101}", True),
    ("\\frac{1}{2^{99}}", "\\boxed{\\frac{1}{2^{98}}}", False),
    ("n=2,3,4", "\\boxed{n=1,2,3}", False),
    ("1-\\frac{1}{e}", "\\boxed{1+\\frac{1}{e}}", False),
    ("10000000001", "\\boxed{10000000002}", False),
    ("0.0001", "\\boxed{0.0002}", False),
    ("1.0000001", "\\boxed{1}", False),
    ("3", "\\boxed{\\text{either } 3}", True),
    ("even", "\\boxed{\\text{even}}", True),
    ("\\text{no solution}", "\\boxed{\\emptyset}", True),
    ("i", "\\boxed{\\sqrt{-1}}", True),
    ("1+2i", "\\boxed{1-2i}", False),
    ("7", "\\boxed{3+4}", True),
    ("4.5", "\\boxed{4,5}", False),
    ("6", "So, \\[ x = 6 \\]", True),
    ("6 \\text{ cm}", "\\boxed{6}", True),
    ("6 \\text{ cm}^2", "\\boxed{6}", True),
    ("36", "\\boxed{6 \\text{ cm}^2}", False),
    ("\\$6.50", "\\boxed{6.5}", True),
    ("f(x)=2x", "\\boxed{2x}", True),
    ("2x", "\\boxed{f(x)=2x}", True),
    ("y=2x+3", "\\boxed{y=2x-3}", False),
    ("\\frac{1}{2004!}", "\\boxed{\\frac{1}{2006!}}", False),
    ("\\frac{1}{2004!}", "\\boxed{\\frac{1}{2004!}}", True),
    ("0.0000001", "\\boxed{0.0000002}", False),
    ("0.0000001", "\\boxed{10^{-7}}", True),
    ("\\{1/2^{99}\\}", "\\boxed{\\{1/2^{98}\\}}", False),
    ("\\{1/2^{99},3\\}", "\\boxed{\\{3,1/2^{99}\\}}", True),
    ("\\sqrt{10^{40}+1}", "\\boxed{10^{20}}", False),
    ("\\frac{\\sqrt2}{2}", "\\boxed{1/\\sqrt2}", True),
    ("x=\\frac1{2^{99}}", "\\boxed{x=\\frac1{2^{98}}}", False),
    ("\\frac{x}{2^{99}}", "\\boxed{\\frac{x}{2^{98}}}", False),
    ("\\frac{x}{2^{99}}", "\\boxed{x 2^{-99}}", True),
    ("(x+1)^2", "\\boxed{x^2+2x+1}", True),
    ("\\begin{pmatrix}1/2^{99}\\\\1\\end{pmatrix}", "\\boxed{\\begin{pmatrix}1/2^{98}\\\\1\\end{pmatrix}}", False),
    ("(1,1/2^{99})", "\\boxed{(1,1/2^{98})}", False),
    ("[0,1/2^{99}]", "\\boxed{[0,1/2^{98}]}", False),
    ("101_2", "\\boxed{101_{2}}", True),
    ("101_2", "\\boxed{101_{3}}", False),
    ("1A_{16}", "\\boxed{1a_{16}}", True),
    ("5", "\\boxed 5", True),
    ("5", "\\boxed5", True),
    ("5", "\\boxed {5}", True),
    ("5", "$\\boxed{5}$. Put your answer in \\boxed", True),
    ("5", "\\boxed{5}. Remember: \\boxed{} is for the answer", True),
    ("\\frac12", "\\boxed \\frac{1}{2}", True),
    ("\\pm3", "\\boxed{3} and \\boxed{-3}", True),
    ("3", "\\boxed{3}, \\boxed{3}", True),
    ("5", "5.", True),
    ("5", "So x = 5.", True),
    ("9007199254740993", "\\boxed{9007199254740992}", False),
    ("9007199254740993", "\\boxed{9007199254740992.0}", False),
    ("9007199254740993", "\\boxed{9007199254740993}", True),
    ("9007199254740993", "It is 9007199254740992", False),
    ("i", "\\boxed{\\sqrt{-1}}", True),
    ("-1", "\\boxed{i^2}", True),
    ("1+2i", "\\boxed{1+2i}", True),
    ("3+4i", "\\boxed{4i+3}", True),
    ("50\\%", "\\boxed{50}", True),
    ("50\\%", "\\boxed{0.05}", False),
    ("50\\%", "\\boxed{50\\%}", True),
    ("0.5\\%", "\\boxed{0.005}", True),
    ("12.5\\%", "\\boxed{\\frac18}", True),
    ("\\text{no solution}", "\\boxed{\\varnothing}", True),
    ("\\text{No solutions}", "\\boxed{\\emptyset}", True),
    ("\\emptyset", "\\boxed{0}", False),
    ("3", "\\boxed{\\text{about }3\\text{ cm}}", True),
    ("36", "\\boxed{6\\text{ cm}^2}", False),
    ("36", "\\boxed{6\\text{cm}^{2}}", False),
    ("27", "\\boxed{27 m^2}", True),
    ("27", "\\boxed{27\\text{ m}^2}", True),
    ("27", "\\boxed{27\\,\\mathrm{m}^2}", True),
    ("-5", "\\boxed{−5}", True),
    ("5", "\\boxed{-5}", False),
    (".5", "\\boxed{0.5}", True),
    ("1,234", "\\boxed{1234}", True),
    ("12", "\\boxed{1,2}", False),
    ("1.5", "\\boxed{1,5}", False),
    ("\\frac{3}{4}", "\\boxed{.75}", True),
    ("\\frac{1}{3}", "\\boxed{0.3333333}", True),
    ("\\pi", "\\boxed{3.14}", False),
    ("(3,4)", "\\boxed{(3,5)}", False),
    ("\\text{(C)}", "\\boxed{C}", True),
    ("C", "\\boxed{\\text{(D)}}", False),
    ("x^2+y^2", "\\boxed{x^2+z^2}", False),
    ("2\\pi", "\\boxed{6.2831853}", True),
    ("10^{100}", "\\boxed{10^{100}}", True),
    ("10^{100}", "\\boxed{10^{99}}", False),
    ("10^{-100}", "\\boxed{10^{-101}}", False),
    ("1.0\\times10^{-9}", "\\boxed{2\\times10^{-9}}", False),
    ("2\\times 10^{-9}", "\\boxed{2e-9}", True),
    ("\\infty", "\\boxed{\\infty}", True),
    ("-\\infty", "\\boxed{\\infty}", False),
    ("\\frac{1}{0}", "\\boxed{5}", False),
    ("even", "\\boxed{odd}", False),
    ("5", "\\boxed{five}", False),
    ("5", "five", True),
    ("7", "Answer: 7 apples.", True),
    ("\\text{Monday}", "Monday", True),
    ("\\frac{1}{2}", "The answer is $\\frac{1}{2}$.", True),
    ("\\frac{1}{2}", "The answer is \\(\\frac{1}{2}\\)", True),
    ("(0,1)", "\\boxed{0\\le x<1}", False),
    ("12.30", "\\boxed{12:30}", False),
    ("\\$5", "\\boxed{5}", True),
    ("2", "\\boxed{1}\n\\boxed{2}", True),
    ("1", "\\boxed{1}\n\\boxed{2}", False),
    ("5", "\\boxed{5", False),
    ("5", "\\fbox{6}", False),
    ("6", "\\framebox{6}", True),
]


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
        *ANSWERS,
    ],
)
def test_answers_in_latex_are_compared_by_value(final, response, right):
    assert judge(math(final), response).right is right
    assert judge(math(final), response).score == float(right)


@pytest.mark.parametrize("response", ODD, ids=range(len(ODD)))
def test_an_odd_response_is_a_wrong_one(response):
    assert judge(math("5"), response).right is False


@pytest.mark.parametrize(
    ("response", "error"),
    [
        ("\\boxed{6}", "wrong answer"),
        ("\\boxed{(}", "unbalanced brackets"),
        ("\\boxed{@}", "unreadable answer"),
        (f"\\boxed{{{'1' * 300}}}", "unreadable answer"),
        ("\\boxed{100000!}", "unreadable answer"),
        ("", "no answer"),
        ("\\boxed{5", "unbalanced brackets"),
    ],
)
def test_what_cannot_be_read_is_told_from_what_is_wrong(response, error):
    assert judge(math("5"), response).error == error


def test_a_parser_that_does_not_work_is_told(monkeypatch):
    math_verify = mathematics.library()
    mathematics.library.cache_clear()
    monkeypatch.setattr(math_verify, "verify", lambda *_, **__: False)
    with pytest.raises(UserError, match="does not read 50"):
        mathematics.library()


def test_an_answer_that_takes_for_ever_is_a_wrong_one(monkeypatch):
    monkeypatch.setattr(mathematics, "SECONDS", 0.2)
    assert judge(math("5"), "\\boxed{10^{10^{10}}}").right is False


def test_a_thread_gets_the_same_verdict():
    verdicts = []
    thread = threading.Thread(target=lambda: verdicts.append(judge(math("5"), "\\boxed{5}").right))
    thread.start()
    thread.join()
    assert verdicts == [True]


def test_the_time_limit_counts_work_and_ends_with_its_block():
    with pytest.raises(timeout.OutOfTimeError), timeout.time_limit(0.05):
        work(5)
    with timeout.time_limit(0.05):
        time.sleep(0.2)  # a busy machine does not work for us
    work(0.2)


def work(seconds: float) -> None:
    """Keeps the processor busy."""
    started = time.process_time()
    while time.process_time() - started < seconds:
        pass
