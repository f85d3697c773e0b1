"""What a stage keeps over a kill: its resume state, which belongs to what it was begun with, and single results."""

import contextlib
import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from orchard import arithmetic, files, imports, paths, processes
from orchard.models import record

Remember = Callable[[list, Callable[[], Any]], Any]


@contextlib.contextmanager
def resumable(path: Path, module: str, inputs: list[Path], *settings: Any) -> Iterator[Path]:
    """Yields the folder of the resume state of an output: it outlives a kill, and goes when the output is in place.

    A state belongs to what it was begun with. With other inputs, settings, code or libraries another one is begun:
    otherwise one half of the result would come from each.

    Args:
        path: of the output.
        module: of the stage, ``__spec__.name``.
        inputs: the files and folders that the stage reads.
        settings: what else the result depends on.
    """
    folder = paths.RESUME / path / begun_with(module, inputs, settings)
    folder.mkdir(parents=True, exist_ok=True)
    if processes.is_first():
        for other in set(folder.parent.iterdir()) - {folder}:
            print(f"starts anew: {other} was begun with other inputs, settings, code or libraries", flush=True)
            files.remove(other)
    yield folder


def begun_with(module: str, inputs: list[Path], settings: tuple) -> str:
    """A short name for all that a stage's result follows from."""
    content = [record.content_hash(path) for path in [*inputs, *imports.closure(module)]]
    return digest(repr([*map(record.plain, settings), content, arithmetic.kind(), record.versions()]))


def memory(folder: Path) -> Remember:
    """A function that gives what a killed run worked out and left in a folder, or works it out.

    Its arguments are what is asked, as plain JSON, and how it is worked out. Each result is a file, written whole or
    not at all. JSON keeps every bit of a float.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if known := len(list(folder.glob("*.json"))):
        print(f"goes on from {known} results in {folder}", flush=True)

    def remember(what: list, work_out: Callable[[], Any]) -> Any:
        file = folder / f"{digest(json.dumps(what))}.json"
        if not file.exists():
            scratch = file.with_suffix(".new")
            scratch.write_text(json.dumps(work_out()))
            scratch.rename(file)
        return json.loads(file.read_text())

    return remember


def digest(text: str) -> str:
    """A short name for a text."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]
