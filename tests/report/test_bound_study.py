"""A bound study asked at several confidences says what one that was bound anew would say."""

import numpy as np
import pytest

from orchard.report.claims import claim as claims
from orchard.report.claims import judge
from orchard.report.figures import pruning, sections
from orchard.report.pruned_study import FAMILIES, RECOVERIES
from tests.helpers import simulated_pear, simulated_pruning
from tests.helpers.simulated_pruning import bracketed, longer, probed, searched, skips

CONFIDENCES = (0.5, 0.8, 0.95, 0.999)
MODELS = probed(0.2, 0.5) | searched(0.6, 0.1) | skips(0.1, 0.7, 0.6) | longer(0.1, 0.5, 0.52)
MODELS |= {"cut": bracketed(0.8, 0.6)["cut"]}
MODELS["base"] = {"scores": {"fact": 0.12, "cmp": 0.1} | bracketed(0.8, 0.6)["base"]["scores"]}  # nearly at chance
del MODELS["own"]  # its record has no number of tokens, and those of `longer` have


@pytest.fixture(scope="module", params=range(3))
def pruned(request):
    """A study in which a task or two are above chance at some confidences alone."""
    random = np.random.default_rng(request.param)
    return simulated_pruning.bound(simulated_pruning.simulated(random, MODELS, questions=30))


@pytest.fixture(scope="module", params=range(3))
def pear(request):
    means = simulated_pear.same(("before", "after", "transfer"))
    return simulated_pear.bound(simulated_pear.simulated(np.random.default_rng(request.param), means))


def anew(study, confidence):
    """The same study bound to a report of this confidence, with nothing computed yet."""
    return type(study)(study.evaluations, study.report.model_copy(update={"confidence": confidence}))


def rows(study, paper):
    """What is judged of a paper, as text: not-a-numbers are alike in it."""
    return [str(judge.judge(claim, study)) for claim in claims.load() if claim.paper == paper and claim.id != "P9"]


def test_pruning_claims_are_judged_at_a_confidence_as_by_a_study_bound_to_it(pruned):
    for confidence in (*CONFIDENCES, *reversed(CONFIDENCES)):
        asked = pruned.at(confidence)
        assert asked.confidence == asked.report.confidence == confidence
        assert rows(asked, "LLP") == rows(anew(pruned, confidence), "LLP")


def test_pear_claims_are_judged_at_a_confidence_as_by_a_study_bound_to_it(pear):
    evaluations = pear.evaluations
    for name in evaluations.select(stage="rl"):
        evaluations.records[name]["drift"] = {"relative": 0.01 * evaluations.facts[name]["seed"]}
    for confidence in (*CONFIDENCES, *reversed(CONFIDENCES)):
        assert rows(pear.at(confidence), "PEAR") == rows(anew(pear, confidence), "PEAR")


def test_figures_at_a_confidence_are_those_of_a_study_bound_to_it(pruned):
    for confidence in CONFIDENCES:
        pairs = (sections.pruning_figures(study) for study in (pruned.at(confidence), anew(pruned, confidence)))
        for asked, fresh in zip(*pairs, strict=True):
            assert asked.table.equals(fresh.table), asked.name
            assert asked.caption == fresh.caption


def test_a_retention_that_was_computed_before_is_a_fresh_one(pruned):
    pruning.retention_table(pruned)
    fresh = anew(pruned, pruned.confidence)
    cells = [cell for recovery in RECOVERIES for cell in pruned.cells(recovery)]
    assert cells == [cell for recovery in RECOVERIES for cell in fresh.cells(recovery)]
    asked = [(cell, family) for cell in cells for family in FAMILIES if pruned.retention(cell, family)]
    assert asked
    for cell, family in asked:
        found, expected = pruned.retention(cell, family), fresh.retention(cell, family)
        assert found is pruned.retention(cell, family), "it is computed once"
        assert (found.value, found.questions) == (expected.value, expected.questions)
        assert (found.influence == expected.influence).all()


def test_the_tasks_that_are_reported_depend_on_the_confidence(pruned):
    group = "rl-grpo-pear"
    strict, loose = (pruned.at(confidence).reported_tasks(group, "classification") for confidence in (1 - 1e-9, 0.5))
    assert set(strict) < set(loose)


def test_another_policys_data_is_another_study(pear):
    assert pear.on("other").models("rl") == {}
    assert pear.models("rl") != {}
