"""Streams of random choices."""

import itertools

from orchard.models.seeds import seed_of


def test_choices_and_replicates_have_streams_of_their_own():
    choices = ["first weights", "order of pretraining", "sft", "rl", "recovery"]
    found = [seed_of(choice, *numbers) for choice in choices for numbers in itertools.product(range(20), range(3))]
    assert len(set(found)) == len(found)
    assert all(0 <= seed < 2**31 for seed in found)
    assert seed_of("sft", None) != seed_of("sft", 0), "a loaded base is no replicate 0"


def test_a_seed_is_the_same_everywhere():
    assert seed_of("first weights", 1) == 1590086608
