"""The weights of the controls, against loops over single tokens."""

import math
import random

import pytest
import torch

from orchard.stages.sft import weights
from orchard.stages.sft.completions import Completions
from orchard.study.schema.sft import LastTokens
from tests.helpers.objectives import PEAR
from tests.helpers.references import ragged


@pytest.fixture
def batch():
    """log pi_theta, log pi_beta, the mask, and where each completion stands."""
    return ragged(random.Random(5), longest=40)


def spread_of(batch, **changes) -> torch.Tensor:
    """The log-weights of a batch by PEAR's token form; ``changes`` go into its settings."""
    policy, behavior, mask, _ = batch
    return weights.log_weights(PEAR.model_copy(update=changes), policy, behavior, mask)


@pytest.mark.parametrize("over", ["tokens", "sequences"])
def test_shuffling_deals_the_same_weights_to_other_places(over, batch):
    mask, plain = batch[2], spread_of(batch)
    torch.manual_seed(1)
    dealt = spread_of(batch, shuffle=over)
    assert torch.equal(dealt[mask].sort().values, plain[mask].sort().values)
    assert not torch.equal(dealt, plain)
    assert (dealt[~mask] == 0).all()
    assert not torch.equal(dealt, spread_of(batch, shuffle=over))  # dealt anew at each step


def test_shuffling_sequences_keeps_each_completions_weights_in_a_row(batch):
    _, _, mask, spans = batch
    torch.manual_seed(1)
    dealt = spread_of(batch, shuffle="sequences")[mask].tolist()
    whole = [spread_of(batch)[row, span].tolist() for row, span in enumerate(spans)]
    left = [part for part in whole if part]
    while dealt:
        part = next(part for part in left if dealt[: len(part)] == part)
        left.remove(part)
        dealt = dealt[len(part) :]
    assert not left


@pytest.mark.parametrize("share", [0.01, 0.1, 0.25, 1 / 3, 0.5, 0.7, 1.0])
def test_last_tokens_are_exactly_their_share_rounded_up(share):
    for seed in range(20):
        _, _, mask, spans = ragged(random.Random(seed))
        logs = weights.log_weights(LastTokens(kind="last-tokens", share=share), mask * 0.0, mask * 0.0, mask)
        assert (logs[~mask] == 0).all()
        for row, span in enumerate(spans):
            length = int(mask[row].sum())
            kept = math.ceil(share * length - 1e-9)
            assert logs[row, span].tolist() == [-math.inf] * (length - kept) + [0.0] * kept


def test_normalized_weights_have_mean_one_and_keep_their_ratios(batch):
    mask, plain, found = batch[2], spread_of(batch), spread_of(batch, normalize=True)
    assert float(found[mask].exp().mean()) == pytest.approx(1.0)
    assert (found[~mask] == 0).all()
    assert float((found - plain)[mask].std()) == pytest.approx(0.0, abs=1e-6)


def test_the_course_of_the_weights_is_the_mean_of_each_tenth(batch):
    _, _, mask, spans = batch
    logs = spread_of(batch)
    tenths = [[] for _ in range(weights.PARTS)]
    for row, span in enumerate(spans):
        values = logs[row, span].exp().tolist()
        for place, value in enumerate(values):
            tenths[place * weights.PARTS // len(values)].append(value)
    assert weights.by_part(logs, mask) == [pytest.approx(sum(part) / len(part)) for part in tenths]


def test_a_tenth_without_a_token_is_nan():
    mask = torch.tensor([[True, True, False]])
    found = weights.by_part(torch.zeros(1, 3), mask)
    assert [number for number, value in enumerate(found) if not math.isnan(value)] == [0, 5]


def test_nothing_to_weigh_is_no_error():
    mask = torch.zeros(2, 3, dtype=torch.bool)
    empty = torch.zeros(2, 3)
    for settings in (
        PEAR,
        PEAR.model_copy(update={"shuffle": "sequences"}),
        LastTokens(kind="last-tokens", share=0.5),
    ):
        assert torch.equal(weights.log_weights(settings, empty, empty, mask), empty)
    assert Completions(mask).lengths.tolist() == []
