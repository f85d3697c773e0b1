"""A study whose evaluations have planted effects, as files that the report stage reads."""

import json
import subprocess
import sys
from itertools import product
from pathlib import Path

import numpy as np
import pandas

from orchard import paths, yamls
from orchard.report import evaluations
from orchard.report.evaluations import Evaluations
from orchard.report.figures.responses import DEGENERATION
from orchard.report.pear_study import PearStudy
from orchard.report.pruned_study import PrunedStudy
from orchard.study.schema.report import Report

SETTINGS = {
    "confidence": 0.95,
    "generation": ["calc"],
    "classification": ["fact", "cmp"],
    "pear": {
        "task": "calc",
        "data": "teacher",
        "recipe": "grpo",
        "baseline": "nll",
        "treatment": "pear-token",
        "reversal": ["nll", "pear-token", "pear-sequence", "pear-block", "last-tokens", "nll-low", "kl", "pear-kl"],
        "plain": ["nll", "nll-low"],
        "forms": ["pear-token", "pear-sequence", "pear-block"],
        "controls": {"scale": "nll", "last_tokens": "last-tokens"},
        "distillation": None,
        "transfer": None,
        "games": None,
        "twins": None,
    },
    "pruning": {"probe": None, "brackets": None, "matched": []},
}
KINDS = {"calc": ("generation", 200, 0), "fact": ("choice", 60, 6), "cmp": ("choice", 150, 3)}
OF = ["base-tiny-1", "rl-grpo-pear-token-1", "rl-grpo-pear-token-2"]
SKILL = {("sft", "none"): 0.45, ("sft", "nll"): 0.38, ("sft", "pear-token"): 0.62}
SKILL |= {("rl", "none"): 0.62, ("rl", "nll"): 0.6, ("rl", "pear-token"): 0.83}
SKILL |= {("sft", "pear-sequence"): 0.6, ("sft", "pear-block"): 0.6, ("sft", "last-tokens"): 0.9}
SKILL |= {("rl", "pear-sequence"): 0.78, ("rl", "pear-block"): 0.76, ("rl", "last-tokens"): 0.4}
SKILL |= {("sft", "nll-low"): 0.4, ("rl", "nll-low"): 0.65}
START = {"sft": "sft", "rl": "rl-grpo"}
KEEPS = {0.25: {"none": 0.35, "open": 0.55, "self": 0.75}, 0.375: {"none": 0.1, "open": 0.3, "self": 0.5}}
KEEPS_CHOICE = {"none": 0.9, "open": 0.93, "self": 0.97}


# Half the seconds without two of eight layers, a third without three; decoding gains less.
SPEEDS = "base,layers,dropped,phase,round,seconds\n" + "".join(
    f"base-tiny,8,{dropped},{phase},{number},{seconds * number}\n"
    for number in (1, 2, 3)
    for dropped, phases in {0: (6, 6), 2: (3, 5), 3: (2, 4)}.items()
    for phase, seconds in zip(("prefill", "decode"), phases, strict=True)
)


STEPS = "".join(f"1.0,{ratio},base-tiny-1,a CPU,abc\n" for ratio in (1.01, 1.0, 1.02))


def write_model(root, name, calc, choice, **facts):
    """An evaluation as the evaluate stage writes it, from the probability of a right answer to an average question."""
    random = np.random.default_rng(list(name.encode()))
    scores, samples = [], []
    for task, (kind, count, choices) in KINDS.items():
        hard = np.random.default_rng(count).uniform(-0.5, 0.5, count)  # the same questions for every model
        for number in range(count):
            item = f"{task}-{number:03}"
            if kind == "generation":
                right = random.binomial(8, calc + 2 * hard[number] * calc * (1 - calc))
                values, responses = {"pass@1": right / 8, "pass@8": float(right > 0)}, [["ans 1"] * 8]
                errors = [None] * right + ["wrong answer"] * (8 - right)
                values |= {metric: float(random.uniform(0, 0.02)) for metric in DEGENERATION}
            else:
                values, responses = {"acc": float(random.random() < choice)}, [[-1.0, False]] * choices
                errors = []
            scores += [
                {"task": task, "kind": kind, "item": item, "metric": metric, "value": value}
                for metric, value in values.items()
            ]
            answers = {"responses": json.dumps(responses), "errors": json.dumps(errors)}
            samples.append({"task": task, "item": item, "prompt": "", "target": "", **answers})
    folder = root / "results/evals" / name
    folder.mkdir(parents=True)
    pandas.DataFrame(scores).to_parquet(folder / "scores.parquet", index=False)
    pandas.DataFrame(samples).to_parquet(folder / "samples.parquet", index=False)
    chosen_on = {"prompts": 40, "shared": 0} if facts["stage"] == "prune" and facts["method"] != "reverse" else None
    (folder / "record.json").write_text(json.dumps({"model": name, "model_record": facts, "chosen_on": chosen_on}))


