"""The measures of pruning claims, on evaluations with effects planted and with none."""

from collections.abc import Callable

import numpy as np
import pytest

from orchard.report import statistics
from orchard.report.claims import claim as claims
from orchard.report.claims import judge
from orchard.report.claims import pruning as measures
from orchard.report.claims.finding import Finding
from orchard.report.evaluations import Evaluations
from orchard.report.pruned_study import PrunedStudy
from orchard.study.schema.report import Report
from tests.helpers.judged import rows_of
from tests.helpers.simulated_pruning import (
    BLOCK,
    CHANCE,
    SETTINGS,
    at_ratios,
    both_ways,
    bound,
    bracketed,
    longer,
    own_recovery,
    probed,
    repeated,
    searched,
    simulated,
    skips,
)

REPETITIONS = 200


def judged(name: str, evaluations: Evaluations, **pruning) -> dict[str, dict]:
    """The rows of a claim by id."""
    return rows_of(name, bound(evaluations, **pruning))


def verdict(name: str, models: dict, number: int = 1, **options) -> str:
    return judged(name, simulated(np.random.default_rng(number), models, **options))[name]["verdict"]


PLANTED = [
    ("L1", own_recovery, (0.78,), "reproduced", 0.975),
    ("L1", own_recovery, (0.65,), "inconclusive", 0.8125),
    ("L1", own_recovery, (0.3,), "not reproduced", 0.375),
    ("L4", probed, (0.2, 0.5), "reproduced", 0.3),
    ("L4", probed, (0.2, 0.9), "inconclusive", 0.0),  # it came back whole
    ("L4", probed, (0.2, 0.2), "inconclusive", 0.0),  # nothing came back
    ("L4", probed, (0.9, 0.9), "inconclusive", 0.0),  # it never fell
    ("L4", probed, (0.6, 0.2), "not reproduced", -0.4),
    ("L5", skips, (0.7, 0.1, 0.7), "reproduced", 0.125),
    ("L5", skips, (0.7, 0.4, 0.7), "inconclusive", 0.5),
    ("L5", skips, (0.7, 0.7, 0.7), "not reproduced", 0.875),
    ("L6", repeated, (0.0, 0.0), "reproduced", 0.0),
    ("L6", repeated, (0.0, -0.04), "inconclusive", 0.04),
    ("L6", repeated, (0.0, -0.15), "not reproduced", 0.15),
    ("L7", bracketed, (0.8, 0.0), "reproduced", 0.6),
    ("L7", bracketed, (0.2, 0.0), "inconclusive", 0.0),  # more responses are wrong, by brackets as many of them
    ("L7", bracketed, (-0.5, 0.0), "not reproduced", -0.7),
    ("L8", bracketed, (0.2, 0.6), "reproduced", 0.5),
    ("L8", bracketed, (0.2, 0.1), "inconclusive", 0.0),
    ("L8", bracketed, (0.2, -0.3), "not reproduced", -0.4),
    ("L9", at_ratios, (0.2, 0.8, 0.1), "reproduced", 0.2),
    ("L9", at_ratios, (0.2, 0.8, 0.64), "inconclusive", 0.0),  # useful at both
    ("L9", at_ratios, (0.2, 0.64, 0.1), "inconclusive", 0.0),  # at the level of use
    ("L9", at_ratios, (0.8, 0.8, 0.1), "inconclusive", 0.0),  # nothing to recover at the low ratio
    ("L9", at_ratios, (0.1, 0.3, 0.1), "not reproduced", -0.425),  # useful at none
    ("L10", searched, (0.6, 0.1), "reproduced", 0.5),
    ("L10", searched, (0.4, 0.4), "inconclusive", 0.0),
    ("L10", searched, (0.1, 0.6), "not reproduced", -0.5),
    ("L12", longer, (0.1, 0.5, 0.52, 0.53), "reproduced", 0.3375),  # 0.66 are missing, 0.49 less per doubling
    ("L12", longer, (0.2, 0.3, 0.4), "inconclusive", 0.0),  # it grows on as it did
    ("L12", longer, (0.0, 0.6, 0.8), "inconclusive", 0.0),  # it came back whole
    ("L12", longer, (0.1, 0.1, 0.7), "not reproduced", -0.75),
    ("L13", both_ways, (0.1, 0.8, 0.8), "reproduced", 0.875),
    ("L13", both_ways, (0.1, 0.8, 0.1), "inconclusive", 0.0),  # scored as generation, facts are lost as chains are
    ("L13", both_ways, (0.8, 0.8, 0.1), "not reproduced", -0.875),
]


