"""The tables behind the figures: scores before and after RL and what happened on the way, retention after pruning."""

from collections.abc import Iterator
from itertools import product
from pathlib import Path

import numpy as np
import pandas

from orchard.report import statistics
from orchard.report.claims import judge as claims
from orchard.report.claims import pear as measures_pear
from orchard.report.claims import pruning as measures
from orchard.report.claims import retention
from orchard.report.evaluations import RIGHT, Evaluations

NO_SFT = "none"  # the control that no objective has trained
QUARTERS = 4  # of the steps of RL: ours, enough to see a trend, and each the mean over hundreds of responses
RETENTION = ["of", "method", "ratio", "recovery", "family", "retention", "low", "high", "replicates", "a_guess"]
DEGENERATION = ["rep-2", "rep-3", "rep-4", "self-bleu-4", "length", "balanced"]
SPEEDS = Path("measured/speed.csv")  # measured apart: a time inside a stage would differ from run to run
PHASES = {"generation": "decode", "classification": "prefill"}  # where the time of each family of tasks goes
RECOVERIES = {  # stage, author, and what recoveries by different authors have in common
    "none": ("prune", None, retention.STEPS),
    **{author: ("recover", author, retention.STEPS) for author in ("open", "mixed", "self")},
    **{f"{author}, equal tokens": ("recover", author, retention.TOKENS) for author in ("open", "self")},
}


def sides(judged: pandas.DataFrame) -> pandas.DataFrame:
    """How far each tested claim's measure lies on the side of its threshold that the paper says, in points.

    Args:
        judged: of claims.judge_all, or as claims.csv has it.
    """
    told, rows = {claim.id: claim for claim in claims.load()}, []
    for row in judged[judged["ours"].notna() & judged["id"].isin(told)].to_dict("records"):
        claim = told[row["id"]]
        sign = 1 if claim.direction == "+" else -1
        ours, *ends = (100 * sign * (row[name] - claim.threshold) for name in ("ours", "low", "high"))
        verdict = row["verdict"].partition(" (")[0]
        rows.append({"claim": claim.id, "verdict": verdict, "points": ours, "low": min(ends), "high": max(ends)})
    return pandas.DataFrame(rows)


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
    for recovery, where in RECOVERIES.items():
        for cell in retention.cells(evaluations, *where):
            models = retention.models_of(evaluations, cell, *where)
            for family in retention.METRICS:
                found = retention.retention(evaluations, settings, models, family)
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
    tasks = retention.reported_tasks(evaluations, settings, evaluations.group(unpruned[0]), family)
    before, _ = statistics.mean([evaluations.values(unpruned, task, retention.METRICS[family]) for task in tasks])
    return sum(evaluations.chance[task] for task in tasks) / len(tasks) / before


def unreported(evaluations: Evaluations, settings: dict) -> list[str]:
    """A sentence for each group and task without retention, for want of an unpruned score above chance."""
    groups = sorted({evaluations.group(own["of"]) for own in evaluations.facts.values() if own["of"]})
    return [
        f"Retention of {group} on {task} is not reported: the unpruned score is missing or not clearly above chance."
        for group in groups
        for family in retention.METRICS
        for task in settings[family]
        if task not in retention.reported_tasks(evaluations, settings, group, family)
    ]


def speeds(evaluations: Evaluations, retentions: pandas.DataFrame) -> pandas.DataFrame:
    """What is left of the score beside how much faster the model is, by family; only for bases that were timed.

    The speed-up is the median over rounds of the unpruned model's seconds over the pruned one's: of decoding for
    generation, of prefill for classification.
    """
    timed, rows = speed_ups(pandas.read_csv(SPEEDS)), []
    for row in retentions.to_dict("records"):
        base = next(base for name, base in bases(evaluations).items() if evaluations.group(name) == row["of"])
        for layers, dropped in timed.get(base, {}):
            if abs(dropped / layers - row["ratio"]) < 1e-6:
                rows.append(row | {"speed_up": timed[base][layers, dropped][PHASES[row["family"]]]})
    wanted = ["of", "method", "ratio", "recovery", "family", "speed_up", "retention", "low", "high"]
    return pandas.DataFrame(rows, columns=wanted)


def bases(evaluations: Evaluations) -> dict[str, str]:
    """The base of each unpruned model."""
    return {name: own["base"] or name for name, own in evaluations.facts.items() if own["of"] is None}


