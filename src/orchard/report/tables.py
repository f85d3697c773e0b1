"""The tables behind the figures: scores before and after RL and what happened on the way, retention after pruning."""

from collections.abc import Iterator

import numpy as np
import pandas

from orchard.report import measures, measures_pear, statistics
from orchard.report.rows import Evaluations

NO_SFT = "none"  # the control that no objective has trained
QUARTERS = 4  # of the steps of RL: ours, enough to see a trend, and each the mean over hundreds of responses
RETENTION = ["of", "method", "ratio", "recovery", "family", "retention", "low", "high", "replicates", "a_guess"]
RECOVERIES = {"none": ("prune", None), "open": ("recover", "open"), "self": ("recover", "self")}


def reinforcement(evaluations: Evaluations, settings: dict) -> pandas.DataFrame:
    """pass@1 of each SFT objective before and after RL: mean over seeds and questions, with its interval."""
    if not (pear := settings["pear"]):
        return pandas.DataFrame()
    task, rows = pear["task"], []
    for stage, when in (("sft", "before RL"), ("rl", "after RL")):
        for objective, models in by_objective(evaluations, pear, stage):
            if all(evaluations.has(name, task, "pass@1") for name in models):
                values = evaluations.values(models, task, "pass@1")
                found = statistics.interval(*statistics.mean([values]), settings["confidence"])
                rows.append({"objective": objective, "when": when, "task": task, **_numbers("pass@1", found, "seeds")})
    return pandas.DataFrame(sorted(rows, key=lambda row: _place(row["objective"])))


def drift(evaluations: Evaluations, settings: dict) -> pandas.DataFrame:
    """How far RL moved the parameters from each objective's checkpoints, as a share of their norm: mean over seeds."""
    if not (pear := settings["pear"]):
        return pandas.DataFrame()
    rows = []
    for objective, models in by_objective(evaluations, pear, "rl"):
        values = np.array([measures_pear.drift(evaluations, name) for name in models])
        found = statistics.over_replicates(values, settings["confidence"])
        rows.append({"objective": objective, **_numbers("drift", found, "seeds")})
    return pandas.DataFrame(rows)


def weights(evaluations: Evaluations, settings: dict) -> pandas.DataFrame:
    """PEAR's mean weight in each tenth of the completion, at the beginning of SFT and at its end: mean over seeds."""
    if not (pear := settings["pear"]):
        return pandas.DataFrame()
    rows = [
        {"objective": objective, "when": when, "tenth": tenth, "weight": weight, "seed": name}
        for objective, models in by_objective(evaluations, pear, "sft")
        for name in models
        for when, told in evaluations.records[name].get("learnt", {}).get("weights", {}).items()
        for tenth, weight in enumerate(told["parts"], start=1)
        if weight is not None
    ]
    return _over_seeds(rows, ["objective", "when", "tenth"])


def curves(evaluations: Evaluations, settings: dict) -> pandas.DataFrame:
    """The course of RL from each objective's checkpoints: reward, entropy, length and KL at each step, over seeds."""
    if not (pear := settings["pear"]):
        return pandas.DataFrame()
    rows = [
        {"objective": objective, **step, "seed": name}
        for objective, models in by_objective(evaluations, pear, "rl")
        for name in models
        for step in evaluations.records[name]["curve"]
    ]
    return _over_seeds(rows, ["objective", "step"])


def doses(evaluations: Evaluations, settings: dict) -> pandas.DataFrame:
    """What each objective gains over plain SFT after RL, on each of several data sets, the least foreign first.

    Plain SFT is the best of its learning rates on each data set, picked on the scores that are compared, which favours
    it. The mismatch of a data set is the mean of log pi_beta − log pi_0 over its tokens, in nats.
    """
    pear = settings["pear"]
    sets = {own["data"] for own in evaluations.facts.values() if own["stage"] == "sft"} if pear else set()
    if len(sets) < 2:
        return pandas.DataFrame()
    rows = [row for data in sets for row in _dose(evaluations, pear | {"data": data}, settings["confidence"])]
    return (
        pandas.DataFrame(rows).sort_values(["mismatch", "objective"], ignore_index=True) if rows else pandas.DataFrame()
    )