@pytest.mark.parametrize(("name", "study", "effect", "expected", "ours"), PLANTED)
def test_a_planted_effect_gets_its_verdict(name, study: Callable, effect, expected, ours):
    """By a seed at which no effect of zero is taken for one, as one in twenty is (the rate is tested below)."""
    row = judged(name, simulated(np.random.default_rng(5), study(*effect), replicates=6))[name]
    assert (row["verdict"], row["n"]) == (expected, 6)
    assert row["ours"] == pytest.approx(ours, abs=0.12)


NOTHING = [  # the least favourable cases: one effect is at the threshold and the others far from it, or all are at it
    ("L4", probed, (0.2, 0.9), ["step"]),
    ("L4", probed, (0.2, 0.2), ["step"]),
    ("L5", skips, (0.8, 0.4, 0.8), ["calc"]),
    ("L5", skips, (0.4, 0.4, 0.4), ["calc"]),
    ("L6", repeated, (0.0, 0.04), []),
    ("L6", repeated, (0.04, -0.04), []),
    ("L12", longer, (0.2, 0.3, 0.4), ["calc"]),
    ("L12", longer, (0.0, 0.8, 0.8), ["calc"]),
    ("L13", both_ways, (0.1, 0.8, 0.1), ["calc", "fact", "cmp", "fact-written"]),
]


@pytest.mark.parametrize(("name", "study", "effect", "tasks"), NOTHING)
def test_without_an_effect_a_verdict_is_wrong_in_at_most_5_percent(name, study: Callable, effect, tasks):
    random, models = np.random.default_rng(6), study(*effect)
    found = [judged(name, simulated(random, models, 6, 12, tasks=tasks))[name]["verdict"] for _ in range(REPETITIONS)]
    assert found.count("reproduced") <= 0.05 * REPETITIONS
    assert found.count("not reproduced") <= 0.05 * REPETITIONS


TRAINING = [("L1", own_recovery, (0.78,)), ("L4", probed, (0.2, 0.5, 0.95)), ("L8", bracketed, (0.2, 0.6)),
            ("L9", at_ratios, (0.2, 0.8, 0.1)), ("L12", longer, (0.1, 0.5, 0.52))]  # fmt: skip


@pytest.mark.parametrize(("name", "study", "effect"), TRAINING)
def test_one_recovery_of_one_model_settles_nothing(name, study: Callable, effect):
    assert verdict(name, study(*effect), replicates=1) == "inconclusive (one chain, one pretrained model)"


@pytest.mark.parametrize(
    ("name", "models", "pruning", "reason"),
    [
        ("L1", probed(0.2, 0.5) | {"own": BLOCK}, {}, "no model recovered on its own data has retention of"),
        ("L4", probed(0.2, 0.5), {"probe": None}, "report.pruning.probe is null"),
        ("L4", {"base": {}} | skips(0.1), {}, "no model was recovered on its own data and scored on step"),
        ("L5", probed(0.2, 0.5), {}, "no model with retention of generation lacks a single layer but the first"),
        ("L6", probed(0.2, 0.5), {}, "no pruned model and its unpruned one have rep-2 to rep-4 on"),
        ("L7", bracketed(0.8, 0.6), {"brackets": None}, "report.pruning.brackets is null"),
        (
            "L7",
            probed(0.2, 0.5),
            {},
            "no pruned model and its unpruned one have brackets on close",
        ),
        ("L8", bracketed(0.8, 0.6), {"brackets": None}, "report.pruning.brackets is null"),
        ("L8", probed(0.2, 0.5), {}, "no model recovered on its own data has brackets on close"),
        ("L4", probed(0.2, 0.5, 0.69), {}, "rl-grpo-pear is right in 0.6"),
        ("L9", probed(0.2, 0.5), {}, "no model was recovered on its own data both at a ratio of at most 0.15 and at a"),
        ("L10", probed(0.2, 0.5), {}, "no model was pruned both by greedy search and in reverse order"),
        ("L12", longer(0.1, 0.5), {}, "no model was recovered on three sizes of its own data"),
        ("L13", both_ways(0.1, 0.8, 0.8), {"matched": []}, "report.pruning.matched is empty"),
        ("L13", skips(0.1), {}, "no pruned model has retention of both families and of items scored both ways"),
    ],
)
def test_what_is_missing_is_said(name, models, pruning, reason):
    found = judged(name, simulated(np.random.default_rng(1), models, questions=12), **pruning)[name]["verdict"]
    assert found.startswith(f"not tested ({reason}")


