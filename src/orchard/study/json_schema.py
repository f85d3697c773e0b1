"""The JSON schema of a config, for editors: a whole study, or one that extends another and says what differs."""

from typing import Any

from orchard.study.overlay import EXTENDS
from orchard.study.schema.study import Study


def overlay_schema() -> dict:
    """The schema of a study in which every key may be left out, and entries of mappings may be null."""
    schema = _relaxed(Study.model_json_schema())
    schema["properties"] = {
        EXTENDS: {"type": "string", "description": "a study of studies/ that this one extends"},
        **schema["properties"],
    }
    return schema


def _relaxed(node: Any) -> Any:
    """A schema without what an overlay may leave out."""
    if isinstance(node, list):
        return [_relaxed(each) for each in node]
    if not isinstance(node, dict):
        return node
    kept = {key: _relaxed(value) for key, value in node.items() if key not in ("required", "discriminator")}
    if "oneOf" in kept:  # without its kind a block may be any of several
        kept["anyOf"] = kept.pop("oneOf")
    if isinstance(entries := kept.get("additionalProperties"), dict):
        kept["additionalProperties"] = _or_null(entries)
    if names := kept.get("patternProperties"):
        kept["patternProperties"] = {pattern: _or_null(entries) for pattern, entries in names.items()}
    if kept.get("type") == "object" and "properties" in kept:
        kept["properties"] = {key: _removable(value) for key, value in kept["properties"].items()}
    return kept


def _removable(schema: dict) -> dict:
    """A block that null resets to its default."""
    if "$ref" not in schema:
        return schema
    return _or_null({"$ref": schema["$ref"]}) | {key: value for key, value in schema.items() if key != "$ref"}


def _or_null(schema: dict) -> dict:
    return {"anyOf": [schema, {"type": "null"}]}
