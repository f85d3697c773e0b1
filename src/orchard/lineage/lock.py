"""The one reader of dvc.lock: what each stage ran, read and wrote, by the hashes of contents.

It needs neither DVC nor any output, so a result can be traced in any clone.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from orchard import paths, yamls
from orchard.errors import UserError

HEAD = "schema: '2.0'\nstages:\n"
CODE = ("src/", "requirements")  # how the paths of code and of lock files begin
UNKNOWN = "unknown"


@dataclass(frozen=True)
class Entry:
    """A stage as it last ran.

    Attributes:
        name: as DVC names it, ``sft@nll-1``.
        command: what it ran.
        deps: the MD5 of each path that it read.
        params: the value of each key that it read, by file.
        outs: the MD5 of each path that it wrote; that of a folder is of the list of its files.
    """

    name: str
    command: str
    deps: dict[str, str]
    params: dict[str, dict]
    outs: dict[str, str]

    @property
    def values(self) -> dict:
        """The value of each key that it read, whatever the file."""
        return {key: value for values in self.params.values() for key, value in values.items()}

    @property
    def inputs(self) -> list[str]:
        """The paths that it read, without code."""
        return [path for path in self.deps if not path.startswith(CODE)]


Lock = dict[str, Entry]


def read(path: Path = paths.LOCK) -> Lock:
    """The stages of a dvc.lock, by name.

    Raises:
        UserError: there is none, or it is garbled.
    """
    if not path.is_file():
        raise UserError(
            found=f"no file {path}",
            rule="dvc.lock stands in the working folder",
            why="it says what each result was made of",
            fix="go to the project's root, or run `snakemake --cores all` first",
        )
    return parse(yamls.read(path), path)


def read_if_there(path: Path = paths.LOCK) -> Lock:
    """The stages of a dvc.lock; none where there is no such file.

    Raises:
        UserError: it is garbled.
    """
    return read(path) if path.is_file() else {}


def parse(tree: object, source: Path | str = paths.LOCK) -> Lock:
    """The stages in the content of a dvc.lock.

    Args:
        tree: its YAML as plain Python.
        source: what to call it in a message.

    Raises:
        UserError: it is not what DVC writes.
    """
    try:
        return {name: _entry(name, stage) for name, stage in ((tree or {}).get("stages") or {}).items()}
    except (AttributeError, KeyError, TypeError) as error:
        raise UserError(
            found=f"{source}: not what DVC writes ({type(error).__name__}: {error})",
            rule="each stage has its command and its outputs",
            why="it says what each result was made of",
            fix=f"`git checkout {source}`, then `snakemake --cores all`",
        ) from error


def _entry(name: str, stage: dict) -> Entry:
    return Entry(
        name=name,
        command=str(stage["cmd"]),
        deps={dep["path"]: dep.get("md5", UNKNOWN) for dep in stage.get("deps", [])},
        params=dict(stage.get("params", {}).items()),
        outs={out["path"]: out.get("md5", UNKNOWN) for out in stage["outs"]},
    )


def present(lock: Lock) -> Lock:
    """The stages whose outputs are here: dvc.lock keeps those of studies that ran in this folder before."""
    return {name: entry for name, entry in lock.items() if all(Path(out).exists() for out in entry.outs)}


def makers(path: str, lock: Lock) -> list[str]:
    """The stages whose output is the path, holds it, or lies in it."""
    return [name for name, entry in lock.items() if paths.overlapping(path, entry.outs)]


def with_hash(path: str, md5: str) -> str:
    """A path with its MD5, for a reader."""
    return f"{path}  md5 {md5}"


def chain(path: str, lock: Lock) -> list[dict]:
    """The stages behind a path in the order of their work: command, outputs with MD5, and the stages each reads from.

    Without code and parameters, which `trace` prints: what stands here changes only where an output does.
    """
    steps: dict[str, dict] = {}

    def climb(path: str) -> None:
        for name in sorted(makers(path, lock)):  # dvc.lock has them in the order in which they ran
            if name in steps:
                continue
            entry = lock[name]
            for read in entry.inputs:
                climb(read)
            after = sorted({maker for read in entry.inputs for maker in makers(read, lock)})
            outs = [with_hash(*out) for out in entry.outs.items()]
            steps[name] = {"stage": name, "command": entry.command, "outputs": outs, "after": after}

    climb(path)
    return list(steps.values())


def blocks(text: str) -> list[str]:
    """The head of a dvc.lock's text, then the lines of each stage, whose name is indented by two."""
    return re.split(r"^(?=  \S)", text, flags=re.MULTILINE)


def of_stages(text: str, names: Iterable[str]) -> str:
    """The text of a dvc.lock with some of its stages alone."""
    head, *stages = blocks(text)
    wanted = set(names)
    return head + "".join(lines for lines in stages if lines.partition("\n")[0].strip().rstrip(":") in wanted)
