"""Reads the evaluations of a study and lays them out as a table: one row per model, task and metric."""

import json
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas

from orchard import paths
from orchard.errors import UserError

FACTS = ["stage", "arm", "objective", "base", "data", "recipe", "seed", "draw"]
FACTS += ["of", "method", "ratio", "author", "budget", "rows", "equal"]
RIGHT, OTHER = "right", "other exception"
KIND = re.compile(r"[A-Za-z][A-Za-z ]{1,40}")  # what names of kinds look like
COLUMNS = ("of", "method", "setting", "recovery", "task", "models")  # of the figure's table, beside the kinds
FILES = ("record.json", "scores.parquet", "samples.parquet")
SCORE = "score"  # a metric's name here: that which tells how good a model is at a task, whatever it is called
SCORES = {"generation": "pass@1", "choice": "acc", "minimal-pair": "acc", "summary": "rouge-l"}  # by kind of task
# Of lm-eval's tasks: the first that there is. Ours: as harness tables of pruned models show them.
NAMED_SCORES = ("acc_norm", "acc", "exact_match")
READ_FREELY = "flexible-extract"  # the filter of lm-eval's that reads as our verifiers do


@dataclass
class Evaluations:
    """What ``results/evals`` holds.

    Attributes:
        facts: for each model, what its record says of it: those of FACTS, null where they do not apply.
        records: for each model, the whole record.
        scores: one row per model, task, item and metric, with its kind and value.
        chance_level: for each task, the score of a guess: 1 / number of choices, 0 for generation.
        overlaps: for each pruned or recovered model, the number of prompts that the choice of its layers rests on, and
            of those among them that it was evaluated on.
        errors: for each model and generation task, the share of responses of each kind of error (`evaluate.responses`)
            and of right ones, by ``RIGHT``.
        folders: where the scores of each model lie; of those that are not named, by their name.
        scores_asked: the metric that is the score of a task (``SCORE``), where it is not that of the task's kind.
    """

    facts: dict[str, dict]
    records: dict[str, dict]
    scores: pandas.DataFrame
    chance_level: dict[str, float]
    overlaps: dict[str, dict[str, int]] = field(default_factory=dict)
    errors: dict[str, dict[str, dict[str, float]]] = field(default_factory=dict)
    folders: dict[str, Path] = field(default_factory=dict)
    scores_asked: dict[str, str] = field(default_factory=dict)
    _items: dict[tuple, pandas.Series] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for key, own in self.scores.groupby(["model", "task", "metric"], sort=True):
            self._items[key] = pandas.Series(own["value"].to_numpy(), own["item"]).sort_index()
        for (model, task, metric), values in list(self._items.items()):
            if self.score_metrics.get(task) == metric:
                self._items[model, task, SCORE] = values
        self._refuse_unlike_items()
        self._refuse_unlike_recipes()

    @cached_property
    def score_metrics(self) -> dict[str, str]:
        """The metric that is the score of each task; a task that has none is not there."""
        kinds = self.scores.drop_duplicates("task").set_index("task")["kind"]
        metrics = self.scores.groupby("task")["metric"].unique()
        found = {task: self.scores_asked.get(task) or score_metric(kinds[task], metrics[task]) for task in kinds.index}
        return {task: metric for task, metric in found.items() if metric}

    def folder(self, model: str) -> Path:
        """Where the scores of a model lie."""
        return self.folders.get(model, paths.evaluation(model))

    def lacks(self, models: Iterable[str], tasks: Iterable[str], metric: str = SCORE) -> str:
        """The first of some models that has no such score of one of some tasks, in words; empty where all have them."""
        tasks = list(tasks)
        for model, task in ((model, task) for model in models for task in tasks):
            if not self.has(model, task, metric):
                if not self.has_any(model, task):
                    return f"{model} was not asked {task}"
                return f"{model} has no {self.named(task, metric)} on {task}"
        return ""

    def named(self, task: str, metric: str = SCORE) -> str:
        """What a metric of a task is called in the results."""
        return self.score_metrics.get(task, "metric that is a score") if metric == SCORE else metric

    def has_any(self, model: str, task: str) -> bool:
        """Whether the model was asked a task."""
        return (model, task) in self._asked

    @cached_property
    def _asked(self) -> set[tuple[str, str]]:
        return {(model, task) for model, task, _ in self._items}

    def select(self, **facts) -> list[str]:
        """The models whose facts are these, in order."""
        return sorted(name for name, own in self.facts.items() if all(own.get(key) == facts[key] for key in facts))

    def values(self, models: list[str], task: str, metric: str) -> np.ndarray:
        """Scores of shape (models, items), the items of each row in the same order."""
        return np.stack([self._items[name, task, metric].to_numpy() for name in models])

    def items(self, task: str, metric: str) -> list[str]:
        """The items of a task, in the order of `values`; the same for all models."""
        return list(next(values.index for key, values in self._items.items() if key[1:] == (task, metric)))

    def has(self, model: str, task: str, metric: str) -> bool:
        """Whether the model was scored so."""
        return (model, task, metric) in self._items

    def largest_k(self, models: Iterable[str], task: str) -> int:
        """The largest k whose pass@k on a task all of some models have; 0 if there is none."""
        own = [{metric for name, of, metric in self._items if (name, of) == (model, task)} for model in models]
        common = set.intersection(*own) if own else set()
        return max((int(metric[5:]) for metric in common if re.fullmatch(r"pass@\d+", metric)), default=0)

    def group(self, model: str) -> str:
        """What a model is a replicate of: all rl-grpo-nll-<seed> are rl-grpo-nll; a loaded base stands for itself."""
        if not (own := self.facts.get(model)):
            return model
        is_whole = own["stage"] in ("base", "sft", "rl")
        return model.removesuffix(f"-{own['seed']}") if is_whole and own["seed"] is not None else model

    def recipes(self) -> dict[str, str]:
        """The hash of the settings of each recipe of RL, by name."""
        return {self.records[name]["recipe"]: self.records[name]["recipe_hash"] for name in self.select(stage="rl")}

    def by_replicate(self, models: Sequence[str]) -> list[list[int]]:
        """The places of models by replicate: by the pretrained model that they come from.

        Whatever comes from one pretrained model is no independent replicate, so it is averaged. Where all come from
        one, they are its seeds; where these are one too, its draws. `bases` tells how many pretrained models there are.
        """
        chains = [tuple(self.facts[name][key] for key in ("base", "seed", "draw")) for name in models]
        for depth in range(1, 4):
            places: dict[tuple, list[int]] = {}
            for place, chain in enumerate(chains):
                places.setdefault(chain[:depth], []).append(place)
            if len(places) > 1:
                break
        return [places[chain] for chain in sorted(places, key=str)]

    def bases(self, models: Iterable[str]) -> set[str]:
        """The pretrained models that models come from."""
        return {self.facts[name]["base"] for name in models}

    def of_replicates(
        self, models: Sequence[str], task: str, metric: str, like: Sequence[str] | None = None
    ) -> np.ndarray:
        """Scores of shape (replicates, items): the mean over the models of each.

        Args:
            models: their names.
            task: scored.
            metric: of the task.
            like: models that these are the counterparts of, one for each, and that say which belong together.
        """
        values = self.values(list(models), task, metric)
        return np.stack([values[places].mean(axis=0) for places in self.by_replicate(like or models)])

    def chains(self) -> dict[str, int]:
        """The number of pretrained models behind each group of models with all layers."""
        found: dict[str, set] = {}
        for name, own in self.facts.items():
            if own["stage"] in ("base", "sft", "rl"):
                found.setdefault(self.group(name), set()).add(own["base"])
        return {group: len(bases) for group, bases in sorted(found.items())}

    def chosen_on(self) -> dict[str, dict[str, int]]:
        """Calibration prompts by pruning method, and how many are evaluated on (shared): the most of any model."""
        found: dict[str, dict[str, int]] = {}
        for name in self.select(stage="prune"):
            if overlap := self.overlaps.get(name):
                most = found.setdefault(self.facts[name]["method"], {"prompts": 0, "shared": 0})
                most |= {key: max(most[key], overlap[key]) for key in most}
        return dict(sorted(found.items()))

    def _refuse_unlike_items(self) -> None:
        first: dict[tuple, tuple[str, pandas.Index]] = {}
        for (model, task, metric), values in self._items.items():
            other, expected = first.setdefault((task, metric), (model, values.index))
            if not values.index.equals(expected):
                raise UserError(
                    found=f"results/evals/{model} has other items in task {task} than results/evals/{other}",
                    rule="all models answer the same items of a task",
                    why="differences are taken item by item",
                    fix="evaluate them again with one config: `snakemake --cores all`",
                )

    def _refuse_unlike_recipes(self) -> None:
        first: dict[str, str] = {}
        for model in self.select(stage="rl"):
            own = self.records[model]
            other = first.setdefault(own["recipe"], model)
            if own["recipe_hash"] != self.records[other]["recipe_hash"]:
                raise UserError(
                    found=f"{model} went through other RL than {other}, by one name: {own['recipe']}",
                    rule="models of one recipe had the same settings",
                    why="the objectives are compared after identical RL",
                    fix="train them again with one config: `snakemake --cores all`",
                )


