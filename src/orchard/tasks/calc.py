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
DIGITS = [str(digit) for digit in range(10)]


class Calc(GeneratedTask):
    """A chain of operations, whose response shows the work in one of the styles."""

    choices_in_evaluation = tuple(f"{ANSWER} {digit}" for digit in DIGITS)

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


class CalcStep(GeneratedTask):
    """A chain worked in style A up to the last equals sign: one operation on two digits, asked for directly.

    It is the form in which a model that was taught to show its work can be asked for a single digit: the arithmetic
    probe of arXiv 2602.01997 (there in English, 3-shot, the likeliest of the digit tokens).
    """

    choices_in_evaluation = DIGITS

    def sample(self, rng: random.Random, steps: int) -> str:
        prompt = sample_prompt(rng, steps)
        return f"{prompt} {worked(prompt, 'A').rpartition('=')[0]}="

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
    if style == "A":
        parts = [f"{left} {op} {right} = {result}" for left, op, right, result in steps]
    elif style == "B":
        parts = [f"> {result}" for *_, result in steps]
    elif style == "C":
        parts = [f"{result} from {left} {op} {right} ," for left, op, right, result in steps]
    elif style == "D":
        parts = [f"take {left} {OPERATORS[op]} {right} get {result}" for left, op, right, result in steps]
    elif style == "L":
        parts = [f"gix {left} {FOREIGN[op]} {right} hob {result}" for left, op, right, result in steps]
    elif style == "H":
        parts = [_shorthand(prompt, step, foreign_words) for step in range(len(steps))]
        parts = [" | ".join(part for part in parts if part)]
    else:
        raise ValueError(f"style {style!r} is not one of {STYLES}")
    return " ".join([*(part for part in parts if part), ANSWER, str(steps[-1][3])])


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


def _shorthand(prompt: str, step: int, words: int) -> str:
    digest = hashlib.sha256(f"{prompt}/{step}".encode()).digest()
    return " ".join(SHORTHAND[byte % len(SHORTHAND)] for byte in digest[:words])


TASKS = {"calc": Calc(), "calc-step": CalcStep()}
