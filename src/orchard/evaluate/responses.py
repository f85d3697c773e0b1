"""What is measured of a response beside whether it is right: degeneration, brackets, and what is wrong with it.

The measures of degeneration are those of arXiv 2602.01997 (section 5): rep-n, intra-response self-BLEU-4 and length.
"""

import functools
import re
from collections.abc import Sequence

from orchard.tasks import items, programs

PAIRS = {")": "(", "]": "[", "}": "{"}
UNBALANCED, CUT_OFF, NO_ANSWER, WRONG = "unbalanced brackets", "cut off", "no answer", "wrong answer"


def describe(item: dict, texts: list[str], tokens: list[list[int]], errors: list[str | None]) -> dict[str, float]:
    """The metrics of one item, each a mean over its sampled responses.

    Args:
        item: what was asked.
        texts: the responses.
        tokens: their token ids.
        errors: what is wrong with each (`error`).

    Returns:
        ``rep-2`` to ``rep-4`` and ``self-bleu-4`` (shares, where the paper has percent), ``length`` (tokens),
        ``balanced`` (share of responses whose brackets are balanced) and ``bracket-errors`` (share of responses that
        are wrong by unbalanced brackets).
    """
    values = {f"rep-{n}": [repetition(ids, n) for ids in tokens] for n in (2, 3, 4)}
    values["self-bleu-4"] = [self_bleu(text) for text in texts]
    values["length"] = [len(ids) for ids in tokens]
    values["balanced"] = [bracketing(item, text) == "balanced" for text in texts]
    values["bracket-errors"] = [error == UNBALANCED for error in errors]
    return {name: sum(each) / len(each) for name, each in values.items()}


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


def bracketing(item: dict, response: str) -> str:
    """Whether the brackets of a response are ``balanced``, left ``open``, or ``broken`` for good.

    Where the right answer closes brackets that the prompt opened, as in the task of that name, prompt and response are
    read as one.
    """
    if item["task"] == programs.TASK:  # whose strings and comments may hold any bracket
        return "broken" if programs.outcome(item, response).error == UNBALANCED else "balanced"
    prompt, answer = item["prompt"], item["answer"]
    closes_prompt = brackets(answer) != "balanced" and brackets(prompt + answer) == "balanced"
    return brackets(prompt + response if closes_prompt else response)


def brackets(text: str) -> str:
    """``balanced``, ``open`` if something is not closed yet, ``broken`` if something closes that was not open."""
    stack = []
    for sign in text:
        if sign in PAIRS.values():
            stack.append(sign)
        elif sign in PAIRS and (not stack or stack.pop() != PAIRS[sign]):
            return "broken"
    return "open" if stack else "balanced"


def error(item: dict, response: str, ended: bool) -> str | None:
    """What is wrong with a response, the first that holds; nothing if it is right.

    ``unbalanced brackets`` (a bracket that is open where the response was cut off could still be closed, and is none),
    ``cut off`` (no end within max_new_tokens), ``no answer``, ``wrong answer``. Of programs what Python says of them
    (``tasks.sandbox.Outcome``), where they are whole.

    Args:
        item: what was asked.
        response: what the model wrote.
        ended: whether it came to an end by itself.
    """
    if items.is_correct(item, response):
        return None
    if item["task"] == programs.TASK:
        return programs.outcome(item, response).error if ended else CUT_OFF
    found = bracketing(item, response)
    if found == "broken" or (found == "open" and ended):
        return UNBALANCED
    if not ended:
        return CUT_OFF
    return WRONG if items.has_answer(item, response) else NO_ANSWER
