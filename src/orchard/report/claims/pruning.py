"""What each claim on layer pruning is tested by: one small function per claim, from a study to findings.

A claim has a finding for each pruning setting; its verdict rests on that of `headline_first`.
"""

import math
from collections.abc import Iterator
from dataclasses import replace

from orchard.report import statistics
from orchard.report.claims.finding import Finding, NotTestedError
from orchard.report.pruned_study import METRICS, Cell, PrunedStudy
from orchard.report.statistics import Estimate

HEADLINE_METHOD, HEADLINE_RATIO = "block-influence", 0.25  # LLP's setting; chosen before any result was seen


def classification_recovers(study: PrunedStudy) -> list[Finding]:
    """Claim L1: after self-generated recovery, retention of classification."""
    found = [
        _finding(study, kept, cell) for cell in study.cells("self") if (kept := study.retention(cell, "classification"))
    ]
    return headline_first(found, "no model recovered on its own data has retention of classification")


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
    return headline_first(found, "no pruned model was recovered on both self-generated and open data") + below


def arithmetic_comes_back_in_part(study: PrunedStudy) -> list[Finding]:
    """Claim L4: accuracy on the probe, the smaller of what recovery brings back and of what it leaves missing.

    Recovered minus pruned, and unpruned minus recovered. That both are above zero (`statistics.smallest`) says that
    arithmetic fell, as the fall is their sum, that it came back, and that it did so only in part.
    """
    probe, found = _asked(study, "probe"), []
    for cell in study.cells("self"):
        pruned = study.cell("none", cell.setting)
        if pruned and study.above_chance(cell.setting.group, probe, "acc"):
            before = dict(zip(study.unpruned(pruned.models), pruned.models, strict=True))
            counterparts = tuple(before[name] for name in study.unpruned(cell.models))
            back = study.difference(cell.models, counterparts, (probe,), "acc")
            missing = 0 - study.changed(cell.models, (probe,), "acc")
            joined = statistics.smallest_of([back, missing], study.confidence)
            found.append(Finding(joined, cell.models, cell.setting))
    return headline_first(found, f"no model recovered on its own data was above chance on {probe} before pruning")


def one_layer_is_enough(study: PrunedStudy) -> list[Finding]:
    """Claim L5: retention of generation of models that lack one layer, the smallest over all layers but the first.

    Without the first layer nothing works, classification neither, and the paper's own search keeps it.
    That some layer's is below the threshold takes Bonferroni's correction for the number of layers; that no layer's is,
    none (`statistics.smallest`).
    """
    found = []
    for group, layers in study.one_layer().items():
        tasks = study.reported_tasks(group, "generation")
        if tasks and any(layers):
            kept = {models: study.retained(models, tasks, "pass@1") for layer, models in layers.items() if layer}
            joined = statistics.smallest_of(list(kept.values()), study.confidence)
            found.append(Finding(joined, min(kept, key=lambda models: kept[models].value), (group,)))
    return _first(found, "no model with retention of generation lacks a single layer but the first")


def repetition_stays(study: PrunedStudy) -> list[Finding]:
    """Claim L6: |rep-4 minus that of the unpruned model|, mean over the generation tasks; the largest over the layers.

    An equivalence test (`statistics.largest_size_of`). The verdict rests on the models that lack one layer, without the
    first and the last, as the paper excepts 1 to 4 end layers; where there are none, on the pruned models, whose rows
    stand below in any case.
    """
    tasks, metric = tuple(study.report.generation), "rep-4"
    found = []
    for group, layers in study.one_layer().items():
        inner = list(layers.values())[1:-1]
        if inner and all(study.scored(models, tasks, metric) for models in inner):
            changes = {models: study.changed(models, tasks, metric) for models in inner}
            joined = statistics.largest_size_of(list(changes.values()), study.confidence)
            most = max(changes, key=lambda models: abs(changes[models].value))
            found.append(Finding(joined, most, (group, "one layer")))
    pruned = []
    for cell in study.cells("none"):
        if study.scored(cell.models, tasks, metric):
            size = statistics.largest_size_of([study.changed(cell.models, tasks, metric)], study.confidence)
            pruned.append(Finding(size, cell.models, cell.setting))
    if found:
        return _first(found, "") + pruned
    return headline_first(pruned, f"no pruned model and its unpruned one have {metric} on every generation task")


def brackets_are_lost(study: PrunedStudy) -> list[Finding]:
    """Claim L7: the share of responses that are wrong by unbalanced brackets, pruned minus unpruned.

    The verdict rests on the share of all responses. Rows for the paper's share of the wrong ones stand below, except
    where the unpruned share may be 100 %: it could not grow.
    """
    task, of_all, of_wrong = _asked(study, "brackets"), [], []
    for cell in study.cells("none"):
        if study.scored(cell.models, [task], "bracket-errors"):
            of_all.append(_finding(study, study.changed(cell.models, (task,), "bracket-errors"), cell))
            if change := _change_of_share(study, cell, task):
                of_wrong.append(_finding(study, change, cell, "of the wrong responses"))
    return headline_first(of_all, f"no pruned model and its unpruned one have brackets on {task}") + of_wrong


