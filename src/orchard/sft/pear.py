"""The weights of PEAR (arXiv 2602.01058, section 3): how likely the current policy is to go on as the data does.

With delta_t = clip(log pi_theta(y_t) − log pi_beta(y_t)) for each token of a completion of length T, the token form
weights the loss of token t by G_t = gamma^(T−t) · exp(sum of delta over the tokens *after* t).
"""

import torch

CLIP = (-0.08, 0.3)  # bounds of delta_t: PEAR, section 3
LOG_WEIGHT_CLIP = (-10.0, 5.0)  # bounds of log G_t: PEAR, section 3
GAMMA = 0.999  # PEAR, section 3


@torch.no_grad()
def token_log_weights(
    policy_logps: torch.Tensor,
    behavior_logps: torch.Tensor,
    mask: torch.Tensor,
    gamma: float = GAMMA,
    clip: tuple[float, float] = CLIP,
    log_weight_clip: tuple[float, float] = LOG_WEIGHT_CLIP,
) -> torch.Tensor:
    """log G_t of the token (suffix) form, detached.

    Args:
        policy_logps: log pi_theta(y_t | x, y_<t) in nats, shape (batch, time).
        behavior_logps: log pi_beta(y_t | x, y_<t) in nats, shape (batch, time).
        mask: true on completion tokens, shape (batch, time); prompts and padding on either side are false.
        gamma: discount for each completion token that follows.
        clip: bounds of delta_t.
        log_weight_clip: bounds of log G_t.

    Returns:
        float32 of shape (batch, time); 0 outside the mask.
    """
    delta = (policy_logps.float() - behavior_logps.float()).clamp(*clip).masked_fill(~mask, 0.0)
    after = _sum_after(delta)
    tokens_after = _sum_after(mask.float())
    log_weights = after + tokens_after * torch.log(torch.tensor(gamma))
    return log_weights.clamp(*log_weight_clip).masked_fill(~mask, 0.0)


def effective_sample_share(log_weights: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """The effective sample size of the weights as a share of the tokens: (sum w)² / (n · sum w²)."""
    weights = log_weights.exp()[mask].double()
    return weights.sum().square() / (len(weights) * weights.square().sum())


def _sum_after(values: torch.Tensor) -> torch.Tensor:
    """For each position, the sum over the positions behind it."""
    return values.flip(-1).cumsum(-1).flip(-1) - values
