"""The formats of benchmark files: each makes an item of a row, which its task then judges."""

from collections.abc import Callable

from orchard.tasks import (
    bbh,
    blimp,
    calc,
    english,
    gsm8k,
    mathematics,
    programs,
    registry,
    text,
    words,
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
    "mbpp": programs.from_mbpp,
}
ITEMS = "jsonl"  # rows that are items already


def item(form: str, row: dict, name: str, number: int) -> dict:
    """The item of a row of a benchmark's file.

    Args:
        form: one of FORMATS, or ITEMS.
        row: as it was read.
        name: that of the file, without its ending.
        number: of the row, from 1.

    Raises:
        ValueError: a field is missing or not what it should be, or the task is a game.
    """
    if form != ITEMS:
        return registry.item(FORMATS[form](row, name, number))
    if str(row.get("task")).startswith(registry.GAME):
        raise ValueError(f"task {row['task']!r}: {registry.NO_GAME}")
    return {key: value for key, value in registry.item(row).items() if key != registry.CODE}
