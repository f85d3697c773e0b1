"""Loading of a study: put together, validated, and shown with the origin of each value."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from orchard import paths, yamls
from orchard.study import checks, messages, overlaps, overlay
from orchard.study.overlay import Resolved
from orchard.study.schema.common import TYPES_ALONE
from orchard.study.schema.study import Study

DEFAULT = "default of the schema"


def load(path: Path = paths.CONFIG) -> Study:
    """The study of a config file, validated. Paths in it are from the project's root, the working folder.

    Raises:
        UserError: a file is missing or no YAML, or the study breaks a rule; all mistakes stand in one message.
    """
    return validate(overlay.resolve(path), path)


def validate(resolved: Resolved, path: Path | str = paths.CONFIG) -> Study:
    """The study of a tree: types first; if these are right, the rules within its blocks and those across them.

    If these are kept, the sets that are at hand are read and compared.

    Args:
        resolved: the study, put together.
        path: the file to name in the message.

    Raises:
        UserError: it breaks a rule; all mistakes stand in one message.
    """
    mistakes = []
    try:
        study = Study.model_validate(resolved.tree)
    except ValidationError as error:
        if wrong := messages.wrong_types(error, resolved):
            raise messages.ConfigError(path, wrong + messages.broken_rules(error, resolved)) from None
        mistakes = messages.broken_rules(error, resolved)
        study = Study.model_validate(resolved.tree, context=TYPES_ALONE)
    if mistakes := mistakes + list(checks.mistakes(study)) or list(overlaps.mistakes(study)):
        raise messages.ConfigError(path, mistakes)
    return study


def describe(path: Path = paths.CONFIG) -> str:
    """The whole study as YAML, with the origin of each value behind it."""
    resolved = overlay.resolve(path)
    study = validate(resolved, path).model_dump()
    lines = [
        (line, resolved.origin(key) if _stands_in(resolved.tree, key) else DEFAULT if key else "")
        for line, key in _lines(study)
    ]
    width = min(max(len(line) for line, _ in lines), 88)
    return "\n".join(f"{line:{width}}  # {origin}" if origin else line for line, origin in lines)


def _lines(tree: dict, above: str = "", depth: int = 0) -> Iterator[tuple[str, str]]:
    """Each line of a tree as YAML, with its dotted key; a key with others below it comes without."""
    for key, value in tree.items():
        path, indent = f"{above}.{key}".lstrip("."), "  " * depth
        if isinstance(value, dict) and value:
            yield f"{indent}{_one_line(key, None).removesuffix(' null')}", ""
            yield from _lines(value, path, depth + 1)
        else:
            yield indent + _one_line(key, value), path


def _one_line(key: str, value: Any) -> str:
    """A key and its value on one line."""
    return yamls.dumps({key: value}, one_line=True).strip().removeprefix("{").removesuffix("}")


def _stands_in(tree: Any, key: str) -> bool:
    """Whether a file gives a value, as opposed to the schema."""
    for part in key.split("."):
        if not (isinstance(tree, dict) and part in tree):
            return False
        tree = tree[part]
    return True
