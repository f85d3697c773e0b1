"""The figures on what pruned models write."""

import pandas
import pytest

from orchard.report.figures import responses
from orchard.report.figures.figure import Figure


def test_kinds_of_error_are_shares_of_responses(folder):
    errors = pandas.read_csv(folder / "errors.csv", keep_default_na=False)
    kinds = ["right", "wrong answer"]
    assert errors[kinds].sum(axis=1).to_numpy() == pytest.approx(1, abs=1e-5)
    assert errors.loc[errors["task"] == "calc", "method"].iloc[0] == "none", "the unpruned models come first"
    results = pandas.read_csv(folder / "results.csv")
    scores = results[(results["metric"] == "pass@1") & (results["task"] == "calc")]
    for row in errors[(errors["task"] == "calc") & (errors["recovery"] == "self")].itertuples():
        same = scores[(scores["author"] == "self") & (scores["method"] == row.method)]
        same = same[(same["ratio"] == float(row.setting)) & same["of"].str.startswith(row.of)]
        assert len(same) == row.models
        assert row.right == pytest.approx(same["mean"].mean(), abs=1e-5)


def test_a_drawing_shows_as_many_kinds_as_there_are_colours(tmp_path):
    kinds = {"right": 0.3, **{f"{letter}Error": 0.1 for letter in "ABCDEFG"}}
    facts = {"of": "base $x^", "method": "greedy", "setting": "0.25", "recovery": "none", "task": "$\\frac{$ code"}
    figure = Figure("errors", "", "", pandas.DataFrame([facts | kinds | {"models": 3}]), responses.draw_errors)
    figure.save(tmp_path)
    legend = (tmp_path / "errors.svg").read_text()
    assert legend.count("<!-- right -->") == legend.count(f"<!-- {responses.OTHERS} -->") == 1
    assert sum(f"<!-- {kind} -->" in legend for kind in kinds) == responses.MOST_KINDS - 1
