"""What a study says of pruned models: the settings that it covers, and what their models keep of the unpruned scores.

Pruned models are compared with the unpruned model that they come from, on the same questions.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from orchard.report import statistics
from orchard.report.bound_study import BoundStudy, cached
from orchard.report.evaluations import SCORE, Evaluations
from orchard.report.statistics import Estimate
from orchard.study.schema.prune import ONE_LAYER
from orchard.study.schema.report import Report

FAMILIES = ("generation", "classification")  # of tasks: keys of the block `report`
RECOVERIES = {  # by name: stage, author of the recovery data, and what recoveries by several authors have in common
    "none": ("prune", None, "steps"),
    **{author: ("recover", author, "steps") for author in ("open", "mixed", "self")},
    **{f"{author}, equal tokens": ("recover", author, "tokens") for author in ("open", "self")},
}
Models = tuple[str, ...]


class Setting(NamedTuple):
    """One pruning setting: what the unpruned models are replicates of, the method, and the share of layers dropped."""

    group: str
    method: str
    ratio: float


@dataclass(frozen=True)
class Cell:
    """The models of one setting after one recovery. They are replicates of one another.

    Attributes:
        setting: how they were pruned.
        models: their names.
        examples: how many different ones each was recovered on; 0 without recovery, or where they are not counted.
    """

    setting: Setting
    models: Models
    examples: int = 0


class PrunedStudy(BoundStudy):
    """A study as the pruning claims and figures read it.

    Attributes:
        unpruned_of: the unpruned model of each pruned or recovered one.
        group_of: what this unpruned model is a replicate of, for each pruned or recovered one.
    """

    def __init__(self, evaluations: Evaluations, report: Report):
        super().__init__(evaluations, report)
        self.unpruned_of = {name: facts["of"] for name, facts in evaluations.facts.items() if facts["of"]}
        self.group_of = {name: evaluations.group(unpruned) for name, unpruned in self.unpruned_of.items()}

    # Which models there are

    @cached
    def sizes(self, recovery: str) -> list[list[Cell]]:
        """The cells of each setting after a recovery (one of RECOVERIES), those of fewest examples first."""
        stage, author, equal = RECOVERIES[recovery]
        found: dict[Setting, dict[int, list[str]]] = {}
        for name in self.evaluations.select(stage=stage, author=author):
            facts = self.evaluations.facts[name]
            if facts["method"] != ONE_LAYER and (facts["equal"] or "steps") == equal:
                setting = Setting(self.group_of[name], facts["method"], facts["ratio"])
                found.setdefault(setting, {}).setdefault(facts["rows"] or 0, []).append(name)
        return [
            [Cell(setting, tuple(models), examples) for examples, models in sorted(sizes.items())]
            for setting, sizes in sorted(found.items())
        ]

    def cells(self, recovery: str) -> list[Cell]:
        """One cell per setting after a recovery: that of most examples."""
        return [sizes[-1] for sizes in self.sizes(recovery)]

    def cell(self, recovery: str, setting: Setting) -> Cell | None:
        """The cell of one setting after a recovery."""
        return next((cell for cell in self.cells(recovery) if cell.setting == setting), None)

    def before(self, cell: Cell) -> Cell | None:
        """The pruned models that recovered ones were before, one for each; None where one was not evaluated."""
        pruned = self.cell("none", cell.setting)
        by_unpruned = {self.unpruned_of[name]: name for name in pruned.models} if pruned else {}
        models = tuple(by_unpruned.get(name) for name in self.unpruned(cell.models))
        return None if None in models else replace(cell, models=models)

    @cached
    def one_layer(self) -> dict[str, dict[int, Models]]:
        """The models that lack one layer: by group, those with most replicates first, and by layer."""
        found: dict[str, dict[int, Models]] = {}
        for name in self.evaluations.select(stage="prune", method=ONE_LAYER):
            (layer,) = self.evaluations.records[name]["dropped"]
            layers = found.setdefault(self.group_of[name], {})
            layers[layer] = (*layers.get(layer, ()), name)
        ordered = sorted(found, key=lambda group: (-max(map(len, found[group].values())), group))
        return {group: dict(sorted(found[group].items())) for group in ordered}

    def shared(self, *cells: Cell) -> list[Cell]:
        """The cells with those models alone whose unpruned model and draw all cells have, in one order."""
        facts = self.evaluations.facts
        starts = [{(facts[name]["of"], facts[name]["draw"] or 0): name for name in cell.models} for cell in cells]
        common = sorted(set.intersection(*map(set, starts)))
        models = [tuple(by_start[start] for start in common) for by_start in starts]
        return [replace(cell, models=own) for cell, own in zip(cells, models, strict=True)]

    def unpruned(self, models: Models) -> Models:
        """The unpruned model of each model."""
        return tuple(self.unpruned_of[name] for name in models)

    # On which tasks a ratio of scores says something

    def reported_tasks(self, group: str, family: str) -> tuple[str, ...]:
        """The tasks of a family in which the unpruned models of a group are clearly above chance.

        Elsewhere a ratio of scores says nothing. At another confidence these may be other tasks.
        """
        tasks = getattr(self.report, family)
        return tuple(task for task in tasks if self.above_chance(group, task))

    def unreported(self) -> list[tuple[str, str]]:
        """The groups and tasks without retention, as an unpruned score is missing or not clearly above chance."""
        return [
            (group, task)
            for group in sorted(set(self.group_of.values()))
            for family in FAMILIES
            for task in getattr(self.report, family)
            if not self.above_chance(group, task)
        ]

    def above_chance(self, group: str, task: str) -> bool:
        """Whether the chance level lies below the interval over questions of the mean of a group's unpruned models.

        Of the mean, as a ratio of means is what is reported: one weak chain of many is a part of it.
        """
        score = self._unpruned_score(group, task)
        return score is not None and score.interval(self.confidence).low > self.evaluations.chance_level[task]

    @cached
    def _unpruned_score(self, group: str, task: str) -> Estimate | None:
        """The mean score of the unpruned models of a group, which are what they are; None where one has none."""
        unpruned = sorted({self.unpruned_of[name] for name, own in self.group_of.items() if own == group})
        if not all(self.evaluations.has(name, task, SCORE) for name in unpruned):
            return None
        return statistics.mean([self.scores(tuple(unpruned), task).mean(axis=0, keepdims=True)])

    def unpruned_score(self, cell: Cell, task: str) -> float | None:
        """The mean score of the unpruned models of a cell on a task; None where one has none."""
        unpruned = sorted(set(self.unpruned(cell.models)))
        if not all(self.evaluations.has(name, task, SCORE) for name in unpruned):
            return None
        return float(self.evaluations.values(unpruned, task, SCORE).mean())

    def lacks(self, models: Iterable[str], tasks: Sequence[str], metric: str = SCORE) -> str:
        """What models and their unpruned ones lack of some tasks, in words; empty where they have all."""
        both = dict.fromkeys(name for model in models for name in (model, self.unpruned_of[model]))
        return self.evaluations.lacks(both, tasks, metric)

    def scored(self, models: Models, tasks: Sequence[str], metric: str = SCORE) -> bool:
        """Whether models and their unpruned ones all have a metric on all of some tasks, of which there is one."""
        both = [*models, *self.unpruned(models)]
        return bool(tasks) and all(self.evaluations.has(name, task, metric) for name in both for task in tasks)

    # What is left of the scores

    def retention(self, cell: Cell, family: str) -> Estimate | None:
        """The mean score over a family's reported tasks divided by that of the unpruned models.

        Args:
            cell: pruned or recovered models.
            family: of FAMILIES.

        Returns:
            The retention; None if no task of the family was clearly above chance before pruning, or a model was not
            asked one that was.
        """
        tasks = self.reported_tasks(cell.setting.group, family)
        return self.retained(cell.models, tasks) if self.scored(cell.models, tasks) else None

    def retention_of_guess(self, cell: Cell, family: str) -> float:
        """The retention of a model that guesses: the mean chance level divided by the mean unpruned score."""
        tasks = self.reported_tasks(cell.setting.group, family)
        unpruned = sorted(set(self.unpruned(cell.models)))
        scores = [self.evaluations.values(unpruned, task, SCORE).mean() for task in tasks]
        levels = [self.evaluations.chance_level[task] for task in tasks]
        return float(np.mean(levels) / np.mean(scores))

    @cached
    def retained(self, models: Models, tasks: tuple[str, ...]) -> Estimate:
        """The mean score over tasks divided by that of the unpruned models, which is not zero."""
        both = (models, self.unpruned(models))
        now, before = ([self.scores(names, task, like=models) for task in tasks] for names in both)
        questions = tuple((task, item) for task in tasks for item in self.evaluations.items(task, SCORE))
        return statistics.ratio(now, before, questions)

    def changed(self, models: Models, tasks: tuple[str, ...], metric: str = SCORE) -> Estimate:
        """The mean score over tasks minus that of the unpruned models."""
        return self.difference(models, self.unpruned(models), tasks, metric)

    @cached
    def difference(self, ours: Models, theirs: Models, tasks: tuple[str, ...], metric: str = SCORE) -> Estimate:
        """The mean score over tasks of pruned models minus that of their counterparts, one for each."""
        mine, others = ([self.scores(names, task, metric, like=ours) for task in tasks] for names in (ours, theirs))
        return statistics.mean([mine_of - others_of for mine_of, others_of in zip(mine, others, strict=True)])

    def scores(self, models: Models, task: str, metric: str = SCORE, like: Models | None = None) -> np.ndarray:
        """Scores of shape (replicates, questions): see `Evaluations.of_replicates`."""
        return self.evaluations.of_replicates(models, task, metric, like)

    def tokens(self, cell: Cell) -> float:
        """The mean number of answer tokens that recovery saw."""
        return float(np.mean([self.evaluations.records[name]["tokens"] for name in cell.models]))