def speed_ups(times: pandas.DataFrame) -> dict[str, dict[tuple[int, int], dict[str, float]]]:
    """The speed-up by base, by layers and layers dropped, and by phase."""
    found: dict[str, dict] = {}
    for (base, layers, dropped, phase), rows in times.groupby(["base", "layers", "dropped", "phase"]):
        whole = times[(times["base"] == base) & (times["phase"] == phase) & (times["dropped"] == 0)]
        ratio = whole.set_index("round")["seconds"] / rows.set_index("round")["seconds"]
        found.setdefault(base, {}).setdefault((layers, dropped), {})[phase] = ratio.median()
    return found


def chosen_on(evaluations: Evaluations) -> pandas.DataFrame:
    """How many prompts the layers of pruned models were chosen on, and how many of them were evaluated on, at most."""
    rows: dict[str, dict] = {}
    for name in evaluations.select(stage="prune"):
        if overlap := evaluations.overlaps.get(name):
            row = rows.setdefault(evaluations.facts[name]["method"], {"models": 0, "prompts": 0, "shared": 0})
            row["models"] += 1
            row |= {key: max(row[key], overlap[key]) for key in ("prompts", "shared")}
    return pandas.DataFrame([{"method": method, **row} for method, row in sorted(rows.items())])


def skips(evaluations: Evaluations, settings: dict) -> pandas.DataFrame:
    """Retention of models that lack one layer, by task: those of both families, and the probe of arithmetic."""
    rows = []
    for group, layers in retention.skipped(evaluations).items():
        tasks = scored_tasks(evaluations, settings, group)
        for (layer, models), (task, metric) in product(layers.items(), tasks.items()):
            found = statistics.interval(
                *retention.retained(evaluations, models, [task], metric), settings["confidence"]
            )
            rows.append({"of": group, "layer": layer, "task": task, **_numbers("retention", found, "replicates")})
    return pandas.DataFrame(rows)


def scored_tasks(evaluations: Evaluations, settings: dict, group: str) -> dict[str, str]:
    """The tasks of both families and the probe, where clearly above chance before pruning, each with its metric."""
    tasks = {
        task: metric
        for family, metric in retention.METRICS.items()
        for task in retention.reported_tasks(evaluations, settings, group, family)
    }
    probe = settings["pruning"]["probe"]
    if probe and retention.above_chance(evaluations, settings, group, probe, "acc"):
        tasks |= {probe: "acc"}
    return tasks


def degeneration(evaluations: Evaluations, settings: dict) -> pandas.DataFrame:
    """What pruning does to the form of responses, by setting and generation task: the means of DEGENERATION.

    ``change`` is that of rep-4 from the unpruned model, with its interval; ``retention`` is that of pass@1 on the task.
    """
    rows = []
    for setting, models in pruned_settings(evaluations):
        group = evaluations.group(evaluations.facts[models[0]]["of"])
        before = sorted({evaluations.facts[name]["of"] for name in models})
        for task in retention.reported_tasks(evaluations, settings, group, "generation"):
            if not all(evaluations.has(name, task, metric) for name in [*models, *before] for metric in DEGENERATION):
                continue
            found = statistics.interval(
                *retention.changed(evaluations, models, [task], "rep-4"), settings["confidence"]
            )
            means = {metric: evaluations.values(models, task, metric).mean() for metric in DEGENERATION}
            kept, _ = retention.retained(evaluations, models, [task], "pass@1")
            numbers = means | {"retention": kept, **_numbers("change", found, "replicates")}
            rows.append({"of": group, **setting, "task": task, **numbers})
    return pandas.DataFrame(rows)


