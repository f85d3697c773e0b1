"""The small tasks beside arithmetic: brackets to close, facts to know, numbers to compare."""

import random

from orchard.tasks.generated_task import GeneratedTask
from orchard.tasks.lexicon import ATTRIBUTES, LARGEST_NUMBER, PAIRS, RELATIONS, SHORTHAND

NAMES = SHORTHAND  # the nonce words of the foreign style, so that a base model knows them


class Brackets(GeneratedTask):
    """``close ( 3 [ 4 ] 4 :``: close what is open, innermost first, each bracket with its digit: ``) 3``.

    As in code or markup, a response has structure and content: one that closes right may name a wrong digit, so not
    every error is one of brackets.
    """

    def sample(self, rng: random.Random, steps: int) -> str:
        """A prefix that leaves ``steps`` brackets open, with some closed pairs on the way."""
        open_brackets, words = [], []
        while len(open_brackets) < steps:
            if open_brackets and rng.random() < 0.25:
                words.append(_closed(*open_brackets.pop()))
            else:
                open_brackets.append((rng.choice(list(PAIRS)), str(rng.randrange(10))))
                words.append(" ".join(open_brackets[-1]))
        return f"close {' '.join(words)} :"

    def answer(self, prompt: str) -> str:
        words, stack = prompt.removeprefix("close ").removesuffix(" :").split(), []
        for bracket, digit in zip(words[::2], words[1::2], strict=True):
            if bracket in PAIRS:
                stack.append((bracket, digit))
            else:
                stack.pop()
        return " ".join(_closed(*opened) for opened in reversed(stack))


def _closed(bracket: str, digit: str) -> str:
    return f"{PAIRS[bracket]} {digit}"


class Fact(GeneratedTask):
    """``fact color gix :``: write the value of an attribute. The world of facts is fixed: knowledge, not a sample."""

    def sample(self, rng: random.Random, steps: int) -> str:
        return f"fact {rng.choice(list(ATTRIBUTES))} {rng.choice(NAMES)} :"

    def answer(self, prompt: str) -> str:
        _, attribute, name, _ = prompt.split()
        return random.Random(f"{attribute} {name}").choice(ATTRIBUTES[attribute])

    def choices(self, prompt: str) -> list[str]:
        return ATTRIBUTES[prompt.split()[1]]

    def is_split(self, steps: int) -> bool:
        return False


class Comparison(GeneratedTask):
    """``cmp 3 17 :``: write less, more or same, the first number against the second."""

    def sample(self, rng: random.Random, steps: int) -> str:
        """Two numbers; one time in five the same."""
        left = rng.randint(0, LARGEST_NUMBER)
        right = left if rng.random() < 0.2 else rng.randint(0, LARGEST_NUMBER)
        return f"cmp {left} {right} :"

    def answer(self, prompt: str) -> str:
        left, right = map(int, prompt.split()[1:3])
        return "less" if left < right else "more" if left > right else "same"

    def split_by(self, prompt: str) -> str:
        """The pair in order: who has learnt that 3 is less than 17 has seen that 17 is more than 3."""
        return f"cmp {' '.join(sorted(prompt.split()[1:3], key=int))} :"

    def choices(self, prompt: str) -> list[str]:
        return RELATIONS


TASKS = {"brackets": Brackets(), "fact": Fact(), "cmp": Comparison()}
