"""What a response answers: pairs of reference answer and response, with the right verdict (docs/evaluation.md)."""

import pytest

from orchard.tasks import registry

# Responses to GSM8K items: final answer → right and wrong responses.
GSM8K = {
    "1234": (["The total is $1,234.00", "It comes to 1,234.", "1\u202f234"], []),
    "18": (
        [
            "She makes $18.00 every day",
            "- 18",
            "The final answer is 18.\n\nNote: I checked this 2 times.",
            "**18**",
            "$\\boxed{18}$ eggs in 7 days",
            "x = 18",
            "18/1",
        ],
        ["Answer: -18", ""],
    ),
    "72": (["The answer is 72 dollars."], []),
    "-5": (["The change is −5 degrees."], []),
    "5": (["٥", "5:00 pm", "5 - 0"], ["The change is −5 degrees."]),
    "0.5": (["Half of it, so 0.5", "The answer is .5"], []),
    "1000": (["That is 1e3 grams"], []),
    "3": ([], ["That is 1e3 grams"]),
    "50": (["The answer is 50 %."], []),
    "10": (["ten"], []),
    "7": (["10-3=7", "The answer is 7 (since 10-3 is 7)"], []),
    "42": (["４２"], []),
    "1234567": (["1,234,567 people"], []),
    "0.75": (["3/4 cup"], []),
    "1.5": (["1 1/2"], []),
    "2": ([], ["1 1/2"]),
    "9007199254740993": ([], ["9007199254740992"]),
    "70000": (["profit of $70k"], []),
    "2000000": (["2 million"], []),
    "1": (["1st"], []),
    "27": (["27 m²", "27 m^2"], []),
    "20": (["20.0", "20."], []),
    "26": (["10 + 16 = 26,"], ["26, 27"]),
    "1.25": (["$1.25.", "1,25"], []),
}

# The same by lm-eval's strict filter.
GSM8K_STRICT = {
    "1234": (["so #### 1,234"], []),
    "18": (["#### 18.", "####18", "#### 18\nQuestion: 2+2\n#### 4", "#### 18 eggs"], ["18", "#### **18**"]),
    "-5": (["#### -5"], []),
    "0.5": (["#### .5"], []),
}

