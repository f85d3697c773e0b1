"""What each claim on layer pruning is tested by: one small function a claim, from evaluations to estimates.

Where nothing else is said, pruned models are compared with the unpruned model that they come from, on the same
questions, and a claim has an estimate for each pruning setting; its verdict rests on that of `headline_first`.
"""

import math
from dataclasses import replace

import numpy as np
import pandas

from orchard.report import statistics
from orchard.report.claims.finding import Finding, NotTestedError
from orchard.report.claims.retention import (
    METRICS,
    STEPS,
    TOKENS,
    Cell,
    above_chance,
    by_size,
    cells,
    changed,
    clustered,
    clusters,
    headline_first,
    linearised_retention,
    models_of,
    reported_tasks,
    retained,
    shared,
    skipped,
    unpruned,
)
from orchard.report.evaluations import Evaluations
from orchard.report.statistics import Estimate


def classification_recovers(evaluations: Evaluations, settings: dict) -> list[Finding]:
    """Claim L1: after self-generated recovery, retention of classification."""
    found = []
    for cell in cells(evaluations, "recover", "self"):
        models = models_of(evaluations, cell, "recover", "self")
        if kept := linearised_retention(evaluations, settings, models, "classification"):
            found.append(_finding(settings, kept, models, cell))
    return headline_first(found, "no model recovered on its own data has retention of classification")


def generation_recovers_less(evaluations: Evaluations, settings: dict) -> list[Finding]:
    """Claim L2: after self-generated recovery, retention of generation minus that of classification."""
    return _retention_gaps(evaluations, settings, "recover", "self")


def self_beats_open(evaluations: Evaluations, settings: dict) -> list[Finding]:
    """Claim L3: pass@1 with self-generated minus with open recovery data, the same pruned model and seed.

    The verdict rests on equal prompts and steps, as in the paper. Rows for equal tokens stand below: self-generated
    responses differ in length from those of others.
    """
    found = {STEPS: [], TOKENS: []}
    for equal in found:
        for cell in cells(evaluations, "recover", "self", equal):
            both = [models_of(evaluations, cell, "recover", author, equal) for author in ("self", "open")]
            found[equal] += _advantages(evaluations, settings, *shared(evaluations, *both), cell)
    below = [replace(each, setting=(*each.setting, "equal tokens")) for each in found[TOKENS]]
    return headline_first(found[STEPS], "no pruned model was recovered on both self-generated and open data") + below


def arithmetic_comes_back_in_part(evaluations: Evaluations, settings: dict) -> list[Finding]:
    """Claim L4: accuracy on the probe, the smaller of what recovery brings back and of what it leaves missing.

    Recovered minus pruned, and unpruned minus recovered. That both are above zero (`statistics.smallest`) says that
    arithmetic fell, as the fall is their sum, that it came back, and that it did so only in part.
    """
    probe, found = _named(settings, "probe"), []
    for cell in cells(evaluations, "recover", "self"):
        recovered, pruned = models_of(evaluations, cell, "recover", "self"), models_of(evaluations, cell, "prune", None)
        if above_chance(evaluations, settings, cell.group, probe, "acc") and pruned:
            parts = back_and_missing(evaluations, probe, recovered, pruned)
            joined = statistics.smallest_of(list(parts), settings["confidence"])
            found.append(Finding(joined, recovered, cell))
    return headline_first(found, f"no model recovered on its own data was above chance on {probe} before pruning")


def back_and_missing(
    evaluations: Evaluations, probe: str, recovered: list[str], pruned: list[str]
) -> tuple[Estimate, Estimate]:
    """Accuracy on the probe: recovered minus pruned, and unpruned minus recovered."""
    replicates = clusters(evaluations, recovered)
    before = [
        [name for own in names for name in pruned if evaluations.facts[name]["of"] == evaluations.facts[own]["of"]]
        for names in replicates
    ]
    now, then, whole = (
        clustered(evaluations, names, probe, "acc") for names in (replicates, before, unpruned(evaluations, replicates))
    )
    return statistics.mean([now - then]), statistics.mean([whole - now])


