"""The formats of public data sets: each is read in its own columns, and what of it is asked and right."""

import json

import pytest

from orchard.tasks import formats
from tests.helpers.judging import judge
from tests.helpers.sandboxes import needs_bubblewrap

USER = {"role": "user", "content": "How many?", "function_calls": None, "functions": None}
THOUGHT = {"role": "assistant", "content": "<think>2 and 2</think>\nIt is \\boxed{4}."}
PLUS = (  # as EvalPlus writes tests: numpy, a tolerance, and all inputs in one list
    "import numpy as np\n\n\ndef is_floats(x):\n    return isinstance(x, float) or isinstance(x, np.ndarray)\n\n\n"
    "def assertion(out, exp, atol):\n    if atol == 0 and is_floats(exp):\n        atol = 1e-6\n"
    "    if out != exp and atol != 0:\n        assert np.allclose(out, exp, rtol=1e-07, atol=atol)\n"
    "    else:\n        assert out == exp, (out, exp)\n\n\n"
)
HUMANEVAL_PLUS = {
    "task_id": "HumanEval/900",
    "prompt": 'def mean(numbers):\n    """Return the mean."""\n',
    "canonical_solution": "    return sum(numbers) / len(numbers)\n",
    "entry_point": "mean",
    "test": PLUS + "def check(candidate):\n    inputs = [[[1, 2]], [[0.1, 0.2]]]\n    results = [1.5, 0.15]\n"
    "    for inp, exp in zip(inputs, results):\n        assertion(candidate(*inp), exp, 0)\n",
}
MBPP_PLUS = {
    "task_id": 900,
    "prompt": "Write a function to halve all numbers.",
    "code": "def helper(n):\n    return n / 2\n\ndef halves(numbers):\n    return [helper(n) for n in numbers]",
    "test_imports": ["import math"],
    "test_list": ["assert math.isclose(halves([1])[0], 0.5)", "assert halves([]) == []"],
    "test": PLUS + "inputs = [[[2, 4]], [[-3]]]\nresults = [[1.0, 2.0], [-1.5]]\n"
    "for inp, exp in zip(inputs, results):\n    assertion(halves(*inp), exp, 0)\n",
    "source_file": "x.ipynb",
}


def item(form: str, row: dict) -> dict:
    return formats.item(form, row, "test", 3)


@pytest.mark.parametrize(
    ("row", "final"),
    [
        ({"problem": "p", "answer": "\\frac{1}{2}", "solution": "s \\boxed{\\frac{1}{2}}", "level": 2}, "\\frac{1}{2}"),
        ({"problem": "p", "answer": "70", "id": "0"}, "70"),
        ({"problem_idx": 1, "problem": "p", "answer": 70, "problem_type": ["Number Theory"]}, "70"),
        ({"problem": "p", "answer": 70.0}, "70"),
        ({"problem": "p", "answer": -0.5}, "-0.5"),
    ],
)
def test_an_answer_of_mathematics_may_be_a_number(row, final):
    found = item("math", row)
    assert found["final"] == final
    assert judge(found, f"So it is \\boxed{{{final}}}.").right
    assert not judge(found, "\\boxed{71}").right


@pytest.mark.parametrize("answer", [True, None, [70], float("nan"), float("inf"), ""])
def test_an_answer_of_mathematics_is_text_or_a_number(answer):
    with pytest.raises(ValueError, match="answer"):
        item("math", {"problem": "p", "answer": answer})


@needs_bubblewrap
@pytest.mark.parametrize(("form", "row"), [("humanevalplus", HUMANEVAL_PLUS), ("mbppplus", MBPP_PLUS)])
def test_the_tests_of_evalplus_run_with_numpy(form, row):
    found = item(form, row)
    assert found["id"] == f"{form}-test-00003"
    assert judge(found, found["answer"]).error is None
    assert judge(found, found["answer"].replace("/ 2", "// 2").replace("/ len", "// len")).error == "wrong answer"


