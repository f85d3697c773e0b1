"""Whatever a model writes is judged: each task says something of any text, and soon."""

import time

import pytest

from orchard.tasks import generated, programs
from tests.helpers.judging import ODD, judge
from tests.helpers.problems import PROBLEMS
from tests.helpers.sandboxes import needs_bubblewrap

LONG, MEGABYTE = 50_000, 10**6
SECONDS = 5  # of CPU time
PROMPTS = {
    "calc": "calc 9 + 6 :",
    "calc-step": "calc 9 + 6 : 9 + 6 =",
    "brackets": "close ( 3 [ 4 ] 4 { 5 :",
    "fact": "fact color gix :",
    "cmp": "cmp 3 4 :",
    "english-arithmetic": "7 + 2 =",
}
ITEMS = [
    *(generated.make_item(task, prompt, 0, "eval") for task, prompt in PROMPTS.items()),
    {"id": "1", "task": "gsm8k", "prompt": "?", "answer": "#### 18", "final": "18"},
    {"id": "1", "task": "own-sums", "prompt": "?", "answer": "18"},
    {"id": "1", "task": "bbh-navigate", "prompt": "?", "answer": "Yes"},
    {"id": "1", "task": "math", "prompt": "?", "answer": "\\boxed{5}", "final": "5"},
    {"id": "1", "task": "math", "prompt": "?", "answer": "\\boxed{x}", "final": "\\frac{x}{2}"},
]
PARTS = [
    "\0", "\ud800", "9", "1,234,", "(", "\\boxed{", "\\boxed{1},", "\\boxed ", "####", "#### 1. a\n", "=", " ", "\n",
    "the answer is ", "\\frac{1}{", "\\text{", "-", "(1+", "2^", "twenty ", "1e", "½", "٥", "²", "\nnote:", "1% ", "1/",
    "\nQ:", ".1", "1:00", "1 and ", "```\n", "def f(:\n", "$x$ ", "\\( 1 ", "1'", "\u202f1", "\u200b", "1k", "<answer>",
]  # fmt: skip
LATEX = [
    "10^{10^{10}}", "99999999!!", "(10^9)!", "9" * 190, "\\int_0^1 x^{x^{x}} dx", "{" * 90 + "1" + "}" * 90, "@",
    "(1+x)^{99999}", "\\sum_{n=1}^{10^9} n", "\\sqrt" * 40 + "2", "\\log_{2}{3^{3^{30}}}", "\\frac" * 30, "(" * 60,
    f"\\{{{','.join(f'x^{{{n}}}' for n in range(20))}\\}}", "\\begin{pmatrix}" * 9, "\\frac{1}{0}",
]  # fmt: skip


def check(item: dict, responses: list[str]) -> None:
    for response in responses:
        started = time.process_time()
        judgement = judge(item, response)
        assert judgement.right in (True, False)
        assert 0 <= judgement.score <= 1
        assert time.process_time() - started < SECONDS, response[:20]


@pytest.mark.parametrize("item", ITEMS, ids=lambda item: f"{item['task']}, {item['answer']}")
def test_any_text_is_judged(item):
    check(item, [*ODD, *(part * (LONG // len(part)) for part in PARTS)])


@pytest.mark.parametrize("item", [ITEMS[-5], ITEMS[-2]], ids=lambda item: item["task"])
def test_a_megabyte_is_judged(item):
    check(item, [part * (MEGABYTE // len(part)) for part in ("1 2 ", "(", "\n", "\\boxed{1},", "the answer is ")])


@pytest.mark.parametrize("item", ITEMS[-2:], ids=lambda item: item["final"])
def test_any_formula_is_judged(item):
    check(item, [f"\\boxed{{{formula}}}" for formula in LATEX])


@needs_bubblewrap
def test_any_program_is_judged():
    item = programs.from_humaneval(PROBLEMS[0], "problems", 1)
    named = "def running_total(numbers):\n    raise type('right', (Exception,), {})"
    check(item, [*ODD, "```python\nx = '\ud800'\n```", "\0", named])
