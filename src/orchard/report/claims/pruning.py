"""What each claim on layer pruning is tested by: one small function per claim, from a study to findings.

A claim has a finding for each pruning setting; its verdict rests on that of `headline_first`.
"""

import math
from collections.abc import Iterator
from dataclasses import replace
from itertools import product

from orchard.report import statistics
from orchard.report.claims.finding import Finding, NotTestedError
from orchard.report.evaluations import SCORE
from orchard.report.pruned_study import FAMILIES, Cell, Models, PrunedStudy
from orchard.report.statistics import Estimate, Interval

HEADLINE_METHOD, HEADLINE_RATIO = "block-influence", 0.25  # LLP's setting; chosen before any result was seen
LOW_RATIO = 0.15  # L9: the paper's "at most 10-15 %"
USEFUL = 0.8  # of the unpruned score. Ours: what the paper calls recovered, where it recovers (L1)
# Ours: a model that writes chains of six steps is right in one of four at least, if it is right in so many steps (.8⁶).
# One that is not can do the step, but is asked in a form that it does not write.
CAN_STEP = 0.8
OF_ALL = "of all responses"
REPETITIONS = ("rep-2", "rep-3", "rep-4")


def classification_recovers(study: PrunedStudy) -> list[Finding]:
    """Claim L1: after self-generated recovery, retention of classification.

    What was not lost does not recover: the claim is open where pruning took nothing, or recovery brought nothing back,
    that the interval tells from zero. What was left before recovery stands below, setting by setting.
    """
    found, beside = [], []
    for cell in study.cells("self"):
        pruned, after = study.before(cell), study.retention(cell, "classification")
        if pruned and after and (before := study.retention(pruned, "classification")):
            found.append(replace(_finding(study, after, cell), unsettled=_not_recovered(study, before, after)))
            told = "retention after pruning, before recovery"
            beside.append(replace(_finding(study, before, cell, "before recovery"), describes=told))
    missing = "no model recovered on its own data has retention of classification"
    cells = [*study.cells("self"), *study.cells("none")]
    return headline_first(found, _because(missing, study, cells, study.report.classification)) + beside


def _not_recovered(study: PrunedStudy, before: Estimate, after: Estimate) -> str:
    """Why retention after recovery shows no recovery; empty where something was lost, and some of it came back."""
    if (1 - before).interval(study.confidence).low <= 0:
        return f"nothing was surely lost: retention {before.value:.2f} before recovery"
    if (after - before).interval(study.confidence).low <= 0:
        return f"nothing surely came back: retention {before.value:.2f} before recovery"
    return ""


def generation_recovers_less(study: PrunedStudy) -> list[Finding]:
    """Claim L2: after self-generated recovery, retention of generation minus that of classification."""
    return _retention_gaps(study, "self", "recovered on its own data")


def self_beats_open(study: PrunedStudy) -> list[Finding]:
    """Claim L3: pass@1 with self-generated minus with open recovery data, the same pruned model and seed.

    The verdict rests on equal prompts and steps, as in the paper. Rows for equal tokens stand below: self-generated
    responses differ in length from those of others.
    """
    found, below = (
        list(_advantages(study, [(cell, study.cell(theirs, cell.setting)) for cell in study.cells(ours)]))
        for ours, theirs in (("self", "open"), ("self, equal tokens", "open, equal tokens"))
    )
    below = [replace(each, setting=(*each.setting, "equal tokens")) for each in below]
    missing = "no pruned model was recovered on both self-generated and open data"
    cells = [*study.cells("self"), *study.cells("open")]
    return headline_first(found, _because(missing, study, cells, study.report.generation)) + below


