"""The claims table: each claim of the papers, the paper's number, ours with its interval, and a verdict."""

import math
from dataclasses import replace

import numpy as np
import pandas

from orchard import paths
from orchard.report.bound_study import BoundStudy
from orchard.report.claims import claim as claims
from orchard.report.claims import pear, pruning
from orchard.report.claims.claim import Claim
from orchard.report.claims.finding import Finding, NotTestedError
from orchard.report.pear_study import PearStudy
from orchard.report.pruned_study import PrunedStudy
from orchard.report.statistics import Interval

COLUMNS = ["id", "verdict", "reason", "model", "paper", "ours", "low", "high", "next_low", "next_high", "n"]
COLUMNS += ["could_have_seen", "p", "p_holm", "command"]
TEXTS = ["reason", "model", "command"]  # empty where there is nothing to say
LEAST_P = 1e-9  # a smaller p-value is reported as this one: ours, nobody believes it
MEASURES = {"PEAR": pear, "LLP": pruning}
REPRODUCED, NOT_REPRODUCED, INCONCLUSIVE, NOT_TESTED = "reproduced", "not reproduced", "inconclusive", "not tested"
MEASURED = "measured"  # a number beside the claims, which tests none
UNCORRECTED = {each: f"{each}, not after correction" for each in (REPRODUCED, NOT_REPRODUCED)}
# A setting is one of many that could have been looked at, and corrected for none: it has a side, and no verdict.
SIDES = {REPRODUCED: "on the paper's side", NOT_REPRODUCED: "on the other side"}
VERDICTS = [REPRODUCED, UNCORRECTED[REPRODUCED], NOT_REPRODUCED, UNCORRECTED[NOT_REPRODUCED]]
VERDICTS += [INCONCLUSIVE, MEASURED, NOT_TESTED]  # of a claim, in the order in which they are told


def judge_all(pear_study: PearStudy, pruned_study: PrunedStudy) -> pandas.DataFrame:
    """Judges every claim.

    Returns:
        A row per claim, with the columns of COLUMNS. verdict is one of VERDICTS, of a setting one of SIDES in place of
        the first four. reason says why a claim is inconclusive or not tested, what is measured, or that the finding
        rests on one pretrained model; model is the first that it rests on; ours, low, high and could_have_seen are
        fractions (0.02 is two points); next_low and next_high are the ends of the prediction interval of one more
        chain, where it is known; n is the number of pretrained models (of P9, of pairs of steps); p and p_holm are
        `p_value` and `holm`, of a claim's own row. Where a claim has several settings, it is followed by a row for
        each: a pruning claim by ``<claim>/<group>/<method>/<ratio>``, the verdict's first; a claim on several
        objectives by ``<claim>/<objective>``, P1 by ``P1/<objective>/<objective>``.
    """
    studies = {"PEAR": pear_study, "LLP": pruned_study}
    rows = []
    for claim in claims.load():
        own = judge(claim, studies[claim.paper])
        own[0]["p"] = p_value(claim, studies[claim.paper])
        rows += own
    table = pandas.DataFrame(rows, columns=COLUMNS).astype({"n": "Int64"})
    return corrected(table.assign(p_holm=holm(table["p"])), 1 - pear_study.confidence)


def corrected(table: pandas.DataFrame, alpha: float) -> pandas.DataFrame:
    """The claims with verdicts that say whether they hold after Holm's correction for the number of claims tested."""
    is_weak = table["verdict"].isin(UNCORRECTED) & (table["p_holm"] > alpha)
    return table.assign(verdict=table["verdict"].mask(is_weak, table["verdict"].map(UNCORRECTED)))


def judge(claim: Claim, study: BoundStudy) -> list[dict]:
    """The rows of one claim: its own, with the verdict of this claim alone, then those of its settings."""
    measure = claim.compare.findings if claim.compare else getattr(MEASURES[claim.paper], claim.measure)
    try:
        return [_row(claim, finding, study) for finding in measure(study)]
    except NotTestedError as missing:
        return [{"id": claim.id, "verdict": NOT_TESTED, "reason": str(missing), "paper": claim.number}]


