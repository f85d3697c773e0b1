"""PEAR's token weights against a float64 loop written from the definition."""

import math
import random

import torch

from orchard.sft import pear


def by_definition(policy: list[float], behavior: list[float]) -> list[float]:
    """log G_t = clip((T − t) log gamma + sum over j > t of clip(log pi_theta − log pi_beta))."""
    delta = [min(max(p - b, -0.08), 0.3) for p, b in zip(policy, behavior, strict=True)]
    length = len(delta)
    return [min(max((length - 1 - t) * math.log(0.999) + sum(delta[t + 1 :]), -10.0), 5.0) for t in range(length)]


def test_token_weights_follow_the_definition_on_ragged_batches():
    rng = random.Random(0)
    for _ in range(200):
        rows = [(rng.randrange(5), rng.randrange(1, 200), rng.randrange(5)) for _ in range(4)]
        time = max(map(sum, rows))
        policy, behavior = -2 * torch.rand(4, time), -2 * torch.rand(4, time)
        mask = torch.zeros(4, time, dtype=torch.bool)
        for row, (prompt, length, _) in enumerate(rows):
            mask[row, prompt : prompt + length] = True
        log_weights = pear.token_log_weights(policy, behavior, mask)
        for row, (prompt, length, _) in enumerate(rows):
            span = slice(prompt, prompt + length)
            expected = by_definition(policy[row, span].tolist(), behavior[row, span].tolist())
            torch.testing.assert_close(
                log_weights[row, span].double(), torch.tensor(expected).double(), atol=1e-4, rtol=0
            )
        assert (log_weights[~mask] == 0).all()


def test_equal_policies_without_discount_give_plain_nll():
    logps, mask = -torch.rand(2, 9), torch.ones(2, 9, dtype=torch.bool)
    assert (pear.token_log_weights(logps, logps, mask, gamma=1.0) == 0).all()


def test_weights_carry_no_gradient():
    logps = torch.zeros(1, 4, requires_grad=True)
    assert not pear.token_log_weights(logps, logps - 1, torch.ones(1, 4, dtype=torch.bool)).requires_grad


def test_effective_sample_share():
    mask = torch.tensor([[True, True, True, True, False]])
    assert pear.effective_sample_share(torch.zeros(1, 5), mask).item() == 1
    one_heavy = torch.tensor([[0.0, 0.0, 0.0, math.log(9.0), 0.0]])
    assert abs(pear.effective_sample_share(one_heavy, mask).item() - 144 / (4 * 84)) < 1e-6