@pytest.mark.parametrize("right", [1.0, 0.5], ids=["nothing is wrong", "brackets alone are wrong"])
def test_a_share_of_bracket_errors_that_is_not_there_or_cannot_grow_tests_nothing(right):
    evaluations = simulated(np.random.default_rng(1), bracketed(0.8, 0.0))
    scores = evaluations.scores
    unpruned = scores["model"].str.startswith("rl-") & (scores["task"] == "close")
    scores.loc[unpruned & (scores["metric"] == "pass@1"), "value"] = right
    scores.loc[unpruned & (scores["metric"] == "bracket-errors"), "value"] = 1 - right
    evaluations = Evaluations(evaluations.facts, evaluations.records, scores, CHANCE)
    assert judged("L7", evaluations)["L7"]["verdict"].startswith("not tested (unpruned models err on close by brackets")


def test_brackets_are_a_share_of_all_responses_and_of_the_wrong_ones():
    """Without noise: 0.1 of 0.5 wrong before, 0.6 of 0.75 after, whatever the questions."""
    rows = judged("L7", simulated(np.random.default_rng(1), bracketed(0.8, 0.0), noise=0.0, questions=400))
    assert rows["L7"]["ours"] == pytest.approx(0.8 - 0.2, abs=0.03)
    of_all = rows["L7/rl-grpo-pear/block-influence/0.25/of all responses"]
    assert of_all["ours"] == pytest.approx(0.6 - 0.1, abs=0.03)


@pytest.mark.parametrize("n", [2, 3, 4])
def test_repetition_of_any_length_counts(n):
    rows = judged("L6", simulated(np.random.default_rng(5), repeated(0.0, -0.15, of=(n,)), replicates=6))
    assert (rows["L6"]["verdict"], rows["L6"]["ours"]) == ("not reproduced", pytest.approx(0.15, abs=0.02))


@pytest.mark.parametrize(
    ("before", "after", "reason"), [(0.8, 0.8, "nothing was surely lost"), (0.7, 0.7, "nothing surely came back")]
)
def test_what_was_not_lost_or_did_not_come_back_has_not_recovered(before, after, reason):
    models = own_recovery(after, before)
    rows = judged("L1", simulated(np.random.default_rng(5), models, replicates=6, questions=400, noise=0.05))
    assert rows["L1"]["verdict"].startswith(f"inconclusive ({reason}: retention ")
    assert rows["L1"]["low"] > 0.8
    told = rows["L1/rl-grpo-pear/block-influence/0.25/before recovery"]
    assert told["verdict"] == "measured (retention after pruning, before recovery)"
    assert told["ours"] == pytest.approx(1.25 * before, abs=0.03)


def test_a_recovery_from_a_loss_that_is_not_sure_has_no_p_value_below_that_of_the_loss():
    """The loss and what comes back must be as clear as the claim, at each confidence."""
    claim = next(claim for claim in claims.load() if claim.id == "L1")
    lost, kept = (
        judge.p_value(claim, bound(simulated(np.random.default_rng(5), own_recovery(0.8, before), replicates=6)))
        for before in (0.1, 0.77)
    )
    assert lost < 0.01 < 0.05 < kept


def test_a_gain_that_is_surely_negligible_is_not_reproduced():
    claim = next(claim for claim in claims.load() if claim.id == "L3")
    verdicts = [
        judge.verdict(claim, Finding(statistics.Interval(0, low, high, 0.1, 6), []))[0]
        for low, high in ((-0.03, 0.04), (-0.03, 0.06), (0.01, 0.2))
    ]
    assert verdicts == ["not reproduced", "inconclusive", "reproduced"]