def one_layer_is_enough(evaluations: Evaluations, settings: dict) -> list[Finding]:
    """Claim L5: retention of generation of models that lack one layer, the smallest over all layers but the first.

    Without the first layer nothing works, classification neither, and the paper's own search keeps it.
    That some layer's is below the threshold takes Bonferroni's correction for the number of layers; that no layer's is,
    none (`statistics.smallest`).
    """
    found = []
    for group, layers in skipped(evaluations).items():
        if (tasks := reported_tasks(evaluations, settings, group, "generation")) and any(layers):
            later = {layer: models for layer, models in layers.items() if layer}
            kept = {layer: retained(evaluations, models, tasks, "pass@1") for layer, models in later.items()}
            joined = statistics.smallest_of(list(kept.values()), settings["confidence"])
            found.append(Finding(joined, layers[min(kept, key=lambda layer: kept[layer][0])], (group,)))
    return _first(found, "no model with retention of generation lacks a single layer but the first")


def repetition_stays(evaluations: Evaluations, settings: dict) -> list[Finding]:
    """Claim L6: |rep-4 minus that of the unpruned model|, mean over the generation tasks; the largest over the layers.

    An equivalence test (`statistics.largest_size_of`). The verdict rests on the models that lack one layer, without the
    first and the last, as the paper excepts 1 to 4 end layers; where there are none, on the pruned models, whose rows
    stand below in any case.
    """
    tasks, metric = settings["generation"], "rep-4"
    found = []
    for group, layers in skipped(evaluations).items():
        inner = list(layers.values())[1:-1]
        if inner and _scored(evaluations, inner, tasks, metric):
            changes = [changed(evaluations, models, tasks, metric) for models in inner]
            joined = statistics.largest_size_of(changes, settings["confidence"])
            most = max(range(len(inner)), key=lambda place: abs(changes[place][0]))
            found.append(Finding(joined, inner[most], (group, "one layer")))
    pruned = []
    for cell in cells(evaluations, "prune", None):
        models = models_of(evaluations, cell, "prune", None)
        if _scored(evaluations, [models], tasks, metric):
            change = changed(evaluations, models, tasks, metric)
            pruned.append(Finding(statistics.largest_size_of([change], settings["confidence"]), models, cell))
    if found:
        return _first(found, "") + pruned
    return headline_first(pruned, f"no pruned model and its unpruned one have {metric} on every generation task")


def brackets_are_lost(evaluations: Evaluations, settings: dict) -> list[Finding]:
    """Claim L7: the share of responses that are wrong by unbalanced brackets, pruned minus unpruned.

    The verdict rests on the share of all responses. Rows for the paper's share of the wrong ones stand below where the
    unpruned share is clearly below one: where every slip is one of brackets, as it may be when closing brackets is the
    task, a share at its ceiling cannot grow.
    """
    task, of_all, of_wrong = _named(settings, "brackets"), [], []
    for cell in cells(evaluations, "prune", None):
        models = models_of(evaluations, cell, "prune", None)
        if _scored(evaluations, [models], [task], "bracket-errors"):
            of_all.append(_finding(settings, changed(evaluations, models, [task], "bracket-errors"), models, cell))
            of_wrong += _share_of_wrong(evaluations, settings, task, models, cell)
    return headline_first(of_all, f"no pruned model and its unpruned one have brackets on {task}") + of_wrong


def _share_of_wrong(
    evaluations: Evaluations, settings: dict, task: str, models: list[str], cell: Cell
) -> list[Finding]:
    replicates = clusters(evaluations, models)
    after, before = (
        bracket_share(evaluations, names, task) for names in (replicates, unpruned(evaluations, replicates))
    )
    if not after or not before or statistics.interval(*before, settings["confidence"]).high >= 1:
        return []
    change = statistics.combination((1, after), (-1, before))
    return [_finding(settings, change, models, (*cell, "of the wrong responses"))]


def bracket_share(evaluations: Evaluations, replicates: list[list[str]], task: str) -> Estimate | None:
    """The share of wrong responses that are wrong by unbalanced brackets; none where no response is wrong."""
    wrong = 1 - clustered(evaluations, replicates, task, "pass@1")
    unbalanced = clustered(evaluations, replicates, task, "bracket-errors")
    return statistics.ratio([unbalanced], [wrong]) if wrong.any() else None


def bracket_errors_persist(evaluations: Evaluations, settings: dict) -> list[Finding]:
    """Claim L8: the share of all responses with unbalanced brackets, after self-generated recovery minus unpruned."""
    task, found = _named(settings, "brackets"), []
    for cell in cells(evaluations, "recover", "self"):
        models = models_of(evaluations, cell, "recover", "self")
        if _scored(evaluations, [models], [task], "balanced"):
            more = statistics.combination((-1, changed(evaluations, models, [task], "balanced")))
            found.append(_finding(settings, more, models, cell))
    return headline_first(found, f"no model recovered on its own data has brackets on {task}")


