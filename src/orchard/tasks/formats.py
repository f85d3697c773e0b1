"""The formats of benchmark files: each makes an item of a row, which its task then judges."""

from collections.abc import Callable, Iterable
from typing import NamedTuple

from orchard.tasks import (
    arc,
    bbh,
    blimp,
    calc,
    columns,
    dolci,
    english,
    gsm8k,
    mapped,
    mathematics,
    programs,
    registry,
    synlogic,
    synthetic2,
    text,
    words,
    xsum,
)

# The tasks that a row of format jsonl may name: ingest depends on their code, because it stamps items with its hash.
TASKS = [*calc.TASKS, *words.TASKS, *english.TASKS, *gsm8k.TASKS, *mathematics.TASKS, *programs.TASKS, *text.TASKS]


# A function of a row, the name of its file and its number there; a ValueError says what is wrong with it.
FORMATS: dict[str, Callable[[dict, str, int], dict]] = {
    "gsm8k": gsm8k.from_row,
    "math": mathematics.from_row,
    "bbh": bbh.from_row,
    "blimp": blimp.from_row,
    "humaneval": programs.from_humaneval,
    "humanevalplus": programs.from_humanevalplus,
    "mbpp": programs.from_mbpp,
    "mbppplus": programs.from_mbppplus,
    "xsum": xsum.from_row,
    "arc": arc.from_row,
    "dolci": dolci.from_row,
    "synthetic-2-sft": synthetic2.from_sft,
    "synthetic-2-rl": synthetic2.from_rl,
    "synlogic": synlogic.from_row,
}
ITEMS = "jsonl"  # rows that are items already
COLUMNS = "columns"  # rows whose columns the study maps


class Map(NamedTuple):
    """How a study maps columns to an item, where it does.

    Attributes:
        columns: each part of an item with its column, or None.
        task: of all items; None: a column says it.
    """

    columns: Iterable[tuple[str, str | None]] = ()
    task: str | None = None


NO_MAP = Map()


def id_of(form: str, row: dict, name: str, number: int, by: Map) -> str:
    """The id of the item of a row, also of one that makes none."""
    column = "id" if form == ITEMS else dict(by.columns).get("id")
    try:
        found = columns.value(row, column) if column else None
    except ValueError:
        found = None
    return str(found) if column else f"{form}-{name}-{number:05d}"


def item(form: str, row: dict, name: str, number: int, by: Map = NO_MAP) -> dict:
    """The item of a row of a benchmark's file.

    Args:
        form: one of FORMATS, COLUMNS or ITEMS.
        by: the map of the form COLUMNS.
        row: as it was read.
        name: that of the file, without its ending.
        number: of the row, from 1.

    Raises:
        ValueError: a field is missing or not what it should be, or the task is a game.
    """
    if form in FORMATS:
        return registry.item(FORMATS[form](row, name, number))
    row = mapped.item(by.columns, by.task, row, name, number) if form == COLUMNS else row
    if str(row.get("task")).startswith(registry.GAME):
        raise ValueError(f"task {row['task']!r}: {registry.NO_GAME}")
    return {key: value for key, value in registry.item(row).items() if key != registry.CODE}
