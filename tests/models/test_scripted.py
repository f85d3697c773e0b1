"""A scripted policy's log-probs, against the enumeration of all that it can write."""

from itertools import product
from math import prod

import pytest

from orchard.models.scripted import Script, course, tokenized

SCRIPTS = {
    "x": Script(0.5, [{(1,): 0.7, (2,): 0.3}, {(3,): 1.0}, {(4,): 0.6, (4, 5): 0.4}, {(0,): 1.0}]),
    "y": Script(0.3, [{(1,): 0.2, (6,): 0.8}, {(3,): 0.5, (3, 4): 0.5}, {(4,): 1.0}, {(0,): 1.0}]),
    "z": Script(0.2, [{(1, 3, 4, 0): 1.0}]),
}


def everything() -> dict[tuple[int, ...], float]:
    """All responses with their probabilities; one may come about in several ways."""
    found: dict[tuple[int, ...], float] = {}
    for script in SCRIPTS.values():
        for choice in product(*(part.items() for part in script.parts)):
            tokens = tuple(token for wording, _ in choice for token in wording)
            found[tokens] = found.get(tokens, 0.0) + script.share * prod(share for _, share in choice)
    return found


def test_the_product_of_a_responses_probabilities_is_its_own():
    whole = everything()
    assert sum(whole.values()) == pytest.approx(1.0)
    assert len(whole) < 4 + 4 + 1  # styles and wordings that come to the same tokens
    for tokens, share in whole.items():
        probs = course(list(tokens), SCRIPTS)
        assert prod(at_place[token] for token, at_place in zip(tokens, probs, strict=True)) == pytest.approx(share)
        assert all(sum(at_place.values()) == pytest.approx(1.0) for at_place in probs)


def test_each_place_has_the_shares_of_those_who_wrote_the_same_so_far():
    whole = everything()
    for tokens in whole:
        for place, probs in enumerate(course(list(tokens), SCRIPTS)):
            alike = {other: share for other, share in whole.items() if other[:place] == tokens[:place]}
            for token, prob in probs.items():
                those = sum(share for other, share in alike.items() if other[place] == token)
                assert prob == pytest.approx(those / sum(alike.values()))


def test_two_styles_that_begin_alike_differ_where_they_part():
    scripts = {"x": Script(0.25, [{(1, 2, 3): 1.0}]), "y": Script(0.75, [{(1, 5): 1.0}])}
    assert course([1, 2, 3], scripts) == [{1: 1.0}, {2: 0.25, 5: 0.75}, {3: 1.0}]


def test_parts_are_tokens_where_the_tokenizer_cuts_between_them():
    said = [{"a": 0.5, "b": 0.5}, {"c": 1.0}]
    assert tokenized(said, (1, 3, 0), lambda text: {"a": (1,), "b": (2,), "c": (3,)}[text]) == [
        {(1,): 0.5, (2,): 0.5},
        {(3,): 1.0},
        {(0,): 1.0},
    ]
    assert tokenized(said, (7, 0), lambda text: {"a": (1,), "b": (2,), "c": (3,)}[text]) is None
    assert tokenized([{"a": 1.0}, {"c": 1.0}], (7, 0), lambda text: ()) == [{(7, 0): 1.0}]  # nothing to choose