def write_study(root, settings=SETTINGS, skip=()):
    """The default study's models, but for the stages in ``skip``."""
    (root / paths.PARAMS).write_text(yamls.dumps({"name": "synthetic", "report": settings}))
    (root / paths.SPEEDS).parent.mkdir(parents=True)
    (root / paths.SPEEDS).write_text(SPEEDS)
    (root / paths.STEP_TIMES).write_text("nll_seconds,pear_seconds,model,device,commit\n" + STEPS * 10)
    for seed in (1, 2, 3):
        write_model(root, f"base-tiny-{seed}", 0.5, 0.97, stage="base", **chain(seed))
    for (stage, objective), seed in product(SKILL, (1, 2, 3)):
        if stage not in skip:
            skill = SKILL[stage, objective] + 0.01 * (seed - 2)
            facts = {"stage": stage, "objective": objective, "arm": objective, **chain(seed)}
            facts |= {"data": "teacher"} | ({"recipe": "grpo"} if stage == "rl" else {})
            facts |= course(stage, objective, seed)
            write_model(root, f"{START[stage]}-{objective}-{seed}", skill, 0.97, **facts)
    for layer in () if "prune" in skip else range(4):
        facts = {"stage": "prune", "of": "base-tiny-1", "method": "skip", "ratio": 0.125, "dropped": [layer]}
        write_model(root, f"prune-base-tiny-1-skip-{layer}", 0.05 if layer == 2 else 0.4, 0.9, **facts, **chain(1))
    for of, method, ratio in product(OF, ("reverse", "block-influence"), KEEPS):
        facts = {"of": of, "method": method, "ratio": ratio, **chain(int(of[-1]))}
        before = 0.5 if of == "base-tiny-1" else 0.83
        for name, keeps in KEEPS[ratio].items():
            stage = "prune" if name == "none" else "recover"
            if stage in skip or (name != "none" and method == "reverse"):
                continue
            model = f"{stage}-{of}-{method}-{ratio}" + (f"-{name}-1" if stage == "recover" else "")
            own = facts if stage == "prune" else facts | {"author": name, "draw": 1}
            write_model(root, model, before * keeps, 0.97 * KEEPS_CHOICE[name], stage=stage, **own)
    return root


def chain(seed: int) -> dict:
    """The facts of a chain: its base model and its seed."""
    return {"base": f"base-tiny-{seed}", "seed": seed}


def course(stage, objective, seed):
    """What a record tells of training: the weights of PEAR, or the course of RL and how far it went."""
    if stage == "rl":
        moved = {"none": 0.05, "nll": 0.04}.get(objective, 0.03) + 0.001 * seed**2 * (objective == "pear-token")
        steps = [{"step": n, "reward": SKILL["rl", objective] * (1 - 0.7**n), "entropy": 1 / n} for n in range(1, 17)]
        steps = [
            step | {"kl": 1 - 1 / step["step"], "length": 20 + 10 * SKILL["sft", objective] + step["step"] / seed}
            for step in steps
        ]
        return {"recipe_hash": "a" * 64, "drift": {"relative": moved}, "curve": steps}
    if not objective.startswith("pear"):
        return {}
    pull = {"pear-sequence": 0.0, "pear-block": 0.6, "pear-token": 0.7}[objective]
    parts = {
        when: [None, *(float(np.exp(pull * (part - 9) - lag)) for part in range(1, 10))]
        for when, lag in (("early", 2.0), ("late", 1.0))
    }
    return {"learnt": {"weights": {when: {"mean": 0.1, "parts": values} for when, values in parts.items()}}}


def run_report(root: Path) -> subprocess.CompletedProcess:
    """Runs the stage as the workflow does."""
    return subprocess.run([sys.executable, "-m", "orchard.stages.report"], cwd=root, capture_output=True, text=True)


def report(root: Path) -> Path:
    """Runs the stage, and returns its folder."""
    done = run_report(root)
    assert done.returncode == 0, done.stderr
    return root / paths.REPORT


def evaluations_of(root: Path) -> Evaluations:
    return evaluations.read(root / paths.EVALUATIONS)


def studies_of(root: Path, settings: dict = SETTINGS) -> tuple[PearStudy, PrunedStudy]:
    """Both studies of a folder, bound to a block ``report``."""
    found, asked = evaluations_of(root), Report.model_validate(settings)
    return PearStudy(found, asked), PrunedStudy(found, asked)


def write_lock(root):
    """A dvc.lock with the stages behind the study's evaluations: data, a stage a model, its evaluation."""
    stages = {"generate@a": {"cmd": "g", "outs": [{"path": "data/a", "md5": "0" * 32}]}}
    for name in evaluations_of(root).facts:
        reads = ["data/a"] if name.startswith("base-") else ["data/a", "results/models/base-tiny-1"]
        for family, key, deps in (
            ("model", f"results/models/{name}", reads),
            ("evaluate", f"results/evals/{name}", []),
        ):
            deps = [{"path": path, "md5": "1" * 32} for path in deps or [f"results/models/{name}"]]
            stages[f"{family}@{name}"] = {"cmd": family, "deps": deps, "outs": [{"path": key, "md5": "1" * 32}]}
    stages["generate@left"] = {"cmd": "g", "outs": [{"path": "data/of-another-study", "md5": "2" * 32}]}
    stages["evaluate@base-tiny-1"]["deps"].append({"path": "data", "md5": "3" * 32})
    for path in ("data/a", *(f"results/models/{name}" for name in evaluations_of(root).facts)):
        (root / path).mkdir(parents=True)
    (root / "dvc.lock").write_text(yamls.dumps({"schema": "2.0", "stages": stages}))
