"""The weights of PEAR (arXiv 2602.01058, section 3): how likely the current policy is to go on as the data does.

With delta_t = clip(log pi_theta(y_t) − log pi_beta(y_t)) for each token of a completion of T tokens, the loss of token
t is multiplied by G_t:

- sequence: the ratio of the whole completion, the same for each token: exp(sum of all delta);
- token: that of the tokens after t: gamma^(T−t) · exp(sum of delta after t);
- block of B tokens: that of the blocks after t's own, which ends at e: gamma^(T−e) · exp(sum of delta after e).

log G_t is clipped. Prompts and padding count nowhere, wherever they stand.
"""

import math
from typing import NamedTuple

import torch

CLIP = (-0.08, 0.3)  # bounds of delta_t: PEAR, section 3
LOG_WEIGHT_CLIP = (-10.0, 5.0)  # bounds of log G_t: PEAR, section 3
GAMMA = 0.999  # PEAR, section 3
FORMS = ("sequence", "block", "token")


@torch.no_grad()
def log_weights(
    form: str,
    policy_logps: torch.Tensor,
    behavior_logps: torch.Tensor,
    mask: torch.Tensor,
    *,
    block: int = 1,
    gamma: float = GAMMA,
    clip: tuple[float, float] = CLIP,
    log_weight_clip: tuple[float, float] = LOG_WEIGHT_CLIP,
    sequences: torch.Tensor | None = None,
) -> torch.Tensor:
    """log G_t, detached.

    Args:
        form: sequence, block or token.
        policy_logps: log pi_theta(y_t | x, y_<t) in nats, shape (batch, time), any float type.
        behavior_logps: log pi_beta(y_t | x, y_<t) in nats, shape (batch, time).
        mask: true on completion tokens, shape (batch, time); prompts and padding on either side are false.
        block: tokens a block (form block alone); the last block of a completion may be shorter.
        gamma: discount for each completion token that follows (not in the sequence form).
        clip: bounds of delta_t.
        log_weight_clip: bounds of log G_t.
        sequences: number of the example that a token belongs to, shape (batch, time), for rows that several examples
            are packed into; without it each row is one example.

    Returns:
        float32 of shape (batch, time); 0 outside the mask.

    Raises:
        ValueError: a form that does not exist.
    """
    tokens = Completions(mask, sequences)
    delta = tokens.table((policy_logps.double() - behavior_logps.double()).clamp(*clip))
    steps = torch.arange(delta.shape[1], device=delta.device).expand_as(delta)
    if form == "sequence":
        table = delta.sum(-1, keepdim=True).expand_as(delta)
    elif form in ("block", "token"):
        size = block if form == "block" else 1
        last = tokens.lengths.unsqueeze(-1) - 1
        end = torch.minimum((steps // size + 1) * size - 1, last).clamp(min=0)  # of the token's own block
        after = (delta.flip(-1).cumsum(-1).flip(-1) - delta).gather(-1, end)
        table = after + (last - end) * math.log(gamma)
    else:
        raise ValueError(f"form {form!r} is not one of {FORMS}")
    return tokens.spread(table.clamp(*log_weight_clip).float())


class Completions:
    """Where the completion tokens of a batch stand, so that each completion can be laid out from its first token on.

    Args:
        mask: true on completion tokens, shape (batch, time).
        sequences: number of the example of each token, shape (batch, time); None: a row is an example.
    """

    def __init__(self, mask: torch.Tensor, sequences: torch.Tensor | None = None):
        self.mask = mask
        self.rows, columns = mask.nonzero(as_tuple=True)
        keys = self.rows if sequences is None else torch.stack([self.rows, sequences[self.rows, columns]], dim=-1)
        _, self.index, self.lengths = torch.unique_consecutive(keys, dim=0, return_inverse=True, return_counts=True)
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


class Diagnostics(NamedTuple):
    """What the weights of a batch look like. ESS is the effective sample size (sum w)² / sum w²."""

    mean: float
    quantile_10: float
    quantile_50: float
    quantile_90: float
    ess_share: float  # ESS as a share of the tokens
    floor_share: float  # share of tokens whose log-weight lies at the lower bound
    cap_share: float  # and at the upper bound


def diagnose(
    log_weights: torch.Tensor, mask: torch.Tensor, log_weight_clip: tuple[float, float] = LOG_WEIGHT_CLIP
) -> Diagnostics:
    """The diagnostics of the weights of a batch, over its completion tokens."""
    logs = log_weights[mask].double()
    weights, low, high = logs.exp(), *log_weight_clip
    ess = weights.sum().square() / (len(weights) * weights.square().sum())
    quantiles = weights.quantile(torch.tensor([0.1, 0.5, 0.9], dtype=torch.double, device=weights.device))
    shares = [(logs <= low + 1e-6).double().mean(), (logs >= high - 1e-6).double().mean()]
    return Diagnostics(*torch.stack([weights.mean(), *quantiles, ess, *shares]).tolist())
