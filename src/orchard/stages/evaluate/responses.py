"""What is measured of the responses to an item: how many are right, degeneration, and brackets.

The measures of degeneration are those of arXiv 2602.01997 (section 5): rep-n, intra-response self-BLEU-4 and length.
"""

import functools
import re
from collections import Counter
from collections.abc import Collection, Sequence
from math import comb

from orchard.tasks.rouge import rouge_l
from orchard.tasks.task import BALANCED, UNBALANCED, Judgement

ORDERS = 4  # of the n-grams of self-BLEU-4


def describe(
    texts: list[str], tokens: list[list[int]], judgements: list[Judgement], ks: Collection[int] | None = None
) -> dict[str, float]:
    """The metrics of one item, from its sampled responses.

    Args:
        texts: the responses.
        tokens: their token ids.
        judgements: what the task's verifier says of each.
        ks: those of pass@k, each at most the number of responses; None: 1 and that number.

    Returns:
        ``pass@k`` for each k, ``strict pass@1`` (of those in the form asked for), and, each a mean
        over the responses: ``rep-2`` to ``rep-4`` and ``self-bleu-4`` (shares, where the paper has percent), ``length``
        (tokens), ``balanced`` (share of responses whose brackets are balanced) and ``bracket-errors`` (share of
        responses that are wrong by unbalanced brackets).
    """
    count, right = len(texts), sum(judgement.right for judgement in judgements)
    scores = {f"pass@{k}": pass_at_k(count, right, k) for k in ks or {1, count}}
    scores["strict pass@1"] = sum(judgement.strict for judgement in judgements) / count
    values = {"balanced": [judgement.brackets == BALANCED for judgement in judgements]}
    values["bracket-errors"] = [judgement.error == UNBALANCED for judgement in judgements]
    return scores | degeneration(texts, tokens) | {name: sum(each) / count for name, each in values.items()}


def degeneration(texts: list[str], tokens: list[list[int]]) -> dict[str, float]:
    """What responses are like, whether right or not: the measures of degeneration that `describe` has."""
    values = {f"rep-{n}": [repetition(ids, n) for ids in tokens] for n in (2, 3, 4)}
    values["self-bleu-4"] = [self_bleu(text) for text in texts]
    values["length"] = [len(ids) for ids in tokens]
    return {name: sum(each) / len(texts) for name, each in values.items()}


def likeness(reference: str, texts: Sequence[str]) -> float:
    """How like a reference some responses are: ROUGE-L, 0 to 1, mean over them."""
    return sum(rouge_l(reference, text) for text in texts) / len(texts)


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
    with the orders that a short sentence has (effective order) and its default smoothing. It counts here what all
    sentences share once for the text, so the time grows with the length of the text and not with its square.
    """
    from sacrebleu.metrics import BLEU  # takes seconds to import, and few tasks need it

    sentences = [part for part in re.split(r"(?<=[.!?])\s+|\n+", text.strip()) if part]
    if len(sentences) < 2:
        return 0.0
    grams = [_grams(_tokenized(sentence)) for sentence in sentences]
    most = _two_most(grams)
    lengths = [sum(count for gram, count in own.items() if len(gram) == 1) for own in grams]
    closest = _closest_others(lengths)
    scores = []
    for own, length in zip(grams, lengths, strict=True):
        shared, total = [0] * ORDERS, [0] * ORDERS
        for gram, count in own.items():
            first, second = most[gram]
            total[len(gram) - 1] += count
            shared[len(gram) - 1] += min(count, second if count == first else first)
        options = {"smooth_method": "exp", "effective_order": True}
        scores.append(BLEU.compute_bleu(shared, total, length, closest[length], **options).score)
    return min(1.0, sum(scores) / len(scores) / 100)  # sacrebleu's 100 may be 100.00000000000004


@functools.cache
def _tokenizer():
    """sacrebleu's default tokenizer, that of WMT."""
    from sacrebleu.tokenizers.tokenizer_13a import Tokenizer13a

    return Tokenizer13a()


def _tokenized(sentence: str) -> list[str]:
    return _tokenizer()(sentence.rstrip()).split()


def _grams(tokens: list[str]) -> Counter:
    """How often a sentence has each n-gram of up to ORDERS tokens."""
    return Counter(tuple(tokens[at : at + n]) for n in range(1, ORDERS + 1) for at in range(len(tokens) - n + 1))


def _two_most(grams: list[Counter]) -> dict[tuple, tuple[int, int]]:
    """For each n-gram, the most that one sentence has of it, and the most that another one has."""
    most: dict[tuple, tuple[int, int]] = {}
    for own in grams:
        for gram, count in own.items():
            first, second = most.get(gram, (0, 0))
            most[gram] = (count, first) if count > first else (first, max(count, second))
    return most


def _closest_others(lengths: list[int]) -> dict[int, int]:
    """For each length of a sentence, the closest one of another sentence, of two the shorter."""
    times, different = Counter(lengths), sorted(set(lengths))
    closest = {}
    for place, length in enumerate(different):
        neighbours = [*different[max(0, place - 1) : place], *different[place + 1 : place + 2]]
        others = [length] if times[length] > 1 else neighbours
        closest[length] = min(others, key=lambda other: (abs(other - length), other))
    return closest
