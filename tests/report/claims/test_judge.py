"""Verdicts and p-values, on a study with planted effects."""

from itertools import product

import numpy as np
import pandas
import pytest

from orchard.report.claims import claim as claims
from orchard.report.claims import judge
from orchard.report.claims.claim import Claim
from orchard.report.claims.finding import Finding
from orchard.report.claims.judge import COLUMNS
from orchard.report.pear_study import PearStudy
from orchard.report.statistics import Interval
from tests.helpers.planted import evaluations_of, report, studies_of, write_model, write_study


def test_claims_table_has_every_claim_once_and_its_columns(folder):
    judged = pandas.read_csv(folder / "claims.csv")
    assert list(judged.columns) == COLUMNS
    headlines = [name for name in judged["id"] if "/" not in name]
    assert headlines == [f"P{number}" for number in range(1, 11)] + [f"L{number}" for number in range(1, 14)]


def test_planted_effects_are_found(judged):
    assert judged.loc["P2", "verdict"].startswith("reproduced")
    assert judged.loc["P2", "n"] == 3
    assert judged.loc["P2", "ours"] == pytest.approx(0.23, abs=0.03)
    for name in ("P1", "P5", "P10"):
        assert judged.loc[name, "verdict"].startswith("reproduced")
        assert judged.loc[name, "n"] == 3
    assert judged.loc["P1", "ours"] == pytest.approx(0.28, abs=0.03)  # last-tokens: ahead by .28, then behind by .43
    assert judged.loc["P5", "ours"] == pytest.approx(0.16, abs=0.03)
    assert judged.loc["P8", "ours"] == pytest.approx(-0.01 + 0.001 * (1 + 4 + 9) / 3, abs=1e-6)
    assert judged.loc["P10", "ours"] == judged.loc["P10/nll-low", "ours"] == pytest.approx(0.18, abs=0.03)
    assert judged.loc["L11/base-tiny/block-influence/0.25", "ours"] == pytest.approx(0.35 - 0.9, abs=0.06)
    assert judged.loc["L3/rl-grpo-pear-token/block-influence/0.25", "ours"] == pytest.approx(0.2 * 0.83, abs=0.04)
    assert judged.loc["L1", "ours"] == pytest.approx(0.97, abs=0.04)
    assert judged.loc["L9", "reason"].startswith("no model was recovered on its own data both at a ratio of at most")
    assert (judged.loc["L5", "verdict"], judged.loc["L6", "verdict"]) == ("reproduced", "reproduced")
    assert judged.loc["L5", "ours"] == pytest.approx(0.1, abs=0.04)
    assert "prune-base-tiny-1-skip-2" in judged.loc["L5", "command"]
    assert judged.loc["L5", "model"] == "prune-base-tiny-1-skip-2"


def test_an_estimate_is_the_paired_difference(study, judged):
    scores = evaluations_of(study).scores
    calc = scores[(scores["task"] == "calc") & (scores["metric"] == "pass@1")].groupby("model")["value"].mean()
    pear, nll = (np.mean([calc[f"rl-grpo-{arm}-{seed}"] for seed in (1, 2, 3)]) for arm in ("pear-token", "nll"))
    assert judged.loc["P2", "ours"] == pytest.approx(pear - nll, abs=1e-6)


def test_equal_tokens_and_equal_steps_are_two_settings(tmp_path):
    root = write_study(tmp_path)
    for seed, (author, skill) in product((1, 2), {"open": 0.3, "self": 0.6}.items()):
        of = f"rl-grpo-pear-token-{seed}"
        facts = {"of": of, "method": "block-influence", "ratio": 0.25, "author": author, "seed": 1, "equal": "tokens"}
        write_model(root, f"recover-{of}-block-influence-0.25-{author}-tokens-1", skill, 0.9, stage="recover", **facts)
    judged = pandas.read_csv(report(root) / "claims.csv").set_index("id")
    setting = "L3/rl-grpo-pear-token/block-influence/0.25"
    assert judged.loc[f"{setting}/equal tokens", "ours"] == pytest.approx(0.3, abs=0.04)
    assert judged.loc["L3", "ours"] == judged.loc[setting, "ours"] == pytest.approx(0.2 * 0.83, abs=0.04)


def test_headline_is_block_influence_at_a_quarter_on_the_group_with_most_replicates(judged):
    numbers = ["ours", "low", "high", "n", "could_have_seen"]
    for name in ("L2", "L3", "L11"):
        assert list(judged.loc[name, numbers]) == list(
            judged.loc[f"{name}/rl-grpo-pear-token/block-influence/0.25", numbers]
        )
    assert judged.loc["L11", "n"] == 2


def test_one_chain_cannot_settle_a_training_claim(judged):
    own = judged.loc["L3/base-tiny/block-influence/0.25"]
    assert judge.in_words(own["verdict"], own["reason"]) == "inconclusive (one chain, one pretrained model)"
    assert judged.loc["L11/base-tiny/block-influence/0.25", "verdict"] == "on the paper's side"


