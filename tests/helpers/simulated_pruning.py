"""Simulated evaluations of pruned models."""

from itertools import product

import pandas

from orchard.report.evaluations import FACTS, Evaluations
from orchard.report.pruned_study import PrunedStudy
from orchard.study.schema.report import Report

MATCHED = [{"choice": "fact", "generation": "fact-written"}]
SETTINGS = {
    "confidence": 0.95,
    "generation": ["calc"],
    "classification": ["fact", "cmp"],
    "pear": None,
    "pruning": {"probe": "step", "brackets": "close", "matched": MATCHED},
}
TASKS = {"calc": "pass@1", "fact": "acc", "cmp": "acc", "step": "acc", "fact-written": "pass@1", "close": "pass@1"}
CHANCE = dict.fromkeys(TASKS, 0.0)
BLOCK = {"method": "block-influence", "ratio": 0.25}


def simulated(random, models: dict, replicates: int = 3, questions: int = 60, noise: float = 0.2, tasks=tuple(TASKS)):
    """Evaluations of models that come from several unpruned ones.

    Args:
        random: NumPy's generator.
        models: for each name, the facts of its record and under ``scores`` the mean of each task or (task, metric).
            The name base is the unpruned model; all have its scores where they have none of their own.
        replicates: unpruned models, rl-grpo-pear-1 and so on.
        questions: of each task.
        noise: standard deviation of a score of one model on one question; a quarter of it goes to the model.
        tasks: on which all models are scored.
    """
    records, parts, hard = {}, [], random.normal(0, 0.1, questions)
    for replicate, (name, given) in product(range(1, replicates + 1), models.items()):
        facts = dict(given)
        means = {(task, TASKS[task]): 0.8 for task in tasks} | as_metrics(models["base"]["scores"])
        means |= as_metrics(facts.pop("scores", {}))
        unpruned = f"rl-grpo-pear-{replicate}"
        chain = {"base": f"base-{replicate}", "seed": replicate}
        whole = {"stage": "rl", "recipe": "grpo", "recipe_hash": ""}
        records[(model := unpruned if name == "base" else f"{name}-{replicate}")] = (
            whole if name == "base" else {"stage": "prune", "of": unpruned} | facts
        ) | chain
        for (task, metric), mean in means.items():
            small = 0.1 if metric.startswith("rep-") else 1.0
            values = mean + small * (hard + random.normal(random.normal(0, noise / 4), noise, questions))
            parts.append(pandas.DataFrame({"model": model, "task": task, "metric": metric, "value": values}))
            parts[-1]["item"] = [f"q{number:03}" for number in range(questions)]
            parts[-1]["kind"] = "choice" if metric == "acc" else "generation"
    facts = {name: {key: record.get(key) for key in FACTS} for name, record in records.items()}
    return Evaluations(facts, records, pandas.concat(parts, ignore_index=True), CHANCE)


def as_metrics(scores: dict) -> dict[tuple[str, str], float]:
    return {key if isinstance(key, tuple) else (key, TASKS[key]): mean for key, mean in scores.items()}


def bound(evaluations: Evaluations, **pruning) -> PrunedStudy:
    """The study of some evaluations, with keys of report.pruning changed."""
    return PrunedStudy(evaluations, Report.model_validate(SETTINGS | {"pruning": SETTINGS["pruning"] | pruning}))


# Each makes the models of one claim from the size of its effect


def base(**scores) -> dict:
    return {"base": {"scores": {task.replace("_", "-"): mean for task, mean in scores.items()}}}


def own_recovery(classification: float, before: float = 0.1) -> dict:
    """L1: retention of classification is 1.25 times each, as the unpruned score is 0.8."""
    return base() | {
        "cut": {**BLOCK, "scores": {"fact": before, "cmp": before}},
        "own": {"stage": "recover", "author": "self", "draw": 1, **BLOCK,
                "scores": {"fact": classification, "cmp": classification}},
    }  # fmt: skip


def probed(pruned: float, recovered: float, unpruned: float = 0.9) -> dict:
    return base(step=unpruned) | {
        "cut": {**BLOCK, "scores": {"step": pruned}},
        "own": {"stage": "recover", "author": "self", "draw": 1, **BLOCK, "scores": {"step": recovered}},
    }


def skips(*kept: float, metric="pass@1") -> dict:
    return base() | {
        f"skip{layer}": {"method": "skip", "ratio": 0.2, "dropped": [layer], "scores": {("calc", metric): mean}}
        for layer, mean in enumerate(kept)
    }


def repeated(*changes: float, of: tuple[int, ...] = (2, 3, 4)) -> dict:
    """L6: rep-n of the unpruned model is 0.1, and changes for some n; the first and the last layer repeat far more."""
    models = skips(0.5, *(0.1 + change for change in changes), 0.5)
    for facts in models.values():
        value = facts["scores"].pop(("calc", "pass@1"), 0.1)
        facts["scores"] |= {("calc", f"rep-{n}"): value if n in of else 0.1 for n in (2, 3, 4)}
    return models


def bracketed(pruned: float, recovered: float) -> dict:
    """L7 and L8: half the responses are wrong before, three quarters after; ``pruned`` of those by brackets."""
    before = {("close", "pass@1"): 0.5, ("close", "bracket-errors"): 0.1, ("close", "balanced"): 0.9}
    after = {("close", "pass@1"): 0.25, ("close", "bracket-errors"): 0.75 * pruned, ("close", "balanced"): 0.5}
    own = {"stage": "recover", "author": "self", "draw": 1, **BLOCK, "scores": {("close", "balanced"): 1 - recovered}}
    return {"base": {"scores": before}, "cut": {**BLOCK, "scores": after}, "own": own}


def at_ratios(before: float, low: float, high: float) -> dict:
    """L9: at 12.5 % before recovery and after it, at 25 % after it; retention is 1.25 times each."""
    recovered = {"stage": "recover", "author": "self", "draw": 1, **BLOCK}
    return base() | {
        "cut": {**BLOCK, "ratio": 0.125, "scores": {"calc": before}},
        "low": recovered | {"ratio": 0.125, "scores": {"calc": low}},
        "high": recovered | {"scores": {"calc": high}},
    }


def searched(greedy: float, reverse: float) -> dict:
    return base() | {
        method: {"method": method, "ratio": 0.25, "scores": {"calc": mean}}
        for method, mean in (("greedy", greedy), ("reverse", reverse))
    }


def longer(*kept: float) -> dict:
    """L12: sets of 100, 200, 400 and so on rows; retention is 1.25 times the score."""
    return base() | {
        f"own{100 * 2**place}": {"stage": "recover", "author": "self", "draw": 1, **BLOCK, "rows": 100 * 2**place,
                                 "tokens": 5000 * 2**place, "scores": {"calc": mean}}
        for place, mean in enumerate(kept)
    }  # fmt: skip


def both_ways(calc: float, fact: float, written: float) -> dict:
    return base() | {"cut": {**BLOCK, "scores": {"calc": calc, "fact": fact, "cmp": fact, "fact-written": written}}}
