"""Whether two sets of a study hold the same questions, by their content.

No model is evaluated on questions that it learnt, that its layers were chosen on, or that it was shown with their
answers. Read are the files that are at hand; what a stage has yet to fetch is looked at again when it is ingested.
Generated sets of different roles never meet (`orchard.tasks.generated`), so two of them are not compared.
"""

import functools
import os
import random
from collections.abc import Iterator
from itertools import combinations, repeat
from pathlib import Path
from typing import NamedTuple

from orchard import jsonl, paths
from orchard.errors import UserError, shown
from orchard.study import files
from orchard.study.messages import ConfigError
from orchard.study.schema.common import count
from orchard.study.schema.data import GameSet, Ingest, PretrainSet, PromptSet
from orchard.study.schema.evaluate import NamedTask
from orchard.study.schema.study import Study
from orchard.tasks import benchmarks, content, generated


class Use(NamedTuple):
    """A set as a part of the study reads it.

    Attributes:
        key: of the config, which names the set.
        path: of the set.
        most: rows that are read, or their share; None: all.
    """

    key: str
    path: str
    most: int | float | None = None


def refuse(study: Study) -> None:
    """Raises one UserError for all that is wrong with the sets that are at hand."""
    if found := list(mistakes(study)):
        raise ConfigError(paths.CONFIG, found)


def mistakes(study: Study) -> Iterator[UserError]:
    """A message for each set that cannot be read, and for each that holds questions which it must not hold."""
    sets = Sets(study)
    for asked in evaluated(study):
        for seen in [*learnt(study), *chosen_on(study)]:
            if common := sets.common(asked, seen):
                yield _seen_before(asked, seen, common, len(sets.rows(asked)))
    for asked, examples in examples_of(study):
        if common := sets.common(asked, examples, also_generated=True):
            yield _seen_before(asked, examples, common, len(sets.rows(asked)))
    yield from sets.broken.values()


def notes(study: Study) -> list[str]:
    """A line for each two sets that may hold the same questions, and do."""
    sets, found = Sets(study), []
    for one, other in combinations([*learnt(study), *chosen_on(study)], 2):
        if one.path != other.path and (common := sets.common(one, other)):
            found.append(f"note: {one.key} and {other.key} share questions: {len(common)} of the former's")
    return found


# Who reads what


def learnt(study: Study) -> Iterator[Use]:
    """The sets that models learn from."""
    for name, base in study.base.items():
        if base.kind == "pretrain":
            yield Use(f"base.{name}.source", base.source)
    yield from (Use(f"behave.{name}.prompts", policy.prompts) for name, policy in study.behave.items())
    yield from (Use(f"rl.recipes.{name}.prompts", recipe.prompts) for name, recipe in study.rl.recipes.items())
    if study.recover.of and study.recover.prompts:
        yield Use("recover.prompts", study.recover.prompts)


def chosen_on(study: Study) -> Iterator[Use]:
    """The sets that layers are chosen on."""
    if study.prune.of and study.prune.calibration:
        yield Use("prune.calibration.items", study.prune.calibration.items)
    for key, task in _selection(study).items():
        yield Use(f"{key}.items", task.items, task.limit)
        if task.few_shot.items:
            yield Use(f"{key}.few_shot.items", task.few_shot.items, task.few_shot.count)


def evaluated(study: Study) -> Iterator[Use]:
    """The sets that models are evaluated on."""
    for key, task in _evaluation(study).items():
        yield Use(f"{key}.items", task.items, study.evaluate.limit_of(task))


def examples_of(study: Study) -> Iterator[tuple[Use, Use]]:
    """The items of each task that shows examples, and these."""
    for key, task in (_evaluation(study) | _selection(study)).items():
        if task.few_shot.items:
            most = study.evaluate.limit_of(task) if key.startswith("evaluate.") else task.limit
            shots = Use(f"{key}.few_shot.items", task.few_shot.items, task.few_shot.count)
            yield Use(f"{key}.items", task.items, most), shots


