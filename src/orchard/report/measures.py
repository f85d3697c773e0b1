"""What each claim on layer pruning is tested by: one small function a claim, from evaluations to estimates."""

from typing import NamedTuple

import numpy as np

from orchard.report import statistics
from orchard.report.findings import Finding, NotTestedError
from orchard.report.rows import Evaluations
from orchard.report.statistics import Interval

HEADLINE_METHOD, HEADLINE_RATIO = "block-influence", 0.25  # LLP's setting; chosen before any result was seen


class Cell(NamedTuple):
    """One pruning setting: what the pruned models are replicates of, the method, and the share of layers dropped."""

    group: str
    method: str
    ratio: float


def generation_recovers_less(evaluations: Evaluations, settings: dict) -> list[Finding]:
    """Claim L2: after self-generated recovery, retention of generation minus that of classification."""
    return _retention_gaps(evaluations, settings, "recover", "self")


def generation_collapses(evaluations: Evaluations, settings: dict) -> list[Finding]:
    """Claim L11: without recovery, retention of generation minus that of classification."""
    return _retention_gaps(evaluations, settings, "prune", None)


def self_beats_open(evaluations: Evaluations, settings: dict) -> list[Finding]:
    """Claim L3: pass@1 with self-generated minus with open recovery data, the same pruned model and seed."""
    findings = []
    for cell in cells(evaluations, "recover", "self"):
        ours = {_start(evaluations, name): name for name in models_of(evaluations, cell, "recover", "self")}
        theirs = {_start(evaluations, name): name for name in models_of(evaluations, cell, "recover", "open")}
        starts = sorted(ours.keys() & theirs.keys())
        tasks = reported_tasks(evaluations, settings, cell.group, "generation")
        if starts and tasks:
            pairs = [(ours[start], theirs[start]) for start in starts]
            replicates = clusters(evaluations, [own for own, _ in pairs])
            open_of = dict(pairs)
            values = [
                _clustered(evaluations, replicates, task, "pass@1")
                - _clustered(evaluations, [[open_of[own] for own in names] for names in replicates], task, "pass@1")
                for task in tasks
            ]
            found = statistics.interval(*statistics.mean(values), settings["confidence"])
            findings.append(Finding(found, [name for pair in pairs for name in pair], cell))
    return headline_first(findings, "no pruned model was recovered on both self-generated and open data")


def _retention_gaps(evaluations: Evaluations, settings: dict, stage: str, author: str | None) -> list[Finding]:
    findings = []
    for cell in cells(evaluations, stage, author):
        models = models_of(evaluations, cell, stage, author)
        families = [
            linearised_retention(evaluations, settings, models, family) for family in ("generation", "classification")
        ]
        if all(families):
            (generation, pull), (classification, counterpull) = families
            influence = np.concatenate([pull, -counterpull], axis=1)
            found = statistics.interval(generation - classification, influence, settings["confidence"])
            findings.append(Finding(found, models, cell))
    what = "recovered on its own data" if author else "pruned"
    return headline_first(findings, f"no model {what} has retention of both generation and classification")


def retention(evaluations: Evaluations, settings: dict, models: list[str], family: str) -> Interval | None:
    """The retention of pruned models that are replicates of one another, with its interval (linearised_retention)."""
    found = linearised_retention(evaluations, settings, models, family)
    return statistics.interval(*found, settings["confidence"]) if found else None


def linearised_retention(
    evaluations: Evaluations, settings: dict, models: list[str], family: str
) -> tuple[float, np.ndarray] | None:
    """Retention, the mean score over the family's tasks divided by that of the unpruned models, and its influence.

    Args:
        evaluations: the study's evaluations.
        settings: the report's parameters.
        models: pruned or recovered models of one cell.
        family: generation (by pass@1) or classification (by accuracy).

    Returns:
        The retention and its influence of shape (replicates, questions); none if no task of the family was clearly
        above chance before pruning.
    """
    tasks = reported_tasks(evaluations, settings, evaluations.group(evaluations.facts[models[0]]["of"]), family)
    if not tasks:
        return None
    metric, replicates = METRICS[family], clusters(evaluations, models)
    unpruned = [[evaluations.facts[name]["of"] for name in names] for names in replicates]
    return statistics.ratio(
        [_clustered(evaluations, replicates, task, metric) for task in tasks],
        [_clustered(evaluations, unpruned, task, metric) for task in tasks],
    )


METRICS = {"generation": "pass@1", "classification": "acc"}


def reported_tasks(evaluations: Evaluations, settings: dict, group: str, family: str) -> list[str]:
    """The tasks of a family in which every unpruned model of a group is clearly above chance.

    Clearly: chance lies below the model's interval over questions. Elsewhere a ratio of scores says nothing.
    """
    names = {own["of"] for own in evaluations.facts.values() if own["of"] and evaluations.group(own["of"]) == group}
    return [
        task
        for task in settings[family]
        if all(_above_chance(evaluations, settings, name, task, METRICS[family]) for name in names)
    ]


def _above_chance(evaluations: Evaluations, settings: dict, model: str, task: str, metric: str) -> bool:
    if not evaluations.has(model, task, metric):
        return False
    values = evaluations.values([model], task, metric)
    return statistics.interval(*statistics.mean([values]), settings["confidence"]).low > evaluations.chance[task]


def cells(evaluations: Evaluations, stage: str, author: str | None) -> list[Cell]:
    """The pruning settings that a stage covers, in order of group, method and ratio."""
    names = evaluations.select(stage=stage, author=author)
    facts = [evaluations.facts[name] for name in names]
    found = {Cell(evaluations.group(own["of"]), own["method"], own["ratio"]) for own in facts}
    return sorted(found, key=lambda cell: (cell.group, cell.method, cell.ratio))


def models_of(evaluations: Evaluations, cell: Cell, stage: str, author: str | None) -> list[str]:
    """The models of one pruning setting."""
    names = evaluations.select(stage=stage, author=author, method=cell.method, ratio=cell.ratio)
    return [name for name in names if evaluations.group(evaluations.facts[name]["of"]) == cell.group]


def clusters(evaluations: Evaluations, models: list[str]) -> list[list[str]]:
    """The models by replicate: by unpruned model where there are several, else by recovery seed.

    Recovery seeds of one unpruned model are not independent replicates beside another unpruned model's, so they are
    averaged.
    """
    parents = sorted({evaluations.facts[name]["of"] for name in models})
    if len(parents) == 1:
        return [[name] for name in models]
    return [[name for name in models if evaluations.facts[name]["of"] == parent] for parent in parents]


def headline_first(findings: list[Finding], reason: str) -> list[Finding]:
    """The findings, first the one that the verdict rests on: Block Influence, ratio nearest 0.25, most replicates.

    Raises:
        NotTestedError: there is none, for this reason.
    """
    if not findings:
        raise NotTestedError(reason)

    def rank(finding: Finding) -> tuple:
        group, method, ratio = finding.setting
        return method != HEADLINE_METHOD, abs(ratio - HEADLINE_RATIO), -finding.interval.replicates, group

    first = min(findings, key=rank)
    rest = [finding for finding in findings if finding is not first]
    return [Finding(first.interval, first.models), first, *rest]


def _clustered(evaluations: Evaluations, replicates: list[list[str]], task: str, metric: str) -> np.ndarray:
    return np.stack([evaluations.values(names, task, metric).mean(axis=0) for names in replicates])


def _start(evaluations: Evaluations, model: str) -> tuple:
    return evaluations.facts[model]["of"], evaluations.facts[model]["seed"]