def _dose(evaluations: Evaluations, pear: dict, confidence: float) -> Iterator[dict]:
    after, task = dict(by_objective(evaluations, pear, "rl")), pear["task"]
    scores = {name: evaluations.values(models, task, "pass@1").mean() for name, models in after.items()}
    plain = [name for name in pear["plain"] if name in scores]
    if not plain:
        return
    best = max(plain, key=scores.get)
    learnt = [
        evaluations.records[name].get("learnt") for name in evaluations.select(**measures_pear.where(pear, "sft"))
    ]
    mismatch = -float(np.mean([told["mean_log_ratio"] for told in learnt if told]))
    for name in sorted(scores.keys() - {NO_SFT, best}):
        found = measures_pear.difference(evaluations, pear, name, best, confidence).interval
        facts = {"data": pear["data"], "mismatch": mismatch, "objective": name, "plain": best}
        yield facts | {"pass@1": scores[name], "pass@1_plain": scores[best], **_numbers("gain", found, "seeds")}


def courses(evaluations: Evaluations, settings: dict, doses: pandas.DataFrame) -> pandas.DataFrame:
    """`doses` over the length of RL: the reward minus that from the same plain SFT, by quarter of the steps.

    The reward is that of the training prompts, which are the same for all starts of a seed.
    """
    rows = []
    for row in doses.to_dict("records"):
        after = dict(by_objective(evaluations, settings["pear"] | {"data": row["data"]}, "rl"))
        ours, theirs = (_rewards(evaluations, after[name]) for name in (row["objective"], row["plain"]))
        facts = {key: row[key] for key in ("data", "mismatch", "objective", "plain")}
        for until, gains in (ours - theirs).dropna(axis=1).iterrows():
            found = statistics.over_replicates(gains.to_numpy(), settings["confidence"])
            rows.append(facts | {"until_step": until, **_numbers("gain", found, "seeds")})
    return pandas.DataFrame(rows)


def _rewards(evaluations: Evaluations, models: list[str]) -> pandas.DataFrame:
    """The mean reward in each quarter of the steps of RL, a row a quarter by its last step, a column a seed."""
    found = {}
    for name in models:
        rewards = pandas.Series({step["step"]: step["reward"] for step in evaluations.records[name]["curve"]})
        parts = [part for part in np.array_split(rewards.index, QUARTERS) if len(part)]
        found[evaluations.facts[name]["seed"]] = {int(part[-1]): rewards[part].mean() for part in parts}
    return pandas.DataFrame(found)


def by_objective(evaluations: Evaluations, pear: dict, stage: str) -> Iterator[tuple[str, list[str]]]:
    """Each objective on the policy's data with its models before RL (sft) or after it (rl), first that without SFT."""
    where = measures_pear.where(pear, stage)
    found = {evaluations.facts[name]["objective"] for name in evaluations.select(**where)}
    for objective in sorted(found, key=_place):
        yield objective, evaluations.select(objective=objective, **where)


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


def _place(objective: str) -> tuple:
    return objective != NO_SFT, objective


def _over_seeds(rows: list[dict], keys: list[str]) -> pandas.DataFrame:
    """The mean of every other column over the seeds of each key, in the order in which keys come, and their number."""
    if not rows:
        return pandas.DataFrame()
    groups = pandas.DataFrame(rows).groupby(keys, sort=False)
    return groups.mean(numeric_only=True).assign(seeds=groups.size()).reset_index()


def _numbers(name: str, found: statistics.Interval, replicates: str) -> dict:
    return {name: found.value, "low": found.low, "high": found.high, replicates: found.replicates}
