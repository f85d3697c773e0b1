"""What a study says of SFT objectives before and after RL: which models there are, and how two objectives differ.

All objectives that are compared learnt from one policy's data. Models are paired by the chain that they belong to (its
base model and seed), and their scores by question.
"""

from collections.abc import Sequence

import numpy as np

from orchard.report import statistics
from orchard.report.bound_study import BoundStudy, cached
from orchard.report.evaluations import SCORE
from orchard.report.statistics import Estimate
from orchard.study.schema.report import Pear

NO_SFT = "none"  # the control that no objective has trained
Pairs = tuple[tuple[str, str], ...]  # of models


class PearStudy(BoundStudy):
    """A study as PEAR's claims and figures read it. Where ``report.pear`` is null it has nothing to say."""

    @property
    def pear(self) -> Pear:
        """What is compared: task, data, recipe and objectives."""
        return self.report.pear

    def on(self, data: str) -> "PearStudy":
        """The same study on another policy's data."""
        pear = self.pear.model_copy(update={"data": data})
        return PearStudy(self.evaluations, self.report.model_copy(update={"pear": pear}))

    @cached
    def models(self, stage: str) -> dict[str, list[str]]:
        """The models of each objective before RL (stage sft) or after it (rl), first those without SFT."""
        facts = {"stage": stage, "data": self.pear.data} | ({"recipe": self.pear.recipe} if stage == "rl" else {})
        found: dict[str, list[str]] = {}
        for name in self.evaluations.select(**facts):
            found.setdefault(self.evaluations.facts[name]["objective"], []).append(name)
        return {objective: found[objective] for objective in sorted(found, key=place)}

    @cached
    def scored(self, models: tuple[str, ...]) -> bool:
        """Whether all models have a score on the task."""
        return all(self.evaluations.has(name, self.pear.task, SCORE) for name in models)

    def scores(self, models: Sequence[str], like: Sequence[str] | None = None) -> np.ndarray:
        """The score on the task, of shape (replicates, questions): see `Evaluations.of_replicates`."""
        return self.evaluations.of_replicates(models, self.pear.task, SCORE, like)

    @cached
    def pairs(self, ours: str, theirs: str, stage: str) -> Pairs:
        """The pairs of models of two objectives that have the base and the seed in common."""
        facts = self.evaluations.facts
        mine, other = (
            {(facts[name]["base"], facts[name]["seed"]): name for name in self.models(stage).get(objective, [])}
            for objective in (ours, theirs)
        )
        return tuple((mine[start], other[start]) for start in sorted(mine.keys() & other.keys()))

    @cached
    def difference(self, pairs: Pairs) -> Estimate:
        """The score of the first of each pair minus that of the second, mean over replicates and questions."""
        both = list(zip(*pairs, strict=True))
        ours, theirs = (self.scores(names, like=both[0]) for names in both)
        return statistics.mean([ours - theirs])

    def drift(self, models: Sequence[str]) -> np.ndarray:
        """How far RL moved the parameters, as a share of their norm before it: the mean of each replicate."""
        values = np.array([self.evaluations.records[name]["drift"]["relative"] for name in models])
        return np.array([values[places].mean() for places in self.evaluations.by_replicate(models)])


def place(objective: str) -> tuple[bool, str]:
    """Where an objective stands among others: the control without SFT first, the others by name."""
    return objective != NO_SFT, objective