def score_metric(kind: str, metrics: Collection[str]) -> str | None:
    """The metric that tells how good a model is at a task of a kind; None where no metric surely does.

    Of lm-eval's tasks it is the first of NAMED_SCORES that the task has. Where answers are read in several ways, it is
    by the free one (READ_FREELY) if there is one, else by the first in order of name.
    """
    if kind != "lm-eval":
        return SCORES.get(kind)
    for name in NAMED_SCORES:
        fitting = sorted(metric for metric in metrics if metric.partition(", ")[0] == name)
        if fitting:
            return next((metric for metric in fitting if metric in (name, f"{name}, {READ_FREELY}")), fitting[0])
    return None


def read(folder: Path, scores_asked: dict[str, str] | None = None) -> Evaluations:
    """Reads every evaluation in a folder.

    Args:
        folder: of all evaluations.
        scores_asked: the metric that is the score of a task, where it is not that of its kind.

    Raises:
        UserError: there is none, one lacks a file, models differ in the items of a task, or a metric that is to be a
            score is none.
    """
    found = list(paths.evaluations(folder))
    if not found:
        raise UserError(
            found=f"{folder} holds no evaluation",
            rule="the report reads at least one",
            why="it says what was measured",
            fix="run `snakemake --cores all`",
        )
    if missing := [path / file for _, path in found for file in FILES if not (path / file).is_file()]:
        raise UserError(
            found=f"no {missing[0]}",
            rule="an evaluation holds scores, samples and a record",
            why="the report reads all three",
            fix="run `snakemake --cores all`, which makes it again",
        )
    records, scores, chance_level, overlaps, errors, folders, lower = {}, [], {}, {}, {}, {}, set()
    for _, path in found:
        record = json.loads((path / "record.json").read_text())
        model = record["model"]
        refuse_other_model(path, record["model_record"], records.setdefault(model, record["model_record"]))
        if record.get("chosen_on"):
            overlaps[model] = joined(record["chosen_on"], overlaps.get(model))
        own, samples = (pandas.read_parquet(path / f"{name}.parquet") for name in ("scores", "samples"))
        scores.append(own.assign(model=model))
        chance_level |= chance_levels(own, samples)
        errors[model] = errors.get(model, {}) | error_shares(samples)
        for task, facts in record.get("tasks", {}).items():
            lower |= {(task, metric) for metric in facts.get("less_is_better", [])}
        folders[model] = path if path.parent == folder else path.parent
    facts = {name: {key: record.get(key) for key in FACTS} for name, record in records.items()}
    tables = pandas.concat(scores, ignore_index=True)
    refuse_unfit_scores(scores_asked or {}, tables, lower)
    return Evaluations(facts, records, tables, chance_level, overlaps, errors, folders, scores_asked or {})