def arithmetic_comes_back_in_part(study: PrunedStudy) -> list[Finding]:
    """Claim L4: accuracy on the probe, the smaller of what recovery brings back and of what it leaves missing.

    Recovered minus pruned, and unpruned minus recovered. That both are above zero (`statistics.smallest`) says that
    arithmetic fell, as the fall is their sum, that it came back, and that it did so only in part. The unpruned models
    must be able to: where they miss the probe often, it is asked in a form that they do not write, and what falls and
    does not come back is the form.
    """
    probe, found, unable = _asked(study, "probe"), [], []
    for cell in study.cells("self"):
        pruned, can = study.before(cell), study.unpruned_score(cell, probe)
        if can is not None and can < CAN_STEP:
            unable.append(f"{cell.setting.group} is right in {can:.2f} of {probe} before pruning, below {CAN_STEP:g}")
        elif pruned and can is not None and study.scored((*cell.models, *pruned.models), [probe]):
            back = study.difference(cell.models, pruned.models, (probe,))
            missing = 0 - study.changed(cell.models, (probe,))
            joined = statistics.smallest_of([back, missing], study.confidence)
            found.append(Finding(joined, cell.models, cell.setting))
    missing = f"no model was recovered on its own data and scored on {probe}"
    cells = [*study.cells("self"), *study.cells("none")]
    return headline_first(found, next(iter(unable), _because(missing, study, cells, [probe])))


def one_layer_is_enough(study: PrunedStudy) -> list[Finding]:
    """Claim L5: retention of generation of models that lack one layer, the smallest over all layers but the first.

    Without the first layer nothing works, classification neither, and the paper's own search keeps it.
    That some layer's is below the threshold takes Bonferroni's correction for the number of layers; that no layer's is,
    none (`statistics.smallest`).
    """
    found = []
    for group, layers in study.one_layer().items():
        tasks = study.reported_tasks(group, "generation")
        if any(layers) and all(study.scored(models, tasks) for layer, models in layers.items() if layer):
            kept = {models: study.retained(models, tasks) for layer, models in layers.items() if layer}
            joined = statistics.smallest_of(list(kept.values()), study.confidence)
            found.append(Finding(joined, min(kept, key=lambda models: kept[models].value), (group,)))
    missing = "no model with retention of generation lacks a single layer but the first"
    cells = [models for layers in study.one_layer().values() for models in layers.values()]
    return _first(found, _because(missing, study, cells, study.report.generation))


def repetition_stays(study: PrunedStudy) -> list[Finding]:
    """Claim L6: |rep-n minus that of the unpruned model|, mean over the generation tasks; the largest of all.

    Over n = 2, 3 and 4, as in the paper, and over the layers. An equivalence test (`statistics.largest_size_of`). The
    verdict rests on the models that lack one layer, without the first and the last, as the paper excepts 1 to 4 end
    layers; where there are none, on the pruned models, whose rows stand below in any case.
    """
    found = [
        Finding(*largest, (group, "one layer"))
        for group, layers in study.one_layer().items()
        if (largest := _most_repetition(study, list(layers.values())[1:-1]))
    ]
    pruned = [
        Finding(*largest, cell.setting)
        for cell in study.cells("none")
        if (largest := _most_repetition(study, [cell.models]))
    ]
    if found:
        return _first(found, "") + pruned
    missing = "no pruned model and its unpruned one have rep-2 to rep-4 on every generation task"
    lacking = _because(missing, study, study.cells("none"), study.report.generation, *REPETITIONS)
    return headline_first(pruned, lacking)


def _most_repetition(study: PrunedStudy, several: list[Models]) -> tuple[Interval, Models] | None:
    """The largest |change| of any rep-n of any of several pruned models, and those that changed most."""
    tasks = tuple(study.report.generation)
    if not several or not all(study.scored(models, tasks, metric) for models in several for metric in REPETITIONS):
        return None
    pairs = list(product(several, REPETITIONS))
    changes = [study.changed(models, tasks, metric) for models, metric in pairs]
    most, _ = max(zip(pairs, changes, strict=True), key=lambda pair: abs(pair[1].value))
    return statistics.largest_size_of(changes, study.confidence), most[0]


