"""Which files the stages of a study read, and the rules on their paths."""

import itertools
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from orchard import paths, rows
from orchard.errors import UserError, did_you_mean
from orchard.study.schema.base import Loaded
from orchard.study.schema.data import Data, GameSet, Ingest, PretrainSet, PromptSet
from orchard.study.schema.study import Study

LEARNT_FROM = ["prompts", "calibration", "pretrain"]
EXISTS = "the file exists"
MOST_FILES = 10_000  # ours: no set or model has so many; a folder that holds the project or a home has
WATCHED = {  # DVC watches a whole folder where a stage reads several sets
    "eval": "evaluation reads sets of role eval",
    "calibration": "the search selects on sets of role calibration",
}


class MissingFileError(UserError):
    """A file from outside that is not here yet: only who reads it needs it."""


def mistakes(study: Study) -> Iterator[UserError]:
    """A message for each file that is neither made by another stage, nor lies outside data/ and is there."""
    made = set(data_sets(study.data))
    made |= {"data/recovery"} & {str(Path(file).parent) for file in made}  # the one folder that is read as a whole
    fetched = {str(paths.fetched(name, source.kind)) for name, source in study.data.fetch.items()}
    origins = {each.path: each.origin for each in study.data.ingest.values() if each.origin}
    found: dict[tuple, list[str]] = {}
    for key, path, roles in read_by_stages(study):
        if broken := _broken_rule(path, roles, made, fetched):
            found.setdefault((path, *broken), []).append(key)
    for (path, rule, why, fix), keys in found.items():
        if rule == EXISTS and path in origins:
            fix = f"get it from {origins[path]}, and put it there"
        kind = MissingFileError if rule == EXISTS else UserError
        yield kind(found=f"{', '.join(keys)}: {path!r}", rule=rule, why=why, fix=fix)


def data_sets(data: Data) -> dict[str, Ingest | GameSet | PretrainSet | PromptSet]:
    """The sets that stages make, by their files."""
    named = [*data.ingest.items(), *data.generate.items()]
    return {str(paths.data_set(each.role, name)): each for name, each in named}


def most_rows(data: Data, path: str) -> int | None:
    """The most rows that a set can have, as far as it is known before any stage runs."""
    made = data_sets(data).get(path)
    if made is None:
        return _lines(Path(path))
    if not isinstance(made, Ingest):
        return made.items
    lines = None if made.format == "bbh" else _lines(Path(made.path))
    if lines is None:  # a file whose rows are not lines or that is not there yet; of a folder, each file has so many
        return made.limit if Path(made.path).suffix else None
    left = max(0, lines - made.offset)
    return left if made.limit is None else min(left, made.limit)


def _lines(path: Path) -> int | None:
    """The rows of a file; None where there is no file that can be counted."""
    if not (os.path.isfile(path) and _has_an_end(str(path))):
        return None
    try:
        return rows.count(path)
    except UserError:
        return None  # the stage that reads it says what is wrong


def read_by_stages(study: Study) -> Iterator[tuple[str, str, list[str]]]:
    """Each file that a used stage reads: its key, its path, and the roles that a data set there may have."""
    for name, ingest in study.data.ingest.items():
        yield f"data.ingest.{name}.path", ingest.path, []
    for name, base in study.base.items():
        yield f"base.{name}.source", base.source, ["pretrain"] if base.kind == "pretrain" else []
        if isinstance(base, Loaded) and base.format.is_file:
            yield f"base.{name}.format.template", base.format.template, []
    for name, policy in study.behave.items():
        yield f"behave.{name}.prompts", policy.prompts, LEARNT_FROM
    for name, recipe in study.rl.recipes.items():
        yield f"rl.recipes.{name}.prompts", recipe.prompts, LEARNT_FROM
    if study.prune.of and study.prune.calibration:
        yield "prune.calibration.items", study.prune.calibration.items, LEARNT_FROM
    if study.prune.of and study.prune.selection and "greedy" in study.prune.methods:
        yield from _of_tasks("prune.selection.tasks", study.prune.selection.tasks, "calibration")
    if study.recover.of and study.recover.prompts:
        yield "recover.prompts", study.recover.prompts, [*LEARNT_FROM, "recovery"]
    yield from _of_tasks("evaluate.tasks", study.evaluate.tasks, "eval")


