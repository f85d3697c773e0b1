"""Reading of rows: their fields are typed and bounded. What is wrong with a row is a ValueError, which names the field.

A row comes from anywhere, so nothing of it is believed but what its type says.
"""

import math
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from orchard.errors import shown

LONGEST = 1_000_000  # characters of a text: ours, because no model reads so much
LONGEST_NAME = 200  # characters: ours, because names stand in tables

KINDS = {  # what a field should be, by the type of Pydantic's error
    "string_type": "text",
    "int_type": "a whole number",
    "bool_type": "true or false",
    "list_type": "a list",
    "dict_type": "an object",
    "model_type": "an object",
}


def _said(text: str) -> str:
    if not text.strip():
        raise ValueError(f"is {shown(text)}, not text")
    return text


def _on_one_line(text: str) -> str:
    if not text.isprintable():
        raise ValueError(f"is {shown(text)}, with signs that cannot be printed")
    return text


def _number_as_text(value: Any) -> Any:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return number_as_text(value) if is_number else value


def number_as_text(number: float) -> str:
    """A number as an answer: a whole one without a point.

    Raises:
        ValueError: it is not finite.
    """
    if not math.isfinite(number):
        raise ValueError(f"is {number}, which is no answer")
    return str(int(number)) if number == int(number) else repr(number)


MaybeEmpty = Annotated[str, Field(max_length=LONGEST)]
Text = Annotated[MaybeEmpty, AfterValidator(_said)]
Answer = Annotated[Text, BeforeValidator(_number_as_text)]  # of sets that keep some answers as numbers
Name = Annotated[str, Field(max_length=LONGEST_NAME), AfterValidator(_said), AfterValidator(_on_one_line)]


class Row(BaseModel):
    """The fields that are read of a row of some format; what else stands in it is left where it is."""

    model_config = ConfigDict(strict=True, frozen=True)


R = TypeVar("R", bound=Row)


def read(kind: type[R], row: dict) -> R:
    """The fields of a row.

    Raises:
        ValueError: one is missing, or is not what it should be.
    """
    try:
        return kind.model_validate(row)
    except ValidationError as error:
        raise ValueError(_problem(error.errors()[0], kind)) from None


def _problem(error: dict, kind: type[Row]) -> str:
    """What is wrong with a field, in words."""
    field = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in error["loc"])[1:]
    if error["type"] == "missing":
        return f"no field '{field}'"
    if error["type"] == "extra_forbidden":
        known = f": it has {', '.join(kind.model_fields)}" if len(error["loc"]) == 1 else ""
        return f"field {shown(field)} is none of a row's{known}"
    if error["type"] == "value_error":
        return f"field '{field}' {error['ctx']['error']}" if field else str(error["ctx"]["error"])
    if error["type"] == "literal_error":
        return f"field '{field}' is {shown(error['input'])}, not {error['ctx']['expected']}"
    if error["type"] in KINDS:
        return f"field '{field}' is {shown(error['input'])}, not {KINDS[error['type']]}"
    return f"field '{field}': {error['msg']}"


def with_choices(choices: list[str], right: str) -> dict:
    """The fields of multiple choice."""
    if right not in choices:
        raise ValueError(f"the answer {shown(right)} is not among the options {shown(choices)}")
    return {"choices": choices, "label": choices.index(right)}