def brackets_are_lost(study: PrunedStudy) -> list[Finding]:
    """Claim L7: the share of the wrong responses that are wrong by unbalanced brackets, pruned minus unpruned.

    It is the paper's measure. Where brackets alone are wrong before pruning their share cannot grow, and the claim is
    not tested. Rows for the share of all responses stand below.
    """
    task, of_all, of_wrong = _asked(study, "brackets"), [], []
    for cell in study.cells("none"):
        if study.scored(cell.models, [task], "bracket-errors"):
            of_all.append(_finding(study, study.changed(cell.models, (task,), "bracket-errors"), cell, OF_ALL))
            if change := _change_of_share(study, cell, task):
                of_wrong.append(_finding(study, change, cell))
    missing = f"no pruned model and its unpruned one have brackets on {task}"
    missing = _because(missing, study, study.cells("none"), [task], "bracket-errors")
    if of_all:
        missing = f"unpruned models err on {task} by brackets alone, or never, so the share of these cannot grow"
    return headline_first(of_wrong, missing) + of_all


def _change_of_share(study: PrunedStudy, cell: Cell, task: str) -> Estimate | None:
    """The share of wrong responses that are wrong by brackets, pruned minus unpruned; None if it cannot grow.

    None also where no response is wrong.
    """
    shares = []
    for models in (cell.models, study.unpruned(cell.models)):
        wrong = 1 - study.scores(models, task, like=cell.models)
        if not wrong.any():
            return None
        unbalanced = study.scores(models, task, "bracket-errors", like=cell.models)
        shares.append(statistics.ratio([unbalanced], [wrong]))
    after, before = shares
    return None if before.interval(study.confidence).high >= 1 else after - before


def bracket_errors_persist(study: PrunedStudy) -> list[Finding]:
    """Claim L8: the share of all responses with unbalanced brackets, after self-generated recovery minus unpruned."""
    task = _asked(study, "brackets")
    found = [
        _finding(study, 0 - study.changed(cell.models, (task,), "balanced"), cell)
        for cell in study.cells("self")
        if study.scored(cell.models, [task], "balanced")
    ]
    missing = f"no model recovered on its own data has brackets on {task}"
    return headline_first(found, _because(missing, study, study.cells("self"), [task], "balanced"))


def recovery_needs_a_low_ratio(study: PrunedStudy) -> list[Finding]:
    """Claim L9: after self-generated recovery, chains are useful (USEFUL) at a low ratio, and at a higher one are not.

    The smallest of three effects (`statistics.smallest`), of one method, over the unpruned models and seeds that both
    ratios have: what recovery brings at the highest ratio up to LOW_RATIO, retention of generation there beyond USEFUL,
    and what is missing of USEFUL at a higher ratio, by which a setting is named.
    """
    found = []
    for low, high in _low_and_high(study):
        ends = study.shared(low, high)
        pruned = study.before(ends[0]) if ends[0].models else None
        kept = [study.retention(cell, "generation") for cell in (pruned, *ends) if cell and cell.models]
        if len(kept) == 3 and all(kept):
            before, after, above = kept
            joined = statistics.smallest_of([after - before, after - USEFUL, USEFUL - above], study.confidence)
            found.append(Finding(joined, [*ends[0].models, *ends[1].models], ends[1].setting))
    missing = f"no model was recovered on its own data both at a ratio of at most {LOW_RATIO:g} and at a higher one"
    return headline_first(found, _because(missing, study, study.cells("self"), study.report.generation))


def _low_and_high(study: PrunedStudy) -> Iterator[tuple[Cell, Cell]]:
    """For each method the cell of the highest ratio up to LOW_RATIO, with each of a higher ratio."""
    by_method: dict[tuple[str, str], list[Cell]] = {}
    for cell in study.cells("self"):  # in order of ratio
        by_method.setdefault((cell.setting.group, cell.setting.method), []).append(cell)
    for cells in by_method.values():
        low = [cell for cell in cells if cell.setting.ratio <= LOW_RATIO]
        yield from ((low[-1], cell) for cell in cells if low and cell.setting.ratio > LOW_RATIO)