def _of_tasks(key: str, tasks: dict, role: str) -> Iterator[tuple[str, str, list[str]]]:
    """The items and the few-shot examples of tasks; those of lm-eval have no file of the study."""
    for name, task in tasks.items():
        if task.kind == "lm-eval":
            continue
        yield f"{key}.{name}.items", task.items, [role]
        if task.few_shot.items is not None:
            yield f"{key}.{name}.few_shot.items", task.few_shot.items, [role]


def _broken_outside(path: str) -> tuple[str, str, str] | None:
    """The rule that a path outside data/ breaks: it is there, and it and all in it are files and folders.

    Links count as what they lead to, and are followed to a file alone.
    """
    fix = "correct the path, or put the file there"
    if not os.path.exists(path):
        return EXISTS, "a stage reads it", fix
    inside = (os.path.join(folder, name) for folder, _, names in os.walk(path) for name in names)
    for count, each in enumerate(itertools.chain([path], inside)):
        if count > MOST_FILES:
            return (
                f"a folder holds {MOST_FILES:,} files at most",
                "DVC reads each of them",
                "name the data's own folder",
            )
        if not _has_an_end(each):
            rule = f"it is a file or a folder of files, and {each} is a device, a pipe or the like"
            return rule, "reading it might never end", fix
    return None


def _has_an_end(path: str) -> bool:
    """Whether a path is an ordinary file, a folder, or nothing. What the kernel makes up (/proc, /sys) is none."""
    try:
        mode = os.stat(path).st_mode
    except (OSError, ValueError):
        return True
    is_made_up = Path(os.path.realpath(path)).parts[:2] in (("/", "proc"), ("/", "sys"))
    return (stat.S_ISREG(mode) or stat.S_ISDIR(mode)) and not is_made_up


def _broken_rule(path: str, roles: list[str], made: set[str], fetched: set[str]) -> tuple[str, str, str] | None:
    """The rule that a path breaks, why it is one, and the fix; nothing if the path is good.

    Args:
        path: of a file or folder that a stage reads.
        roles: of the data sets that the stage may read.
        made: the data sets that stages make.
        fetched: the folders that fetch stages make.
    """
    parts, folders = Path(path).parts, [f"data/{role}/" for role in roles]
    fitting = [file for file in made if file.startswith(tuple(folders))]
    watched = WATCHED.get(roles[0]) if len(roles) == 1 else None
    if os.path.normpath(path) != path:
        return "a path is written the short way", "DVC knows a file by one path only", f"write {os.path.normpath(path)}"
    if watched and not path.startswith(folders[0]):
        return (
            watched,
            f"DVC watches {folders[0]} for it; a change elsewhere would go unseen",
            did_you_mean(path, fitting),
        )
    if parts[:1] == ("results",):
        why = "stages are joined by names, not by paths"
        return "inputs lie outside results/", why, "name a data set, or a file of your own"
    if parts[:1] != ("data",):
        return _broken_outside(path)
    if parts[:2] == ("data", "fetched"):
        rule = "data/fetched/<name> is made by data.fetch.<name>"
        return None if "/".join(parts[:3]) in fetched else (rule, "no stage would make it", did_you_mean(path, fetched))
    if not f"{path}/".startswith(tuple(folders)):
        rule = f"it lies in {' or '.join([*folders, 'data/fetched/'])}, or outside data/"
        return (
            rule,
            "a stage reads its own kind of data, and only evaluation sees its items",
            did_you_mean(path, fitting),
        )
    if path not in made:
        rule = "data/<role>/<set>.jsonl is made by a set of that role under data.generate or data.ingest"
        return rule, "no stage would make it", did_you_mean(path, made)
    return None
