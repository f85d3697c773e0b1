"""PEAR's measures, on evaluations with effects planted and with none."""

import numpy as np
import pandas
import pytest
from scipy.stats import t

from orchard import paths
from orchard.report import statistics
from orchard.report.claims import judge
from orchard.report.claims import pear as measures
from orchard.report.claims.finding import Finding, NotTestedError
from tests.helpers.judged import CLAIMS, rows_of
from tests.helpers.simulated_pear import PEAR, bound, same, simulated

REPETITIONS = 200


def judged(name, evaluations, **pear):
    """The rows of a claim by id."""
    return rows_of(name, bound(evaluations, **pear))


def verdicts(name, means, number=0, **options):
    return judged(name, simulated(np.random.default_rng(number), means, **options))[name]["verdict"]


THREE = ["nll", "token", "last"]
TURNED = {("before", "nll"): 0.9, ("before", "token"): 0.1, ("after", "nll"): 0.1, ("after", "token"): 0.9}


def test_rank_reversal_is_found_where_a_pair_turns():
    rows = judged("P1", simulated(np.random.default_rng(1), same(objectives=THREE) | TURNED, seeds=6))
    assert rows["P1"]["verdict"] == "reproduced"
    assert list(rows) == ["P1", "P1/nll/token", *list(rows)[2:]]
    assert len(rows) == 4
    assert rows["P1"]["ours"] == rows["P1/nll/token"]["ours"] == pytest.approx(0.8, abs=0.1)


def test_rank_reversal_is_not_reproduced_where_every_pair_keeps_its_order():
    kept = {(place, name): mean for place in ("before", "after") for name, mean in zip(THREE, (0, 1, 2), strict=True)}
    assert verdicts("P1", kept, seeds=6) == "not reproduced"


def test_rank_reversal_is_open_where_one_pair_may_have_turned():
    kept = {(place, name): mean for place in ("before", "after") for name, mean in zip(THREE, (0, 1, 1), strict=True)}
    assert verdicts("P1", kept, seeds=6) == "inconclusive"


NOTHING = same(objectives=THREE)
ONE_STAGE = NOTHING | {("before", name): float(place) for place, name in enumerate(THREE)}


@pytest.mark.parametrize("means", [NOTHING, ONE_STAGE], ids=["all alike", "all alike after RL alone"])
@pytest.mark.parametrize("seeds", [3, 6])
def test_rank_reversal_without_one_is_claimed_in_at_most_5_percent(means, seeds):
    """The second is the least favourable case: the order before RL is certain, that after it chance."""
    random = np.random.default_rng(seeds)
    found = [judged("P1", simulated(random, means, seeds, 20))["P1"]["verdict"] for _ in range(REPETITIONS)]
    assert found.count("reproduced") <= 0.05 * REPETITIONS
    assert found.count("not reproduced") <= 0.05 * REPETITIONS


def test_all_three_forms_beat_the_baseline_or_the_claim_is_open():
    forms = {("after", name): 0.9 for name in PEAR["forms"]}
    rows = judged("P5", simulated(np.random.default_rng(2), same() | forms))
    assert {row["verdict"] for row in rows.values()} == {"reproduced", "on the paper's side"}
    assert set(rows) == {"P5", "P5/token", "P5/sequence", "P5/block"}
    assert verdicts("P5", same() | forms | {("after", "block"): 0.5}) == "inconclusive"
    assert verdicts("P5", same() | forms | {("after", "block"): -0.5}) == "not reproduced"


def test_two_forms_are_not_three():
    with pytest.raises(NotTestedError, match="2 of PEAR's three forms"):
        measures.forms_beat_baseline(bound(simulated(np.random.default_rng(0), same()), forms=["token", "block"]))


def test_all_of_several_effects_are_claimed_in_at_most_5_percent_where_one_is_missing():
    random = np.random.default_rng(4)
    means = same(("after",), ["nll", "token", "sequence", "block"]) | {("after", "token"): 2.0, ("after", "block"): 2.0}
    found = [judged("P5", simulated(random, means, 3, 20))["P5"]["verdict"] for _ in range(REPETITIONS)]
    assert found.count("reproduced") <= 0.05 * REPETITIONS
    assert found.count("not reproduced") <= 0.05 * REPETITIONS


