"""What a task can do whose items are generated: sample a prompt, answer it, and name the choices."""

import random
from collections.abc import Sequence

from orchard.tasks.text import Text


class GeneratedTask(Text):
    """A task whose prompts are sampled and whose answers are worked out from the prompt.

    Attributes:
        choices_in_evaluation: the choices, where only an evaluation asks by multiple choice; the files to learn from do
            without.
        styles: those in which a response shows its work, or a prompt the work that goes before it; none: all responses
            to a prompt are alike.
    """

    choices_in_evaluation: Sequence[str] | None = None
    styles: Sequence[str] = ()

    def sample(self, rng: random.Random, steps: int) -> str:
        """A random prompt.

        Args:
            rng: the source of randomness.
            steps: of the chain, operations, or open brackets.
        """
        raise NotImplementedError

    def put(self, prompt: str, style: str | None) -> str:
        """A sampled prompt as it is put to a model, in one of the task's styles."""
        return prompt

    def answer(self, prompt: str) -> str:
        """The right answer to a prompt."""
        raise NotImplementedError

    def wordings(self, item: dict, style: str, variation: float, **options) -> list[dict[str, float]]:
        """The right responses to an item in one style: part by part, the wordings with their probabilities.

        Args:
            item: what is asked.
            style: one of those of chains.
            variation: the probability that a part which can be worded in several ways is not worded in the usual one.
            options: those of `respond`, whose response has all parts in their usual wording.
        """
        return [{self.respond(item, style, **options): 1.0}]

    def choices(self, prompt: str) -> list[str] | None:
        """The choices of every item of the task; None: it has none, or in evaluation alone."""
        return None

    def split_by(self, prompt: str) -> str:
        """The text whose hash decides the split of a prompt: items that belong together share it."""
        return prompt

    def is_split(self, steps: int) -> bool:
        """Whether prompts belong to splits: tasks with too few prompts to hold any out do not."""
        return True

    def score(self, item: dict, response: str) -> float:
        return float(response.strip() == self.answer(item["prompt"]))
