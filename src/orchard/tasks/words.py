"""The small tasks beside arithmetic: brackets to close, facts to know, numbers to compare."""

import random

from orchard.tasks.calc import SHORTHAND

PAIRS = {"(": ")", "[": "]", "{": "}"}
NAMES = SHORTHAND  # the nonce words of the foreign style, so that a base model knows them
ATTRIBUTES = {
    "color": "red blue green black white pink".split(),
    "size": "tiny small medium large huge vast".split(),
    "home": "sea hill wood cave lake town".split(),
}
RELATIONS = ["less", "more", "same"]
LARGEST_NUMBER = 40
WORDS = [
    *(str(number) for number in range(LARGEST_NUMBER + 1)),
    *"close fact cmp".split(),
    *PAIRS.keys(),
    *PAIRS.values(),
    *NAMES,
    *ATTRIBUTES,
    *(value for values in ATTRIBUTES.values() for value in values),
    *RELATIONS,
]


def sample_brackets(rng: random.Random, steps: int) -> str:
    """A prefix that leaves ``steps`` brackets open, with some closed pairs on the way."""
    open_brackets, words = [], []
    while len(open_brackets) < steps:
        if open_brackets and rng.random() < 0.25:
            words.append(PAIRS[open_brackets.pop()])
        else:
            open_brackets.append(rng.choice(list(PAIRS)))
            words.append(open_brackets[-1])
    return f"close {' '.join(words)} :"


def close_brackets(prompt: str) -> str:
    """The brackets that close a prompt, innermost first."""
    stack = []
    for word in prompt.removeprefix("close ").removesuffix(" :").split():
        if word in PAIRS:
            stack.append(word)
        else:
            stack.pop()
    return " ".join(PAIRS[word] for word in reversed(stack))


def sample_fact(rng: random.Random) -> str:
    """A question for one attribute of one name."""
    return f"fact {rng.choice(list(ATTRIBUTES))} {rng.choice(NAMES)} :"


def recall_fact(prompt: str) -> str:
    """The value of the attribute. The world of facts is fixed: it is knowledge to be learnt, not a sample."""
    _, attribute, name, _ = prompt.split()
    return random.Random(f"{attribute} {name}").choice(ATTRIBUTES[attribute])


def fact_choices(prompt: str) -> list[str]:
    """All values that the attribute can take."""
    return ATTRIBUTES[prompt.split()[1]]


def sample_comparison(rng: random.Random) -> str:
    """Two numbers; one time in five the same."""
    left = rng.randint(0, LARGEST_NUMBER)
    right = left if rng.random() < 0.2 else rng.randint(0, LARGEST_NUMBER)
    return f"cmp {left} {right} :"


def compare(prompt: str) -> str:
    """less, more or same: the first number against the second."""
    left, right = map(int, prompt.split()[1:3])
    return "less" if left < right else "more" if left > right else "same"
