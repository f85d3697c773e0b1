"""The one reader of dvc.lock: what each stage ran, read and wrote, by the hashes of contents.

It needs neither DVC nor any output, so a result can be traced in any clone. The file may come from anyone, and DVC
makes paths of its hashes; so its form is checked to the last key, and what is printed of it cannot steer a terminal.
"""

import functools
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from ruamel.yaml.error import YAMLError

from orchard import git, paths, yamls
from orchard.errors import UserError
from orchard.lineage import parsed

HEAD = "schema: '2.0'\nstages:\n"
CODE = ("src/", "requirements")  # how the paths of code and of lock files begin
OID = r"^[0-9a-f]{32}(\.dir)?$"  # DVC's name of an object: an MD5, with .dir if it is of the list of a folder's files
T = TypeVar("T", bound=BaseModel)


# The form of the file


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("it has a control character")
    return text


def inside(path: str) -> str:
    """The path, if it can be that of an output or of a file in one; else a ValueError says why not."""
    if reason := outside(path):
        raise ValueError(reason)
    return path


def outside(path: str) -> str | None:
    """Why a path cannot be that of an output, or of a file in one; None if it can: it is relative and stays inside."""
    if not path.isprintable():
        return "it has a control character"
    if path.startswith("/") or not path:
        return "it is not relative"
    if {"", ".", ".."} & set(path.split("/")):
        return "it is not written the short way, or leads out of its folder"
    return None


def hidden(path: str) -> bool:
    """Whether a path lies in a folder such as .git or .dvc, in which no stage writes."""
    return PurePosixPath(path).parts[0].startswith(".")


def _not_hidden(path: str) -> str:
    if hidden(path):
        raise ValueError("no stage writes there")
    return path


Line = Annotated[str, Field(min_length=1), AfterValidator(_printable)]
Out = Annotated[str, AfterValidator(inside), AfterValidator(_not_hidden)]
Size = Annotated[int, Field(ge=0)]


