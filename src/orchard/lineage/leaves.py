"""The values at the ends of a tree of parameters, as a reader compares them."""

import json

MISSING = "–"


def leaves(path: str, value: object) -> dict[str, str]:
    """The values at the ends of a tree of mappings, as JSON, by their dotted path."""
    if isinstance(value, dict) and value:
        return {name: leaf for key, below in value.items() for name, leaf in leaves(f"{path}.{key}", below).items()}
    return {path: shown(value)}


def shown(value: object) -> str:
    """A value as JSON, in which what could steer a terminal is escaped."""
    text = json.dumps(value, ensure_ascii=False)
    return text if text.isprintable() else json.dumps(value)


def changes(before: dict, after: dict) -> list[str]:
    """A line for each leaf that differs between two mappings of parameters."""
    old, new = (
        {leaf: shown for key, value in values.items() for leaf, shown in leaves(key, value).items()}
        for values in (before, after)
    )
    return [
        f"{leaf}: {old.get(leaf, MISSING)} → {new.get(leaf, MISSING)}"
        for leaf in dict.fromkeys([*new, *old])
        if old.get(leaf, MISSING) != new.get(leaf, MISSING)
    ]
