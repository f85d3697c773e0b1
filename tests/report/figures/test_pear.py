"""PEAR's figures."""

import numpy as np
import pandas
import pytest

from orchard.report.evaluations import Evaluations
from orchard.report.figures import pear
from tests.helpers.simulated_pear import bound, same, simulated


def test_figures_of_the_way_there_are_means_over_seeds(folder):
    curves = pandas.read_csv(folder / "curves.csv").set_index(["objective", "step"])
    assert curves.loc[("nll", 2), "reward"] == pytest.approx(0.6 * (1 - 0.7**2))
    assert curves.loc[("nll", 6), "length"] == pytest.approx(20 + 3.8 + 6 * (1 + 1 / 2 + 1 / 3) / 3)
    weights = pandas.read_csv(folder / "weights.csv").set_index(["objective", "when", "tenth"])
    assert set(weights.index.get_level_values("objective")) == {"pear-token", "pear-sequence", "pear-block"}
    assert weights.loc[("pear-token", "late", 10), "weight"] == pytest.approx(np.exp(-1.0), abs=1e-6)
    drift = pandas.read_csv(folder / "drift.csv").set_index("objective")
    assert drift.loc["nll", ["drift", "low", "high"]].tolist() == pytest.approx([0.04] * 3)


def test_doses_compare_with_the_best_plain_sft_of_each_data_set():
    """Two data sets with planted scores: on the second the matched rate is the better plain SFT."""
    random, parts = np.random.default_rng(4), []
    means = {"near": {"nll": 0.5, "matched": 0.4, "token": 0.55}, "far": {"nll": 0.3, "matched": 0.5, "token": 0.8}}
    for data, after in means.items():
        both = {(place, name): mean for name, mean in after.items() for place in ("before", "after")}
        part = simulated(random, both, seeds=6)
        renamed = {name: f"{data}-{name}" for name in part.facts}
        facts = {renamed[name]: own | {"data": data} for name, own in part.facts.items()}
        learnt = {"mean_log_ratio": -1.0 if data == "near" else -4.0}
        records = {renamed[name]: own | {"learnt": learnt} for name, own in part.records.items()}
        for own in records.values():  # the lead over plain SFT shrinks to nothing from the first step to the eighth
            lead = (after[own["objective"]] - after["nll"]) / 8
            own["curve"] = [{"step": n, "reward": 0.01 * own["seed"] + lead * (8 - n)} for n in range(1, 9)]
        parts.append((facts, records, part.scores.assign(model=part.scores["model"].map(renamed))))
    facts, records, scores = zip(*parts, strict=True)
    whole = Evaluations(facts[0] | facts[1], records[0] | records[1], pandas.concat(scores), {"calc": 0.0})
    study = bound(whole)
    doses = pear.doses(study)
    table = doses.table.set_index(["data", "objective"])
    assert list(dict.fromkeys(table.index.get_level_values("data"))) == ["near", "far"]
    assert table.loc[("near", "token"), ["plain", "mismatch"]].tolist() == ["nll", 1.0]
    assert table.loc[("far", "token"), ["plain", "mismatch"]].tolist() == ["matched", 4.0]
    assert table.loc[("far", "token"), "gain"] == pytest.approx(0.3, abs=0.08)
    assert table.loc[("far", "token"), "low"] > 0
    assert ("near", "nll") not in table.index
    doses.draw(doses.table)
    figure = pear.courses(study, doses.table)
    courses = figure.table.set_index(["data", "objective", "until_step"]).sort_index()
    leads = courses.loc[("near", "token"), "gain"]
    assert leads.index.tolist() == [2, 4, 6, 8]
    assert leads.tolist() == pytest.approx([0.05 * share / 8 for share in (6.5, 4.5, 2.5, 0.5)])
    assert courses.loc[("far", "token", 2), ["gain", "replicates"]].tolist() == pytest.approx([0.3 * 6.5 / 8, 6])
    figure.draw(figure.table)


def test_doses_need_several_data_sets():
    assert len(pear.doses(bound(simulated(np.random.default_rng(5), same()))).table) == 0