def test_the_treatment_beats_every_control_or_the_nearest_leaves_it_open():
    ahead = {("after", "token"): 0.9, ("after", "matched"): 0.6}
    rows = judged("P10", simulated(np.random.default_rng(3), same() | ahead))
    assert list(rows)[:2] == ["P10", "P10/matched"]
    assert set(rows) == {"P10", "P10/matched", "P10/nll", "P10/last"}
    assert rows["P10"]["verdict"] == "reproduced"
    assert rows["P10"]["ours"] == rows["P10/matched"]["ours"] == pytest.approx(0.3, abs=0.12)
    rows = judged(
        "P10", simulated(np.random.default_rng(3), same() | {("after", "token"): 0.9, ("after", "last"): 0.9})
    )
    assert (rows["P10"]["verdict"], rows["P10/matched"]["verdict"]) == ("inconclusive", "on the paper's side")


@pytest.mark.parametrize(
    ("pear", "missing"),
    [
        ({"plain": ["nll"]}, "no plain SFT at two learning rates: report.pear.plain"),
        ({"controls": {"last_tokens": "last"}}, "no control for the loss's scale: report.pear.controls.scale"),
        ({"controls": {"scale": "nll"}}, "no control for the last tokens: report.pear.controls.last_tokens"),
    ],
)
def test_a_gain_is_explained_away_by_nothing_only_where_every_control_that_is_named_is_there(pear, missing):
    far = same() | {("after", "token"): 5.0}
    assert verdicts("P10", far) == "reproduced"
    row = judged("P10", simulated(np.random.default_rng(0), far), **pear)["P10"]
    assert row["verdict"] == f"not tested ({missing})"


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [(-0.019, 0.03, "reproduced"), (-0.03, 0.03, "inconclusive"), (-0.05, -0.021, "not reproduced")],
)
@pytest.mark.parametrize("name", ["P2", "P3"])
def test_at_least_as_good_is_judged_with_a_margin_of_two_points(name, low, high, verdict):
    found = statistics.Interval((low + high) / 2, low, high, 0.1, 8)
    assert judge.verdict(CLAIMS[name], Finding(found, [])) == (verdict, "")


@pytest.mark.parametrize(
    ("name", "effect"),
    [("P6", {("after", "pear-kl"): 0.9}), ("P7", {("transfer", "token"): 0.9})],
)
def test_a_difference_is_found_where_planted_and_open_where_not(name, effect):
    nothing = same(("before", "after", "transfer"))
    assert verdicts(name, nothing | effect) == "reproduced"
    assert verdicts(name, nothing) == "inconclusive"


def test_transfer_is_measured_on_its_own_recipe_and_task():
    means = same(("after", "transfer")) | {("after", "token"): 5.0, ("transfer", "token"): 0.9}
    rows = judged("P7", simulated(np.random.default_rng(6), means))
    assert rows["P7"]["ours"] == pytest.approx(0.4, abs=0.1)
    assert "transfer-token-1" in rows["P7"]["command"]


@pytest.mark.parametrize(
    ("after", "verdict"), [(0.9, "reproduced"), (0.7, "inconclusive"), (0.5, "not reproduced"), (0.1, "not reproduced")]
)
def test_the_gain_on_games_is_that_of_rl_and_is_large_above_20_points(after, verdict):
    """Before RL the score is 0.5: the gains are 40, 20, 0 and −40 points."""
    means = same(("before", "after"), ["token"]) | {("after", "token"): after}
    row = judged("P4", simulated(np.random.default_rng(7), means, seeds=6, questions=200))["P4"]
    assert row["verdict"] == verdict
    assert row["ours"] == pytest.approx(after - 0.5, abs=0.06)


