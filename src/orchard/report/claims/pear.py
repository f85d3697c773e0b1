"""What tests the claims on PEAR that join several comparisons: a small function per claim, from a study to findings."""

from itertools import combinations

import pandas

from orchard import paths
from orchard.report import statistics
from orchard.report.claims.finding import Finding, NotTestedError
from orchard.report.pear_study import Pairs, PearStudy
from orchard.report.statistics import Estimate
from orchard.study.schema.report import Pear

FORMS = ("sequence", "block", "token")
MEASURE_STEP_TIMES = f"python benchmarks/pear_step.py --write {paths.STEP_TIMES} --model"


def rank_reversal(study: PearStudy) -> list[Finding]:
    """Claim P1: how far the pair that turned round most did so: A ahead of B before RL, and B ahead of A after it.

    For each pair of SFT objectives the intervals of A − B before RL and after it are joined (`statistics.reversal`), at
    a confidence that is Bonferroni-corrected for the number of pairs. The claim is that some pair turns round, so its
    interval is that of the largest: it is reproduced if one pair turned for sure, and not reproduced if every pair kept
    its order for sure.
    """
    wanted = _asked(study).reversal
    objectives = [name for name in _before_and_after(study) if name in wanted]
    if (count := len(objectives)) < 3:
        raise NotTestedError(f"{count} objectives of report.pear.reversal before and after RL; it needs three")
    pairs = [pair for pair in combinations(objectives, 2) if all(study.pairs(*pair, stage) for stage in ("sft", "rl"))]
    if not pairs:
        raise NotTestedError("no two objectives share a chain")
    corrected = study.at(statistics.corrected(study.confidence, len(pairs)))
    turns = sorted((_turn(corrected, *pair) for pair in pairs), key=lambda turn: -turn.interval.value)
    return [Finding(statistics.largest([turn.interval for turn in turns]), turns[0].models), *turns]


def forms_beat_baseline(study: PearStudy) -> list[Finding]:
    """Claim P5: pass@1 after RL, each of PEAR's three forms minus the baseline; the smallest of the three."""
    pear = _asked(study)
    if len(pear.forms) < len(FORMS):
        raise NotTestedError(f"{len(pear.forms)} of PEAR's three forms ({', '.join(FORMS)}) in report.pear.forms")
    return _all_of(study, {form: (form, pear.baseline) for form in pear.forms})


def drift_during_rl(study: PearStudy) -> list[Finding]:
    """Claim P8: ‖theta_RL − theta_SFT‖ / ‖theta_SFT‖, treatment minus baseline, a t-interval over replicates."""
    pear = _asked(study)
    pairs = _pairs(study, pear.treatment, pear.baseline, "rl")
    ours, theirs = (study.drift(names) for names in zip(*pairs, strict=True))
    return [Finding(statistics.over_replicates(ours - theirs, study.confidence), _models(pairs))]


def step_time(study: PearStudy) -> list[Finding]:
    """Claim P9: the time of a step of PEAR over that of plain SFT, minus 1; the median over pairs of steps.

    Times are not the same twice, so no stage measures them. They come from a benchmark of a base of this study; steps
    of one process are no replicates, so it is told beside the claims and tests none.
    """
    pear = _asked(study)
    pairs = _pairs(study, pear.treatment, pear.baseline, "sft")  # of no interest where neither was trained
    bases = sorted({study.evaluations.facts[name]["base"] for name in _models(pairs)})
    times = pandas.read_csv(paths.STEP_TIMES, dtype={"device": str, "commit": str})
    times = times[times["model"].isin(bases)]
    command = f"{MEASURE_STEP_TIMES} {paths.model(bases[0])}"
    if times.empty:
        raise NotTestedError(f"{paths.STEP_TIMES} has no steps of {bases[0]}: `{command}`")
    found = statistics.median((times["pear_seconds"] / times["nll_seconds"]).to_numpy() - 1, study.confidence)
    where = ", ".join(sorted(set(times["device"] + " at commit " + times["commit"])))
    return [Finding(found, [], command=command, describes=f"a benchmark, {where}")]


