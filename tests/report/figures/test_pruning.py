"""The figures on layer pruning."""

import numpy as np
import pandas
import pytest

from orchard.report.figures import sections
from orchard.report.figures.responses import DEGENERATION
from tests.helpers.simulated_pruning import BLOCK, base, bound, bracketed, longer, simulated, skips


def test_speed_up_is_that_of_the_phase_that_takes_the_time(folder):
    found = pandas.read_csv(folder / "speeds.csv").set_index(["family", "ratio"])["speed_up"]
    for (family, ratio), speed_up in {
        ("classification", 0.25): 2.0,
        ("classification", 0.375): 3.0,
        ("generation", 0.25): 1.2,
        ("generation", 0.375): 1.5,
    }.items():
        assert set(found.loc[family, ratio]) == {speed_up}


def test_figures_are_drawn_from_their_tables(tmp_path):
    models = bracketed(0.8, 0.6) | skips(0.1, 0.7, 0.6) | longer(0.1, 0.5, 0.52)
    del models["own"]  # its record has no number of tokens
    models |= {"wide": {**BLOCK, "ratio": 0.5, "scores": {"calc": 0.1, "fact-written": 0.2}}}
    for metric in DEGENERATION:
        models["base"]["scores"][("calc", metric)] = 0.3
    evaluations = simulated(np.random.default_rng(8), models, questions=12)
    drawn = {figure.name: figure for figure in sections.pruning_figures(bound(evaluations))}
    for name in ("tokens", "skips", "degeneration", "probes", "protocols"):
        drawn[name].save(tmp_path)
        assert "src=" not in drawn[name].inline_svg(tmp_path)
    skip, means = drawn["skips"].table.set_index(["layer", "task"]), evaluations.scores.groupby(["model", "task"])
    score = means["value"].mean()
    expected = np.mean([score[f"skip0-{n}", "step"] for n in (1, 2, 3)])
    expected /= np.mean([score[f"rl-grpo-pear-{n}", "step"] for n in (1, 2, 3)])
    assert skip.loc[(0, "step"), "retention"] == pytest.approx(expected)
    assert set(skip.index.get_level_values("task")) == {"calc", "fact", "cmp", "step"}
    form = drawn["degeneration"].table
    assert set(form["setting"]) == {"0.25", "0.5", "layer 0", "layer 1", "layer 2"}
    assert (form["change"].abs() < 0.1).all()
    assert drawn["tokens"].table["tokens"].unique().tolist() == [5000, 10000, 20000]
    assert drawn["probes"].table["when"].unique().tolist() == ["unpruned", "pruned", "recovered"]
    assert len(drawn["protocols"].table) == 4


def test_a_study_without_pruning_draws_none_of_it():
    study = bound(simulated(np.random.default_rng(0), base()))
    assert not any(len(figure.table) for figure in sections.pruning_figures(study))
