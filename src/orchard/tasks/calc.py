"""Chains of arithmetic modulo 10, and the styles in which an answer can be written.

A prompt is ``calc 9 + 6 + 1 :``; it is worked from left to right, each step modulo 10. Every style ends in
``ans <digit>``. A to D are ways of showing the work that a small model can learn; L is the same in words that the base
has never seen used so: unlikely at first, but learnable and useful. H is private shorthand: words that are a hash of
prompt and step, which nobody can learn to predict and which say nothing about the answer.
"""

import hashlib
import random
import re

from orchard.tasks.generated_task import GeneratedTask
from orchard.tasks.lexicon import OPERATORS, SHORTHAND

ANSWER = "ans"  # the word before the digit that a chain comes to
FOREIGN = {"+": "orf", "-": "blik", "*": "mip"}
STYLES = "A B C D L H".split()
STEP_STYLES = "A D L".split()  # those in which a step is two operands, and then its result
SHORTHANDS = 3  # wordings of a word of shorthand: ours, so that log-probs take several values
Part = tuple[str, ...]  # its wordings, the usual one first
DIGITS = [str(digit) for digit in range(10)]


class Calc(GeneratedTask):
    """A chain of operations, whose response shows the work in one of the styles."""

    choices_in_evaluation = tuple(f"{ANSWER} {digit}" for digit in DIGITS)
    styles = STYLES

    def sample(self, rng: random.Random, steps: int) -> str:
        return sample_prompt(rng, steps)

    def answer(self, prompt: str) -> str:
        return str(work(prompt)[-1][3])

    def score(self, item: dict, response: str) -> float:
        return float(given_answer(response) == self.answer(item["prompt"]))

    def has_answer(self, item: dict, response: str) -> bool:
        return given_answer(response) is not None

    def respond(self, item: dict, style: str, **options) -> str:
        return worked(item["prompt"], style, **options)

    def wordings(self, item: dict, style: str, variation: float, foreign_words: int = 6) -> list[dict[str, float]]:
        chain = parts(item["prompt"], work(item["prompt"]), style, foreign_words)
        return [_shares(part, variation) for part in chain]


class CalcStep(GeneratedTask):
    """A chain worked up to its last result: one operation on two digits, asked for directly.

    It is the form in which a model that was taught to show its work can be asked for a single digit: the arithmetic
    probe of arXiv 2602.01997 (there in English, 3-shot, the likeliest of the digit tokens). The work is in the style
    that the models write: in another one they miss steps that they can do.
    """

    choices_in_evaluation = DIGITS
    styles = STEP_STYLES

    def sample(self, rng: random.Random, steps: int) -> str:
        return sample_prompt(rng, steps)

    def put(self, prompt: str, style: str | None) -> str:
        before, _, _ = worked(prompt, style).rpartition(f" {ANSWER} ")
        return f"{prompt} {before.rpartition(' ')[0]}"

    def answer(self, prompt: str) -> str:
        return str(work(self.split_by(prompt))[-1][3])

    def split_by(self, prompt: str) -> str:
        """The chain that the step belongs to."""
        return f"{prompt.partition(' :')[0]} :"


def sample_prompt(rng: random.Random, steps: int) -> str:
    """A random chain of ``steps`` operations on single digits."""
    words = [str(rng.randrange(10))]
    for _ in range(steps):
        words += [rng.choice("+-*"), str(rng.randrange(10))]
    return f"calc {' '.join(words)} :"


def work(prompt: str) -> list[tuple[int, str, int, int]]:
    """The steps of a prompt: (left, operator, right, result modulo 10) for each."""
    words = prompt.removeprefix("calc ").removesuffix(" :").split()
    value, steps = int(words[0]), []
    for operator, word in zip(words[1::2], words[2::2], strict=True):
        right = int(word)
        result = _result(value, operator, right)
        steps.append((value, operator, right, result))
        value = result
    return steps


def worked(
    prompt: str, style: str, foreign_words: int = 6, noise: float = 0.0, rng: random.Random | None = None
) -> str:
    """The worked answer in one style.

    Args:
        prompt: the chain.
        style: one of STYLES.
        foreign_words: shorthand words per step, in style H.
        noise: the share of step results that are a random digit instead.
        rng: the source of the noise.

    Raises:
        ValueError: a style that does not exist.
    """
    steps = _with_noise(work(prompt), noise, rng) if noise else work(prompt)
    return " ".join(usual for usual, *_ in parts(prompt, steps, style, foreign_words))


def parts(prompt: str, steps: list[tuple[int, str, int, int]], style: str, foreign_words: int) -> list[Part]:
    """The words of a worked answer in one style, each with all its wordings.

    An operator is a sign or a word, whichever the style prefers; ``take`` is also ``from``; shorthand has SHORTHANDS.

    Raises:
        ValueError: a style that does not exist.
    """
    if style == "H":
        words = [_shorthand(prompt, step, foreign_words) for step in range(len(steps))]
        found = [part for step, own in enumerate(words) for part in ([("|",), *own] if step and own else own)]
    elif style in STYLES:
        found = [part for step in steps for part in _of_step(style, *step)]
    else:
        raise ValueError(f"style {style!r} is not one of {STYLES}")
    return [*found, (ANSWER,), (str(steps[-1][3]),)]


def _of_step(style: str, left: int, operator: str, right: int, result: int) -> list[Part]:
    """The words of one step in a style that shows it."""
    first, second, third = (str(left),), (str(right),), (str(result),)
    sign, word = (operator, OPERATORS[operator]), (OPERATORS[operator], operator)
    return {
        "A": [first, sign, second, ("=",), third],
        "B": [(">",), third],
        "C": [third, ("from",), first, sign, second, (",",)],
        "D": [("take", "from"), first, word, second, ("get",), third],
        "L": [("gix",), first, (FOREIGN[operator],), second, ("hob",), third],
    }[style]


def _shares(wordings: Part, variation: float) -> dict[str, float]:
    """The probability of each wording: that of the usual one, and equal ones of the others."""
    usual, *others = wordings
    if not (others and variation):
        return {usual: 1.0}
    return {usual: 1 - variation} | {other: variation / len(others) for other in others}


def given_answer(response: str) -> str | None:
    """The digit that a response ends in, after the word for it."""
    match = re.search(rf"\b{ANSWER} (\d)\s*$", response)
    return match and match.group(1)


def _result(left: int, operator: str, right: int) -> int:
    return {"+": left + right, "-": left - right, "*": left * right}[operator] % 10


def _with_noise(steps, noise: float, rng: random.Random):
    """Replaces results at random and carries the wrong value on, as somebody who slips does."""
    value, noisy = steps[0][0], []
    for _, operator, right, _ in steps:
        result = _result(value, operator, right)
        result = rng.randrange(10) if rng.random() < noise else result
        noisy.append((value, operator, right, result))
        value = result
    return noisy


def _shorthand(prompt: str, step: int, words: int) -> list[Part]:
    """The words of shorthand of one step: the usual ones are a hash, the others their neighbours in the lexicon."""
    digest = hashlib.sha256(f"{prompt}/{step}".encode()).digest()
    return [tuple(SHORTHAND[(byte + n) % len(SHORTHAND)] for n in range(SHORTHANDS)) for byte in digest[:words]]


TASKS = {"calc": Calc(), "calc-step": CalcStep()}