def p_value(claim: Claim, study: BoundStudy) -> float:
    """The smallest alpha whose interval, of confidence 1 − alpha, settles the claim either way; to two digits.

    It is found by bisection, asking the measure at other confidences, so it holds for whatever intervals a measure
    joins. It is 1 where no confidence settles the claim, which counts in the family all the same, and not a number
    where the claim is not tested, or a number stands beside it that tests nothing.
    """

    def settled(alpha: float) -> bool:
        return judge(claim, study.at(1 - alpha))[0]["verdict"] in (REPRODUCED, NOT_REPRODUCED)

    if judge(claim, study)[0]["verdict"] in (NOT_TESTED, MEASURED):
        return math.nan
    if not settled(0.9999):  # of confidence 0.01 %: an interval of no length
        return 1.0
    if settled(LEAST_P):
        return LEAST_P
    low, high = math.log10(LEAST_P), 0.0
    while high - low > 0.004:
        middle = (low + high) / 2
        low, high = (low, middle) if settled(min(10**middle, 0.9999)) else (middle, high)
    return 10**high


def holm(p: pandas.Series) -> pandas.Series:
    """The p-values of a family of claims, so corrected that alpha bounds the probability of any mistake (Holm 1979).

    The i-th smallest of n is multiplied by n − i + 1, and none is smaller than one before it. Missing ones stay so.
    """
    ordered = p.dropna().sort_values()
    raised = ordered * np.arange(len(ordered), 0, -1)
    return raised.cummax().clip(upper=1.0).reindex(p.index)


def verdict(claim: Claim, finding: Finding) -> tuple[str, str]:
    """Reproduced or not where the interval leaves the claim's bounds out, else inconclusive; and a reason, if any.

    One chain settles no training claim.
    """
    found = finding.interval
    if finding.describes:
        return MEASURED, finding.describes
    if claim.training and found.replicates == 1:
        return INCONCLUSIVE, "one chain"
    if finding.unsettled:
        return INCONCLUSIVE, finding.unsettled
    if found.low == found.high:
        return INCONCLUSIVE, "no question tells the models apart"
    low, high = (found.low, found.high) if claim.sign > 0 else (-found.high, -found.low)
    if low > claim.shown_above:
        return REPRODUCED, ""
    if high < claim.refuted_below:
        return NOT_REPRODUCED, ""
    return INCONCLUSIVE, ""  # also where an end is not known


def in_words(verdict: str, reason: str) -> str:
    """A verdict with its reason in brackets."""
    return f"{verdict} ({reason})" if reason else verdict


def of_one_base(found: Interval) -> str:
    """What is told of a finding that rests on a single pretrained model: it speaks of that one."""
    return "one pretrained model" if found.replicates == 1 else f"{found.replicates} seeds of one pretrained model"


def _row(claim: Claim, finding: Finding, study: BoundStudy) -> dict:
    found, model = finding.interval, next(iter(finding.models), "")
    bases = len(study.evaluations.bases(finding.models))
    outcome, reason = verdict(claim, finding)
    outcome = SIDES.get(outcome, outcome) if finding.setting else outcome
    if bases == 1:  # its replicates are no independent chains, and say nothing of another one
        reason = ", ".join(filter(None, (reason, of_one_base(found))))
        found = replace(found, next_low=math.nan, next_high=math.nan)
    name = "/".join(map(str, (claim.id, *finding.setting)))
    command = (
        finding.command or f"snakemake --cores all {paths.REPORT} && orchard trace {study.evaluations.folder(model)}"
    )
    words = {"id": name, "verdict": outcome, "reason": reason, "model": model, "paper": claim.number}
    numbers = {"ours": found.value, "low": found.low, "high": found.high, "n": min(bases or math.inf, found.replicates)}
    numbers |= {"next_low": found.next_low, "next_high": found.next_high}
    return words | numbers | {"could_have_seen": found.could_have_seen, "command": command}
