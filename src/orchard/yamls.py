"""Reading and writing of YAML, in the one dialect that DVC reads too: YAML 1.2 by ruamel.

In it `010` is ten, `0o10` is eight, `1:30`, `yes` and `on` are text, `1e-3` is a number, and a key that stands twice is
an error. Keys are text. An alias stands for the value of its anchor, but not for itself, nor for more than is written.
"""

import io
import os
import re
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import AliasEvent, CollectionEndEvent, CollectionStartEvent, NodeEvent
from ruamel.yaml.representer import RoundTripRepresenter

from orchard.errors import UserError, shown

DEEPEST = 100  # levels: ours, because a study has eight, and the parser in C crashes at some thousands
OTHER_DIALECT = re.compile(r"^%YAML(?! +1\.2\s)", re.MULTILINE)
CONFLICT = re.compile(r"^(<{7}|={7}|>{7})(?= |$)", re.MULTILINE)


class _Plain(RoundTripRepresenter):
    """Writes None as `null`, and never an alias. Its own class, because DVC writes with ruamel's."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(tool: _Plain, text: str) -> Any:
    """A text with a colon is quoted: within braces the parser in C takes a plain one for no YAML."""
    return tool.represent_scalar("tag:yaml.org,2002:str", text, style="'" if ":" in text else None)


_Plain.add_representer(type(None), lambda tool, _: tool.represent_scalar("tag:yaml.org,2002:null", "null"))
_Plain.add_representer(str, _text)


def loads(text: str, kind: str = "safe") -> Any:
    """The content of a YAML text as plain Python; of kind ``rt`` with the line of each key.

    Raises:
        YAMLError: it is no YAML, a mapping has a key twice or one that is no text, or aliases multiply what is there.
    """
    if OTHER_DIALECT.search(text):
        raise YAMLError("%YAML names another version than 1.2, in which other texts are numbers")
    try:
        _refuse_growth(text)
        tree = YAML(typ=kind).load(text)
    except YAMLError:
        raise
    except Exception as error:  # ruamel stumbles in many ways over a value that is none of its tag's
        raise YAMLError(f"{type(error).__name__}: {error}") from error
    _refuse_other_keys(tree)
    return tree


def _refuse_growth(text: str) -> None:
    """Raises a YAMLError for what would grow beyond its text when it is built: depth, and aliases of aliases."""
    values = 0
    sizes: dict[str, int] = {}  # of each anchored value, once it is whole
    started: list[tuple[str | None, int]] = []
    for event in YAML(typ="safe").parse(text):
        anchor = event.anchor if isinstance(event, NodeEvent) else None
        if isinstance(event, AliasEvent):
            if anchor in [name for name, _ in started]:
                raise MarkedYAMLError(problem=f"alias {anchor} stands in its own value", problem_mark=event.start_mark)
            values += sizes.get(anchor, 0)
        elif isinstance(event, CollectionEndEvent):
            name, before = started.pop()
            sizes |= {name: values - before} if name else {}
        elif isinstance(event, NodeEvent):
            values += 1
            if isinstance(event, CollectionStartEvent):
                started.append((anchor, values - 1))
            elif anchor:
                sizes[anchor] = 1
        if len(started) > DEEPEST:
            raise MarkedYAMLError(problem=f"more than {DEEPEST} levels", problem_mark=event.start_mark)
        if values > len(text):
            raise MarkedYAMLError(problem="aliases stand for more than is written", problem_mark=event.start_mark)


def _refuse_other_keys(tree: Any) -> None:
    """Raises a YAMLError for a key that is no text: a list, a number, true or nothing."""
    if isinstance(tree, dict) and (others := [key for key in tree if not isinstance(key, str)]):
        raise YAMLError(f"key {shown(others[0])} is no text (write it in quotes, if it is meant as one)")
    for value in tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list) else ():
        _refuse_other_keys(value)


def read(path: Path, kind: str = "safe") -> Any:
    """The content of a YAML file.

    Raises:
        UserError: there is no such file, git left conflict marks in it, it is no YAML, or a key stands twice.
    """
    if not os.path.isfile(path):  # Path.is_file raises for a name that is too long
        raise UserError(
            found=f"no file {path}",
            rule="it stands in the project's root, the working folder",
            why="the study is read from it",
            fix="go to the project's root, or bring the file back (`git checkout`)",
        )
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise _unreadable(path, error) from None
    return parse(text, path, kind)


def parse(text: str, source: Path | str, kind: str = "safe") -> Any:
    """The content of a YAML text that a message calls ``source``.

    Raises:
        UserError: git left conflict marks in it, it is no YAML, or a key stands twice.
    """
    refuse_conflict(source, text)
    try:
        return loads(text, kind)
    except (YAMLError, RecursionError) as error:
        raise _unreadable(source, error) from None


def _unreadable(source: Path | str, error: Exception) -> UserError:
    return UserError(
        found=f"{source}{_place(error)}: {_problem(error)}",
        rule="it is YAML 1.2, and each key of a mapping stands once",
        why="what cannot be read cannot be run, and of a key twice only one value would count",
        fix="correct the line, or what stands before it",
    )


def refuse_conflict(path: Path | str, text: str) -> None:
    """Raises a UserError if git left marks of a merge conflict in a file."""
    if mark := CONFLICT.search(text):
        raise UserError(
            found=f"{path}, line {text.count(chr(10), 0, mark.start()) + 1}: {mark[0]}, a mark of a git merge conflict",
            rule="no file of a project has conflict marks",
            why="it says what each result is made of",
            fix=f"`git checkout --ours {path}` or `--theirs`; then `snakemake --cores all` runs what the choice lacks",
        )


def dumps(content: Any, one_line: bool = False) -> str:
    """The text of plain Python as YAML: keys in their order, a mapping or list without others in it on one line.

    Args:
        content: mappings, lists, text, numbers, true, false and None.
        one_line: put everything on one line.
    """
    writer = YAML()
    writer.Representer = _Plain
    writer.width, writer.default_flow_style = 100_000, True if one_line else None
    writer.indent(mapping=2, sequence=4, offset=2)
    stream = io.StringIO()
    writer.dump(content, stream)
    return stream.getvalue()


def _place(error: Exception) -> str:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    return f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""


def _problem(error: Exception) -> str:
    text = error.problem if isinstance(error, MarkedYAMLError) and error.problem else str(error)
    return " ".join(str(text).partition(" with value")[0].split())  # of a key twice, without the two values