class _Form(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _Content(_Form):
    hash: Literal["md5"] = "md5"
    md5: Annotated[str, Field(pattern=OID)]
    size: Size | None = None
    nfiles: Size | None = None
    isexec: bool = False


class _Read(_Content):
    path: Line  # of a file from outside, it may be anywhere


class _Written(_Content):
    path: Out


class StageForm(_Form):
    """A stage in dvc.lock; an entry of DVC's run cache is the same."""

    cmd: Line
    deps: list[_Read] = []
    params: dict[Line, dict[Line, Any]] = {}
    outs: Annotated[list[_Written], Field(min_length=1)]


class _LockForm(_Form):
    schema_: Literal["2.0"] = Field(alias="schema")
    stages: Annotated[dict[Line, StageForm], Field(min_length=1)]


# What it says


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


def read(path: Path = paths.LOCK, names: Iterable[str] | None = None) -> Lock:
    """The stages of a dvc.lock, by name.

    Args:
        path: the file.
        names: the stages that are wanted; None: all. Of the others not a line is read.

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
    text = _text(path)
    lines = None if names is None else by_name(text)
    if lines is None:
        return of_text(text, str(path))
    wanted = [lines[name] for name in names if name in lines]
    return of_text(HEAD + "".join(wanted), str(path)) if wanted else {}


def read_if_there(path: Path = paths.LOCK, names: Iterable[str] | None = None) -> Lock:
    """The stages of a dvc.lock, or those that are wanted; none where there is no such file.

    Raises:
        UserError: it is garbled, cut or empty.
    """
    return read(path, names) if path.is_file() else {}


def of_commit(commit: str) -> Lock:
    """The stages of a commit's dvc.lock; none where the commit has no such file.

    Raises:
        UserError: it is garbled, cut or empty.
    """
    shown = git.run("show", f"{commit}:{paths.LOCK}")
    return {} if shown.returncode else of_text(shown.stdout, f"the dvc.lock of {commit[:10]}")


def of_text(text: str, source: str) -> Lock:
    """The stages in the text of a dvc.lock.

    Args:
        text: all of it.
        source: what to call it in a message.

    Raises:
        UserError: it is not what DVC writes, to the last line.
    """
    return dict(_read_once(text, source))


@functools.lru_cache(maxsize=2)  # the newest, and one to compare it with: DVC is opened several times in a process
def _read_once(text: str, source: str) -> Lock:
    tree = _by_stage(text) or yamls.parse(text, source)
    if text and not text.endswith("\n"):
        raise _garbled(source, "its last line is cut")
    if "&" in text and _is_larger(tree, len(text)):
        raise _garbled(source, "it has YAML's aliases")
    return parse(tree, source)


def _by_stage(text: str) -> dict | None:
    """The tree of a dvc.lock's text, read stage by stage; None where the lines are not set as DVC sets them."""
    if not (named := by_name(text)):
        return None
    try:
        stages = {name: parsed.loads(lines)[name] for name, lines in named.items()}
    except (YAMLError, LookupError, TypeError):
        return None
    parsed.forget_others(named.values())
    return {"schema": "2.0", "stages": stages}


def parse(tree: object, source: str = str(paths.LOCK)) -> Lock:
    """The stages in the content of a dvc.lock.

    Args:
        tree: its YAML as plain Python.
        source: what to call it in a message.

    Raises:
        UserError: it is not what DVC writes.
    """
    if not tree or (isinstance(tree, dict) and "stages" in tree and not tree["stages"]):
        raise _garbled(source, "no stage is in it")
    return {name: _entry(name, stage) for name, stage in checked(_LockForm, tree, source).stages.items()}


def checked(form: type[T], tree: object, source: str) -> T:
    """The content of a dvc.lock, or of an entry of the run cache, in its form.

    Raises:
        UserError: it has another form.
    """
    try:
        return form.model_validate(tree)
    except ValidationError as error:
        first = error.errors()[0]
        place = repr(".".join(map(str, first["loc"])).replace("schema_", "schema"))[1:-1]
        more = f", and {error.error_count() - 1} more" if error.error_count() > 1 else ""
        raise _garbled(source, f"{place}: {str(first['input'])[:60]!r} ({first['msg']}){more}") from None


def _garbled(source: str, what: str) -> UserError:
    here = source == str(paths.LOCK)
    return UserError(
        found=f"{source}: not what DVC writes: {what}"[:600],
        rule="each stage has its command and its outputs, whose hashes are MD5s, and whose paths stay in the project",
        why="it says what each result was made of, and DVC reads, writes and deletes files by these hashes and paths",
        fix=f"`git checkout {source}`, or remove it if this study never ran; then `snakemake --cores all`"
        if here
        else "do not use it: take it from where it is whole, or remove it",
    )


def _is_larger(tree: object, most: int) -> bool:
    """Whether a tree has more values than a number: of a text without aliases, each takes a character at least."""
    left = [tree]
    while left and most >= 0:
        most, node = most - 1, left.pop()
        left += [*node.values()] if isinstance(node, dict) else node if isinstance(node, list) else []
    return most < 0


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (UnicodeDecodeError, OSError) as error:
        raise _garbled(str(path), " ".join(str(error).split())) from None


def _entry(name: str, stage: StageForm) -> Entry:
    return Entry(
        name=name,
        command=stage.cmd,
        deps={dep.path: dep.md5 for dep in stage.deps},
        params=stage.params,
        outs={out.path: out.md5 for out in stage.outs},
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


@functools.lru_cache(maxsize=2)  # a job asks several times
def by_name(text: str) -> Mapping[str, str] | None:
    """The lines of each stage in a dvc.lock's text; None where these are not set as DVC sets them."""
    head, *stages = blocks(text)
    named = {lines.partition(":\n")[0].strip(): lines for lines in stages}
    return MappingProxyType(named) if head == HEAD and len(named) == len(stages) else None


def of_stages(text: str, names: Iterable[str]) -> str:
    """The text of a dvc.lock with some of its stages alone."""
    head, *stages = blocks(text)
    wanted = set(names)
    return head + "".join(lines for lines in stages if lines.partition("\n")[0].strip().rstrip(":") in wanted)