def _evaluation(study: Study) -> dict:
    tasks = study.evaluate.tasks.items()
    return {f"evaluate.tasks.{name}": task for name, task in tasks if not isinstance(task, NamedTask)}


def _selection(study: Study) -> dict:
    if not (study.prune.of and study.prune.selection and "greedy" in study.prune.methods):
        return {}
    tasks = study.prune.selection.tasks.items()
    return {f"prune.selection.tasks.{name}": task for name, task in tasks if task.kind != "lm-eval"}


# What stands in them


class Sets:
    """The rows of a study's sets, each read once.

    Args:
        study: whose they are.
    """

    def __init__(self, study: Study):
        self.made = files.data_sets(study.data)
        self.broken: dict[str, UserError] = {}
        self._of = functools.cache(self._read)

    def rows(self, use: Use) -> list[dict]:
        """The rows that a part of the study reads; none where the set is not at hand, or is broken."""
        found = self._of(use.path)
        return found[: count(use.most, len(found))]

    def common(self, one: Use, other: Use, also_generated: bool = False) -> list[dict]:
        """The rows of one use that the other asks as well; none of two generated sets, unless these are wanted too."""
        if not also_generated and self._is_generated(one.path) and self._is_generated(other.path):
            return []
        return content.shared(self.rows(one), self.rows(other))

    def _within(self, path: str) -> list[str]:
        """The sets of the study that a path is, or that lie in it."""
        return [each for each in self.made if each == path or each.startswith(f"{path}/")]

    def _is_generated(self, path: str) -> bool:
        within = self._within(path)
        return bool(within) and not any(isinstance(self.made[each], Ingest) for each in within)

    def _read(self, path: str) -> list[dict]:
        try:
            within = self._within(path)
            return [row for each in within for row in _made(self.made[each])] if within else _of_files(Path(path))
        except UserError as error:
            self.broken[str(error)] = error
            return []


def _made(made: Ingest | GameSet | PretrainSet | PromptSet) -> list[dict]:
    """The items that a stage makes, or will make; none where what it reads is not at hand."""
    if isinstance(made, Ingest):
        return benchmarks.read(made) if os.path.exists(made.path) else []
    if isinstance(made, GameSet):
        return generated.sample_game(made.seed, made.role, made.items, made.game, made.options)
    style = made.style if isinstance(made, PromptSet) else None
    return generated.sample_items(random.Random(made.seed), made.role, made.items, made.mix, made.steps, style)


def _of_files(path: Path) -> list[dict]:
    """The rows of a user's own file, or of all in a folder; an empty file is refused by the stage that reads it."""
    found = sorted(path.glob("*.jsonl")) if os.path.isdir(path) else [path] if os.path.isfile(path) else []
    return [row for file in found if file.stat().st_size for row in map(_asking, jsonl.each(file), repeat(file))]


def _asking(line: jsonl.Line, file: Path) -> dict:
    """A row that asks something."""
    if not (isinstance(line.row.get("prompt"), str) or line.row.get("messages")):
        prompt = shown(line.row.get("prompt"))
        raise jsonl.broken(f"{file}, line {line.number}", f"field 'prompt' is {prompt}, not text, and no 'messages'")
    return line.row


def _seen_before(asked: Use, seen: Use, common: list[dict], count: int) -> UserError:
    example = shown(common[0].get("prompt") or common[0].get("messages") or common[0].get("choices"))
    return UserError(
        found=f"{asked.key}: {len(common)} of its {count} questions stand in {seen.key} too, for example {example}",
        rule="no model is asked what it learnt, what its layers were chosen on, or what it was shown with the answer",
        why="it may know these answers by heart, and its score would say nothing of other questions",
        fix="give the two sets other rows (`offset` and `limit` of data.ingest, with one `seed`), or other files",
    )
