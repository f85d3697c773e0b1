"""Claims that claims.yaml states whole: a metric of some models, minus that of others."""

from dataclasses import dataclass

from pydantic import BaseModel

from orchard.errors import UserError
from orchard.report import statistics
from orchard.report.bound_study import BoundStudy
from orchard.report.claims.finding import Finding, NotTestedError
from orchard.report.evaluations import Evaluations
from orchard.study.schema.report import Report

LARGEST_K = "pass@largest"  # a metric's name in claims.yaml: pass@k at the largest k that the models have


@dataclass(frozen=True)
class Comparison:
    """What a claim compares. A text that begins with $ is a key of the config's ``report``, as in ``$pear.task``.

    Attributes:
        metric: a metric of the results, ``score`` for that which is the task's score, or LARGEST_K.
        task: its task.
        models: facts of the models, as columns of results.csv: stage, objective, recipe, of, method, ratio and so on.
        against: those of the models that they are compared with.
        paired_by: the facts that two models of a pair have in common. Questions are paired always.
    """

    metric: str
    task: str
    models: dict
    against: dict
    paired_by: list[str]

    def findings(self, study: BoundStudy) -> list[Finding]:
        """The mean difference over all pairs of models and their questions; the pairs of one base are averaged first.

        Raises:
            NotTestedError: the config has null for a key, no two models make a pair, several models are a pair's one
                side, or a model was not scored so.
        """
        evaluations, report = study.evaluations, study.report
        task, models, against = (looked_up(each, report) for each in (self.task, self.models, self.against))
        ours, theirs = self.pairs(evaluations, models, against)
        if not ours:
            raise NotTestedError(f"no models to compare: {_listed(models)} and {_listed(against)}")
        metric = largest_k(evaluations, [*ours, *theirs], task) if self.metric == LARGEST_K else self.metric
        if not all(evaluations.has(name, task, metric) for name in [*ours, *theirs]):
            raise NotTestedError(f"not every model has {evaluations.named(task, metric)} on {task}")
        mine, other = (evaluations.of_replicates(names, task, metric, like=ours) for names in (ours, theirs))
        return [Finding(statistics.mean([mine - other]).interval(study.confidence), [*ours, *theirs])]

    def pairs(self, evaluations: Evaluations, models: dict, against: dict) -> tuple[list[str], list[str]]:
        """The models of each side, in the order of the pairs."""
        ours, theirs = (self._by_key(evaluations, facts) for facts in (models, against))
        keys = sorted(ours.keys() & theirs.keys(), key=str)
        return [ours[key] for key in keys], [theirs[key] for key in keys]

    def _by_key(self, evaluations: Evaluations, facts: dict) -> dict[tuple, str]:
        found: dict[tuple, str] = {}
        for name in evaluations.select(**facts):
            key = tuple(evaluations.facts[name][fact] for fact in self.paired_by)
            if key in found:
                raise NotTestedError(f"{found[key]} and {name} share {', '.join(self.paired_by)}: no pairs")
            found[key] = name
        return found


def looked_up(value: dict | str, report: Report) -> dict | str:
    """A value of claims.yaml with the config's words in place of its keys."""
    if isinstance(value, dict):
        return {key: looked_up(each, report) for key, each in value.items()}
    if not (isinstance(value, str) and value.startswith("$")):
        return value
    found, path = report, "report"
    for key in value.removeprefix("$").split("."):
        found, path = _value_of(key, found, path, value), f"{path}.{key}"
        if found is None:
            raise NotTestedError(f"{path} is null")
    return found


def _value_of(key: str, block: BaseModel, path: str, value: str):
    known = type(block).model_fields
    if key in known:
        return getattr(block, key)
    raise UserError(
        found=f"claims.yaml: {value}, and {path} has no {key}",
        rule="$ and a key of config.yaml's report stand for its value",
        why="the claim says so what it compares in each study",
        fix=f"choose one of {', '.join(known)}",
    )


def largest_k(evaluations: Evaluations, models: list[str], task: str) -> str:
    """The name of pass@k at the largest k that all models have on a task."""
    if (k := evaluations.largest_k(models, task)) <= 1:
        found = evaluations.lacks(models, [task], "pass@1") or "one sample a question, or k: [1]"
        raise NotTestedError(f"no pass@k beyond pass@1 that all models have on {task}: {found}")
    return f"pass@{k}"


def _listed(facts: dict) -> str:
    """Facts in a reader's words."""
    return ", ".join(f"{key} {value}" for key, value in facts.items())
