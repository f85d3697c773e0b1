"""What tests the claims on PEAR that join several comparisons: a small function each, from evaluations to intervals.

All compare objectives that learnt from one policy's data, paired by base and seed, and by question where there are any.
"""

from itertools import combinations
from pathlib import Path

import numpy as np
import pandas

from orchard.report import statistics
from orchard.report.claims.finding import Finding, NotTestedError
from orchard.report.evaluations import Evaluations

FORMS = ("sequence", "block", "token")
STEP_TIMES = Path("measured/step_times.csv")  # measured apart: a time inside a stage would differ from run to run
MEASURE_STEP_TIMES = "python benchmarks/pear_step.py --model smollm2-shape --batch 4 --threads 2 --write"


def rank_reversal(evaluations: Evaluations, settings: dict) -> list[Finding]:
    """Claim P1: how far the pair that turned round most did so: A ahead of B before RL, and B ahead of A after it.

    For each pair of SFT objectives the intervals of A − B before RL and after it are joined (`statistics.reversal`), at
    a confidence that is Bonferroni-corrected for the number of pairs. The claim is that some pair turns round, so its
    interval is that of the largest: it is reproduced if one pair turned for sure, and not reproduced if every pair kept
    its order for sure.
    """
    pear = _named(settings)
    objectives = [name for name in objectives_of(evaluations, pear) if name in pear["reversal"]]
    if len(objectives) < 3:
        raise NotTestedError(
            f"{len(objectives)} objectives of report.pear.reversal before and after RL; it needs three"
        )
    pairs = [
        pair
        for pair in combinations(objectives, 2)
        if all(shared(evaluations, pear, *pair, stage) for stage in ("sft", "rl"))
    ]
    if not pairs:
        raise NotTestedError("no two objectives share a base and a seed")
    confidence = statistics.corrected(settings["confidence"], len(pairs))
    turns = sorted(
        (_turn(evaluations, pear, pair, confidence) for pair in pairs), key=lambda turn: -turn.interval.value
    )
    return [Finding(statistics.largest([turn.interval for turn in turns]), turns[0].models), *turns]


def forms_beat_baseline(evaluations: Evaluations, settings: dict) -> list[Finding]:
    """Claim P5: pass@1 after RL, each of PEAR's three forms minus the baseline; the smallest of the three."""
    pear = _named(settings)
    if len(pear["forms"]) < len(FORMS):
        raise NotTestedError(f"{len(pear['forms'])} of PEAR's three forms ({', '.join(FORMS)}) in report.pear.forms")
    return _all_of(evaluations, settings, {form: (form, pear["baseline"]) for form in pear["forms"]})


def drift_during_rl(evaluations: Evaluations, settings: dict) -> list[Finding]:
    """Claim P8: ‖theta_RL − theta_SFT‖ / ‖theta_SFT‖, treatment minus baseline, a t-interval over pairs."""
    pear = _named(settings)
    pairs = _pairs(evaluations, pear, pear["treatment"], pear["baseline"], "rl")
    values = np.array([drift(evaluations, ours) - drift(evaluations, theirs) for ours, theirs in pairs])
    return [Finding(statistics.over_replicates(values, settings["confidence"]), _models(pairs))]


def step_time(evaluations: Evaluations, settings: dict) -> list[Finding]:
    """Claim P9: the time of a step of PEAR over that of plain SFT, minus 1; the median over pairs of steps."""
    pear = _named(settings)
    _pairs(evaluations, pear, pear["treatment"], pear["baseline"], "sft")  # of no interest where neither was trained
    times = pandas.read_csv(STEP_TIMES)
    ratios = (times["pear_seconds"] / times["nll_seconds"]).to_numpy()
    found = statistics.median(ratios - 1, settings["confidence"])
    return [Finding(found, [], command=f"{MEASURE_STEP_TIMES} {STEP_TIMES}")]


def beats_controls(evaluations: Evaluations, settings: dict) -> list[Finding]:
    """Claim P10: pass@1 after RL, the treatment minus each control; the smallest of these advantages.

    To be reproduced, the treatment must beat every control: to beat one of them leaves the other as an explanation.
    """
    pear = _named(settings)
    if not pear["controls"]:
        raise NotTestedError("report.pear.controls is empty")
    return _all_of(evaluations, settings, {name: (pear["treatment"], name) for name in pear["controls"]})


def twins(evaluations: Evaluations, settings: dict) -> Finding | None:
    """The A/A check: pass@1 after RL of one objective by two names, the second minus the first; none where it is off.

    Their seeds differ, so the first replicate of one is set against the first of the other; questions are paired.
    """
    pear = settings["pear"]
    if not (pear and pear["twins"]):
        return None
    sides = [evaluations.select(objective=pear["twins"][name], **where(pear, "rl")) for name in ("other", "one")]
    pairs = list(zip(*sides, strict=False))
    return _paired(evaluations, pear["task"], pairs, settings["confidence"]) if pairs else None


