"""What pruned models keep: the settings that a study covers, their replicates, scores against the unpruned model."""

from typing import NamedTuple

import numpy as np

from orchard.report import statistics
from orchard.report.claims.finding import Finding, NotTestedError
from orchard.report.evaluations import Evaluations
from orchard.report.statistics import Estimate, Interval

HEADLINE_METHOD, HEADLINE_RATIO = "block-influence", 0.25  # LLP's setting; chosen before any result was seen
ONE_LAYER = "skip"  # the method that drops a single layer, each in a model of its own
STEPS, TOKENS = "steps", "tokens"  # what recoveries by different authors have in common
METRICS = {"generation": "pass@1", "classification": "acc"}


class Cell(NamedTuple):
    """One pruning setting: what the pruned models are replicates of, the method, and the share of layers dropped."""

    group: str
    method: str
    ratio: float


def retention(evaluations: Evaluations, settings: dict, models: list[str], family: str) -> Interval | None:
    """The retention of pruned models that are replicates of one another, with its interval (linearised_retention)."""
    found = linearised_retention(evaluations, settings, models, family)
    return statistics.interval(*found, settings["confidence"]) if found else None


def linearised_retention(evaluations: Evaluations, settings: dict, models: list[str], family: str) -> Estimate | None:
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
    return retained(evaluations, models, tasks, METRICS[family]) if tasks else None


def retained(evaluations: Evaluations, models: list[str], tasks: list[str], metric: str) -> Estimate:
    """The mean score over tasks divided by that of the unpruned models, which is not zero."""
    replicates = clusters(evaluations, models)
    before = unpruned(evaluations, replicates)
    return statistics.ratio(
        [clustered(evaluations, replicates, task, metric) for task in tasks],
        [clustered(evaluations, before, task, metric) for task in tasks],
    )


def changed(evaluations: Evaluations, models: list[str], tasks: list[str], metric: str) -> Estimate:
    """The mean score over tasks minus that of the unpruned models."""
    replicates = clusters(evaluations, models)
    before = unpruned(evaluations, replicates)
    return statistics.mean(
        [
            clustered(evaluations, replicates, task, metric) - clustered(evaluations, before, task, metric)
            for task in tasks
        ]
    )


def reported_tasks(evaluations: Evaluations, settings: dict, group: str, family: str) -> list[str]:
    """The tasks of a family in which every unpruned model of a group is clearly above chance.

    Elsewhere a ratio of scores says nothing.
    """
    return [task for task in settings[family] if above_chance(evaluations, settings, group, task, METRICS[family])]


def above_chance(evaluations: Evaluations, settings: dict, group: str, task: str, metric: str) -> bool:
    """Whether chance lies below the interval over questions of every unpruned model of a group."""
    names = {own["of"] for own in evaluations.facts.values() if own["of"] and evaluations.group(own["of"]) == group}
    return all(_above_chance(evaluations, settings, name, task, metric) for name in names)


def _above_chance(evaluations: Evaluations, settings: dict, model: str, task: str, metric: str) -> bool:
    if not evaluations.has(model, task, metric):
        return False
    values = evaluations.values([model], task, metric)
    return statistics.interval(*statistics.mean([values]), settings["confidence"]).low > evaluations.chance[task]


def cells(evaluations: Evaluations, stage: str, author: str | None, equal: str = STEPS) -> list[Cell]:
    """The pruning settings that a stage covers, in order of group, method and ratio; without single layers.

    Args:
        evaluations: the study's evaluations.
        stage: prune or recover.
        author: of the recovery data; none for pruned models.
        equal: what recoveries by different authors have in common, steps (and prompts) or tokens.
    """
    names = evaluations.select(stage=stage, author=author)
    facts = [own for own in map(evaluations.facts.get, names) if own["method"] != ONE_LAYER and _share(own, equal)]
    found = {Cell(evaluations.group(own["of"]), own["method"], own["ratio"]) for own in facts}
    return sorted(found, key=lambda cell: (cell.group, cell.method, cell.ratio))


def _share(own: dict, equal: str) -> bool:
    return (own["equal"] or STEPS) == equal


def models_of(evaluations: Evaluations, cell: Cell, stage: str, author: str | None, equal: str = STEPS) -> list[str]:
    """The models of one pruning setting; where it was recovered on sets of several sizes, those of the largest."""
    sizes = by_size(evaluations, cell, stage, author, equal)
    return sizes[max(sizes)] if sizes else []


def by_size(
    evaluations: Evaluations, cell: Cell, stage: str, author: str | None, equal: str = STEPS
) -> dict[int, list[str]]:
    """The models of one pruning setting by the number of rows that they were recovered on, the smallest first."""
    found: dict[int, list[str]] = {}
    for name in evaluations.select(stage=stage, author=author, method=cell.method, ratio=cell.ratio):
        own = evaluations.facts[name]
        if evaluations.group(own["of"]) == cell.group and _share(own, equal):
            found.setdefault(own["rows"] or 0, []).append(name)
    return dict(sorted(found.items()))


def skipped(evaluations: Evaluations) -> dict[str, dict[int, list[str]]]:
    """The models that lack one layer: by group, with most replicates first, and by layer."""
    found: dict[str, dict[int, list[str]]] = {}
    for name in evaluations.select(stage="prune", method=ONE_LAYER):
        (layer,) = evaluations.records[name]["dropped"]
        found.setdefault(evaluations.group(evaluations.facts[name]["of"]), {}).setdefault(layer, []).append(name)
    ordered = sorted(found, key=lambda group: (-max(map(len, found[group].values())), group))
    return {group: dict(sorted(found[group].items())) for group in ordered}


def shared(evaluations: Evaluations, *settings: list[str]) -> list[list[str]]:
    """Of the models of several settings, those whose unpruned model and seed all settings have, in one order."""
    starts = [{start(evaluations, name): name for name in models} for models in settings]
    common = sorted(set.intersection(*map(set, starts)))
    return [[each[key] for key in common] for each in starts]


def start(evaluations: Evaluations, model: str) -> tuple:
    """What a model has in common with its counterpart of another setting: the unpruned model and the seed."""
    return evaluations.facts[model]["of"], evaluations.facts[model]["seed"]


def clusters(evaluations: Evaluations, models: list[str]) -> list[list[str]]:
    """The models by replicate: by unpruned model where there are several, else by recovery seed.

    Recovery seeds of one unpruned model are not independent replicates beside another unpruned model's, so they are
    averaged.
    """
    parents = sorted({evaluations.facts[name]["of"] for name in models})
    if len(parents) == 1:
        return [[name] for name in models]
    return [[name for name in models if evaluations.facts[name]["of"] == parent] for parent in parents]


def unpruned(evaluations: Evaluations, replicates: list[list[str]]) -> list[list[str]]:
    """The unpruned model of each model."""
    return [[evaluations.facts[name]["of"] for name in names] for names in replicates]


def clustered(evaluations: Evaluations, replicates: list[list[str]], task: str, metric: str) -> np.ndarray:
    """Scores of shape (replicates, questions), the mean over the models of each replicate."""
    return np.stack([evaluations.values(names, task, metric).mean(axis=0) for names in replicates])


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
