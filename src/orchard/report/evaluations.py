"""Reads the evaluations of a study and lays them out as a table: one row per model, task and metric."""

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas

from orchard.errors import UserError

FACTS = ["stage", "arm", "objective", "base", "data", "recipe", "seed", "draw"]
FACTS += ["of", "method", "ratio", "author", "budget", "rows", "equal"]
RIGHT, OTHER = "right", "other exception"
KIND = re.compile(r"[A-Za-z][A-Za-z ]{1,40}")  # what names of kinds look like
COLUMNS = ("of", "method", "setting", "recovery", "task", "models")  # of the figure's table, beside the kinds
FILES = ("record.json", "scores.parquet", "samples.parquet")


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
    """

    facts: dict[str, dict]
    records: dict[str, dict]
    scores: pandas.DataFrame
    chance_level: dict[str, float]
    overlaps: dict[str, dict[str, int]] = field(default_factory=dict)
    errors: dict[str, dict[str, dict[str, float]]] = field(default_factory=dict)
    _items: dict[tuple, pandas.Series] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for key, own in self.scores.groupby(["model", "task", "metric"], sort=True):
            self._items[key] = pandas.Series(own["value"].to_numpy(), own["item"]).sort_index()
        self._refuse_unlike_items()
        self._refuse_unlike_recipes()

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

    def largest_k(self, task: str) -> int:
        """The largest k of a generation task's pass@k metrics; 0 if it has none."""
        metrics = self.scores.loc[self.scores["task"] == task, "metric"].unique()
        return max((int(metric.removeprefix("pass@")) for metric in metrics if metric.startswith("pass@")), default=0)

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


def read(folder: Path) -> Evaluations:
    """Reads every evaluation in a folder.

    Raises:
        UserError: there is none, one lacks a file, or models differ in the items of a task.
    """
    found = sorted(path for path in folder.glob("*") if path.is_dir())
    if not found:
        raise UserError(
            found=f"{folder} holds no evaluation",
            rule="the report reads at least one",
            why="it says what was measured",
            fix="run `snakemake --cores all`",
        )
    if missing := [path / file for path in found for file in FILES if not (path / file).is_file()]:
        raise UserError(
            found=f"no {missing[0]}",
            rule="an evaluation holds scores, samples and a record",
            why="the report reads all three",
            fix="run `snakemake --cores all`, which makes it again",
        )
    records, scores, chance_level, overlaps, errors = {}, [], {}, {}, {}
    for path in found:
        record = json.loads((path / "record.json").read_text())
        model = record["model"]
        records[model] = record["model_record"]
        if record.get("chosen_on"):
            overlaps[model] = record["chosen_on"]
        own, samples = (pandas.read_parquet(path / f"{name}.parquet") for name in ("scores", "samples"))
        scores.append(own.assign(model=model))
        chance_level |= chance_levels(own, samples)
        errors[model] = error_shares(samples)
    facts = {name: {key: record.get(key) for key in FACTS} for name, record in records.items()}
    return Evaluations(facts, records, pandas.concat(scores, ignore_index=True), chance_level, overlaps, errors)


def chance_levels(scores: pandas.DataFrame, samples: pandas.DataFrame) -> dict[str, float]:
    """The score of a guess for each task: 0 for generation, else the mean of 1 / number of choices."""
    kinds = scores.drop_duplicates("task").set_index("task")["kind"]
    found = {}
    for task, own in samples.groupby("task"):
        if kinds[task] == "generation":
            found[task] = 0.0
        elif kinds[task] in ("choice", "minimal-pair"):
            found[task] = float((1 / own["responses"].map(lambda text: len(json.loads(text)))).mean())
    return found


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
