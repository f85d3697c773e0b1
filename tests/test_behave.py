"""The scripted teacher's log-probs are those of the mixture that it samples from."""

import math
import random
from collections import Counter

import pytest

from orchard import behave
from orchard.base.pretrain import make_tokenizer
from orchard.tasks import items

SETTINGS = {"seed": 3, "styles": {"A": 0.4, "C": 0.3, "D": 0.2, "H": 0.1}, "foreign_words": 6, "top_k": 3}


class Silent:
    def step(self):
        pass


@pytest.fixture(scope="module")
def rows():
    prompts = items.sample_items(random.Random(1), "prompts", 3000, {"calc": 0.9, "fact": 0.1}, [1, 4])
    return behave.from_script(SETTINGS, prompts, make_tokenizer(), "", Silent())


def test_a_sequence_has_the_share_of_the_styles_that_write_it(rows):
    for row in rows:
        item = {"task": row["task"], "prompt": row["prompt"], "answer": row["response"]}
        writers = [style for style in SETTINGS["styles"] if items.respond(item, style) == row["response"]]
        assert math.isclose(math.exp(sum(row["behavior_logps"])), sum(SETTINGS["styles"][style] for style in writers))


def test_one_log_prob_a_token_none_positive(rows):
    for row in rows:
        assert len(row["completion_ids"]) == len(row["behavior_logps"])
        assert max(row["behavior_logps"]) <= 1e-12
        assert row["correct"]


def test_styles_come_in_their_shares(rows):
    counts = Counter(row["style"] for row in rows)
    for style, share in SETTINGS["styles"].items():
        assert abs(counts[style] / len(rows) - share) < 4 * math.sqrt(share * (1 - share) / len(rows))


def test_two_styles_that_begin_alike_are_told_apart_where_they_part():
    ids = {"x": [1, 2, 3], "y": [1, 5]}
    assert behave.mixture_logps("x", ids, {"x": 0.25, "y": 0.75}) == [0.0, math.log(0.25), 0.0]
