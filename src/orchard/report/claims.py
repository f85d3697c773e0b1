"""The claims table: each claim of the papers, the paper's number, ours with its interval, and a verdict."""

from dataclasses import dataclass
from pathlib import Path

import pandas
import yaml

from orchard.report import measures, measures_pear
from orchard.report.findings import Finding, NotTestedError
from orchard.report.rows import Evaluations
from orchard.report.statistics import Interval

COLUMNS = ["id", "verdict", "paper", "ours", "low", "high", "n", "could_have_seen", "command"]
MEASURES = {"PEAR": measures_pear, "LLP": measures}
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


def load() -> list[Claim]:
    """All claims of both papers."""
    return [Claim(**entry) for entry in yaml.safe_load(Path(__file__).with_name("claims.yaml").read_text())]


def judge_all(evaluations: Evaluations, settings: dict) -> pandas.DataFrame:
    """Judges every claim.

    Returns:
        A row a claim, with the columns of COLUMNS: ours, low, high and could_have_seen are fractions (0.02 is two
        points), n is the number of replicates. Where a claim has several settings, it is followed by a row for each: a
        pruning claim by ``<claim>/<group>/<method>/<ratio>``, the verdict's first; a claim on several objectives by
        ``<claim>/<objective>``, P1 by ``P1/<objective>/<objective>``.
    """
    rows = [row for claim in load() for row in judge(claim, evaluations, settings)]
    return pandas.DataFrame(rows, columns=COLUMNS).astype({"n": "Int64"})


def judge(claim: Claim, evaluations: Evaluations, settings: dict) -> list[dict]:
    """The rows of one claim."""
    try:
        findings = getattr(MEASURES[claim.paper], claim.measure)(evaluations, settings)
    except NotTestedError as reason:
        return [{"id": claim.id, "verdict": f"{NOT_TESTED} ({reason})", "paper": claim.number}]
    return [_row(claim, finding) for finding in findings]


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