def recovery_needs_a_low_ratio(evaluations: Evaluations, settings: dict) -> list[Finding]:
    """Claim L9: retention of generation after self-generated recovery, at the lowest ratio minus at the highest.

    Of one method, over the unpruned models and seeds that both have. A setting is named by the highest ratio.
    """
    ratios: dict[tuple, list[Cell]] = {}
    for cell in cells(evaluations, "recover", "self"):  # in order of ratio
        ratios.setdefault((cell.group, cell.method), []).append(cell)
    found = []
    for low, *_, high in (each for each in ratios.values() if len(each) > 1):
        both = shared(evaluations, *(models_of(evaluations, cell, "recover", "self") for cell in (low, high)))
        if both[0]:
            kept = [linearised_retention(evaluations, settings, models, "generation") for models in both]
            if all(kept):
                loss = statistics.combination((1, kept[0]), (-1, kept[1]))
                found.append(_finding(settings, loss, [*both[0], *both[1]], high))
    return headline_first(found, "no model was recovered on its own data at several ratios")


def greedy_beats_reverse(evaluations: Evaluations, settings: dict) -> list[Finding]:
    """Claim L10: pass@1 without recovery, layers dropped by greedy search minus in reverse order, at equal ratio."""
    found = []
    for cell in cells(evaluations, "prune", None):
        if cell.method == "greedy":
            both = [models_of(evaluations, each, "prune", None) for each in (cell, cell._replace(method="reverse"))]
            found += _advantages(evaluations, settings, *shared(evaluations, *both), cell)
    return headline_first(found, "no model was pruned both by greedy search and in reverse order")


def generation_collapses(evaluations: Evaluations, settings: dict) -> list[Finding]:
    """Claim L11: without recovery, retention of generation minus that of classification."""
    return _retention_gaps(evaluations, settings, "prune", None)


def longer_recovery_flattens(evaluations: Evaluations, settings: dict) -> list[Finding]:
    """Claim L12, weak form: retention of generation over the logarithm of recovery's tokens flattens below 1.

    The smaller of two effects (`statistics.smallest`): what the largest set of self-generated data leaves missing, and
    how much less a doubling of tokens brings between the two largest sets than between the two smallest.
    """
    found = []
    for cell in cells(evaluations, "recover", "self"):
        sizes = list(by_size(evaluations, cell, "recover", "self").values())
        sizes = shared(evaluations, *sizes) if len(sizes) > 2 else []
        kept = [linearised_retention(evaluations, settings, models, "generation") for models in sizes if models]
        if kept and all(kept):
            doublings = [math.log2(tokens(evaluations, models)) for models in sizes]
            missing = statistics.combination((1, (1.0, np.zeros_like(kept[-1][1]))), (-1, kept[-1]))
            first, last = (
                statistics.combination((1 / step, kept[end]), (-1 / step, kept[end - 1]))
                for end, step in ((1, doublings[1] - doublings[0]), (-1, doublings[-1] - doublings[-2]))
            )
            flattening = statistics.combination((1, first), (-1, last))
            joined = statistics.smallest_of([missing, flattening], settings["confidence"])
            found.append(Finding(joined, sizes[-1], cell))
    return headline_first(found, "no model was recovered on three sizes of its own data")


def tokens(evaluations: Evaluations, models: list[str]) -> float:
    """The mean number of answer tokens that recovery saw."""
    return float(np.mean([evaluations.records[name]["tokens"] for name in models]))


def gap_beyond_protocol(evaluations: Evaluations, settings: dict) -> list[Finding]:
    """Claim L13: the gap in retention between families of tasks minus that between ways of scoring the same items.

    The first is retention of classification minus retention of generation without recovery, as in L11. The second is
    retention of the matched items scored as multiple choice minus that of the same items scored as generation. Above
    zero, the gap is larger than the way of scoring alone makes it.
    """
    if not settings["pruning"]["matched"]:
        raise NotTestedError("report.pruning.matched is empty")
    found = []
    for cell in cells(evaluations, "prune", None):
        models = models_of(evaluations, cell, "prune", None)
        if gaps := protocol_gaps(evaluations, settings, models):
            families, protocol = gaps.values()
            beyond = (families[0] - protocol[0], families[1].sub(protocol[1], fill_value=0.0).to_numpy())
            found.append(_finding(settings, beyond, models, cell))
    return headline_first(found, "no pruned model has retention of both families and of items scored both ways")


