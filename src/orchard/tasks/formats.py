"""The formats of benchmark files: each makes an item of a row, which its task then judges."""

from collections.abc import Callable

from orchard.tasks import bbh, blimp, calc, english, gsm8k, mathematics, programs, text, words
from orchard.tasks.fields import text as text_of
from orchard.tasks.registry import GAME

# The tasks that a row of format jsonl may name: ingest depends on their code, because it stamps items with its hash.
TASKS = [*calc.TASKS, *words.TASKS, *english.TASKS, *gsm8k.TASKS, *mathematics.TASKS, *programs.TASKS, *text.TASKS]


def from_item(row: dict, name: str, number: int) -> dict:
    """A row that is an item already."""
    for key in ("id", "task", "prompt", "answer"):
        text_of(row, key, may_be_empty=key in ("prompt", "answer"))
    if row["task"].startswith(GAME):
        raise ValueError(f"task {row['task']!r}: questions of games are generated here (data.generate), not read")
    if row["task"] == programs.NAME:
        for key in ("test", "entry_point"):
            text_of(row, key)
        if not isinstance(row["begun"], bool):
            raise ValueError(f"field 'begun' is {row['begun']!r}, not true or false")
    if ("choices" in row) != ("label" in row):
        raise ValueError("`choices` and `label` come together")
    if "choices" in row and row["label"] not in range(len(row["choices"])):
        raise ValueError(f"label {row['label']} is not the index of one of {len(row['choices'])} choices")
    return row


# A function of a row, the name of its file and its number there; a ValueError or KeyError says what is wrong with it.
FORMATS: dict[str, Callable[[dict, str, int], dict]] = {
    "gsm8k": gsm8k.from_row,
    "math": mathematics.from_row,
    "bbh": bbh.from_row,
    "blimp": blimp.from_row,
    "humaneval": programs.from_humaneval,
    "mbpp": programs.from_mbpp,
    "jsonl": from_item,
}
