"""The figures on what pruned models write."""

import pandas
import pytest


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