@pytest.fixture
def step_times(tmp_path, monkeypatch):
    """Writes the times of a benchmark of a model; returns the row of P9, of a study whose base is named base."""

    def write(model: str) -> dict:
        rows = [
            {"nll_seconds": seconds, "pear_seconds": seconds * ratio, "model": model, "device": "CPU", "commit": "1e5"}
            for seconds in range(1, 11)
            for ratio in (1.0, 1.01, 1.02)
        ]
        pandas.DataFrame(rows).to_csv(tmp_path / "times.csv")
        monkeypatch.setattr(paths, "STEP_TIMES", tmp_path / "times.csv")
        return judged("P9", simulated(np.random.default_rng(0), same(("before",))))["P9"]

    return write


def test_a_benchmark_stands_beside_the_claims_and_tests_none(step_times):
    row = step_times("base-1")
    assert (row["verdict"], row["n"]) == ("measured (a benchmark, CPU at commit 1e5)", 30)
    assert row["ours"] == pytest.approx(0.01)
    assert row["command"].startswith("python benchmarks/pear_step.py")
    assert np.isnan(judge.p_value(CLAIMS["P9"], bound(simulated(np.random.default_rng(0), same(("before",))))))


def test_step_times_of_another_model_say_nothing_of_this_study(step_times):
    verdict = step_times("smollm2-shape")["verdict"]
    assert verdict.startswith("not tested (")
    assert "has no steps of base-1: `python benchmarks/pear_step.py" in verdict


DRIFT = {"token": [0.010, 0.012, 0.011], "nll": [0.020, 0.021, 0.025]}


def test_drift_is_a_paired_t_interval_over_seeds():
    evaluations = simulated(np.random.default_rng(0), same(("after",), ["nll", "token"]), drift=DRIFT)
    row = judged("P8", evaluations)["P8"]
    # differences −.010, −.009, −.014: mean −.011, deviations .001, .002, −.003, variance .000014 / 2 = .000007
    half = t.ppf(0.975, 2) * (0.000007 / 3) ** 0.5
    assert (row["ours"], row["low"], row["high"]) == pytest.approx((-0.011, -0.011 - half, -0.011 + half))
    assert row["could_have_seen"] == pytest.approx(half + t.ppf(0.8, 2) * (0.000007 / 3) ** 0.5)
    assert (row["verdict"], row["n"]) == ("reproduced", 3)


def test_drift_that_does_not_differ_is_inconclusive():
    alike = {"token": [0.021, 0.020, 0.024], "nll": [0.020, 0.021, 0.025]}
    evaluations = simulated(np.random.default_rng(0), same(("after",), ["nll", "token"]), drift=alike)
    assert judged("P8", evaluations)["P8"]["verdict"] == "inconclusive"


@pytest.mark.parametrize("name", ["P1", "P5", "P6", "P7", "P10"])
def test_one_seed_settles_nothing(name):
    far = {("after", "token"): 5.0, ("after", "pear-kl"): 5.0, ("before", "nll"): 5.0, ("transfer", "token"): 5.0}
    means = same(("before", "after", "transfer")) | far
    assert verdicts(name, means, seeds=1) == "inconclusive (one chain, one pretrained model)"


@pytest.mark.parametrize(
    ("name", "pear", "reason"),
    [
        ("P6", {"distillation": None}, "report.pear.distillation is null"),
        ("P7", {"transfer": None}, "report.pear.transfer is null"),
        ("P4", {"games": None}, "report.pear.games is null"),
        (
            "P4",
            {"games": {"recipe": "none", "task": "calc"}},
            "no models to compare: stage rl, recipe none, data teacher, objective token "
            "and stage sft, data teacher, objective token",
        ),
        ("P7", {"transfer": {"recipe": "away", "task": "calc"}}, "not every model has pass@1 on calc"),
        ("P10", {"controls": PEAR["controls"] | {"others": ["dft"]}}, "no chain has both token and dft after RL"),
        ("P1", {"data": "other"}, "0 objectives of report.pear.reversal before and after RL; it needs three"),
    ],
)
def test_what_is_missing_is_said(name, pear, reason):
    evaluations = simulated(np.random.default_rng(0), same(("before", "after", "transfer")))
    assert judged(name, evaluations, **pear)[name]["verdict"] == f"not tested ({reason})"
