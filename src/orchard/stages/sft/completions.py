"""Where the completion tokens of a batch stand."""

import torch


class Completions:
    """Lays each completion of a batch out from its first token on, wherever prompts and padding stand.

    Args:
        mask: true on completion tokens, shape (batch, time). Each run of them is a completion: a packed row has
            several, and between two of them lies at least one token that is not learnt.
    """

    def __init__(self, mask: torch.Tensor):
        self.mask = mask
        begins = mask & ~torch.nn.functional.pad(mask, (1, 0))[:, :-1]
        runs = begins.flatten().cumsum(0).view(mask.shape)[mask]
        _, self.index, self.lengths = torch.unique_consecutive(runs, return_inverse=True, return_counts=True)
        starts = self.lengths.cumsum(0) - self.lengths
        self.place = torch.arange(len(runs), device=mask.device) - starts[self.index]

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
