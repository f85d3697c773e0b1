"""Log-probs of given responses against a loop without batches or padding; what is selected by them."""

import math

import pytest

from orchard.errors import UserError
from orchard.models import likelihood
from orchard.stages.base.pretrain import make_tokenizer
from orchard.stages.sft import dataset
from orchard.study.schema.sft import SelectLikely, SelectStyles
from tests.helpers.llama import random_llama
from tests.helpers.objectives import teacher_rows
from tests.helpers.references import logps_of_row

PAD = make_tokenizer().pad_token_id


def test_log_probs_are_those_of_each_row_alone():
    model, rows = random_llama(), teacher_rows(400)  # more than one batch, the last one ragged
    assert sum(len(row["prompt_ids"]) + len(row["completion_ids"]) for row in rows) > likelihood.TOKENS
    found = likelihood.completion_logps(model, rows, PAD)
    for row, logps in zip(rows, found, strict=True):
        assert logps == pytest.approx(logps_of_row(model, row), abs=2e-5)
    assert model.training is False
    assert all(parameter.requires_grad and not parameter.is_inference() for parameter in model.parameters())


def test_summary_by_hand():
    rows = [{"behavior_logps": [-1.0, 0.0]}, {"behavior_logps": [-2.0]}]
    found = likelihood.summary(rows, [[-1.0, -3.0], [-1.0]])
    assert found == {
        "mean_log_prob_start": round(-5 / 3, 6),
        "mean_log_prob_behavior": -1.0,
        "mean_log_ratio": round(-2 / 3, 6),
        "overlap": round((1 + math.exp(-3) + 1) / 3, 6),
    }


def numbered(ratios: list[float]) -> tuple[list[dict], list[list[float]]]:
    """Rows of two tokens, and the log-probs of a start whose mean log-ratio is given for each row."""
    rows = [{"id": str(n), "style": "DCH"[n % 3], "behavior_logps": [-1.0, -2.0]} for n in range(len(ratios))]
    return rows, [[-1.0 + ratio - 0.5, -2.0 + ratio + 0.5] for ratio in ratios]


def ids(rows: list[dict]) -> list[int]:
    return [int(row["id"]) for row in rows]


def test_nothing_to_select_by_keeps_all():
    rows, logps = numbered([0.0, 1.0])
    assert dataset.select(rows, None, logps) == rows


def test_select_by_style():
    rows, logps = numbered([0.0] * 7)
    assert ids(dataset.select(rows, SelectStyles(kind="style", styles=["D", "H"]), logps)) == [0, 2, 3, 5, 6]
    with pytest.raises(UserError, match="no row left of 7"):
        dataset.select(rows, SelectStyles(kind="style", styles=["A"]), logps)


@pytest.mark.parametrize(
    ("keep", "expected"), [(0.5, [1, 3, 5]), (0.34, [1, 5]), (0.01, [1]), (1.0, [0, 1, 2, 3, 4, 5])]
)
def test_select_by_likelihood_keeps_the_highest_ratios_in_their_order(keep, expected):
    rows, logps = numbered([-3.0, 2.0, -1.0, 0.0, -2.0, 1.0])
    assert ids(dataset.select(rows, SelectLikely(kind="likelihood", keep=keep), logps)) == expected


def test_among_equals_the_first_are_selected():
    rows, logps = numbered([0.0, 1.0, 0.0, 0.0, 1.0, 0.0])
    assert ids(dataset.select(rows, SelectLikely(kind="likelihood", keep=0.5), logps)) == [0, 1, 4]


def test_select_by_likelihood_is_brute_force_on_a_models_log_probs():
    rows = teacher_rows(40)
    logps = likelihood.completion_logps(random_llama(), rows, PAD)
    means = {
        row["id"]: sum(ours) / len(ours) - sum(row["behavior_logps"]) / len(ours)
        for ours, row in zip(logps, rows, strict=True)
    }
    kept = dataset.select(rows, SelectLikely(kind="likelihood", keep=0.25), logps)
    assert {row["id"] for row in kept} == set(sorted(means, key=means.get)[-10:])
