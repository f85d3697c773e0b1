"""What is measured of the responses to an item: how many are right, degeneration, and brackets.

The measures of degeneration are those of arXiv 2602.01997 (section 5): rep-n, intra-response self-BLEU-4 and length.
"""

import functools
import re
from collections.abc import Sequence
from math import comb

from orchard.tasks.task import BALANCED, UNBALANCED, Judgement


def describe(texts: list[str], tokens: list[list[int]], judgements: list[Judgement]) -> dict[str, float]:
    """The metrics of one item, from its sampled responses.

    Args:
        texts: the responses.
        tokens: their token ids.
        judgements: what the task's verifier says of each.

    Returns:
        ``pass@1`` and ``pass@n`` of n samples, ``strict pass@1`` (of those in the form asked for), and, each a mean
        over the responses: ``rep-2`` to ``rep-4`` and ``self-bleu-4`` (shares, where the paper has percent), ``length``
        (tokens), ``balanced`` (share of responses whose brackets are balanced) and ``bracket-errors`` (share of
        responses that are wrong by unbalanced brackets).
    """
    count, right = len(texts), sum(judgement.right for judgement in judgements)
    scores = {f"pass@{k}": pass_at_k(count, right, k) for k in {1, count}}
    scores["strict pass@1"] = sum(judgement.strict for judgement in judgements) / count
    values = {f"rep-{n}": [repetition(ids, n) for ids in tokens] for n in (2, 3, 4)}
    values["self-bleu-4"] = [self_bleu(text) for text in texts]
    values["length"] = [len(ids) for ids in tokens]
    values["balanced"] = [judgement.brackets == BALANCED for judgement in judgements]
    values["bracket-errors"] = [judgement.error == UNBALANCED for judgement in judgements]
    return scores | {name: sum(each) / count for name, each in values.items()}


def pass_at_k(n: int, right: int, k: int) -> float:
    """The probability that one of k samples is right, unbiased from n ≥ k samples (Chen et al., arXiv 2107.03374)."""
    return 1.0 - comb(n - right, k) / comb(n, k)


def repetition(tokens: Sequence, n: int) -> float:
    """rep-n: 1 − unique / total n-grams; 0 for a response of fewer than n tokens, in which nothing can repeat."""
    grams = [tuple(tokens[start : start + n]) for start in range(len(tokens) - n + 1)]
    return 1 - len(set(grams)) / len(grams) if grams else 0.0


def self_bleu(text: str) -> float:
    """The mean BLEU-4 (0 to 1) of each sentence against all others of the text; 0 for fewer than two sentences.

    A sentence ends at a full stop, question or exclamation mark before a space, or at a line break. sacrebleu scores,
    with the orders that a short sentence has (effective order) and its default smoothing.
    """
    sentences = [part for part in re.split(r"(?<=[.!?])\s+|\n+", text.strip()) if part]
    if len(sentences) < 2:
        return 0.0
    scores = [
        bleu().sentence_score(sentence, sentences[:place] + sentences[place + 1 :]).score
        for place, sentence in enumerate(sentences)
    ]
    return min(1.0, sum(scores) / len(scores) / 100)  # sacrebleu's 100 may be 100.00000000000004


@functools.cache
def bleu():
    """sacrebleu's BLEU-4 of a sentence; imported when first used, as that takes seconds and few tasks need it."""
    from sacrebleu.metrics import BLEU

    return BLEU(effective_order=True)