def test_a_problem_of_mbppplus_asks_by_its_first_test():
    found = item("mbppplus", MBPP_PLUS)
    assert found["entry_point"] == "halves"
    assert found["prompt"] == (
        '"""\nWrite a function to halve all numbers.\nassert math.isclose(halves([1])[0], 0.5)\n"""\n'
    )
    for part in ("import math", "assert halves([]) == []", "assertion(halves(*inp), exp, 0)"):
        assert part in found["test"]


@needs_bubblewrap
def test_a_program_that_passes_mbpps_tests_alone_is_wrong():
    shallow = "def halves(numbers):\n    return [0.5] if numbers else []"
    assert judge(item("mbppplus", MBPP_PLUS), shallow).error == "wrong answer"


def test_an_article_asks_for_its_summary():
    found = item("xsum", {"document": "Rain fell.", "summary": "It rained.", "id": "123"})
    assert (found["task"], found["answer"]) == ("xsum", "It rained.")
    assert found["prompt"].startswith("Article: Rain fell.\n")


@pytest.mark.parametrize("labels", [["A", "B", "C"], ["1", "2", "3"]])
def test_a_question_of_arc_has_choices(labels):
    row = {"id": "x", "question": "Which?", "choices": {"text": ["a", "b", "c"], "label": labels}}
    found = item("arc", row | {"answerKey": labels[1]})
    assert (found["prompt"], found["choices"], found["label"]) == ("Question: Which?\nAnswer:", ["a", "b", "c"], 1)
    with pytest.raises(ValueError, match="answerKey 'D'"):
        item("arc", row | {"answerKey": "D"})


def test_a_conversation_of_dolci_ends_in_the_response():
    system, first = (
        {"role": "system", "content": "Be kind.", "functions": None},
        {"role": "assistant", "content": "Who?"},
    )
    found = item("dolci", {"id": "x", "messages": [system, USER, first, USER, THOUGHT]})
    assert [turn["role"] for turn in found["messages"]] == ["system", "user", "assistant", "user"]
    assert all(set(turn) == {"role", "content"} for turn in found["messages"])
    assert (found["response"], found["answer"]) == (THOUGHT["content"], "")
    with pytest.raises(ValueError, match="no response to learn from"):
        item("dolci", {"id": "x", "messages": [USER]})
    with pytest.raises(ValueError, match="'functions'"):
        item("dolci", {"id": "x", "messages": [system | {"functions": "[{}]"}, USER, THOUGHT]})


def test_a_response_of_synthetic_2_is_judged_by_what_it_boxes():
    row = {"problem_id": "p", "task_type": "verifiable_math", "reward": 1.0, "messages": [USER, THOUGHT]}
    found = item("synthetic-2-sft", row)
    assert (found["task"], found["final"]) == ("math", "4")
    assert found["response"] == THOUGHT["content"]
    assert judge(found, found["response"]).right
    other = item("synthetic-2-sft", row | {"task_type": "code"})
    assert (other["task"], other["answer"]) == ("synthetic-2", "")


@pytest.mark.parametrize("truth", ["\\frac{1}{2}", 14])
@pytest.mark.parametrize("is_text", [True, False])
def test_a_problem_of_synthetic_2_says_its_answer_in_json(truth, is_text):
    info = {"ground_truth": truth}
    row = {"problem_id": "p", "task_type": "verifiable_math", "prompt": "Solve.", "metadata": "{}"}
    found = item("synthetic-2-rl", row | {"verification_info": json.dumps(info) if is_text else info})
    assert (found["prompt"], found["final"]) == ("Solve.", str(truth))
    assert judge(found, found["answer"]).right


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"task_type": "prime_rl_code"}, "task_type 'prime_rl_code' is not judged here"),
        ({"verification_info": "{"}, "no JSON"),
        ({"verification_info": '{"x": 1}'}, "no field 'ground_truth'"),
        ({"verification_info": '{"ground_truth": ["1"]}'}, "'ground_truth' is"),
    ],
)
def test_a_problem_of_synthetic_2_that_cannot_be_judged_is_refused(changes, message):
    row = {"problem_id": "p", "task_type": "verifiable_math", "prompt": "Solve.", "verification_info": "{}"}
    with pytest.raises(ValueError, match=message):
        item("synthetic-2-rl", row | changes)
