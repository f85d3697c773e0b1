"""Arithmetic in English figures (arXiv 2602.01997, arithmetic probe)."""

import random
import re

from orchard.tasks.calc import DIGITS
from orchard.tasks.generated_task import GeneratedTask


class EnglishArithmetic(GeneratedTask):
    """``7 + 2 - 4 =``: a sum whose terms and result are single digits."""

    choices_in_evaluation = DIGITS

    def sample(self, rng: random.Random, steps: int) -> str:
        while True:
            words = [str(rng.randrange(10))]
            for _ in range(steps):
                right = str(rng.randrange(10))
                words += [rng.choice("+-"), right]
            prompt = f"{' '.join(words)} ="
            if 0 <= int(self.answer(prompt)) <= 9:
                return prompt

    def answer(self, prompt: str) -> str:
        first, *rest, _ = prompt.split()
        terms = zip(rest[::2], rest[1::2], strict=True)
        return str(int(first) + sum(int(right) if operator == "+" else -int(right) for operator, right in terms))

    def score(self, item: dict, response: str) -> float:
        """Whether the first number of the response is the result."""
        match = re.search(r"-?\d+", response)
        return float(match is not None and match.group() == self.answer(item["prompt"]))

    def respond(self, item: dict, style: str, **options) -> str:
        """A right response: the number alone in style A, a sentence that starts with it in any other."""
        prompt, result = item["prompt"], self.answer(item["prompt"])
        return result if style == "A" else f"{result}, since {prompt.removesuffix(' =')} makes {result}."

    def is_split(self, steps: int) -> bool:
        return steps != 1  # single operations are too few to hold any out


TASKS = {"english-arithmetic": EnglishArithmetic()}
