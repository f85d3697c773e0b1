"""The tables behind the figures: scores before and after RL, and retention by pruning setting and recovery."""

import pandas

from orchard.report import measures, statistics
from orchard.report.rows import Evaluations

RETENTION = ["of", "method", "ratio", "recovery", "family", "retention", "low", "high", "replicates", "a_guess"]
RECOVERIES = {"none": ("prune", None), "open": ("recover", "open"), "self": ("recover", "self")}


def reinforcement(evaluations: Evaluations, settings: dict) -> pandas.DataFrame:
    """pass@1 of each SFT objective before and after RL: mean over seeds and questions, with its interval."""
    if not (pear := settings["pear"]):
        return pandas.DataFrame()
    task, data = pear["task"], pear["data"]
    objectives = {own["objective"]: None for own in evaluations.facts.values() if own["data"] == data}
    rows = []
    for objective in sorted(objectives, key=lambda name: (name != "none", name)):
        for when, facts in (("before RL", {"stage": "sft"}), ("after RL", {"stage": "rl", "recipe": pear["recipe"]})):
            models = evaluations.select(objective=objective, data=data, **facts)
            if models and all(evaluations.has(name, task, "pass@1") for name in models):
                values = evaluations.values(models, task, "pass@1")
                found = statistics.interval(*statistics.mean([values]), settings["confidence"])
                rows.append({"objective": objective, "when": when, "task": task, **_numbers("pass@1", found, "seeds")})
    return pandas.DataFrame(rows)


def retentions(evaluations: Evaluations, settings: dict) -> pandas.DataFrame:
    """Retention of each group, method, ratio and recovery, by family; ``a_guess`` is what guessing would retain."""
    rows = []
    for recovery, (stage, author) in RECOVERIES.items():
        for cell in measures.cells(evaluations, stage, author):
            models = measures.models_of(evaluations, cell, stage, author)
            for family in measures.METRICS:
                found = measures.retention(evaluations, settings, models, family)
                if found:
                    facts = {
                        "of": cell.group,
                        "method": cell.method,
                        "ratio": cell.ratio,
                        "recovery": recovery,
                        "family": family,
                    }
                    guess = retained_by_a_guess(evaluations, settings, models, family)
                    rows.append(facts | _numbers("retention", found, "replicates") | {"a_guess": guess})
    return pandas.DataFrame(rows, columns=RETENTION)


def recovered(retentions: pandas.DataFrame) -> pandas.DataFrame:
    """The retentions of the groups and methods that were recovered at all, with those before recovery."""
    methods = retentions.loc[retentions["recovery"] != "none", ["of", "method"]].drop_duplicates()
    return retentions.merge(methods, on=["of", "method"])


def retained_by_a_guess(evaluations: Evaluations, settings: dict, models: list[str], family: str) -> float:
    """The retention of a model that guesses: mean chance over the family's tasks divided by the mean unpruned score."""
    unpruned = sorted({evaluations.facts[name]["of"] for name in models})
    tasks = measures.reported_tasks(evaluations, settings, evaluations.group(unpruned[0]), family)
    before, _ = statistics.mean([evaluations.values(unpruned, task, measures.METRICS[family]) for task in tasks])
    return sum(evaluations.chance[task] for task in tasks) / len(tasks) / before


def unreported(evaluations: Evaluations, settings: dict) -> list[str]:
    """A sentence for each group and task without retention, for want of an unpruned score above chance."""
    groups = sorted({evaluations.group(own["of"]) for own in evaluations.facts.values() if own["of"]})
    return [
        f"Retention of {group} on {task} is not reported: the unpruned score is missing or not clearly above chance."
        for group in groups
        for family in measures.METRICS
        for task in settings[family]
        if task not in measures.reported_tasks(evaluations, settings, group, family)
    ]


def _numbers(name: str, found: statistics.Interval, replicates: str) -> dict:
    return {name: found.value, "low": found.low, "high": found.high, replicates: found.replicates}
