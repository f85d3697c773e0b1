r"""SynLogic (arXiv 2505.19641): logic puzzles, whose answers are checked by the puzzles' own rules.

A response's answer is read behind the last ``</think>``, from the first of these that holds something of the right
shape:

1. the last block between fences (```` ``` ````);
2. the last box (`orchard.tasks.boxes`);
3. the text itself.

Of the lists, tuples and mappings there the last of the right shape counts; of the text of an expression the last line,
without words before a colon. Futoshiki's rows may stand without commas: ``[[1 2, 2 1]]``. `orchard.tasks.puzzles` has
the rules.
"""

import ast
import functools
import json
import re
from collections.abc import Iterator
from typing import Any

from pydantic import Field

from orchard import jsonl
from orchard.errors import shown
from orchard.tasks import conversations, fields, puzzles
from orchard.tasks.boxes import last_box
from orchard.tasks.task import Task

PREFIX = "synlogic-"
LONGEST = 20_000  # characters of a response's end that are looked at: ours, longer than any answer
MOST = 50  # values of a response that are tried, from the end; ours
FENCED = re.compile(r"```[^\n`]*\n(.*?)```", re.DOTALL)
ROWS = re.compile(r"\[\[([^\[\]]+)\]\]")
BRACKETS = {")": "(", "]": "[", "}": "{"}


class Puzzle(Task):
    """A puzzle of one of the games; its item has what is told of it."""

    tries_answers = True

    def check(self, item: dict) -> None:
        given = _game(item["task"].removeprefix(PREFIX)).given
        if others := item["puzzle"].keys() - given.model_fields.keys():
            raise ValueError(f"field 'puzzle.{min(others)}' is none of a {item['task']}'s")
        try:
            fields.read(given, item["puzzle"])
        except ValueError as error:
            raise ValueError(f"field 'puzzle': {error}") from None

    def score(self, item: dict, response: str) -> float:
        game = puzzles.GAMES[item["task"].removeprefix(PREFIX)]
        given = fields.read(game.given, item["puzzle"])
        for answer in texts(response) if game.is_text else values(response):
            try:
                return float(game.solves(given, answer))
            except puzzles.UNFIT:
                continue  # of another shape
        return 0.0


def _game(name: str) -> puzzles.Game:
    if name not in puzzles.GAMES:
        raise ValueError(f"game {shown(name)} is not judged here; these are: {', '.join(puzzles.GAMES)}")
    return puzzles.GAMES[name]


# What a response answers


def parts(response: str) -> list[str]:
    """Where in a response its answer may stand, the likeliest place first."""
    text = response.rpartition("</think>")[2][-LONGEST:]
    return [*FENCED.findall(text)[-1:], *filter(None, [last_box(text)]), text]


def texts(response: str) -> Iterator[str]:
    """The texts that may be a response's answer: of each part what stands in double brackets, then the last line."""
    for part in parts(response):
        yield from reversed(ROWS.findall(part)[-1:])
        yield (part.strip().splitlines() or [""])[-1].rpartition(":")[2].strip(" $`*.")


def values(response: str) -> Iterator[Any]:
    """The lists, tuples and mappings that may be a response's answer, the last of each part first."""
    for part in parts(response):
        for begin, end in reversed(spans(part)[-MOST:]):
            yield from _read(part[begin:end])


def spans(text: str) -> list[tuple[int, int]]:
    """Where outermost brackets begin and end, as far as they are balanced."""
    found, opened = [], []
    for place, sign in enumerate(text):
        if sign in BRACKETS.values():
            opened.append((sign, place))
        elif sign in BRACKETS:
            if not opened or opened[-1][0] != BRACKETS[sign]:
                opened = []
                continue
            _, begin = opened.pop()
            if not opened:
                found.append((begin, place + 1))
    return found


@functools.lru_cache(maxsize=1024)
def _read(text: str) -> tuple:
    """The value of a text in brackets, as a tuple of one; empty for what is none."""
    if rows := ROWS.fullmatch(text):
        cells = [row.split() for row in rows[1].split(",")]
        if len(cells[0]) > 1 and all(cell.isdecimal() for row in cells for cell in row):
            return ([[int(cell) for cell in row] for row in cells],)
    try:
        return (ast.literal_eval(text),)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return ()


# Rows


class GameData(fields.Row):
    """What SynLogic tells of a puzzle."""

    answer: Any
    metadata: dict[str, Any]


class Extra(fields.Row):
    """Where SynLogic tells it: JSON in a text."""

    game_data_str: fields.Text


class Row(fields.Row):
    """A row of SynLogic."""

    data_source: fields.Name
    prompt: list[dict[str, Any]] = Field(min_length=1)
    extra_info: Extra


def from_row(row: dict, name: str, number: int) -> dict:
    """An item of a row of SynLogic."""
    given = fields.read(Row, row)
    game = given.data_source.rpartition("/")[2]
    kind = _game(game).given
    try:
        data = fields.read(GameData, jsonl.parse(given.extra_info.game_data_str))
    except ValueError as error:
        raise ValueError(f"field 'extra_info.game_data_str': {error}") from None
    answer = data.answer if isinstance(data.answer, str) else json.dumps(data.answer)
    told = data.metadata | (_prefilled(data.metadata, answer) if game == "futoshiki" else {})
    try:
        puzzle = fields.read(kind, told).model_dump(mode="json")
    except ValueError as error:
        raise ValueError(f"metadata of {game}: {error}") from None
    asked = {"id": f"{PREFIX}{name}-{number:05d}", "task": f"{PREFIX}{game}"}
    return asked | conversations.of(given.prompt) | {"answer": answer, "puzzle": puzzle}


def _prefilled(metadata: dict, answer: str) -> dict:
    """What is filled in of a futoshiki: its places are told, and their numbers stand in the answer."""
    places = metadata.get("prefilled_coords")
    for grid in values(answer):
        try:
            return {"prefilled": [[row, column, grid[row][column]] for row, column in places]}
        except puzzles.UNFIT:
            continue
    raise ValueError("the answer has no numbers at `prefilled_coords`")


TASKS = {"any": Puzzle()}