def beats_controls(study: PearStudy) -> list[Finding]:
    """Claim P10: pass@1 after RL, the treatment minus each control; the smallest of these advantages.

    To be reproduced, the treatment must beat every control: to beat one of them leaves the other as an explanation. So
    it meets plain SFT at each of its learning rates, and with them the best one, which nobody has to pick.
    """
    pear = _asked(study)
    if missing := missing_controls(pear):
        raise NotTestedError("; ".join(missing))
    return _all_of(study, {name: (pear.treatment, name) for _, name in pear.rivals()})


def missing_controls(pear: Pear) -> list[str]:
    """What the statement of P10 names and a config lacks."""
    found = []
    if len(pear.plain) < 2:
        found.append("no plain SFT at two learning rates: report.pear.plain")
    if not pear.controls.scale:
        found.append("no control for the loss's scale: report.pear.controls.scale")
    if not pear.controls.last_tokens:
        found.append("no control for the last tokens: report.pear.controls.last_tokens")
    return found


def twins(study: PearStudy) -> Finding | None:
    """The A/A check: pass@1 after RL of one objective by two names, the second minus the first; None where it is off.

    They start from the same base models and differ in draw alone; they are paired as the claims are.
    """
    if not (study.report.pear and study.report.pear.twins):
        return None
    names = study.report.pear.twins
    if not (pairs := study.pairs(names.other, names.one, "rl")):
        return None
    return Finding(_difference(study, pairs).interval(study.confidence), _models(pairs))


def _all_of(study: PearStudy, compared: dict[str, tuple[str, str]]) -> list[Finding]:
    """The smallest of several differences after RL, then each by its name, the smallest first."""
    pairs = {name: _pairs(study, *objectives, "rl") for name, objectives in compared.items()}
    estimates = {name: _difference(study, pairs[name]) for name in compared}
    ordered = sorted(compared, key=lambda name: estimates[name].value)
    joined = statistics.smallest_of(list(estimates.values()), study.confidence)
    each = [Finding(estimates[name].interval(study.confidence), _models(pairs[name]), (name,)) for name in ordered]
    return [Finding(joined, each[0].models), *each]


def _turn(study: PearStudy, ours: str, theirs: str) -> Finding:
    """How far the difference of two objectives turned round during RL."""
    before, after = (_pairs(study, ours, theirs, stage) for stage in ("sft", "rl"))
    intervals = [_difference(study, pairs).interval(study.confidence, together=2) for pairs in (before, after)]
    return Finding(statistics.reversal(*intervals), [*_models(after), *_models(before)], (ours, theirs))


def _before_and_after(study: PearStudy) -> list[str]:
    """The objectives that have models scored on the task before RL and after it, in order of name."""
    before, after = (
        {objective for objective, names in study.models(stage).items() if any(study.scored((name,)) for name in names)}
        for stage in ("sft", "rl")
    )
    return sorted(before & after)


def _asked(study: PearStudy) -> Pear:
    if not study.report.pear:
        raise NotTestedError("report.pear is null")
    return study.report.pear


def _pairs(study: PearStudy, ours: str, theirs: str, stage: str) -> Pairs:
    if pairs := study.pairs(ours, theirs, stage):
        return pairs
    raise NotTestedError(f"no chain has both {ours} and {theirs} {'after' if stage == 'rl' else 'before'} RL")


def _difference(study: PearStudy, pairs: Pairs) -> Estimate:
    if not study.scored(tuple(_models(pairs))):
        task = study.pear.task
        raise NotTestedError(f"not every model has {study.evaluations.named(task)} on {task}")
    return study.difference(pairs)


def _models(pairs: Pairs) -> list[str]:
    return [name for names in zip(*pairs, strict=True) for name in names]
