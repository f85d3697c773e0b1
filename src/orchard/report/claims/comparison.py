"""Claims that claims.yaml states whole: a metric of some models, minus or divided by that of others."""

from dataclasses import dataclass, field

from orchard.errors import UserError
from orchard.report import statistics
from orchard.report.claims.finding import Finding, NotTestedError
from orchard.report.evaluations import Evaluations

LARGEST_K = "pass@largest"  # a metric's name in claims.yaml: pass@k at the largest k of the results


@dataclass(frozen=True)
class Comparison:
    """What a claim compares. A text that begins with $ is a key of the config's ``report``, as in ``$pear.task``.

    Attributes:
        how: difference; ratio (a threshold is then of the ratio); value: of ``rows`` alone.
        metric: a metric of the results, or LARGEST_K.
        task: its task.
        rows: facts of the models, as columns of results.csv: stage, objective, recipe, of, method, ratio and so on.
        against: those of the models that they are compared with.
        paired_by: the facts that two models of a pair have in common. Questions are paired always.
    """

    how: str
    metric: str
    task: str
    rows: dict
    against: dict = field(default_factory=dict)
    paired_by: list[str] = field(default_factory=list)

    def findings(self, evaluations: Evaluations, settings: dict) -> list[Finding]:
        """The estimate over all pairs of models and their questions.

        Args:
            evaluations: of the study.
            settings: the config's ``report``.

        Raises:
            NotTestedError: the config has null for a key, no two models make a pair, several models are a pair's one
                side, or a model was not scored so.
        """
        task, rows, against = (looked_up(each, settings) for each in (self.task, self.rows, self.against))
        metric = largest_k(evaluations, task) if self.metric == LARGEST_K else self.metric
        sides = [evaluations.select(**rows)] if self.how == "value" else self.pairs(evaluations, rows, against)
        models = [name for side in sides for name in side]
        if not models:
            raise NotTestedError(f"no models to compare: {words(rows)}" + (f" and {words(against)}" if against else ""))
        if not all(evaluations.has(name, task, metric) for name in models):
            raise NotTestedError(f"not every model has {metric} on {task}")
        estimate = self.estimate(*(evaluations.values(side, task, metric) for side in sides))
        return [Finding(statistics.interval(*estimate, settings["confidence"]), models)]

    def pairs(self, evaluations: Evaluations, rows: dict, against: dict) -> list[list[str]]:
        """The models of each side, in the order of the pairs."""
        ours, theirs = (self._by_key(evaluations, facts) for facts in (rows, against))
        keys = sorted(ours.keys() & theirs.keys(), key=str)
        return [[ours[key] for key in keys], [theirs[key] for key in keys]]

    def _by_key(self, evaluations: Evaluations, facts: dict) -> dict[tuple, str]:
        found = {}
        for name in evaluations.select(**facts):
            key = tuple(evaluations.facts[name][fact] for fact in self.paired_by)
            if key in found:
                raise NotTestedError(f"{found[key]} and {name} share {', '.join(self.paired_by)}: no pairs")
            found[key] = name
        return found

    def estimate(self, ours, theirs=None) -> statistics.Estimate:
        """The estimate from values of shape (models, questions)."""
        if self.how == "ratio":
            return statistics.ratio([ours], [theirs])
        return statistics.mean([ours if theirs is None else ours - theirs])


def looked_up(value, settings: dict):
    """A value of claims.yaml with the config's words in place of its keys."""
    if isinstance(value, dict):
        return {key: looked_up(each, settings) for key, each in value.items()}
    if not (isinstance(value, str) and value.startswith("$")):
        return value
    found, path = settings, "report"
    for key in value.removeprefix("$").split("."):
        if key not in found:
            raise UserError(
                found=f"claims.yaml: {value}, and {path} has no {key}",
                rule="$ and a key of config.yaml's report stand for its value",
                why="the claim says so what it compares in each study",
                fix=f"choose one of {', '.join(found)}",
            )
        found, path = found[key], f"{path}.{key}"
        if found is None:
            raise NotTestedError(f"{path} is null")
    return found


def largest_k(evaluations: Evaluations, task: str) -> str:
    """The name of pass@k at the largest k of the task's results."""
    if (k := evaluations.largest_k(task)) == 1:
        raise NotTestedError("one sample a question: no pass@k beyond pass@1")
    return f"pass@{k}"


def words(facts: dict) -> str:
    """Facts as a reader's words."""
    return ", ".join(f"{key} {value}" for key, value in facts.items())