def objectives_of(evaluations: Evaluations, pear: dict) -> list[str]:
    """The objectives that were scored on the task before RL and after it, in order of name."""
    before, after = (
        {
            evaluations.facts[name]["objective"]
            for name in evaluations.select(**where(pear, stage))
            if evaluations.has(name, pear["task"], "pass@1")
        }
        for stage in ("sft", "rl")
    )
    return sorted(before & after)


def difference(
    evaluations: Evaluations,
    pear: dict,
    ours: str,
    theirs: str,
    confidence: float,
    *,
    stage: str = "rl",
    metric: str = "pass@1",
    together: int = 1,
) -> Finding:
    """The mean difference of two objectives on the task, over pairs of models and questions.

    Args:
        evaluations: the study's evaluations.
        pear: task, data and recipe: where the objectives are compared.
        ours: the objective whose advantage is positive.
        theirs: the other.
        confidence: of the interval.
        stage: rl for after RL, sft for before.
        metric: pass@k.
        together: of how many differences at once ``could_have_seen`` speaks.

    Raises:
        NotTestedError: there is no pair of models, or one was not scored so.
    """
    pairs = _pairs(evaluations, pear, ours, theirs, stage)
    return _paired(evaluations, pear["task"], pairs, confidence, metric, together)


def shared(evaluations: Evaluations, pear: dict, ours: str, theirs: str, stage: str) -> list[tuple[str, str]]:
    """The pairs of models of two objectives that have the base and the seed in common."""
    by_objective = [
        {
            (evaluations.facts[name]["base"], evaluations.facts[name]["seed"]): name
            for name in evaluations.select(objective=objective, **where(pear, stage))
        }
        for objective in (ours, theirs)
    ]
    return [(by_objective[0][key], by_objective[1][key]) for key in sorted(by_objective[0].keys() & by_objective[1])]


def where(pear: dict, stage: str) -> dict:
    """The facts of the models that PEAR's claims compare: before RL (sft) or after it (rl)."""
    return {"stage": stage, "data": pear["data"]} | ({"recipe": pear["recipe"]} if stage == "rl" else {})


def drift(evaluations: Evaluations, model: str) -> float:
    """How far RL moved a model's parameters, as a share of their norm before it."""
    return evaluations.records[model]["drift"]["relative"]


def _turn(evaluations: Evaluations, pear: dict, pair: tuple[str, str], confidence: float) -> Finding:
    before, after = (
        difference(evaluations, pear, *pair, confidence, stage=stage, together=2) for stage in ("sft", "rl")
    )
    return Finding(statistics.reversal(before.interval, after.interval), after.models + before.models, pair)


def _all_of(evaluations: Evaluations, settings: dict, arms: dict[str, tuple[str, str]]) -> list[Finding]:
    """The smallest of several differences after RL, then each by its name, the smallest first."""
    pear, confidence = settings["pear"], settings["confidence"]
    each = {name: difference(evaluations, pear, *pair, confidence) for name, pair in arms.items()}
    together = [difference(evaluations, pear, *pair, confidence, together=len(arms)) for pair in arms.values()]
    stricter = statistics.corrected(confidence, len(arms))
    strictly = [difference(evaluations, pear, *pair, stricter) for pair in arms.values()]
    joined = statistics.smallest([one.interval for one in together], [one.interval for one in strictly])
    ordered = sorted(each, key=lambda name: each[name].interval.value)
    rows = [Finding(each[name].interval, each[name].models, (name,)) for name in ordered]
    return [Finding(joined, rows[0].models), *rows]


def _pairs(evaluations: Evaluations, pear: dict, ours: str, theirs: str, stage: str) -> list[tuple[str, str]]:
    if pairs := shared(evaluations, pear, ours, theirs, stage):
        return pairs
    raise NotTestedError(f"no seed has both {ours} and {theirs} {'after' if stage == 'rl' else 'before'} RL")


def _paired(
    evaluations: Evaluations,
    task: str,
    pairs: list[tuple[str, str]],
    confidence: float,
    metric: str = "pass@1",
    together: int = 1,
) -> Finding:
    """The mean difference over pairs of models and questions."""
    if not all(evaluations.has(name, task, metric) for name in _models(pairs)):
        raise NotTestedError(f"not every model has {metric} on {task}")
    own, other = (evaluations.values(list(names), task, metric) for names in zip(*pairs, strict=True))
    found = statistics.interval(*statistics.mean([own - other]), confidence, together)
    return Finding(found, _models(pairs))


def _models(pairs: list[tuple[str, str]]) -> list[str]:
    return [name for names in zip(*pairs, strict=True) for name in names]


def _named(settings: dict) -> dict:
    if not settings["pear"]:
        raise NotTestedError("report.pear is null")
    return settings["pear"]
