"""Which module judges which task, and by which code the items of a set are judged.

Modules are loaded when a task is met, so no stage depends on the code of a task that it does not meet. Each item has,
as ``task_code``, a hash of the code that judges it: a changed verifier changes the sets of its task, and through them
exactly the stages that read one.
"""

import functools
import hashlib
import importlib
from pathlib import Path

from orchard import imports, jsonl
from orchard.errors import UserError
from orchard.tasks.task import Task

CODE = "task_code"
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
    return f"{__package__}.{'games' if name.startswith(GAME) else MODULES.get(name, 'text')}"


def _digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def stamped(items: list[dict]) -> list[dict]:
    """The items with the hash of the code that judges each."""
    return [item | {CODE: code(item["task"])} for item in items]


def read(path: str | Path) -> list[dict]:
    """The items of a set that a stage of the study made.

    Raises:
        UserError: the file is missing or broken, or the code that judges its items has changed since.
    """
    items = jsonl.read(path)
    for name, made_by in {(item["task"], item.get(CODE)) for item in items}:
        if made_by != code(name):
            raise UserError(
                found=f"{path}: items of task {name!r} that were made with other code ({made_by}, now {code(name)})",
                rule="an item is judged by the code that its set was made with",
                why="scores of two verifiers cannot be compared",
                fix="`snakemake --cores all` makes the set anew, and then what reads it",
            )
    return items
