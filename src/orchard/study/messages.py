"""What a user reads of a config's mistakes: Pydantic's errors as messages of found, rule, why and fix."""

import difflib
import re
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from orchard.errors import UserError, printable, shown
from orchard.study.overlay import Resolved, kinds
from orchard.study.schema.common import LIMIT, MISTAKES, NAME
from orchard.study.schema.study import Study

MOST = 50  # mistakes in one message: ours, because a reader mends the first before the last


class ConfigError(UserError):
    """All mistakes of one config in one message.

    Args:
        path: the config.
        mistakes: what is wrong with it.
    """

    def __init__(self, path: str | Path, mistakes: list[UserError]):
        self.mistakes = mistakes
        count = "1 mistake" if len(mistakes) == 1 else f"{len(mistakes)} mistakes"
        parts = [f"{printable(path)}: {count}", *map(str, mistakes[:MOST])]
        parts += [f"… and {len(mistakes) - MOST} more"] if len(mistakes) > MOST else []
        Exception.__init__(self, "\n\n".join(parts))


def broken_rules(error: ValidationError, study: Resolved) -> list[UserError]:
    """A message for each rule within a block that is broken (`Block.mistakes`)."""
    return [
        UserError(found=f"{key}{one.found}{_where(study, key)}", rule=one.rule, why=one.why, fix=one.fix)
        for each in error.errors()
        if each["type"] == MISTAKES
        for key in [dotted(each, study.tree)]
        for one in each["ctx"][MISTAKES]
    ]


def wrong_types(error: ValidationError, study: Resolved) -> list[UserError]:
    """A message for each mistake of type; an unknown key takes the missing one along that it was meant for."""
    errors = [each for each in error.errors() if each["type"] != MISTAKES]
    missing = [dotted(each, study.tree) for each in errors if each["type"] == "missing"]
    unknown = [
        _unknown_key(dotted(each, study.tree), missing, study) for each in errors if each["type"] == "extra_forbidden"
    ]
    rest = [(each, dotted(each, study.tree)) for each in errors if each["type"] != "extra_forbidden"]
    return unknown + [
        _wrong_value(each, key, study) for each, key in rest if each["type"] != "missing" or key in missing
    ]


def _where(study: Resolved, key: str) -> str:
    """The file and line of a key, in brackets."""
    return f" ({origin})" if (origin := study.origin(key)) else ""


def _unknown_key(key: str, missing: list[str], study: Resolved) -> UserError:
    """The message for an unknown key; takes the key that it was meant for from ``missing``."""
    parent, _, last = key.rpartition(".")
    siblings = {name.rpartition(".")[2]: name for name in missing if name.rpartition(".")[0] == parent}
    known = KNOWN_KEYS - {last}
    meant = difflib.get_close_matches(last, siblings, 1, 0.5) or difflib.get_close_matches(last, known, 1)
    if meant and meant[0] in siblings:
        missing.remove(siblings[meant[0]])
    return UserError(
        found=f"{key} is not a key of this place{_where(study, key)}",
        rule="only keys of the schema stand in a config",
        why="a misspelt one would silently do nothing",
        fix=f"did you mean {meant[0]!r}? If not, remove it" if meant else "remove it",
    )


def _wrong_value(error: dict, key: str, study: Resolved) -> UserError:
    """The message for a key that is missing, or a value of the wrong type or out of range."""
    kind, value, where = error["type"], error["input"], _where(study, key)
    if kind == "missing":
        return UserError(
            found=f"{key} is missing{where}",
            rule="a key without a default stands in the config",
            why="no value would fit every study",
            fix="add it; studies/default.yaml shows one, and docs/config.schema.json says what each key is",
        )
    if kind == "string_pattern_mismatch" and error["ctx"]["pattern"] == NAME:
        return UserError(
            found=f"{key}: {shown(value)}{where}",
            rule="a name is made of small letters and digits, joined by single hyphens",
            why="it becomes a part of file names and of DVC's stage names",
            fix=f"rename it, for example to {'-'.join(re.findall('[a-z0-9]+', str(value).lower())) or 'a-name'!r}",
        )
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        field = error["ctx"]["discriminator"].strip("'")
        value, kind = value.get(field, "missing"), "literal_error"
        error = {"ctx": {"expected": error["ctx"].get("expected_tags") or ", ".join(map(repr, kinds(key, field)))}}
        key = f"{key}.{field}"
    if kind == "literal_error":
        expected = error["ctx"]["expected"]
        return UserError(
            found=f"{key}: {shown(value)}{where}",
            rule=f"it is {expected}",
            why="each stands for code that exists",
            fix="write one of them",
        )
    is_number_in_text = isinstance(value, str) and re.fullmatch(r"[-+]?[\d.]+([eE][-+]?\d+)?", value.strip())
    unquote = is_number_in_text and kind in ("float_type", "int_type")
    return UserError(
        found=f"{key}: {shown(value)}{where}",
        rule=error["msg"].replace("Input should be", "it is", 1).replace(" or object to extract fields from", ""),
        why=error["ctx"]["why"] if kind == LIMIT else "a stage takes the value as it stands; nothing is converted",
        fix="write the number without quotes" if unquote else f"correct {key}",
    )


def dotted(error: dict, tree: Any) -> str:
    """The key of an error as it stands in the file: ``base.tiny.steps``, ``sft.seeds[0]``. Without Pydantic's tags."""
    key = ""
    for position, part in enumerate(error["loc"], start=1):
        if isinstance(tree, list) and isinstance(part, int):
            key, tree = f"{key}[{part}]", tree[part]
        elif isinstance(tree, dict) and part in tree:
            key, tree = f"{key}.{part}", tree[part]
        elif error["type"] == "missing" and position == len(error["loc"]):
            key = f"{key}.{part}"
    return key.lstrip(".") or "the config"


def _known_keys(block: type[BaseModel]) -> set[str]:
    """The keys of every mapping of the schema."""
    schema = block.model_json_schema()
    return {key for each in [schema, *schema["$defs"].values()] for key in each.get("properties", {})}


KNOWN_KEYS = _known_keys(Study)
