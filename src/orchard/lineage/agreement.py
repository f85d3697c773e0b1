"""Do the intervals of two runs hold? One run's estimates set against the other's 95 % intervals.

Where two runs rest on different chains, an interval that speaks of chains at large holds the other run's estimate about
as often as `expected_share` says.
"""

from typing import NamedTuple

import numpy as np
import pandas
from scipy.stats import t

NUMBERS = ["ours", "low", "high"]
CONFIDENCE = 0.95  # of the intervals, unless a study says otherwise


class Agreement(NamedTuple):
    """How well two runs agree on some claims or settings.

    Attributes:
        count: the rows that both runs tested on several chains.
        held: the share of their intervals, of both runs, that hold the other run's estimate.
        expected: the share to expect of disjoint sets of chains.
        z: the root mean square of the difference over its standard error; 1 where intervals are as long as they should.
    """

    count: int
    held: float
    expected: float
    z: float


def table(ours: pandas.DataFrame, theirs: pandas.DataFrame, confidence: float = CONFIDENCE) -> pandas.DataFrame:
    """The rows that both runs tested on two pretrained models or more, set against each other.

    Args:
        ours: the claims of one run by id, as claims.csv has them.
        theirs: of the other run.
        confidence: of the intervals of both.

    Returns:
        By id: the numbers of both (``_other``), whether each interval holds the other's estimate, the shares to expect,
        z, and whether the verdict is the same. A claim that rests on no chain has no row.
    """
    both = ours.join(theirs.add_suffix("_other"), how="inner")
    ends = [f"{name}{side}" for name in NUMBERS for side in ("", "_other")]
    both = both[both[ends].notna().all(axis=1) & both["model"].notna() & (both[["n", "n_other"]] > 1).all(axis=1)]
    quantile, quantile_other = (t.ppf((1 + confidence) / 2, both[n] - 1) for n in ("n", "n_other"))
    error = (both["high"] - both["low"]) / 2 / quantile
    error_other = (both["high_other"] - both["low_other"]) / 2 / quantile_other
    return both.assign(
        holds=both["ours_other"].between(both["low"], both["high"]),
        is_held=both["ours"].between(both["low_other"], both["high_other"]),
        expected=expected_share(both["n"], both["n_other"], confidence),
        expected_other=expected_share(both["n_other"], both["n"], confidence),
        z=(both["ours"] - both["ours_other"]) / np.hypot(error, error_other),
        is_same=both["verdict"] == both["verdict_other"],
    )


def expected_share(own: np.ndarray, other: np.ndarray, confidence: float = CONFIDENCE) -> np.ndarray:
    """How often a run's interval holds the estimate of another run on other chains, if both are as they should be.

    Their difference has the variance of both: with v the variance of a chain, v / n + v / m. So over the standard error
    of the first it is t with n − 1 degrees of freedom times sqrt(1 + n / m): with equal n sqrt(2), and 86 % at n = 8.
    Questions are the same in both runs and their noise too, so the share may be larger.

    Args:
        own: chains of the run whose interval it is.
        other: chains of the other.
        confidence: of the interval.
    """
    reach = t.ppf((1 + confidence) / 2, own - 1) / np.sqrt(1 + own / other)
    return 2 * t.cdf(reach, own - 1) - 1


def agreement(rows: pandas.DataFrame) -> Agreement | None:
    """The agreement over some rows of `table`; None of no rows."""
    if rows.empty:
        return None
    held = rows[["holds", "is_held"]].to_numpy().mean()
    expected = rows[["expected", "expected_other"]].to_numpy().mean()
    z = rows["z"][np.isfinite(rows["z"])].to_numpy()
    return Agreement(len(rows), float(held), float(expected), float(np.sqrt(np.square(z).mean())) if len(z) else 0.0)


def lines(ours: pandas.DataFrame, theirs: pandas.DataFrame) -> list[str]:
    """What is said of two runs in a few lines: how many numbers are the same, and whether intervals hold."""
    both = ours.join(theirs.add_suffix("_other"), how="inner")
    tested = both[both[["ours", "ours_other"]].notna().all(axis=1)]
    same = np.all([_alike(tested[name], tested[f"{name}_other"]) for name in NUMBERS], axis=0).sum()
    found = [f"{same} of {len(tested)} estimates and their intervals are the same"]
    rows = table(ours, theirs)
    if same == len(tested) or rows.empty:
        return found
    is_setting = rows.index.str.contains("/")
    for part, what in ((rows[~is_setting], "claims"), (rows[is_setting], "settings of claims")):
        if said := agreement(part):
            found.append(
                f"of {said.count} {what}, {said.held:.0%} of the intervals hold the other's estimate; of disjoint sets "
                f"of chains {said.expected:.0%} are expected; rms z {said.z:.2f}"
            )
    if common := sorted(set(rows.loc[rows["model"] == rows["model_other"], "model"])):
        found.append(f"both rest on {common[0]}: with chains in common, runs agree more often than that")
    return found + [f"{name}: {old} → {new}" for name, old, new in turned(rows)]


def turned(rows: pandas.DataFrame) -> list[tuple[str, str, str]]:
    """The claims whose verdict turned from reproduced to not reproduced, or back: id, old and new verdict."""
    ends = rows[rows.index.isin([name for name in rows.index if "/" not in name])]
    ends = ends[~ends["is_same"] & ends["verdict"].map(_side).mul(ends["verdict_other"].map(_side)).lt(0)]
    return list(zip(ends.index, ends["verdict"], ends["verdict_other"], strict=True))


def markdown(ours: pandas.DataFrame, theirs: pandas.DataFrame, names: tuple[str, str]) -> str:
    """Both runs side by side as a table in Markdown, claims and settings, with the lines of `lines` below."""
    head = ["claim", *names, "each holds the other", "z", "verdicts"]
    rows = [_cells(name, row) for name, row in table(ours, theirs).iterrows()]
    lined = [f"| {' | '.join(cells)} |" for cells in [head, ["---"] * len(head), *rows]]
    return "\n".join([*lined, "", *(f"- {line}" for line in lines(ours, theirs))])


def _cells(name: str, row: pandas.Series) -> list[str]:
    """A row of the Markdown table."""
    holds = f"{_word(row['holds'])}, {_word(row['is_held'])}"
    verdicts = " → ".join(dict.fromkeys([row["verdict"], row["verdict_other"]]))
    return [name, _interval(row, ""), _interval(row, "_other"), holds, f"{row['z']:+.1f}".replace("-", "−"), verdicts]


def _alike(one: pandas.Series, other: pandas.Series) -> pandas.Series:
    return (one == other) | (one.isna() & other.isna())


def _side(verdict: str) -> int:
    """1 for reproduced, with or without correction; −1 for not reproduced; 0 for what is open."""
    return -1 if verdict.startswith("not reproduced") else int(verdict.startswith("reproduced"))


def _interval(row: pandas.Series, side: str) -> str:
    value, low, high = (f"{100 * row[f'{name}{side}']:+.1f}".replace("-", "−") for name in NUMBERS)
    return f"{value} [{low}, {high}]"


def _word(holds: bool) -> str:
    return "yes" if holds else "no"