def greedy_beats_reverse(study: PrunedStudy) -> list[Finding]:
    """Claim L10: pass@1 without recovery, layers dropped by greedy search minus in reverse order, at equal ratio."""
    pairs = [
        (cell, study.cell("none", cell.setting._replace(method="reverse")))
        for cell in study.cells("none")
        if cell.setting.method == "greedy"
    ]
    found = list(_advantages(study, pairs))
    missing = "no model was pruned both by greedy search and in reverse order"
    return headline_first(found, _because(missing, study, study.cells("none"), study.report.generation))


def generation_collapses(study: PrunedStudy) -> list[Finding]:
    """Claim L11: without recovery, retention of generation minus that of classification."""
    return _retention_gaps(study, "none", "pruned")


def longer_recovery_flattens(study: PrunedStudy) -> list[Finding]:
    """Claim L12, weak form: retention of generation over the logarithm of recovery's tokens flattens below 1.

    The smaller of two effects (`statistics.smallest`): what the largest set of self-generated data leaves missing, and
    how much less a doubling of tokens brings between the two largest sets than between the two smallest.
    """
    found = []
    for sizes in study.sizes("self"):
        cells = study.shared(*sizes) if len(sizes) > 2 else []
        kept = [study.retention(cell, "generation") for cell in cells if cell.models]
        if kept and all(kept):
            doublings = [math.log2(study.tokens(cell)) for cell in cells]
            missing = 1 - kept[-1]
            first, last = ((kept[end] - kept[end - 1]) / (doublings[end] - doublings[end - 1]) for end in (1, -1))
            joined = statistics.smallest_of([missing, first - last], study.confidence)
            found.append(Finding(joined, cells[-1].models, cells[-1].setting))
    missing = "no model was recovered on three sizes of its own data"
    return headline_first(found, _because(missing, study, study.cells("self"), study.report.generation))


def gap_beyond_protocol(study: PrunedStudy) -> list[Finding]:
    """Claim L13: the gap in retention between families of tasks minus that between ways of scoring the same items.

    The first is retention of classification minus retention of generation without recovery, as in L11. The second is
    retention of the matched items scored as multiple choice minus that of the same items scored as generation. Above
    zero, the gap is larger than the way of scoring alone makes it.
    """
    if not study.report.pruning.matched:
        raise NotTestedError("report.pruning.matched is empty")
    found = []
    for cell in study.cells("none"):
        if gaps := protocol_gaps(study, cell):
            families, protocol = gaps.values()
            found.append(_finding(study, families - protocol, cell))
    missing = "no pruned model has retention of both families and of items scored both ways"
    tasks = [task for pair in study.report.pruning.matched for task in (pair.choice, pair.generation)]
    return headline_first(found, _because(missing, study, study.cells("none"), [*_of_families(study), *tasks]))


def protocol_gaps(study: PrunedStudy, cell: Cell) -> dict[str, Estimate] | None:
    """The two gaps in retention of L13, by name.

    A question that two tasks of a matched pair ask is one question, so that the two gaps can be set against each other.
    None where a family or a matched pair has no task clearly above chance before pruning.
    """
    group, matched = cell.setting.group, study.report.pruning.matched
    pairs = [
        pair
        for pair in matched
        if study.above_chance(group, pair.choice) and study.above_chance(group, pair.generation)
    ]
    generation, classification = (study.reported_tasks(group, family) for family in FAMILIES)
    both_ways = [task for pair in pairs for task in (pair.choice, pair.generation)]
    if not all(study.scored(cell.models, tasks) for tasks in (both_ways, generation, classification)):
        return None
    asked_as = {pair.generation: pair.choice for pair in matched}

    def gap(choice: tuple[str, ...], written: tuple[str, ...]) -> Estimate:
        kept = (study.retained(cell.models, choice), study.retained(cell.models, written))
        as_choice, as_generation = (_renamed(each, asked_as) for each in kept)
        return as_choice - as_generation

    return {
        "different tasks": gap(classification, generation),
        "the same items": gap(tuple(pair.choice for pair in pairs), tuple(pair.generation for pair in pairs)),
    }


