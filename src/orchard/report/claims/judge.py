"""The claims table: each claim of the papers, the paper's number, ours with its interval, and a verdict."""

import math
from dataclasses import dataclass, field, fields
from pathlib import Path

import numpy as np
import pandas
import yaml

from orchard.errors import UserError
from orchard.report.claims import pear as measures_pear
from orchard.report.claims import pruning as measures
from orchard.report.claims.comparison import Comparison
from orchard.report.claims.finding import Finding, NotTestedError
from orchard.report.evaluations import Evaluations
from orchard.report.statistics import Interval

COLUMNS = ["id", "verdict", "paper", "ours", "low", "high", "n", "could_have_seen", "p", "p_holm", "command"]
LEAST_P = 1e-9  # below it a p-value is told as this: ours, nobody believes a smaller one
MEASURES = {"PEAR": measures_pear, "LLP": measures}
NO_COMPARISON = {"how": "", "metric": "", "task": "", "rows": {}}
REPRODUCED, NOT_REPRODUCED, INCONCLUSIVE, NOT_TESTED = "reproduced", "not reproduced", "inconclusive", "not tested"


@dataclass(frozen=True)
class Claim:
    """A claim as claims.yaml states it; its comments say what the fields mean."""

    id: str
    paper: str
    statement: str
    number: str
    trust: str = ""
    measure: str = ""
    measured_as: str = ""
    direction: str = "+"
    threshold: float = 0.0
    training: bool = False
    compare: dict = field(default_factory=dict)

    def findings(self, evaluations: Evaluations, settings: dict) -> list[Finding]:
        """What the claim's comparison, or the function that it names, finds."""
        if self.compare:
            return Comparison(**self.compare).findings(evaluations, settings)
        return getattr(MEASURES[self.paper], self.measure)(evaluations, settings)


def load() -> list[Claim]:
    """All claims of both papers.

    Raises:
        UserError: an entry lacks a field or has one that claims do not have.
    """
    return [_read(entry) for entry in yaml.safe_load(Path(__file__).with_name("claims.yaml").read_text())]


def _read(entry: dict) -> Claim:
    try:
        Comparison(**entry.get("compare", NO_COMPARISON))
        return Claim(**entry)
    except TypeError as error:
        raise UserError(
            found=f"claims.yaml: {entry.get('id', 'a claim without id')}: {str(error).partition('() ')[2]}",
            rule=f"a claim has {', '.join(each.name for each in fields(Claim))}",
            why="what is misspelt would be left out in silence",
            fix="correct the entry; its neighbours show the form",
        ) from error


def judge_all(evaluations: Evaluations, settings: dict) -> pandas.DataFrame:
    """Judges every claim.

    Returns:
        A row a claim, with the columns of COLUMNS: ours, low, high and could_have_seen are fractions (0.02 is two
        points), n is the number of replicates, p and p_holm are `p_value` and `holm`, of a claim's own row. Where a
        claim has several settings, it is followed by a row for each: a pruning claim by
        ``<claim>/<group>/<method>/<ratio>``, the verdict's first; a claim on several objectives by
        ``<claim>/<objective>``, P1 by ``P1/<objective>/<objective>``.
    """
    rows = []
    for claim in load():
        found = judge(claim, evaluations, settings)
        found[0]["p"] = p_value(claim, evaluations, settings)
        rows += found
    table = pandas.DataFrame(rows, columns=COLUMNS).astype({"n": "Int64"})
    return table.assign(p_holm=holm(table["p"]))


def p_value(claim: Claim, evaluations: Evaluations, settings: dict) -> float:
    """The smallest alpha whose interval, of confidence 1 − alpha, settles the claim either way; to two digits.

    Found by asking the measure at other confidences, so it holds for whatever intervals a measure joins. It is 1 where
    no confidence settles the claim, which counts in the family all the same, and not a number where it is not tested.
    """

    def settled(alpha: float) -> bool:
        row = judge(claim, evaluations, settings | {"confidence": 1 - alpha})[0]
        return row["verdict"] in (REPRODUCED, NOT_REPRODUCED)

    low, high = math.log10(LEAST_P), 0.0
    if judge(claim, evaluations, settings)[0]["verdict"].startswith(NOT_TESTED):
        return math.nan
    if not settled(0.9999):  # of confidence 0.01 %: an interval of no length
        return 1.0
    if settled(LEAST_P):
        return LEAST_P
    while high - low > 0.004:
        middle = (low + high) / 2
        low, high = (low, middle) if settled(min(10**middle, 0.9999)) else (middle, high)
    return 10**high


def holm(p: pandas.Series) -> pandas.Series:
    """The p-values of a family of claims, so corrected that a chance of one mistake among all is kept (Holm 1979).

    The i-th smallest of n is multiplied by n − i + 1, and none is smaller than one before it. Missing ones stay so.
    """
    ordered = p.dropna().sort_values()
    raised = ordered * np.arange(len(ordered), 0, -1)
    return raised.cummax().clip(upper=1.0).reindex(p.index)


def judge(claim: Claim, evaluations: Evaluations, settings: dict) -> list[dict]:
    """The rows of one claim."""
    try:
        findings = claim.findings(evaluations, settings)
    except NotTestedError as reason:
        return [{"id": claim.id, "verdict": f"{NOT_TESTED} ({reason})", "paper": claim.number}]
    return [_row(claim, finding) for finding in findings]


def twins(evaluations: Evaluations, settings: dict) -> dict | None:
    """The A/A check (`measures_pear.twins`) as the page tells it; none where it is off.

    ``told`` says whether the interval leaves zero out, which it does by chance in 1 − confidence of studies at most.
    """
    if not (finding := measures_pear.twins(evaluations, settings)):
        return None
    found = finding.interval
    names = settings["pear"]["twins"]
    numbers = {"ours": found.value, "low": found.low, "high": found.high, "n": found.replicates}
    return names | numbers | {"could_have_seen": found.could_have_seen, "told": not found.low <= 0 <= found.high}


def verdict(claim: Claim, found: Interval) -> str:
    """Reproduced or not where the interval leaves the claim's threshold out, else inconclusive.

    One seed settles no training claim.
    """
    if claim.training and found.replicates == 1:
        return f"{INCONCLUSIVE} (one seed)"
    if found.low == found.high:
        return f"{INCONCLUSIVE} (no question tells the models apart)"
    above, below = found.low > claim.threshold, found.high < claim.threshold  # neither, where an end is not known
    if not (above or below):
        return INCONCLUSIVE
    return REPRODUCED if above == (claim.direction == "+") else NOT_REPRODUCED


def _row(claim: Claim, finding: Finding) -> dict:
    found = finding.interval
    trace = (
        f"snakemake --cores all results/report && python -m orchard trace results/evals/{(finding.models or [''])[0]}"
    )
    return {
        "id": "/".join(map(str, (claim.id, *finding.setting))),
        "verdict": verdict(claim, found),
        "paper": claim.number,
        "ours": found.value,
        "low": found.low,
        "high": found.high,
        "n": found.replicates,
        "could_have_seen": found.could_have_seen,
        "command": finding.command or trace,
    }
