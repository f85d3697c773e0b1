"""Arithmetic in English figures (arXiv 2602.01997, arithmetic probe), and the check of short English answers."""

import random
import re

_NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?")


def sample_problem(rng: random.Random, operations: int = 1) -> str:
    """A sum of additions and subtractions whose terms and result are single digits."""
    while True:
        words = [str(rng.randrange(10))]
        for _ in range(operations):
            right = str(rng.randrange(10))
            words += [rng.choice("+-"), right]
        prompt = f"{' '.join(words)} ="
        if 0 <= int(solve(prompt)) <= 9:
            return prompt


def solve(prompt: str) -> str:
    """The result, as the text that follows the prompt."""
    first, *rest, _ = prompt.split()
    terms = zip(rest[::2], rest[1::2], strict=True)
    return str(int(first) + sum(int(right) if operator == "+" else -int(right) for operator, right in terms))


def respond(prompt: str, style: str) -> str:
    """A right response: the number alone in style A, a sentence that starts with it in any other."""
    return (
        solve(prompt) if style == "A" else f"{solve(prompt)}, since {prompt.removesuffix(' =')} makes {solve(prompt)}."
    )


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


def has_answer(answer: str, response: str) -> bool:
    """Whether a response holds something of the reference answer's kind: a number if that is one, else any text."""
    return bool(_NUMBER.search(response) if _NUMBER.fullmatch(answer.strip()) else response.strip())