# Responses to MATH items: final answer → right and wrong responses.
MATHEMATICS = {
    "\\frac{1}{2}": (["\\boxed{0.5}", "\\boxed{\\dfrac{1}{2}}", "\\boxed{\\tfrac12}"], []),
    "0.5": (["\\boxed{\\frac{1}{2}}", "\\boxed{50\\%}"], ["\\boxed{50}"]),
    "50\\%": (["\\boxed{0.5}"], []),
    "50": (["\\boxed{50\\%}"], []),
    "x=5": (["\\boxed{5}"], ["\\boxed{y=5}"]),
    "(1,2)": ([], ["\\boxed{(2,1)}", "\\boxed{[1,2]}"]),
    "1,2": ([], ["\\boxed{12}"]),
    "12": ([], ["\\boxed{1,2}"]),
    "\\frac{3}{4}": (["\\boxed{3/4 \\text{ cup}}"], []),
    "1000": (["\\boxed{1e3}", "\\boxed{1{,}000}", "\\boxed{1,000}"], []),
    "10^{3}": (["\\boxed{1000}"], []),
    "1,000": (["\\boxed{1000}"], []),
    "5": (
        [
            "\\boxed{5.}",
            "First \\boxed{4}. Correcting: \\boxed{5}.",
            "\\boxed{5} and that is it. We also check that 7 is not.",
            "\\boxed 5",
            "\\fbox{5}",
            "$\\boxed{\\boxed{5}}$",
            "ten minus five is five",
            "٥",
        ],
        ["\\boxed{−5}"],
    ),
    "72": (["\\boxed{72 \\text{ dollars}}", "\\boxed{\\$72}"], []),
    "1\\frac{1}{2}": (["\\boxed{\\frac{3}{2}}"], []),
    "\\frac{3}{2}": (["\\boxed{1\\frac{1}{2}}"], []),
    "90^\\circ": (["\\boxed{90^{\\circ}}"], []),
    "90": (["\\boxed{90^\\circ}"], []),
    "[0,1)": (["\\boxed{[0,1)}"], ["\\boxed{[0,1]}"]),
    "x \\le 2": (["\\boxed{(-\\infty, 2]}"], []),
    "(0,1)": (["\\boxed{0<x<1}"], []),
    "\\begin{pmatrix} 1 & 2 \\\\ 3 & 4 \\end{pmatrix}": (
        ["\\boxed{\\begin{pmatrix}1&2\\\\3&4\\end{pmatrix}}"],
        ["\\boxed{\\begin{pmatrix}1&2\\\\4&3\\end{pmatrix}}"],
    ),
    "\\text{Evelyn}": (["\\boxed{Evelyn}"], []),
    "\\text{(B)}": (["\\boxed{B}"], []),
    "\\text{Sunday}": ([], ["\\boxed{\\text{Monday}}"]),
    "\\sqrt{2}": ([], ["\\boxed{1.414}"]),
    "2\\sqrt{3}": (["\\boxed{\\sqrt{12}}"], []),
    "\\frac{\\sqrt{2}}{2}": (["\\boxed{\\frac{1}{\\sqrt{2}}}"], []),
    "\\pm 3": (["\\boxed{3,-3}"], ["\\boxed{3}"]),
    "\\{x \\mid x > 2\\}": (["\\boxed{\\{x \\mid x > 2\\}}"], []),
    "2^{10}": (["\\boxed{1024}"], []),
    "1024": ([], ["\\boxed{2^{11}}"]),
    "0.333": ([], ["\\boxed{\\frac13}"]),
    "\\frac13": ([], ["\\boxed{0.333}"]),
    "12:30": (["\\boxed{12:30}"], []),
    "12:00": ([], ["\\boxed{1:00}"]),
    "1:2": ([], ["\\boxed{2:1}"]),
    "101_2": (["\\boxed{101_2}", "\\boxed{101}"], ["\\boxed{101_3}"]),
    "\\frac{1}{2^{99}}": ([], ["\\boxed{\\frac{1}{2^{98}}}"]),
    "n=2,3,4": ([], ["\\boxed{n=1,2,3}"]),
    "1-\\frac{1}{e}": ([], ["\\boxed{1+\\frac{1}{e}}"]),
    "10000000001": ([], ["\\boxed{10000000002}"]),
    "0.0001": ([], ["\\boxed{0.0002}"]),
    "1.0000001": ([], ["\\boxed{1}"]),
    "3": (["\\boxed{\\text{either } 3}"], []),
    "even": (["\\boxed{\\text{even}}"], []),
    "\\text{no solution}": (["\\boxed{\\emptyset}"], []),
    "i": (["\\boxed{\\sqrt{-1}}"], []),
    "1+2i": ([], ["\\boxed{1-2i}"]),
    "7": (["\\boxed{3+4}"], []),
    "4.5": ([], ["\\boxed{4,5}"]),
    "6": (["So, \\[ x = 6 \\]"], []),
    "6 \\text{ cm}": (["\\boxed{6}"], []),
    "6 \\text{ cm}^2": (["\\boxed{6}"], []),
    "36": ([], ["\\boxed{6 \\text{ cm}^2}"]),
    "\\$6.50": (["\\boxed{6.5}"], []),
    "f(x)=2x": (["\\boxed{2x}"], []),
    "2x": (["\\boxed{f(x)=2x}"], []),
    "y=2x+3": ([], ["\\boxed{y=2x-3}"]),
}


def pairs(table: dict) -> list[tuple[str, str, bool]]:
    return [
        (final, response, right)
        for final, verdicts in table.items()
        for responses, right in zip(verdicts, (True, False), strict=True)
        for response in responses
    ]


def judged(task: str, final: str, response: str):
    item = {"id": "one", "task": task, "prompt": "?", "answer": final, "final": final}
    return registry.load(task).judge(item, response)


@pytest.mark.parametrize(("final", "response", "right"), pairs(GSM8K))
def test_the_answer_to_a_word_problem(final, response, right):
    assert judged("gsm8k", final, response).right == right


@pytest.mark.parametrize(("final", "response", "right"), pairs(GSM8K_STRICT))
def test_the_strict_answer_to_a_word_problem(final, response, right):
    assert judged("gsm8k", final, response).strict == right


@pytest.mark.parametrize(("final", "response", "right"), pairs(MATHEMATICS))
def test_the_answer_in_a_box(final, response, right):
    assert judged("math", final, response).right == right
