"""Random choices of tokens by numbers that are drawn beforehand, so that no batch, kill or machine changes them."""

import numpy
import torch
from transformers import LogitsProcessor


class ByNumbers(LogitsProcessor):
    """Chooses each next token by a number in [0, 1): the one at which the distribution's sum passes it.

    That is inverse transform sampling of what `torch.multinomial` draws from.

    Args:
        numbers: one for each token of each response, shape (tokens at most, rows).
        temperature: of the distribution.
    """

    def __init__(self, numbers: torch.Tensor, temperature: float = 1.0):
        self.numbers, self.temperature, self.place = numbers, temperature, 0

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> torch.FloatTensor:
        """Scores (rows, vocabulary) that leave a single token to sample in each row."""
        sums = (scores / self.temperature).softmax(-1, dtype=torch.float64).cumsum(-1)
        numbers = self.numbers[self.place].to(scores.device).unsqueeze(-1)
        tokens = torch.searchsorted(sums, numbers * sums[:, -1:], right=True).clamp(max=scores.shape[-1] - 1)
        self.place += 1
        return torch.full_like(scores, -torch.inf).scatter(-1, tokens, 0.0)

    def keep(self, rows: torch.Tensor) -> None:
        """Forgets the numbers of rows that left the batch."""
        self.numbers = self.numbers[:, rows.cpu()]


def of_each(seed: int, rows: range, tokens: int) -> torch.Tensor:
    """The numbers of some prompts of a list: each prompt's follow from the seed and its place in the list alone.

    Args:
        seed: of the list's numbers.
        rows: the places of the prompts.
        tokens: of a response at most.

    Returns:
        Shape (tokens, rows); of fewer tokens they are the first ones.
    """
    own = [numpy.random.default_rng((seed, row)).random(tokens) for row in rows]
    return torch.from_numpy(numpy.stack(own, axis=1))
