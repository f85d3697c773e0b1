"""What is measured of a response: values by hand, brute force, and what is wrong with a wrong one."""

import itertools
import math
import random

import pytest

from orchard.stages.evaluate import responses
from orchard.tasks import generated, lexicon
from orchard.tasks.task import BALANCED, BROKEN, OPEN, bracketing, brackets
from tests.helpers.judging import judge

CALC = generated.make_item("calc", "calc 9 + 6 :", 0, "eval")
BRACKETS = generated.make_item("brackets", "close ( [ ] { :", 0, "eval")
GSM8K = {"id": "g", "task": "gsm8k", "prompt": "How many (in all)?", "answer": "… 9 + 9 = 18 #### 18", "final": "18"}


@pytest.mark.parametrize(
    ("tokens", "n", "expected"),
    [
        ("a b c d", 2, 0),
        ("a b a b", 2, 1 / 3),  # ab ba ab: 2 of 3 differ
        ("a a a a a", 2, 3 / 4),
        ("a b c a b c", 3, 1 / 4),  # abc bca cab abc
        ("a b c d a b c d a b c d", 4, 5 / 9),  # 4 different of 9
        ("a a", 3, 0),
        ("", 2, 0),
    ],
)
def test_repetition_by_hand(tokens, n, expected):
    assert responses.repetition(tokens.split(), n) == pytest.approx(expected)


def test_repetition_grows_where_a_response_is_written_again():
    random_tokens = random.Random(1).choices(range(50), k=30)
    for n in (2, 3, 4):
        once, twice = (responses.repetition(random_tokens * times, n) for times in (1, 2))
        assert once < twice


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", 0),
        ("one sentence alone and no other", 0),
        ("It is red. It is red.", 1),
        ("it is\nit is\nit is", 1),
        ("one two three four\nfive six seven eight", 0),
    ],
)
def test_self_bleu_at_its_ends(text, expected):
    assert responses.self_bleu(text) == pytest.approx(expected)


def test_self_bleu_by_hand():
    """Two sentences of five words that share the first four: precisions 4/5, 3/4, 2/3, 1/2, equally long."""
    expected = math.exp(sum(math.log(share) for share in (4 / 5, 3 / 4, 2 / 3, 1 / 2)) / 4)
    assert responses.self_bleu("a b c d e\na b c d f") == pytest.approx(expected)


def test_a_short_sentence_counts_by_the_orders_that_it_has():
    """ "a b" in "a b c": precisions 1 and 1, too short by e^(1 − 3/2); the other way 2/3, 1/2 and a smoothed 1/2."""
    one, other = math.exp(1 - 3 / 2), (2 / 3 * 1 / 2 * 1 / 2) ** (1 / 3)
    assert responses.self_bleu("a b\na b c") == pytest.approx((one + other) / 2)


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
    assert bracketing(BRACKETS, "} )") == BALANCED
    assert bracketing(BRACKETS, "}") == OPEN
    assert bracketing(BRACKETS, ") }") == BROKEN
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
        (BRACKETS, "} )", True, None),
        (BRACKETS, "}", True, "unbalanced brackets"),
        (BRACKETS, "}", False, "cut off"),  # it might have been closed
        (BRACKETS, ") }", False, "unbalanced brackets"),  # no end can mend it
        (BRACKETS, "} ) ( )", True, "wrong answer"),
        (BRACKETS, "", True, "unbalanced brackets"),
        (GSM8K, "(9 + 8) = 17", True, "wrong answer"),
        (GSM8K, "nobody knows", True, "no answer"),
        (GSM8K, "", True, "no answer"),
        (GSM8K, "(9 + 8 = 17", True, "unbalanced brackets"),
    ],
)
def test_what_is_wrong_with_a_response(item, response, ended, expected):
    assert judge(item, response, ended=ended).error == expected


def test_metrics_of_an_item_are_means_over_its_responses():
    texts = ["} )", "} } } } }"]
    judgements = [judge(BRACKETS, text) for text in texts]
    assert responses.describe(texts, [text.split() for text in texts], judgements) == pytest.approx(
        {
            "pass@1": 0.5,
            "pass@2": 1,
            "strict pass@1": 0.5,
            "rep-2": 3 / 8,
            "rep-3": 2 / 6,
            "rep-4": 1 / 4,
            "self-bleu-4": 0,
            "length": 3.5,
            "balanced": 0.5,
            "bracket-errors": 0.5,
        }
    )


@pytest.mark.parametrize("task", ["calc", "calc-step", "english-arithmetic", "fact", "cmp"])
def test_an_evaluation_item_can_be_asked_both_ways(task):
    rows = generated.sample_items(random.Random(3), "eval", 40, {task: 1.0}, [1, 3])
    assert len(rows) == 40
    for item in rows:
        right = item["choices"][item["label"]]
        assert judge(item, right).right
        assert judge(item, right).has_answer
        assert not any(judge(item, other).right for other in item["choices"] if other != right)


def test_a_step_of_a_chain_asks_for_its_last_digit_and_is_where_the_chain_is():
    rows = generated.sample_items(random.Random(4), "eval", 60, {"calc-step": 1.0}, [1, 4])
    calc, step = generated.TASKS["calc"], generated.TASKS["calc-step"]
    for item in rows:
        chain, left, operator, right = step.split_by(item["prompt"]), *item["prompt"].split()[-4:-1]
        assert generated.split_of(chain) == "eval"
        assert item["answer"] == calc.answer(chain) == str(eval(left + operator + right) % 10)
    assert {item["prompt"].split()[-3] for item in rows} == set("+-*")
    assert set(" ".join(item["prompt"] for item in rows).split()) <= set(lexicon.WORDS)


def test_only_an_evaluation_carries_the_choices_of_chains():
    assert "choices" not in generated.make_item("calc", "calc 9 + 6 :", 0, "prompts")
    assert generated.make_item("cmp", "cmp 3 4 :", 0, "prompts")["choices"] == lexicon.RELATIONS


def test_english_sums_have_as_many_operations_as_asked_for():
    rows = generated.sample_items(random.Random(5), "eval", 60, {"english-arithmetic": 1.0}, [3, 3])
    for item in rows:
        assert len(item["prompt"].split()) == 8
        assert generated.split_of(item["prompt"]) == "eval"
        assert str(eval(item["prompt"].removesuffix("="))) == item["answer"]