def test_skipped_layers_are_no_replicates_of_a_pruning_setting():
    evaluations = simulated(np.random.default_rng(1), skips(0.1, 0.2) | {"cut": {**BLOCK, "scores": {"calc": 0.4}}})
    assert set(judged("L11", evaluations)) == {"L11", "L11/rl-grpo-pear/block-influence/0.25"}
    rows = judged("L5", evaluations)
    assert list(rows) == ["L5", "L5/rl-grpo-pear"]
    assert rows["L5"]["command"].endswith("results/evals/skip1-1"), "nothing works without the first layer"


def test_the_ends_may_repeat_and_pruned_models_stand_below():
    models = repeated(0.0, 0.0) | {"cut": {**BLOCK, "scores": {("calc", f"rep-{n}"): 0.4 for n in (2, 3, 4)}}}
    rows = judged("L6", simulated(np.random.default_rng(3), models, replicates=6))
    assert {name: row["verdict"] for name, row in rows.items()} == {
        "L6": "reproduced",
        "L6/rl-grpo-pear/one layer": "on the paper's side",
        "L6/rl-grpo-pear/block-influence/0.25": "on the other side",
    }
    del models["skip0"], models["skip1"], models["skip2"], models["skip3"]
    rows = judged("L6", simulated(np.random.default_rng(3), models, replicates=6))
    assert rows["L6"]["ours"] == rows["L6/rl-grpo-pear/block-influence/0.25"]["ours"] == pytest.approx(0.3, abs=0.02)


def test_claims_on_one_size_of_recovery_data_take_the_largest():
    models = longer(0.1, 0.3, 0.7) | {"cut": {**BLOCK, "scores": {"fact": 0.1, "cmp": 0.1}}}
    for name in ("own100", "own200", "own400"):
        models[name]["scores"] |= {"fact": 0.1 if name != "own400" else 0.8, "cmp": 0.1 if name != "own400" else 0.8}
    row = judged("L1", simulated(np.random.default_rng(4), models, replicates=6))["L1"]
    assert (row["ours"], row["n"]) == (pytest.approx(1.0, abs=0.08), 6)


def test_a_matched_question_is_one_question_however_it_is_scored():
    """Where facts alone are scored, both ways, the gaps are one and the same, and so is what each question says."""
    settings = {"generation": ["fact-written"], "classification": ["fact"]}
    evaluations = simulated(np.random.default_rng(5), both_ways(0.1, 0.7, 0.3))
    row = rows_of("L13", PrunedStudy(evaluations, Report.model_validate(SETTINGS | settings)))["L13"]
    assert (row["ours"], row["low"], row["high"]) == pytest.approx((0, 0, 0), abs=1e-12)
    study = bound(evaluations)
    (cell,) = study.cells("none")
    assert cell.models == ("cut-1", "cut-2", "cut-3")
    families, protocol = (gap.influence for gap in measures.protocol_gaps(study, cell).values())
    assert families.shape == (3, 3 * 60)  # calc, fact and cmp
    assert protocol.shape == (3, 60)
    assert families.sum() == pytest.approx(0, abs=1e-9)


def test_the_gap_beyond_protocol_is_the_difference_of_four_retentions():
    evaluations = simulated(np.random.default_rng(6), both_ways(0.2, 0.7, 0.5))
    mean = evaluations.scores.groupby([evaluations.scores["model"].str.startswith("cut"), "task"])["value"].mean()

    def kept(*tasks):
        return sum(mean[True, task] for task in tasks) / sum(mean[False, task] for task in tasks)

    expected = (kept("fact", "cmp") - kept("calc")) - (kept("fact") - kept("fact-written"))
    assert judged("L13", evaluations)["L13"]["ours"] == pytest.approx(expected)


def test_the_largest_size_of_several_effects_by_hand():
    """Two estimates of 0.02 and −0.1 from ten replicates: the ends of |estimate|, the larger's at its own level."""
    random = np.random.default_rng(7)
    near, far = random.normal(0.02, 0.01, (10, 40)), random.normal(-0.1, 0.01, (10, 40))
    estimates = [statistics.mean([near]), statistics.mean([far])]
    joined = statistics.largest_size_of(estimates, 0.95)
    own, strict = estimates[1].interval(0.95), estimates[1].interval(0.975)
    assert (joined.value, joined.low, joined.high) == pytest.approx((-own.value, -strict.high, -own.low))
    around_zero = statistics.largest_size_of([statistics.mean([random.normal(0, 1, (3, 40))])], 0.95)
    assert around_zero.low == 0 < around_zero.high