def _renamed(estimate: Estimate, tasks: dict[str, str]) -> Estimate:
    """The same estimate with its questions under other tasks' names."""
    return replace(estimate, questions=tuple((tasks.get(task, task), item) for task, item in estimate.questions))


def headline_first(findings: list[Finding], missing: str) -> list[Finding]:
    """The findings, first the one that the verdict rests on: Block Influence, ratio nearest 0.25, most replicates.

    Raises:
        NotTestedError: there is none; this is what is missing.
    """

    def rank(finding: Finding) -> tuple:
        group, method, ratio = finding.setting
        return method != HEADLINE_METHOD, abs(ratio - HEADLINE_RATIO), -finding.interval.replicates, group

    if findings:
        first = min(findings, key=rank)
        findings = [first, *(finding for finding in findings if finding is not first)]
    return _first(findings, missing)


def _first(findings: list[Finding], missing: str) -> list[Finding]:
    """The findings, the verdict resting on the first."""
    if not findings:
        raise NotTestedError(missing)
    return [replace(findings[0], setting=()), *findings]


def _retention_gaps(study: PrunedStudy, recovery: str, how: str) -> list[Finding]:
    """Retention of generation minus that of classification, of models after a recovery; how they were made in words."""
    found = []
    for cell in study.cells(recovery):
        generation, classification = (study.retention(cell, family) for family in FAMILIES)
        if generation and classification:
            found.append(_finding(study, generation - classification, cell))
    missing = f"no model {how} has retention of both generation and classification"
    return headline_first(found, _because(missing, study, study.cells(recovery), _of_families(study)))


def _advantages(study: PrunedStudy, pairs: list[tuple[Cell, Cell | None]]) -> Iterator[Finding]:
    """The score of a cell minus its counterpart's, mean over the generation tasks and the models that both have."""
    for cell, counterpart in pairs:
        tasks = study.reported_tasks(cell.setting.group, "generation")
        ours, theirs = study.shared(cell, counterpart) if counterpart and tasks else (None, None)
        if ours and ours.models and study.scored((*ours.models, *theirs.models), tasks):
            advantage = study.difference(ours.models, theirs.models, tasks)
            models = [name for pair in zip(ours.models, theirs.models, strict=True) for name in pair]
            yield Finding(advantage.interval(study.confidence), models, cell.setting)


def _because(missing: str, study: PrunedStudy, of: list[Cell | Models], tasks: list[str], *metrics: str) -> str:
    """What is missing, and a score without which it is so: of some models or their unpruned ones, if one has none."""
    models = [name for each in of for name in (each.models if isinstance(each, Cell) else each)]
    lacking = filter(None, (study.lacks(models, tasks, metric) for metric in metrics or [SCORE]))
    return ": ".join([missing, *list(lacking)[:1]])


def _of_families(study: PrunedStudy) -> list[str]:
    """The tasks of both families."""
    return [task for family in FAMILIES for task in getattr(study.report, family)]


def _finding(study: PrunedStudy, estimate: Estimate, cell: Cell, *more: str) -> Finding:
    return Finding(estimate.interval(study.confidence), cell.models, (*cell.setting, *more))


def _asked(study: PrunedStudy, key: str) -> str:
    """The value of a key of report.pruning that a claim needs."""
    if value := getattr(study.report.pruning, key):
        return value
    raise NotTestedError(f"report.pruning.{key} is null")
