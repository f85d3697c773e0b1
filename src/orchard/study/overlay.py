"""How config.yaml becomes a whole study: it extends another study and says what differs.

Mappings merge by key, lists and values replace. Null removes an entry of a mapping of named things (arms, tasks,
styles), and a block that is then as the schema has it by default (`prune: null`); elsewhere it is a value. A block that
becomes one of another kind replaces the block below it whole.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from orchard import paths, yamls
from orchard.errors import UserError, did_you_mean, shown
from orchard.study.schema.common import Block
from orchard.study.schema.study import Study

EXTENDS = "extends"
SELECTORS = ("kind", "role")  # the keys whose value decides which block a mapping is


@dataclass(frozen=True)
class Resolved:
    """A study put together, not validated yet.

    Attributes:
        tree: the study as plain Python.
        origins: for each dotted key that a file gives, the file and line.
    """

    tree: dict
    origins: dict[str, str]

    def origin(self, key: str) -> str:
        """Where the value of a key comes from: of the nearest key above, where it has no line of its own."""
        while key and key not in self.origins:
            key = key[: max(key.rfind("."), key.rfind("["), 0)]
        return self.origins.get(key, "")


def resolve(path: Path) -> Resolved:
    """The study of a config file, put together with the studies that it extends.

    Raises:
        UserError: a file is missing or no YAML mapping, a study extends itself, or removes what is not there.
    """
    tree: dict = {}
    origins: dict[str, str] = {}
    for file in reversed(chain(path)):
        above, lines = _read(file)
        tree = _merged(Study, tree, above, "", file)
        origins |= lines
    return Resolved(tree, origins)


def chain(path: Path) -> list[Path]:
    """A config file and the studies that it extends, one after the other."""
    files = [path]
    while below := _read_mapping(files[-1]).get(EXTENDS):
        file = study_file(below, files[-1])
        if file in files:
            raise UserError(
                found=f"{files[-1]}: extends {below!r}, which extends {files[-1].stem!r}",
                rule="a study extends another, and none comes back to itself",
                why="nothing would be at the bottom",
                fix=f"take out one of the two lines, or extend another of {', '.join(names())}",
            )
        files.append(file)
    return files


def study_file(name: Any, told_in: Path | str) -> Path:
    """The file of a study by its name.

    Raises:
        UserError: there is no such study.
    """
    if not isinstance(name, str) or name not in names():
        raise UserError(
            found=f"{told_in}: no study {shown(name)}",
            rule=f"it is one of {paths.STUDIES}/: {', '.join(names()) or 'none is there'}",
            why="the study is put together from its file",
            fix=did_you_mean(str(name), names()),
        )
    return paths.STUDIES / f"{name}.yaml"


def names() -> list[str]:
    """The studies that can be extended."""
    return sorted(file.stem for file in paths.STUDIES.glob("*.yaml"))


def _read_mapping(file: Path, kind: str = "safe") -> dict:
    tree = yamls.read(file, kind)
    if not isinstance(tree, dict):
        raise UserError(
            found=f"{file}: {'nothing' if tree is None else type(tree).__name__}",
            rule="a study is a mapping of keys",
            why="each stage reads its keys",
            fix="write `extends: default` and what differs, or `orchard use default`",
        )
    return tree


def _read(file: Path) -> tuple[dict, dict[str, str]]:
    """A file's own keys, and the line of each."""
    tree, marked = _read_mapping(file), _read_mapping(file, "rt")
    tree.pop(EXTENDS, None)
    return tree, {key: f"{file}, line {line}" for key, line in _lines(marked, "") if key != EXTENDS}


def _lines(node: Any, above: str) -> Iterator[tuple[str, int]]:
    """Each dotted key of a tree that ruamel marked, with its line."""
    for key, value in node.items() if isinstance(node, dict) else ():
        path = f"{above}.{key}".lstrip(".")
        if key in (node.lc.data or {}):
            yield path, node.lc.key(key)[0] + 1
        yield from _lines(value, path)


def _merged(annotation: Any, below: dict, above: dict, key: str, file: Path) -> dict:
    """A mapping of the tree below with that of an overlay on it.

    Args:
        annotation: the type of the mapping in the schema; None where the schema knows none.
        below: what is extended.
        above: what differs.
        key: where both stand, with dots.
        file: the overlay's file.
    """
    block = _block(annotation, below)
    if block is not _block(annotation, below | above):
        return above
    named = _entries(annotation)
    merged = dict(below)
    for name, value in above.items():
        inner = named if named else _field(block, name)
        if value is None and named and named is not Any:
            if name not in merged:
                raise _nothing_to_remove(f"{key}.{name}", merged, file)
            del merged[name]
        elif value is None and isinstance(merged.get(name), dict) and not _is_nullable(inner):
            del merged[name]
        elif isinstance(value, dict) and isinstance(merged.get(name), dict):
            merged[name] = _merged(inner, merged[name], value, f"{key}.{name}".lstrip("."), file)
        else:
            merged[name] = value
    return merged


def _nothing_to_remove(key: str, known: dict, file: Path) -> UserError:
    return UserError(
        found=f"{file}: {key}: null, where the extended study has no such entry",
        rule="null removes an entry of a mapping of named things",
        why="a misspelt name would leave the entry where it is",
        fix=did_you_mean(key.rpartition(".")[2], known),
    )


def _plain(annotation: Any) -> list[Any]:
    """The types that an annotation allows, without Annotated, Union and None."""
    origin = get_origin(annotation)
    if origin is Annotated:
        return _plain(get_args(annotation)[0])
    if origin is Union or getattr(origin, "__name__", "") == "UnionType":
        return [each for part in get_args(annotation) for each in _plain(part)]
    return [] if annotation is NoneType else [annotation]


def _is_nullable(annotation: Any) -> bool:
    if get_origin(annotation) is Annotated:
        return _is_nullable(get_args(annotation)[0])
    return annotation is None or NoneType in get_args(annotation)


def _entries(annotation: Any) -> Any:
    """The type of the entries of a mapping of named things; None for any other mapping."""
    for each in _plain(annotation):
        if get_origin(each) is dict:
            return get_args(each)[1]
    return None


def _block(annotation: Any, tree: dict) -> type[Block] | None:
    """The block that a mapping is: of those that its selectors allow, the one that knows most of its keys."""
    blocks = [each for each in _plain(annotation) if isinstance(each, type) and issubclass(each, Block)]
    fitting = [block for block in blocks if all(_allows(block, name, tree) for name in SELECTORS)]
    return max(fitting, key=lambda block: len(tree.keys() & block.model_fields.keys()), default=None)


def _allows(block: type[Block], name: str, tree: dict) -> bool:
    field = block.model_fields.get(name)
    values = get_args(field.annotation) if field and get_origin(field.annotation) is Literal else ()
    return not values or name not in tree or tree[name] in values


def kinds(key: str, selector: str) -> list[str]:
    """The values that a selector of the mapping at a dotted key may have."""
    annotation: Any = Study
    for part in key.split("."):
        annotation = _entries(annotation) or _field(_block(annotation, {}), part)
    fields = [each.model_fields.get(selector) for each in _plain(annotation) if hasattr(each, "model_fields")]
    return [value for field in fields if field for value in get_args(field.annotation)]


def _field(block: type[Block] | None, name: str) -> Any:
    field = block.model_fields.get(name) if block else None
    return field.annotation if field else None
