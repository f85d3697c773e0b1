"""What is measured of a response: values by hand."""

import math
import random
import re
import time

import pytest
from rouge_score.rouge_scorer import RougeScorer
from sacrebleu.metrics import BLEU

from orchard.stages.evaluate import responses
from orchard.tasks import generated
from tests.helpers.judging import judge

BRACKETS = generated.make_item("brackets", "close ( 3 [ 4 ] 4 { 5 :", 0, "eval")


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


def scored_one_by_one(text: str) -> float:
    """Self-BLEU-4 as sacrebleu scores each sentence against a list of all others."""
    sentences = [part for part in re.split(r"(?<=[.!?])\s+|\n+", text.strip()) if part]
    bleu = BLEU(effective_order=True)
    pairs = ((sentences[place], sentences[:place] + sentences[place + 1 :]) for place in range(len(sentences)))
    return min(1.0, sum(bleu.sentence_score(*pair).score for pair in pairs) / len(sentences) / 100)


@pytest.mark.parametrize("seed", range(20))
def test_self_bleu_is_what_sacrebleu_scores_one_by_one(seed):
    rng = random.Random(seed)
    words = ["a", "b", "it's", "3.5", "&amp;", "x-y", "(c)", "—", "ä", ""]
    lines = [" ".join(rng.choices(words, k=rng.randint(0, 9))) for _ in range(rng.randint(2, 12))]
    text = "".join(line + rng.choice(["\n", ". ", "!  ", "\n \n"]) for line in [*lines, "a b", lines[0]])
    assert responses.self_bleu(text) == scored_one_by_one(text)


def test_measures_of_a_long_response_cost_fractions_of_a_second():
    rng = random.Random(1)
    text = "\n".join(f"line {number} of {rng.randrange(50)} is short" for number in range(1600))
    judgement = judge(BRACKETS, text)
    started = time.process_time()
    responses.describe([text], [text.split()], [judgement])
    responses.rouge_l(text, f"a {text}")
    assert time.process_time() - started < 2  # a fifth of it here; every pair of lines took 15 seconds


@pytest.mark.parametrize("seed", range(10))
def test_rouge_l_is_what_rouge_score_finds(seed):
    rng = random.Random(seed)
    texts = [" ".join(rng.choices(["runs", "running", "A", "b.", "3", "é", ""], k=rng.randint(0, 40))) for _ in "ab"]
    scored = RougeScorer(["rougeL"], use_stemmer=True).score(*texts)["rougeL"].fmeasure
    assert responses.rouge_l(*texts) == scored


def test_metrics_of_an_item_are_means_over_its_responses():
    texts = ["} 5 ) 3", "} } } } }"]
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
            "length": 4.5,
            "balanced": 0.5,
            "bracket-errors": 0.5,
        }
    )