def joined(overlap: dict[str, int], other: dict[str, int] | None) -> dict[str, int]:
    """What two suites share with the prompts that layers were chosen on: at most the sum, as both may ask one."""
    both = overlap["shared"] + (other["shared"] if other else 0)
    return overlap | {"shared": min(both, overlap["prompts"])}


def refuse_other_model(path: Path, record: dict, other: dict) -> None:
    """Raises a UserError where two evaluations by one model's name are of two models."""
    if record != other:
        raise UserError(
            found=f"{path} is of another model than its neighbours, by one name",
            rule="the suites of a model are asked of one checkpoint",
            why="the report joins their scores",
            fix="evaluate it again: `snakemake --cores all`",
        )


def chance_levels(scores: pandas.DataFrame, samples: pandas.DataFrame) -> dict[str, float]:
    """The score of a guess for each task: where texts are written 0, else the mean of 1 / number of choices."""
    kinds = scores.drop_duplicates("task").set_index("task")["kind"]
    return {
        task: float(own["responses"].map(_of_a_guess).mean())
        for task, own in samples.groupby("task")
        if kinds.get(task, "likelihood") != "likelihood"
    }


def _of_a_guess(responses: str) -> float:
    """The score of a guess at an item: its responses are texts, or the log-likelihoods of its choices."""
    choices = [each for each in json.loads(responses) if not isinstance(each[0], str)]
    return 1 / len(choices) if len(choices) > 1 else 0.0