def protocol_gaps(
    evaluations: Evaluations, settings: dict, models: list[str]
) -> dict[str, tuple[float, pandas.DataFrame]] | None:
    """The two gaps in retention of L13, by name, each with its influence (replicates × questions by task and item).

    A question that two tasks of a matched pair ask is one question, so that the two gaps can be set against each other.
    None where a family or a matched pair has no task clearly above chance before pruning.
    """
    group = evaluations.group(evaluations.facts[models[0]]["of"])
    pairs = [
        pair
        for pair in settings["pruning"]["matched"]
        if above_chance(evaluations, settings, group, pair["choice"], "acc")
        and above_chance(evaluations, settings, group, pair["generation"], "pass@1")
    ]
    families = {family: reported_tasks(evaluations, settings, group, family) for family in METRICS}
    if not pairs or not all(families.values()):
        return None
    asked_as = {pair["generation"]: pair["choice"] for pair in settings["pruning"]["matched"]}
    sides = {
        "different tasks": (families["classification"], families["generation"]),
        "the same items": tuple([pair[way] for pair in pairs] for way in ("choice", "generation")),
    }
    found = {}
    for name, (choice, generation) in sides.items():
        (over, pull), (under, counterpull) = (
            _by_question(evaluations, models, tasks, metric, asked_as)
            for tasks, metric in ((choice, "acc"), (generation, "pass@1"))
        )
        found[name] = over - under, pull.sub(counterpull, fill_value=0.0)
    return found


def _by_question(evaluations: Evaluations, models: list[str], tasks: list[str], metric: str, asked_as: dict):
    value, influence = retained(evaluations, models, tasks, metric)
    questions = [(asked_as.get(task, task), item) for task in tasks for item in evaluations.items(task, metric)]
    return value, pandas.DataFrame(influence, columns=pandas.MultiIndex.from_tuples(questions))


def _retention_gaps(evaluations: Evaluations, settings: dict, stage: str, author: str | None) -> list[Finding]:
    found = []
    for cell in cells(evaluations, stage, author):
        models = models_of(evaluations, cell, stage, author)
        families = [
            linearised_retention(evaluations, settings, models, family) for family in ("generation", "classification")
        ]
        if all(families):
            (generation, pull), (classification, counterpull) = families
            gap = generation - classification, np.concatenate([pull, -counterpull], axis=1)
            found.append(_finding(settings, gap, models, cell))
    what = "recovered on its own data" if author else "pruned"
    return headline_first(found, f"no model {what} has retention of both generation and classification")


def _advantages(
    evaluations: Evaluations, settings: dict, ours: list[str], theirs: list[str], cell: Cell
) -> list[Finding]:
    """pass@1 of models minus that of their counterparts, mean over the generation tasks; nothing if there are none."""
    tasks = reported_tasks(evaluations, settings, cell.group, "generation")
    if not (ours and tasks):
        return []
    replicates, counterpart = clusters(evaluations, ours), dict(zip(ours, theirs, strict=True))
    others = [[counterpart[name] for name in names] for names in replicates]
    values = [
        clustered(evaluations, replicates, task, "pass@1") - clustered(evaluations, others, task, "pass@1")
        for task in tasks
    ]
    pairs = [name for pair in zip(ours, theirs, strict=True) for name in pair]
    return [_finding(settings, statistics.mean(values), pairs, cell)]


def _scored(evaluations: Evaluations, settings: list[list[str]], tasks: list[str], metric: str) -> bool:
    """Whether models and their unpruned ones all have a metric on all tasks, of which there is one."""
    models = {name for names in settings for own in names for name in (own, evaluations.facts[own]["of"])}
    return bool(tasks) and all(evaluations.has(name, task, metric) for name in models for task in tasks)


def _first(findings: list[Finding], reason: str) -> list[Finding]:
    """The findings, the verdict resting on the first."""
    if not findings:
        raise NotTestedError(reason)
    return [Finding(findings[0].interval, findings[0].models), *findings]


def _finding(settings: dict, estimate: Estimate, models: list[str], cell: tuple) -> Finding:
    return Finding(statistics.interval(*estimate, settings["confidence"]), models, cell)


def _named(settings: dict, key: str) -> str:
    if not (name := settings["pruning"][key]):
        raise NotTestedError(f"report.pruning.{key} is null")
    return name
