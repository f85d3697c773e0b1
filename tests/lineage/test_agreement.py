"""Whether the intervals of two runs hold."""

import numpy as np
import pandas
import pytest
from scipy.stats import t

from orchard.lineage import agreement, compare
from tests.helpers.project import ROOT


def run(random: np.random.Generator, claims: int, chains: int, first: int = 1) -> pandas.DataFrame:
    """A run's claims: truth n / 100, one number a chain of SD 0.1, and its t interval."""
    values = np.arange(claims)[:, None] / 100 + random.normal(0, 0.1, (claims, chains))
    mean, error = values.mean(axis=1), values.std(axis=1, ddof=1) / chains**0.5
    reach = t.ppf(0.975, chains - 1) * error
    table = pandas.DataFrame({"ours": mean, "low": mean - reach, "high": mean + reach, "n": chains})
    return table.assign(verdict="inconclusive", model=f"rl-{first}", id=[f"C{n}" for n in range(claims)]).set_index(
        "id"
    )


@pytest.mark.parametrize(("own", "other"), [(8, 8), (4, 12), (12, 4)])
def test_intervals_of_disjoint_chains_hold_each_other_as_often_as_expected(own, other):
    random = np.random.default_rng(own)
    rows = agreement.table(run(random, 4000, own), run(random, 4000, other, first=9))
    found = agreement.agreement(rows)
    assert rows["holds"].mean() == pytest.approx(rows["expected"].iloc[0], abs=0.02)
    assert rows["is_held"].mean() == pytest.approx(rows["expected_other"].iloc[0], abs=0.02)
    assert found.held == pytest.approx(found.expected, abs=0.015)


def test_the_share_to_expect_by_hand():
    assert agreement.expected_share(np.array([8]), np.array([8])) == pytest.approx(0.8616, abs=5e-4)
    assert agreement.expected_share(np.array([1000]), np.array([1000])) == pytest.approx(0.834, abs=1e-3)


def table(**rows: tuple) -> pandas.DataFrame:
    columns = ["verdict", "model", "ours", "low", "high", "n"]
    return pandas.DataFrame.from_dict(rows, orient="index", columns=columns).rename_axis("id")


OURS = table(
    P2=("reproduced", "rl-1", 0.1, 0.05, 0.15, 8),
    P9=("reproduced", None, 0.0, -0.1, 0.1, 30),
    L5=("inconclusive", "prune-1", 0.1, 0.0, 0.2, 1),
    L6=("not tested", None, np.nan, np.nan, np.nan, np.nan),
)


def test_what_rests_on_no_chain_or_on_one_pretrained_model_is_not_counted():
    assert list(agreement.table(OURS, OURS).index) == ["P2"]


def test_two_runs_that_are_the_same_are_told_in_a_line():
    assert agreement.lines(OURS, OURS) == ["3 of 3 estimates and their intervals are the same"]


def test_a_turned_verdict_and_common_chains_are_told():
    other = OURS.copy()
    other.loc["P2", ["verdict", "ours", "low", "high"]] = ["not reproduced", -0.1, -0.15, -0.05]
    lines = agreement.lines(OURS, other)
    assert lines[0] == "2 of 3 estimates and their intervals are the same"
    assert lines[1].startswith("of 1 claims, 0% of the intervals hold the other's estimate")
    assert "both rest on rl-1: with chains in common, runs agree more often than that" in lines
    assert lines[-1] == "P2: reproduced → not reproduced"
    text = agreement.markdown(OURS, other, ("one", "other"))
    assert "| P2 | +10.0 [+5.0, +15.0] | −10.0 [−15.0, −5.0] | no, no |" in text


def test_the_page_on_two_sets_of_chains_shows_what_was_published_of_both(monkeypatch):
    monkeypatch.chdir(ROOT)
    tables = [f"docs/{name}-chains/claims.csv" for name in ("first", "second")]
    published = compare.compare(*tables, as_markdown=True)
    assert published in (ROOT / "docs" / "second-chains.md").read_text()