def refuse_unfit_scores(asked: dict[str, str], scores: pandas.DataFrame, lower: set[tuple[str, str]]) -> None:
    """Raises a UserError for a metric that is to be the score of a task and cannot be.

    Args:
        asked: the metric of each task.
        scores: all values.
        lower: the tasks and metrics of which less is better.
    """
    for task, metric in asked.items():
        own = scores[scores["task"] == task]
        values = own.loc[own["metric"] == metric, "value"]
        metrics = sorted(own["metric"].unique())
        found = None if len(values) or not len(own) else f"which it does not have: it has {', '.join(metrics)}"
        if len(values) and not values.between(0, 1).all():
            found = f"of which a value is {values[~values.between(0, 1)].iloc[0]:g}"
        if (task, metric) in lower:
            found = "of which less is better"
        if found:
            raise UserError(
                found=f"report.scores.{task}: {metric!r}, {found}",
                rule="the score of a task is a metric of it between 0 and 1, of which more is better",
                why="what is left of it is compared with a guess, and over tasks",
                fix=f"name another of its metrics: {', '.join(metrics)}",
            )


def error_shares(samples: pandas.DataFrame) -> dict[str, dict[str, float]]:
    """For each task with responses, the share of those that are right and of each kind of error."""
    found = {}
    for task, own in samples.groupby("task"):
        kinds = [_kind(error) for errors in own["errors"] for error in json.loads(errors)]
        if kinds:
            found[task] = {kind: kinds.count(kind) / len(kinds) for kind in dict.fromkeys(kinds)}
    return found


def _kind(error: str | None) -> str:
    """The kind of an error; a text that no evaluation gives one is OTHER: it would be a column of a table."""
    if error is None:
        return RIGHT
    return error if KIND.fullmatch(error) and error not in (RIGHT, *COLUMNS) else OTHER


def tidy(evaluations: Evaluations) -> pandas.DataFrame:
    """One row per model, task and metric: the model's facts, mean, standard error over items, number of items."""
    keys = ["model", "task", "kind", "metric"]
    means = evaluations.scores.groupby(keys, sort=True)["value"].agg(["mean", "sem", "size"]).reset_index()
    means = means.rename(columns={"sem": "standard_error", "size": "items"})
    facts = pandas.DataFrame(
        [{"model": name, **own} for name, own in evaluations.facts.items()], columns=["model", *FACTS]
    )
    facts = facts.astype({"seed": "Int64", "draw": "Int64", "ratio": "Float64", "rows": "Int64"})
    return facts.merge(means, on="model").sort_values(keys, ignore_index=True)
