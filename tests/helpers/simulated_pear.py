"""Simulated evaluations of SFT objectives before and after RL."""

from itertools import product

import pandas

from orchard.report.evaluations import FACTS, Evaluations
from orchard.report.pear_study import PearStudy
from orchard.study.schema.report import Report

PEAR = {"task": "calc", "data": "teacher", "recipe": "grpo", "baseline": "nll", "treatment": "token"}
PEAR |= {"reversal": ["nll", "token", "last"], "plain": ["nll", "matched"]}
PEAR |= {"forms": ["token", "sequence", "block"], "controls": {"scale": "nll", "last_tokens": "last"}}
PEAR |= {"distillation": {"baseline": "kl", "treatment": "pear-kl"}, "transfer": {"recipe": "away", "task": "games"}}
PEAR |= {"games": {"recipe": "grpo", "task": "calc"}, "twins": None}
SETTINGS = {"confidence": 0.95, "pear": PEAR}
OBJECTIVES = ["nll", "token", "sequence", "block", "matched", "last", "kl", "pear-kl"]
START = {"before": ("sft", None), "after": ("rl", "grpo"), "transfer": ("rl", "away")}


def simulated(random, means, seeds=3, questions=60, drift=None, bases=None):
    """Evaluations of objectives whose scores have random effects of chain, question and both.

    Args:
        random: NumPy's generator.
        means: the mean score by (place of START, objective).
        seeds: how many.
        bases: the number of pretrained models, which seeds share in turn; None: each seed has its own.
        questions: how many; the same for all.
        drift: the relative drift of each seed, by objective.
    """
    records, rows = {}, []
    of_question = random.normal(0, 0.1, questions)
    for (place, objective), seed in product(means, range(1, seeds + 1)):
        stage, recipe = START[place]
        name = f"{place}-{objective}-{seed}"
        records[name] = {
            "stage": stage,
            "objective": objective,
            "base": f"base-{(seed - 1) % (bases or seeds) + 1}",
            "data": "teacher",
            "seed": seed,
        }
        if stage == "rl":
            moved = {"relative": drift[objective][seed - 1]} if drift else None
            records[name] |= {"recipe": recipe, "recipe_hash": recipe, "drift": moved}
        of_cell = random.normal(random.normal(0, 0.04), 0.3, questions)
        rows.append(pandas.DataFrame({"model": name, "value": means[place, objective] + of_question + of_cell}))
        rows[-1]["item"] = range(questions)
        rows[-1]["task"] = "games" if place == "transfer" else "calc"
    facts = {name: {key: record.get(key) for key in FACTS} for name, record in records.items()}
    scores = pandas.concat(rows, ignore_index=True).assign(metric="pass@1", kind="generation")
    return Evaluations(facts, records, scores, {"calc": 0.0, "games": 0.0})


def same(places=("before", "after"), objectives=OBJECTIVES, mean=0.5):
    return dict.fromkeys(product(places, objectives), mean)


def bound(evaluations: Evaluations, **pear) -> PearStudy:
    """The study of some evaluations, with keys of report.pear changed."""
    return PearStudy(evaluations, Report.model_validate(SETTINGS | {"pear": PEAR | pear}))
