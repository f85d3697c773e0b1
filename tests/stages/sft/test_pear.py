"""PEAR's weights against a float64 loop written from the definition, and what the definition implies."""

import math
import random

import pytest
import torch
from pydantic import ValidationError

from orchard.stages.sft import pear
from orchard.stages.sft.__main__ import course_of_weights
from tests.helpers.objectives import pear_weights
from tests.helpers.references import log_weights_by_definition, ragged

FORMS = ["sequence", "block", "token"]
BOUNDS = (-10.0, 5.0)


@pytest.mark.parametrize("form", FORMS)
def test_a_form_follows_its_definition_on_1000_ragged_batches(form):
    rng = random.Random(form)
    worst = 0.0
    for _ in range(1000):
        policy, behavior, mask, spans = ragged(rng)
        block, gamma = rng.randrange(1, 12), rng.choice([1.0, 0.999, 0.9])
        logs = pear.log_weights(pear_weights(form, block, gamma=gamma), policy, behavior, mask)
        for row, span in enumerate(spans):
            expected = log_weights_by_definition(
                form, policy[row, span].tolist(), behavior[row, span].tolist(), block, gamma
            )
            worst = max([worst, *(abs(a - b) for a, b in zip(logs[row, span].tolist(), expected, strict=True))])
        assert (logs[~mask] == 0).all()
    assert worst <= 1e-5


def test_a_block_of_one_token_is_the_token_form_and_a_long_block_weighs_nothing():
    policy, behavior, mask, _ = ragged(random.Random(1))
    token = pear.log_weights(pear_weights("token"), policy, behavior, mask)
    assert torch.equal(pear.log_weights(pear_weights("block", 1), policy, behavior, mask), token)
    assert (pear.log_weights(pear_weights("block", mask.shape[1]), policy, behavior, mask) == 0).all()
    assert not (token == 0).all()


@pytest.mark.parametrize("form", FORMS)
def test_equal_policies_without_discount_give_weight_one(form):
    logps, _, mask, _ = ragged(random.Random(2))
    assert (pear.log_weights(pear_weights(form, 3, gamma=1.0), logps, logps, mask) == 0).all()


@pytest.mark.parametrize("form", FORMS)
def test_padding_side_and_prompt_change_nothing(form):
    """The same completions, each alone, or in a batch that is padded on either side."""
    rng = random.Random(3)
    lengths = [rng.randrange(1, 40) for _ in range(6)]
    pairs = [(-torch.rand(length), -torch.rand(length)) for length in lengths]
    alone = [
        pear.log_weights(
            pear_weights(form, 4), policy[None], behavior[None], torch.ones(1, len(policy), dtype=torch.bool)
        )[0]
        for policy, behavior in pairs
    ]
    for side in ("left", "right"):
        rows = [[torch.nn.functional.pad(part, (3, 0)) for part in pair] for pair in pairs]
        masks = [torch.nn.functional.pad(torch.ones(length, dtype=torch.bool), (3, 0)) for length in lengths]
        policy, behavior, mask = (
            torch.nn.utils.rnn.pad_sequence(parts, batch_first=True, padding_side=side)
            for parts in ([row[0] for row in rows], [row[1] for row in rows], masks)
        )
        padded = pear.log_weights(pear_weights(form, 4), policy, behavior, mask)
        assert all(torch.equal(row[keep], own) for row, keep, own in zip(padded, mask, alone, strict=True))


def test_weights_carry_no_gradient_and_take_half_precision():
    logps = torch.zeros(1, 4, requires_grad=True)
    mask = torch.ones(1, 4, dtype=torch.bool)
    assert not pear.log_weights(pear_weights("token"), logps, logps - 1, mask).requires_grad
    policy, behavior = torch.full((1, 4000), -1.0, dtype=torch.bfloat16), torch.full((1, 4000), -1.001)
    half = pear.log_weights(pear_weights("token"), policy, behavior, torch.ones(1, 4000, dtype=torch.bool))
    assert half.dtype == torch.float32
    assert half[0, 0].item() == pytest.approx(3999 * (0.001 + math.log(0.999)), abs=1e-3)  # bf16 sums would lose it


def test_an_unknown_form_is_refused():
    with pytest.raises(ValidationError, match="'sequence', 'block' or 'token'"):
        pear_weights("word")


def test_diagnostics():
    mask = torch.tensor([[True, True, True, True, False]])
    assert pear.diagnose(torch.zeros(1, 5), mask, BOUNDS) == (1.0, 1.0, 1.0, 1.0, 1.0, 0.0, 0.0)
    one_heavy = torch.tensor([[0.0, 0.0, -10.0, math.log(9.0), 0.0]])
    found = pear.diagnose(one_heavy, mask, BOUNDS)
    assert found.ess_share == pytest.approx((11 + math.exp(-10)) ** 2 / (4 * (83 + math.exp(-20))))
    assert (found.floor_share, found.cap_share) == (0.25, 0.0)


def test_the_record_has_the_weights_at_both_ends_of_training():
    steps = [
        {f"pear/{name}": float(step) for name in ("mean", "ess_share", "floor_share", "cap_share")}
        | {f"pear/weight_part_{part}": float(step * part) if part else math.nan for part in range(10)}
        for step in range(15)
    ]
    found = course_of_weights(steps)
    assert found["early"]["mean"] == 0.5  # steps 0 and 1: a tenth of 15, rounded up
    assert found["late"]["ess_share"] == 13.5
    assert found["late"]["parts"] == [None, *(13.5 * part for part in range(1, 10))]