@pytest.mark.parametrize(
    ("low", "high", "replicates", "training", "expected"),
    [
        (0.01, 0.05, 3, True, "reproduced"),
        (-0.05, -0.01, 3, True, "not reproduced"),
        (-0.01, 0.05, 3, True, "inconclusive"),
        (0.0, 0.05, 3, True, "inconclusive"),
        (0.01, 0.05, 1, True, "inconclusive (one chain)"),
        (-0.05, -0.01, 1, True, "inconclusive (one chain)"),
        (0.01, 0.05, 1, False, "reproduced"),
        (0.02, 0.02, 3, True, "inconclusive (no question tells the models apart)"),
        (float("nan"), float("nan"), 3, False, "inconclusive"),
    ],
)
def test_verdict(low, high, replicates, training, expected):
    claim = Claim("P0", "PEAR", "", "", direction="+", training=training)
    found = Interval((low + high) / 2, low, high, 0.1, replicates)
    assert judge.in_words(*judge.verdict(claim, Finding(found, []))) == expected
    mirrored = Claim("P0", "PEAR", "", "", direction="-", training=training)
    turned = Interval(-(low + high) / 2, -high, -low, 0.1, replicates)
    assert judge.in_words(*judge.verdict(mirrored, Finding(turned, []))) == expected


def test_a_verdict_holds_after_the_correction_or_says_that_it_does_not():
    rows = [
        ("P1", "reproduced", 0.05),
        ("P2", "reproduced", 0.051),
        ("P3", "not reproduced", 0.2),
        ("P4", "not reproduced", 0.001),
        ("P5", "inconclusive", 1.0),
        ("P9", "measured", float("nan")),
        ("L10", "not tested", float("nan")),
        ("P5/token", "on the paper's side", float("nan")),
    ]
    table = judge.corrected(pandas.DataFrame(rows, columns=["id", "verdict", "p_holm"]), 0.05)
    changed = {"P2": "reproduced, not after correction", "P3": "not reproduced, not after correction"}
    assert dict(zip(table["id"], table["verdict"], strict=True)) == {name: old for name, old, _ in rows} | changed
    assert set(table.loc[~table["id"].str.contains("/"), "verdict"]) == set(judge.VERDICTS)


def test_no_claim_is_reproduced_without_the_correction_and_no_setting_has_a_verdict(judged):
    is_own = ~judged.index.str.contains("/")
    holds = judged["verdict"].isin(["reproduced", "not reproduced"])
    weak = judged["verdict"].isin(judge.UNCORRECTED.values())
    assert (judged.loc[holds, "p_holm"] <= 0.05).all()
    assert (judged.loc[weak, "p_holm"] > 0.05).all()
    assert holds.any()
    assert weak.any()
    assert not (holds | weak)[~is_own].any()
    assert judged.loc["P9", "verdict"] == "measured"
    assert pandas.isna(judged.loc["P9", "p"])


def test_a_p_value_says_which_confidence_settles_a_claim(study):
    studies = studies_of(study)
    judged = judge.judge_all(*studies).set_index("id")
    own = judged[~judged.index.str.contains("/")]
    tested = own[~own["verdict"].isin([judge.NOT_TESTED, judge.MEASURED])]
    assert len(tested) > 8
    assert tested["p"].notna().all()
    assert judged["p"].count() == len(tested)
    for confidence in (0.5, 0.8, 0.9, 0.95, 0.99, 0.999):
        again = judge.judge_all(*(study.at(confidence) for study in studies)).set_index("id")
        for name, p in tested["p"].items():
            if abs(p / (1 - confidence) - 1) > 0.02:  # p has two digits
                settled = again.loc[name, "verdict"] != judge.INCONCLUSIVE
                assert settled == (p < 1 - confidence), (name, confidence, p)


def test_a_claim_that_no_confidence_settles_has_p_1(study):
    pear_study, _ = studies_of(study)
    claim = next(claim for claim in claims.load() if claim.id == "P2")
    same = pear_study.pear.model_copy(update={"treatment": pear_study.pear.baseline})  # the schema refuses it
    alike = PearStudy(pear_study.evaluations, pear_study.report.model_copy(update={"pear": same}))
    assert judge.judge(claim, alike)[0]["ours"] == 0
    assert judge.p_value(claim, alike) == 1


def test_p_values_are_corrected_for_their_number_as_holm_does():
    found = judge.holm(pandas.Series([0.01, 0.04, float("nan"), 0.03, 0.005, 0.9]))
    assert found.to_list() == pytest.approx([0.04, 0.09, float("nan"), 0.09, 0.025, 0.9], nan_ok=True)
    assert judge.holm(pandas.Series([0.4, 0.5, 0.9])).to_list() == pytest.approx([1.0, 1.0, 1.0])
