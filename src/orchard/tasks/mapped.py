"""Items of any data set, by a map that says in which column each part of an item stands (`orchard.tasks.columns`)."""

import re
from collections.abc import Iterable
from typing import Any

from orchard.errors import shown
from orchard.tasks import columns, conversations, fields, programs

LETTER = re.compile(r"[A-Z]")  # by which many sets name a choice


def item(mapping: Iterable[tuple[str, str | None]], task: str | None, row: dict, name: str, number: int) -> dict:
    """An item of a row, by a study's map of columns.

    Args:
        mapping: ``id``, ``task``, ``prompt``, ``messages``, ``answer``, ``final``, ``response``, ``logps``,
            ``choices``, ``label``, ``tests`` and ``entry_point``, each a column or None.
        task: of all rows; None: that of the column ``task``.
        row: as it was read.
        name: that of the file, without its ending.
        number: of the row, from 1.

    Raises:
        ValueError: a column is not there, or holds what the part of an item cannot be.
    """
    asked = {part: column for part, column in mapping if column is not None}
    found = {part: _part(part, column, row) for part, column in asked.items()}
    made = {"id": found.pop("id", f"columns-{name}-{number:05d}"), "task": task or found.pop("task", None)}
    if "messages" in found:
        made |= conversations.of(found.pop("messages"))
    made |= _chosen(found) | {part: each for part, each in found.items() if part not in ("choices", "label", "tests")}
    made.setdefault("answer", "")
    if "messages" not in made:
        made.setdefault("prompt", "")
    return made | (_tested(made, found["tests"]) if "tests" in found else {})


def _part(part: str, column: str, row: dict) -> Any:
    """What a column gives for a part of an item."""
    found = columns.value(row, column)
    if found is None:
        raise ValueError(
            f"column {column!r} for {part} is not there, or null; there are {', '.join(columns.known(row))}"
        )
    if part in ("messages", "choices", "logps"):
        return columns.parsed(found, column) if isinstance(found, str) else found
    if part == "label":
        return found
    if part == "tests" and isinstance(found, list):
        return "\n".join(map(str, found))
    if part in ("id", "answer", "final") and columns.is_number(found):
        return fields.number_as_text(found)
    if not isinstance(found, str):
        hint = "; map a list of turns to messages" if part == "prompt" and isinstance(found, list) else ""
        raise ValueError(f"column {column!r} for {part} is {shown(found)}, not text{hint}")
    return found


def _chosen(found: dict) -> dict:
    """The fields of multiple choice, and the right choice as the answer where no other is given."""
    if "choices" not in found:
        return {}
    choices = found["choices"]
    if not isinstance(choices, list) or not all(isinstance(each, str) for each in choices):
        raise ValueError(f"choices {shown(choices)} are no list of texts")
    label = _place(found.get("label"), choices)
    return {"choices": choices, "label": label} | ({} if "answer" in found else {"answer": choices[label]})


def _place(label: Any, choices: list[str]) -> int:
    """The place of the right choice: given as such (from 0), as a letter, or as the choice itself."""
    if isinstance(label, str) and label in choices:
        return choices.index(label)
    place = ord(label) - ord("A") if isinstance(label, str) and LETTER.fullmatch(label) else label
    if not isinstance(place, int) or isinstance(place, bool) or not 0 <= place < len(choices):
        raise ValueError(f"label {shown(label)} names none of {len(choices)} choices: by place from 0, letter, or text")
    return place


def _tested(made: dict, tests: str) -> dict:
    """The fields of a program: what is tested, and whether the prompt begins it."""
    name = made.get("entry_point") or programs.first_called(tests)
    if not name:
        raise ValueError("the tests call no function by name; map entry_point to a column that names it")
    begun = bool(re.search(rf"^(?:async )?(?:def|class) +{re.escape(name)}\b", made.get("prompt", ""), re.MULTILINE))
    return {"test": tests, "entry_point": name, "begun": begun}
