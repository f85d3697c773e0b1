"""Reading of the fields of a benchmark's rows. What is wrong with a row is a ValueError, which names the field."""


def text(row: dict, key: str, may_be_empty: bool = False) -> str:
    """A field that is text."""
    if not isinstance(row[key], str) or not (row[key].strip() or may_be_empty):
        raise ValueError(f"field '{key}' is {row[key]!r}, not text")
    return row[key]


def with_choices(choices: list[str], right: str) -> dict:
    """The fields of multiple choice."""
    if right not in choices:
        raise ValueError(f"the answer {right!r} is not among the options {choices}")
    return {"choices": choices, "label": choices.index(right)}
