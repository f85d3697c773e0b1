"""Claims that claims.yaml states whole, on evaluations with planted scores."""

from dataclasses import replace

import numpy as np
import pytest

from orchard.errors import UserError
from orchard.report import statistics
from orchard.report.claims import claim as claims
from orchard.report.claims import judge
from orchard.report.claims.comparison import Comparison
from orchard.report.claims.finding import NotTestedError
from tests.helpers.judged import CLAIMS
from tests.helpers.simulated_pear import bound, same, simulated

MEANS = same(("before", "after")) | {("after", "token"): 0.9}
AFTER = {"stage": "rl", "objective": "$pear.treatment"}
GAIN = Comparison("pass@1", "$pear.task", AFTER, AFTER | {"stage": "sft"}, ["base", "seed"])


@pytest.fixture(scope="module")
def evaluations():
    return simulated(np.random.default_rng(1), MEANS, seeds=4)


def scores(evaluations, place):
    return evaluations.values([f"{place}-token-{seed}" for seed in (1, 2, 3, 4)], "calc", "pass@1")


def test_a_difference_is_that_of_the_statistics(evaluations):
    after, before = scores(evaluations, "after"), scores(evaluations, "before")
    (found,) = GAIN.findings(bound(evaluations))
    assert found.interval == statistics.mean([after - before]).interval(0.95)
    assert found.models[:4] == [f"after-token-{seed}" for seed in (1, 2, 3, 4)]


def test_a_claim_written_as_data_alone_is_judged(evaluations):
    entry = {"id": "X1", "paper": "PEAR", "statement": "RL helps", "number": "none", "training": True}
    entry |= {"threshold": 0.2, "compare": vars(GAIN)}
    (row,) = judge.judge(claims.read(entry), bound(evaluations))
    assert row["verdict"] == "reproduced"
    assert row["ours"] == pytest.approx(0.4, abs=0.06)
    larger = claims.read(entry | {"threshold": 0.8})
    assert judge.judge(larger, bound(evaluations))[0]["verdict"] == "not reproduced"


def test_models_without_a_partner_are_left_out():
    evaluations = simulated(np.random.default_rng(2), MEANS, seeds=4)
    del evaluations.facts["before-token-2"]
    (found,) = GAIN.findings(bound(evaluations))
    assert [name for name in found.models if name.endswith("2")] == []
    assert found.interval.replicates == 3


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"paired_by": ["data"]}, "share data: no pairs"),
        ({"models": {"stage": "prune"}}, "no models to compare: stage prune and stage sft, objective token"),
        ({"task": "$pear.twins"}, "report.pear.twins is null"),
        ({"metric": "acc"}, "not every model has acc on calc"),
        ({"metric": "pass@largest"}, "one sample a question"),
    ],
)
def test_what_cannot_be_compared_is_not_tested_and_why(evaluations, change, reason):
    with pytest.raises(NotTestedError, match=reason):
        replace(GAIN, **change).findings(bound(evaluations))


def test_a_key_that_the_config_does_not_have_is_an_error(evaluations):
    with pytest.raises(UserError, match=r"\$pear\.taks, and report\.pear has no taks"):
        replace(GAIN, task="$pear.taks").findings(bound(evaluations))


@pytest.mark.parametrize("change", [{"treshold": 1.0}, {"compare": {"tsk": "calc"}}])
def test_a_misspelt_field_of_a_claim_is_an_error(change):
    entry = vars(CLAIMS["P2"]) | {"compare": vars(CLAIMS["P2"].compare)}
    assert claims.read(entry) == CLAIMS["P2"]
    with pytest.raises(UserError, match="unexpected keyword argument"):
        claims.read(entry | change)