def errors(evaluations: Evaluations, settings: dict) -> pandas.DataFrame:
    """What is wrong with responses: the share of each kind of error by setting and generation task.

    Of the groups, methods and ratios that were recovered, if any were, else of all that were pruned; after a row of the
    unpruned models.
    """
    found = [
        ({"of": evaluations.group(evaluations.facts[models[0]]["of"]), **setting}, models)
        for setting, models in pruned_settings(evaluations)
        if setting["method"] != retention.ONE_LAYER
    ]
    again = {_pruned_by(setting) for setting, _ in found if setting["recovery"] != "none"}
    kept = [each for each in found if not again or _pruned_by(each[0]) in again]
    kept.sort(key=lambda each: (each[0]["method"], float(each[0]["setting"])))  # the kinds of recovery side by side
    kinds = {kind for tasks in evaluations.errors.values() for shares in tasks.values() for kind in shares}
    kinds, rows = [RIGHT, *sorted(kinds - {RIGHT})], []
    for group in dict.fromkeys(setting["of"] for setting, _ in kept):
        members = [each for each in kept if each[0]["of"] == group]
        unpruned = sorted({evaluations.facts[name]["of"] for _, models in members for name in models})
        before = ({"of": group, "method": "none", "setting": "0", "recovery": "none"}, unpruned)
        for (setting, models), task in product([before, *members], _written(settings)):
            if all(task in evaluations.errors.get(name, {}) for name in models):
                shares = [evaluations.errors[name][task] for name in models]
                means = {kind: sum(each.get(kind, 0) for each in shares) / len(shares) for kind in kinds}
                rows.append({**setting, "task": task, **means, "models": len(models)})
    return pandas.DataFrame(rows)


def _pruned_by(setting: dict) -> tuple[str, str, str]:
    return setting["of"], setting["method"], setting["setting"]


def _written(settings: dict) -> list[str]:
    """The tasks whose responses are looked at: those of the generation family, and the one of brackets."""
    brackets = settings["pruning"]["brackets"]
    return [*settings["generation"], *([brackets] if brackets and brackets not in settings["generation"] else [])]


def pruned_settings(evaluations: Evaluations) -> Iterator[tuple[dict, list[str]]]:
    """Each setting of pruned models with the models: pruned, recovered, and without one layer."""
    for recovery, where in RECOVERIES.items():
        for cell in retention.cells(evaluations, *where):
            names = {"method": cell.method, "setting": f"{cell.ratio:g}", "recovery": recovery}
            yield names, retention.models_of(evaluations, cell, *where)
    for layers in retention.skipped(evaluations).values():
        for layer, models in layers.items():
            yield {"method": retention.ONE_LAYER, "setting": f"layer {layer}", "recovery": "none"}, models


def tokens(evaluations: Evaluations, settings: dict) -> pandas.DataFrame:
    """Retention over the answer tokens that recovery saw, where models were recovered on sets of several sizes."""
    rows = []
    for author in ("open", "self"):
        for cell in retention.cells(evaluations, "recover", author):
            sizes = retention.by_size(evaluations, cell, "recover", author)
            for (size, models), family in product(sizes.items() if len(sizes) > 1 else (), retention.METRICS):
                if found := retention.retention(evaluations, settings, models, family):
                    facts = {"of": cell.group, "method": cell.method, "ratio": cell.ratio, "author": author}
                    facts |= {"family": family, "rows": size, "tokens": measures.tokens(evaluations, models)}
                    rows.append(facts | _numbers("retention", found, "replicates"))
    return pandas.DataFrame(rows)


def probes(evaluations: Evaluations, settings: dict) -> pandas.DataFrame:
    """Accuracy on the probe of arithmetic: unpruned, pruned, and recovered on self-generated data."""
    probe, rows = settings["pruning"]["probe"], []
    for cell in retention.cells(evaluations, "recover", "self") if probe else []:
        models = retention.models_of(evaluations, cell, "recover", "self")
        pruned = retention.models_of(evaluations, cell, "prune", None)
        if not pruned or not retention.above_chance(evaluations, settings, cell.group, probe, "acc"):
            continue
        unpruned = sorted({evaluations.facts[name]["of"] for name in models})
        for when, names in (("unpruned", unpruned), ("pruned", pruned), ("recovered", models)):
            values = [evaluations.values(names, probe, "acc")]
            found = statistics.interval(*statistics.mean(values), settings["confidence"])
            rows.append({**cell._asdict(), "task": probe, "when": when, **_numbers("accuracy", found, "replicates")})
    return pandas.DataFrame(rows)


def protocols(evaluations: Evaluations, settings: dict) -> pandas.DataFrame:
    """The gap in retention between classification and generation: on different tasks, and on the same items."""
    rows = []
    for cell in retention.cells(evaluations, "prune", None):
        models = retention.models_of(evaluations, cell, "prune", None)
        for scored, (gap, influence) in (measures.protocol_gaps(evaluations, settings, models) or {}).items():
            found = statistics.interval(gap, influence.to_numpy(), settings["confidence"])
            rows.append({**cell._asdict(), "scored_on": scored, **_numbers("gap", found, "replicates")})
    return pandas.DataFrame(rows)


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
