"""The figures on the whole report."""

from itertools import pairwise

import pandas
import pytest

from orchard.report.figures import overview
from tests.helpers.planted import evaluations_of, report, write_lock, write_study


def test_the_stages_are_drawn_from_the_trails(tmp_path):
    root = write_study(tmp_path, skip=("rl", "prune", "recover"))
    write_lock(root)
    folder = report(root)
    table = pandas.read_csv(folder / "stages.csv", keep_default_na=False).set_index("family")
    models = len(evaluations_of(root).facts)
    assert table["stages"].to_dict() == {"generate": 1, "model": models, "evaluate": models, "report": 1}
    assert table.loc["model", "reads_of"] == "generate"
    page = (folder / "index.html").read_text()
    assert "The stages behind this report" in page
    assert page.count("<b>model@sft-nll-1</b>") == 1


def test_a_claim_is_drawn_on_the_papers_side_of_its_threshold(folder, judged):
    drawn = pandas.read_csv(folder / "claims-at-a-glance.csv").set_index("claim")
    tested = judged["ours"].notna() & (judged["verdict"] != "measured")  # P9 is a benchmark, and tests nothing
    assert list(drawn.index) == [name for name in judged.index[tested] if "/" not in name]
    for name, sign, threshold in (("P2", 1, -0.02), ("L5", -1, 0.5), ("L1", 1, 0.8)):
        ends = sorted(100 * sign * (judged.loc[name, end] - threshold) for end in ("low", "high"))
        assert drawn.loc[name, ["low", "high"]].tolist() == pytest.approx(ends, abs=1e-3)
        assert drawn.loc[name, "verdict"] == judged.loc[name, "verdict"]
    clear = {"reproduced": drawn["low"] > 0, "not reproduced": drawn["high"] < 0}
    for verdict, holds in clear.items():
        assert holds[drawn["verdict"] == verdict].all()


def test_arrows_that_a_longer_way_has_are_left_out():
    trails = {
        "m": [
            {"stage": "generate@a", "after": []},
            {"stage": "base@b", "after": ["generate@a"]},
            {"stage": "prune@c", "after": ["generate@a", "base@b"]},
            {"stage": "evaluate@c", "after": ["generate@a", "prune@c"]},
        ]
    }
    table = overview.stages(trails).table
    assert table["family"].tolist() == ["generate", "base", "prune", "evaluate", "report"]
    assert table["reads_of"].tolist() == ["", "generate", "base, generate", "generate, prune", "evaluate"]
    ways = ["generate", "base", "prune", "evaluate", "report"]
    assert overview.direct(table) == list(pairwise(ways))


def test_families_that_read_from_one_another_are_drawn_too():
    chain = ["generate@a", "behave@a", "sft@a", "behave@b", "sft@b", "evaluate@b"]
    steps = [{"stage": name, "after": chain[max(place - 1, 0) : place]} for place, name in enumerate(chain)]
    figure = overview.stages({"m": steps})
    table = figure.table
    assert set(table["family"]) == {"generate", "behave", "sft", "evaluate", "report"}
    assert table["family"].tolist() == ["generate", "behave", "sft", "evaluate", "report"], "in the order of their work"
    assert ("evaluate", "report") in overview.direct(table)
    figure.draw(table)
