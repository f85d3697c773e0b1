"""The weights of PEAR (arXiv 2602.01058, section 3): how likely the current policy is to go on as the data does.

With delta_t = clip(log pi_theta(y_t) − log pi_beta(y_t)) for each token of a completion of T tokens, the loss of token
t is multiplied by G_t:

- sequence: the ratio of the whole completion, the same for each token: exp(sum of all delta);
- token: that of the tokens after t: gamma^(T−t) · exp(sum of delta after t);
- block of B tokens: that of the blocks after t's own, which ends at e: gamma^(T−e) · exp(sum of delta after e).

log G_t is clipped. Prompts and padding count nowhere, wherever they stand. The paper's constants are the defaults of
`orchard.study.schema.sft.PearWeights`.
"""

import math
from typing import NamedTuple

import torch

from orchard.stages.sft.completions import Completions
from orchard.study.schema.sft import PearWeights


@torch.no_grad()
def log_weights(
    weights: PearWeights, policy_logps: torch.Tensor, behavior_logps: torch.Tensor, mask: torch.Tensor
) -> torch.Tensor:
    """log G_t, detached.

    Args:
        weights: form, block, gamma, clip and log_weight_clip.
        policy_logps: log pi_theta(y_t | x, y_<t) in nats, shape (batch, time), any float type.
        behavior_logps: log pi_beta(y_t | x, y_<t) in nats, shape (batch, time).
        mask: true on completion tokens, shape (batch, time); prompts and padding on either side are false.

    Returns:
        float32 of shape (batch, time); 0 outside the mask.
    """
    tokens = Completions(mask)
    delta = tokens.table((policy_logps.double() - behavior_logps.double()).clamp(*weights.clip))
    if weights.form == "sequence":
        table = delta.sum(-1, keepdim=True).expand_as(delta)
    else:
        size = weights.block if weights.form == "block" else 1
        steps = torch.arange(delta.shape[1], device=delta.device).expand_as(delta)
        last = tokens.lengths.unsqueeze(-1) - 1
        end = torch.minimum((steps // size + 1) * size - 1, last).clamp(min=0)  # of the token's own block
        after = (delta.flip(-1).cumsum(-1).flip(-1) - delta).gather(-1, end)
        table = after + (last - end) * math.log(weights.gamma)
    return tokens.spread(table.clamp(*weights.log_weight_clip).float())


class Diagnostics(NamedTuple):
    """What the weights of a batch look like. ESS is the effective sample size (sum w)² / sum w²."""

    mean: float
    quantile_10: float
    quantile_50: float
    quantile_90: float
    ess_share: float  # ESS as a share of the tokens
    floor_share: float  # share of tokens whose log-weight lies at the lower bound
    cap_share: float  # and at the upper bound


def diagnose(log_weights: torch.Tensor, mask: torch.Tensor, bounds: tuple[float, float]) -> Diagnostics:
    """The diagnostics of the weights of a batch, over its completion tokens.

    Args:
        log_weights: shape (batch, time).
        mask: true on completion tokens.
        bounds: those that log-weights were clipped to.
    """
    logs = log_weights[mask].double()
    weights, (low, high) = logs.exp(), bounds
    ess = weights.sum().square() / (len(weights) * weights.square().sum())
    quantiles = weights.quantile(torch.tensor([0.1, 0.5, 0.9], dtype=torch.double, device=weights.device))
    shares = [(logs <= low + 1e-6).double().mean(), (logs >= high - 1e-6).double().mean()]
    return Diagnostics(*torch.stack([weights.mean(), *quantiles, ess, *shares]).tolist())
