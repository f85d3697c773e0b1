"""Where the completion tokens of a batch stand."""

import torch


class Completions:
    """Lays each completion of a batch out from its first token on, wherever prompts and padding stand.

    Args:
        mask: true on completion tokens, shape (batch, time); each row is one example.
    """

    def __init__(self, mask: torch.Tensor):
        self.mask = mask
        self.rows, _ = mask.nonzero(as_tuple=True)
        _, self.index, self.lengths = torch.unique_consecutive(self.rows, return_inverse=True, return_counts=True)
        starts = self.lengths.cumsum(0) - self.lengths
        self.place = torch.arange(len(self.rows), device=mask.device) - starts[self.index]

    def table(self, values: torch.Tensor) -> torch.Tensor:
        """Values of shape (batch, time) as (completion, place in it), 0 behind a completion's end."""
        longest = int(self.lengths.max()) if len(self.lengths) else 0
        table = values.new_zeros(len(self.lengths), longest)
        table[self.index, self.place] = values[self.mask]
        return table

    def spread(self, table: torch.Tensor) -> torch.Tensor:
        """The inverse of `table`: back to (batch, time), 0 outside the mask."""
        values = table.new_zeros(self.mask.shape)
        values[self.mask] = table[self.index, self.place]
        return values
