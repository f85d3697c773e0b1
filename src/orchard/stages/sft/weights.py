"""The weight of each token in the loss: PEAR's, and those of the controls that show what about PEAR's matters."""

import math

import torch

from orchard.stages.sft import pear
from orchard.stages.sft.completions import Completions
from orchard.study.schema.sft import LastTokens, PearWeights

PARTS = 10  # of a completion, by which weights are logged: ours, enough to see their course


@torch.no_grad()
def log_weights(
    weights: PearWeights | LastTokens, policy_logps: torch.Tensor, behavior_logps: torch.Tensor, mask: torch.Tensor
) -> torch.Tensor:
    """The log-weights that an objective's ``weights`` ask for, detached.

    Args:
        weights: PEAR's, or those of a control.
        policy_logps: log pi_theta of each token in nats, shape (batch, time).
        behavior_logps: log pi_beta, the same shape.
        mask: true on completion tokens.

    Returns:
        float32 of shape (batch, time), 0 outside the mask; −inf where a token does not count.
    """
    if isinstance(weights, LastTokens):
        return last_tokens(mask, weights.share)
    logs = pear.log_weights(weights, policy_logps, behavior_logps, mask)
    if weights.shuffle:
        logs = shuffled(logs, mask, weights.shuffle)
    return normalized(logs, mask) if weights.normalize else logs


def last_tokens(mask: torch.Tensor, share: float) -> torch.Tensor:
    """Weight 1 on the last tokens of each completion, their share rounded up, and 0 before them."""
    tokens = Completions(mask)
    left_out = tokens.lengths - torch.ceil(tokens.lengths * share - 1e-9).long()
    table = torch.zeros(len(tokens.lengths), int(tokens.lengths.max()) if len(tokens.lengths) else 0)
    places = torch.arange(table.shape[1], device=mask.device)
    return tokens.spread(table.to(mask.device).masked_fill(places < left_out.unsqueeze(-1), -math.inf))


def shuffled(log_weights: torch.Tensor, mask: torch.Tensor, over: str) -> torch.Tensor:
    """The batch's own weights, each used once, dealt at random: the control for *where* the weight goes.

    Args:
        log_weights: shape (batch, time).
        mask: true on completion tokens.
        over: `tokens` deals each weight by itself; `sequences` deals the weights of whole completions, which are then
            laid end to end over the batch's tokens.
    """
    tokens, values = Completions(mask), log_weights[mask]
    if over == "tokens":
        order = torch.randperm(len(values), device=values.device)
    else:
        rank = torch.randperm(len(tokens.lengths), device=values.device)
        order = torch.argsort(rank[tokens.index], stable=True)
    dealt = torch.zeros_like(log_weights)
    dealt[mask] = values[order]
    return dealt


def normalized(log_weights: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """The weights divided by their mean over the batch.

    Off by default: AdamW ignores the scale of the loss but for gradient clipping, no source of PEAR does it, and the
    mean of a part of a batch differs from that of the whole under gradient accumulation.
    """
    mean = log_weights[mask].exp().mean().clamp(min=1e-30).log()
    return (log_weights - mean).masked_fill(~mask, 0.0)


def by_part(log_weights: torch.Tensor, mask: torch.Tensor) -> list[float]:
    """The mean weight in each tenth of the completions, first to last; NaN where no completion has a token."""
    tokens = Completions(mask)
    part = (tokens.place * PARTS) // tokens.lengths[tokens.index]
    sums = torch.zeros(PARTS, device=mask.device).index_add_(0, part, log_weights[mask].exp())
    return (sums / torch.bincount(part, minlength=PARTS)).tolist()
