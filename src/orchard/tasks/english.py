"""Arithmetic in English figures (arXiv 2602.01997, arithmetic probe), and the check of short English answers."""

import random
import re

_NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?")


def sample_problem(rng: random.Random) -> str:
    """One addition or subtraction whose terms and result are single digits."""
    while True:
        left, right, operator = rng.randrange(10), rng.randrange(10), rng.choice("+-")
        if 0 <= (left + right if operator == "+" else left - right) <= 9:
            return f"{left} {operator} {right} ="


def solve(prompt: str) -> str:
    """The result, as the text that follows the prompt."""
    left, operator, right, _ = prompt.split()
    return str(int(left) + int(right) if operator == "+" else int(left) - int(right))


def is_correct(prompt: str, response: str) -> bool:
    """Whether the first number of the response is the result."""
    match = re.search(r"-?\d+", response)
    return match is not None and match.group() == solve(prompt)


def agrees(answer: str, response: str) -> bool:
    """Whether a response gives a reference answer: as its last number if that is a number, else word for word."""
    if _NUMBER.fullmatch(answer.strip()):
        numbers = _NUMBER.findall(response)
        return bool(numbers) and float(numbers[-1].replace(",", "")) == float(answer.replace(",", ""))
    return response.strip() == answer.strip()