def _change_of_share(study: PrunedStudy, cell: Cell, task: str) -> Estimate | None:
    """The share of wrong responses that are wrong by brackets, pruned minus unpruned; None if it cannot grow.

    None also where no response is wrong.
    """
    shares = []
    for models in (cell.models, study.unpruned(cell.models)):
        wrong = 1 - study.scores(models, task, "pass@1", like=cell.models)
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
    return headline_first(found, f"no model recovered on its own data has brackets on {task}")


def recovery_needs_a_low_ratio(study: PrunedStudy) -> list[Finding]:
    """Claim L9: retention of generation after self-generated recovery, at the lowest ratio minus at the highest.

    Of one method, over the unpruned models and seeds that both have. A setting is named by the highest ratio.
    """
    by_method: dict[tuple[str, str], list[Cell]] = {}
    for cell in study.cells("self"):  # in order of ratio
        by_method.setdefault((cell.setting.group, cell.setting.method), []).append(cell)
    found = []
    for cells in by_method.values():
        ends = study.shared(cells[0], cells[-1]) if len(cells) > 1 else []
        kept = [study.retention(cell, "generation") for cell in ends if cell.models]
        if kept and all(kept):
            loss = (kept[0] - kept[1]).interval(study.confidence)
            found.append(Finding(loss, [*ends[0].models, *ends[1].models], ends[1].setting))
    return headline_first(found, "no model was recovered on its own data at several ratios")


def greedy_beats_reverse(study: PrunedStudy) -> list[Finding]:
    """Claim L10: pass@1 without recovery, layers dropped by greedy search minus in reverse order, at equal ratio."""
    pairs = [
        (cell, study.cell("none", cell.setting._replace(method="reverse")))
        for cell in study.cells("none")
        if cell.setting.method == "greedy"
    ]
    found = list(_advantages(study, pairs))
    return headline_first(found, "no model was pruned both by greedy search and in reverse order")


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
    return headline_first(found, "no model was recovered on three sizes of its own data")


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
    return headline_first(found, "no pruned model has retention of both families and of items scored both ways")


def protocol_gaps(study: PrunedStudy, cell: Cell) -> dict[str, Estimate] | None:
    """The two gaps in retention of L13, by name.

    A question that two tasks of a matched pair ask is one question, so that the two gaps can be set against each other.
    None where a family or a matched pair has no task clearly above chance before pruning.
    """
    group, matched = cell.setting.group, study.report.pruning.matched
    pairs = [
        pair
        for pair in matched
        if study.above_chance(group, pair.choice, "acc") and study.above_chance(group, pair.generation, "pass@1")
    ]
    generation, classification = (study.reported_tasks(group, family) for family in METRICS)
    if not (pairs and generation and classification):
        return None
    asked_as = {pair.generation: pair.choice for pair in matched}

    def gap(choice: tuple[str, ...], written: tuple[str, ...]) -> Estimate:
        kept = (study.retained(cell.models, choice, "acc"), study.retained(cell.models, written, "pass@1"))
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
    return [Finding(findings[0].interval, findings[0].models), *findings]


def _retention_gaps(study: PrunedStudy, recovery: str, how: str) -> list[Finding]:
    """Retention of generation minus that of classification, of models after a recovery; how they were made in words."""
    found = []
    for cell in study.cells(recovery):
        generation, classification = (study.retention(cell, family) for family in METRICS)
        if generation and classification:
            found.append(_finding(study, generation - classification, cell))
    return headline_first(found, f"no model {how} has retention of both generation and classification")


def _advantages(study: PrunedStudy, pairs: list[tuple[Cell, Cell | None]]) -> Iterator[Finding]:
    """pass@1 of a cell minus that of its counterpart, mean over the generation tasks and the models that both have."""
    for cell, counterpart in pairs:
        tasks = study.reported_tasks(cell.setting.group, "generation")
        ours, theirs = study.shared(cell, counterpart) if counterpart and tasks else (None, None)
        if ours and ours.models:
            advantage = study.difference(ours.models, theirs.models, tasks, "pass@1")
            models = [name for pair in zip(ours.models, theirs.models, strict=True) for name in pair]
            yield Finding(advantage.interval(study.confidence), models, cell.setting)


def _finding(study: PrunedStudy, estimate: Estimate, cell: Cell, *more: str) -> Finding:
    return Finding(estimate.interval(study.confidence), cell.models, (*cell.setting, *more))


def _asked(study: PrunedStudy, key: str) -> str:
    """The value of a key of report.pruning that a claim needs."""
    if value := getattr(study.report.pruning, key):
        return value
    raise NotTestedError(f"report.pruning.{key} is null")
