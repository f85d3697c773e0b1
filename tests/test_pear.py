"""PEAR's weights against a float64 loop written from the definition, and what the definition implies."""

import math
import random

import pytest
import torch

from orchard.stages.sft import pear
from orchard.stages.sft.__main__ import course_of_weights


def by_definition(form: str, policy: list[float], behavior: list[float], block: int, gamma: float) -> list[float]:
    """log G_t of each token t = 1..T of one completion, in Python's floats, from the paper's formulas."""
    delta = [min(max(p - b, -0.08), 0.3) for p, b in zip(policy, behavior, strict=True)]
    length, result = len(delta), []
    for t in range(1, length + 1):
        if form == "sequence":
            log_weight = sum(delta)
        elif form == "token":
            log_weight = (length - t) * math.log(gamma) + sum(delta[t:])
        else:
            end = min(math.ceil(t / block) * block, length)
            log_weight = (length - end) * math.log(gamma) + sum(delta[end:])
        result.append(min(max(log_weight, -10.0), 5.0))
    return result


def ragged(rng: random.Random, longest: int = 200):
    """A batch with a prompt before, and padding on both sides of, each completion; some are empty."""
    rows = [(rng.randrange(4), rng.randrange(5), rng.randrange(longest), rng.randrange(4)) for _ in range(4)]
    time = max(map(sum, rows)) or 1
    mask = torch.zeros(len(rows), time, dtype=torch.bool)
    spans = []
    for row, (left, prompt, length, _) in enumerate(rows):
        spans.append(slice(left + prompt, left + prompt + length))
        mask[row, spans[-1]] = True
    scale = rng.choice([0.05, 0.3, 2.0])
    return -scale * torch.rand(len(rows), time), -scale * torch.rand(len(rows), time), mask, spans


@pytest.mark.parametrize("form", pear.FORMS)
def test_a_form_follows_its_definition_on_1000_ragged_batches(form):
    rng = random.Random(form)
    worst = 0.0
    for _ in range(1000):
        policy, behavior, mask, spans = ragged(rng)
        block, gamma = rng.randrange(1, 12), rng.choice([1.0, 0.999, 0.9])
        logs = pear.log_weights(form, policy, behavior, mask, block=block, gamma=gamma)
        for row, span in enumerate(spans):
            expected = by_definition(form, policy[row, span].tolist(), behavior[row, span].tolist(), block, gamma)
            worst = max([worst, *(abs(a - b) for a, b in zip(logs[row, span].tolist(), expected, strict=True))])
        assert (logs[~mask] == 0).all()
    assert worst <= 1e-5


def test_a_block_of_one_token_is_the_token_form_and_a_long_block_weighs_nothing():
    policy, behavior, mask, _ = ragged(random.Random(1))
    token = pear.log_weights("token", policy, behavior, mask)
    assert torch.equal(pear.log_weights("block", policy, behavior, mask, block=1), token)
    assert (pear.log_weights("block", policy, behavior, mask, block=mask.shape[1]) == 0).all()
    assert not (token == 0).all()


@pytest.mark.parametrize("form", pear.FORMS)
def test_equal_policies_without_discount_give_weight_one(form):
    logps, _, mask, _ = ragged(random.Random(2))
    assert (pear.log_weights(form, logps, logps, mask, gamma=1.0, block=3) == 0).all()


@pytest.mark.parametrize("form", pear.FORMS)
def test_padding_side_prompt_and_packing_change_nothing(form):
    """The same completions, one a row and padded on either side, or all in one row behind each other."""
    rng = random.Random(3)
    lengths = [rng.randrange(1, 40) for _ in range(6)]
    pairs = [(-torch.rand(length), -torch.rand(length)) for length in lengths]
    alone = [
        pear.log_weights(form, p[None], b[None], torch.ones(1, len(p), dtype=torch.bool), block=4)[0] for p, b in pairs
    ]
    for left in (True, False):
        rows = [[torch.nn.functional.pad(part, (3, 0)) for part in pair] for pair in pairs]
        masks = [torch.nn.functional.pad(torch.ones(length, dtype=torch.bool), (3, 0)) for length in lengths]
        policy, behavior, mask = (
            torch.nn.utils.rnn.pad_sequence(parts, batch_first=True, padding_side="left" if left else "right")
            for parts in ([row[0] for row in rows], [row[1] for row in rows], masks)
        )
        padded = pear.log_weights(form, policy, behavior, mask, block=4)
        assert all(torch.equal(row[keep], weights) for row, keep, weights in zip(padded, mask, alone, strict=True))
    policy, behavior = (torch.cat([pair[side] for pair in pairs])[None] for side in (0, 1))
    numbers = torch.repeat_interleave(torch.arange(6), torch.tensor(lengths))[None]
    mask = torch.ones(1, sum(lengths), dtype=torch.bool)
    packed = pear.log_weights(form, policy, behavior, mask, block=4, sequences=numbers)
    assert torch.equal(packed[0], torch.cat(alone))


def test_weights_carry_no_gradient_and_take_half_precision():
    logps = torch.zeros(1, 4, requires_grad=True)
    mask = torch.ones(1, 4, dtype=torch.bool)
    assert not pear.log_weights("token", logps, logps - 1, mask).requires_grad
    half = pear.log_weights("token", torch.full((1, 4000), -1.0, dtype=torch.bfloat16), torch.full((1, 4000), -1.001),
                            torch.ones(1, 4000, dtype=torch.bool))  # fmt: skip
    assert half.dtype == torch.float32
    assert half[0, 0].item() == pytest.approx(3999 * (0.001 + math.log(0.999)), abs=1e-3)  # bf16 sums would lose it


def test_an_unknown_form_is_refused():
    with pytest.raises(ValueError, match="not one of"):
        pear.log_weights("word", torch.zeros(1, 1), torch.zeros(1, 1), torch.ones(1, 1, dtype=torch.bool))


def test_diagnostics():
    mask = torch.tensor([[True, True, True, True, False]])
    assert pear.diagnose(torch.zeros(1, 5), mask) == (1.0, 1.0, 1.0, 1.0, 1.0, 0.0, 0.0)
    one_heavy = torch.tensor([[0.0, 0.0, -10.0, math.log(9.0), 0.0]])
    found = pear.diagnose(one_heavy, mask)
    assert found.ess_share == pytest.approx((11 + math.exp(-10)) ** 2 / (4 * (83 + math.exp(-20))))
    assert (found.floor_share, found.cap_share) == (0.25, 0.0)


def test_the_record_tells_the_weights_at_both_ends_of_training():
    steps = [
        {f"pear/{name}": float(step) for name in ("mean", "ess_share", "floor_share", "cap_share")}
        | {f"pear/weight_part_{part}": float(step * part) if part else math.nan for part in range(10)}
        for step in range(15)
    ]
    found = course_of_weights(steps)
    assert found["early"]["mean"] == 0.5  # steps 0 and 1: a tenth of 15, rounded up
    assert found["late"]["ess_share"] == 13.5
    assert found["late"]["parts"] == [None, *(13.5 * part for part in range(1, 10))]
