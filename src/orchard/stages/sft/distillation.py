"""Distillation from the behaviour policy: the forward KL at each token, before any weight."""

import torch


def stored_kl(policy: torch.Tensor, top_ids: torch.Tensor, top_logps: torch.Tensor) -> torch.Tensor:
    """Forward KL(pi_beta ‖ pi_theta) at each position, from the stored most likely tokens of pi_beta.

    What is not stored counts as one more outcome, so the value is a lower bound of the KL, and exact if nothing of
    pi_beta is left out.

    Args:
        policy: log pi_theta of every token, shape (batch, time, vocabulary).
        top_ids: the stored tokens, shape (batch, time, k).
        top_logps: their log pi_beta, −inf where fewer than k were stored, the same shape.

    Returns:
        Nats, shape (batch, time).
    """
    probs = top_logps.exp()
    theirs = policy.gather(-1, top_ids)
    kl = torch.where(probs > 0, probs * (top_logps - theirs), 0.0).sum(-1)
    rest = 1 - probs.sum(-1)
    others = torch.log1p(-theirs.exp().masked_fill(probs == 0, 0.0).sum(-1).clamp(max=1 - 1e-7))
    return kl + torch.where(rest > 1e-6, rest * (rest.clamp(min=1e-30).log() - others), 0.0)


def live_kl(policy: torch.Tensor, behavior: torch.Tensor) -> torch.Tensor:
    """Forward KL(pi_beta ‖ pi_theta) at each position.

    Args:
        policy: log pi_theta of every token, shape (batch, time, vocabulary).
        behavior: log pi_beta, the same shape.

    Returns:
        Nats, shape (batch, time).
    """
    return torch.nn.functional.kl_div(policy, behavior, log_target=True, reduction="none").sum(-1)
