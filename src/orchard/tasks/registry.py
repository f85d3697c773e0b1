"""Which module judges which task, and by which code the items of a set are judged.

Modules are loaded when a task is met, so no stage depends on the code of a task that it does not meet. Each item has,
as ``task_code``, a hash of the code that judges it: a changed verifier changes the sets of its task, and through them
exactly the stages that read one.
"""

import functools
import hashlib
import importlib
from collections.abc import Collection
from pathlib import Path
from typing import Any

from orchard import imports, jsonl
from orchard.errors import UserError, shown
from orchard.tasks import fields, items
from orchard.tasks.generated_task import GeneratedTask
from orchard.tasks.task import Task

CODE = "task_code"
NO_GAME = "questions of games are generated here (data.generate), not read"
GAME = "gym-"  # what the name of a game's task begins with
MODULES = {
    "calc": "calc",
    "calc-step": "calc",
    "brackets": "words",
    "fact": "words",
    "cmp": "words",
    "english-arithmetic": "english",
    "gsm8k": "gsm8k",
    "math": "mathematics",
    "program": "programs",
}
PUZZLE = "synlogic-"  # what the name of a puzzle's task begins with
ITEMS = {"program": items.ProgramItem, "gsm8k": items.WithFinal}  # of the tasks whose items hold more than others
BEGIN = {GAME: items.GameItem, PUZZLE: items.PuzzleItem}
MADE_HERE = ("data",)  # where stages write sets
FROM_OUTSIDE = ("data", "fetched")
JUDGES = ("tasks", "sandbox")  # the packages whose code makes up a verifier


def load(name: str) -> Task:
    """The task of a name, as items have it. A name that is not listed is a task with a reference answer."""
    module = importlib.import_module(_module(name))
    return module.TASKS.get(name) or module.TASKS["any"]


@functools.cache
def code(name: str) -> str:
    """A hash of the code that judges a task, and of the version of the library that it leaves the judgement to."""
    module = _module(name)
    files = [file for file in imports.closure(module) if file.relative_to(imports.PACKAGE).parts[0] in JUDGES]
    version = getattr(importlib.import_module(module), "library_version", lambda: "")()
    digest = hashlib.sha256("\n".join([version, *(_digest(file) for file in files)]).encode())
    return digest.hexdigest()[:16]


def _module(name: str) -> str:
    if name.startswith(GAME):
        return f"{__package__}.games"
    return f"{__package__}.{'synlogic' if name.startswith(PUZZLE) else MODULES.get(name, 'text')}"


def _digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def stamped(items: list[dict]) -> list[dict]:
    """The items with the hash of the code that judges each."""
    return [item | {CODE: code(item["task"])} for item in items]


def item(row: dict) -> dict:
    """A row as an item: the row itself, in which a field that is null is left out.

    Raises:
        ValueError: it lacks a field, has one that no item of its task has, or one that is not what it should be.
    """
    found = {key: value for key, value in row.items() if value is not None}
    name = found.get("task")
    is_game = isinstance(name, str) and name.startswith(GAME)
    fields.read(_kind(name), found)
    if is_game:
        return found
    task = load(name)
    task.check(found)
    if isinstance(task, GeneratedTask):
        _refuse_other_answer(task, found)
    return found


def _kind(name: Any) -> type[items.Item]:
    """What an item of a task holds."""
    if not isinstance(name, str):
        return items.Item
    begun = next((kind for begin, kind in BEGIN.items() if name.startswith(begin)), items.Item)
    return ITEMS.get(name, begun)


def _refuse_other_answer(task: GeneratedTask, item: dict) -> None:
    """Refuses a prompt that its task cannot read, and an answer that is not the one that the task judges by."""
    if "prompt" not in item:
        raise ValueError(f"task {item['task']} needs `prompt`, from which it works out the answer")
    try:
        right = task.answer(item["prompt"])
    except (ValueError, LookupError):
        raise ValueError(f"prompt {shown(item['prompt'])} is none of task {item['task']}") from None
    if item["answer"] != right:
        raise ValueError(f"answer {shown(item['answer'])} where task {item['task']} works out {shown(right)}")


def read(path: str | Path, needs: Collection[str] = ("prompt",)) -> list[dict]:
    """The items of a set that a stage of the study made.

    Args:
        path: of the set.
        needs: fields without which the reader can do nothing: they are there and not empty in each item.

    Raises:
        UserError: the file is missing or broken, a row is no item or lacks a field, a question of a game comes from
            elsewhere, or the code that judges the items has changed since.
    """
    found = []
    for number, row in jsonl.lines(path):
        try:
            found.append(item(row))
            _refuse_lacks(found[-1], needs)
            if found[-1]["task"].startswith(GAME) and not _is_made_here(Path(path)):
                raise ValueError(f"task {row['task']!r}: {NO_GAME}")
        except ValueError as error:
            raise UserError(
                found=f"{path}, line {number}: {error}",
                rule="a row has the fields of its task's items, as far as they are read here, and no others",
                why="a row is data: nothing else of it can be judged or learnt",
                fix="correct the row, or what made it",
            ) from error
    _refuse_other_code(path, found)
    return found


def _refuse_lacks(item: dict, needs: Collection[str]) -> None:
    for key in needs:
        if key == "prompt" and item.get("messages"):
            continue
        if key not in item:
            raise ValueError(f"no field '{key}', which is needed here")
        if not item[key] or (isinstance(item[key], str) and not item[key].strip()):
            raise ValueError(f"field '{key}' is empty, and is needed here")


def _is_made_here(path: Path) -> bool:
    """Whether a stage writes this file; those that make sets of others' rows refuse games."""
    return path.parts[:1] == MADE_HERE and path.parts[:2] != FROM_OUTSIDE and ".." not in path.parts


def _refuse_other_code(path: str | Path, found: list[dict]) -> None:
    for name, made_by in {(item["task"], item.get(CODE)) for item in found}:
        if made_by != code(name):
            raise UserError(
                found=f"{path}: items of task {name!r} that were made with other code ({made_by}, now {code(name)})",
                rule="an item is judged by the code that its set was made with",
                why="scores of two verifiers cannot be compared",
                fix="`snakemake --cores all` makes the set anew, and then what reads it",
            )
