"""A look at wrong answers: for each model and task a few of them, the same few whenever the report is made."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pandas

from orchard import paths

MOST = 2000  # on the page: ours, about half a megabyte
EACH = 5  # per model and task
LONGEST = 500  # characters of a text that are shown


def wrong_answers(folder: Path) -> dict[str, dict[str, dict]]:
    """The wrong answers to show: by model and task, how many there are (``count``) and some of them (``shown``).

    A hash of the item and the number of the response picks them, so that models are seen on the same items where they
    err alike.
    """
    found: dict[str, dict[str, list[dict]]] = {}
    for model, path in paths.evaluations(folder):
        found.setdefault(model, {}).update(_of_model(path))
    groups = sum(map(len, found.values()))
    each = max(1, min(EACH, MOST // max(groups, 1)))
    return {
        model: {
            task: {"count": len(answers), "shown": sorted(answers, key=_rank)[:each]} for task, answers in tasks.items()
        }
        for model, tasks in found.items()
    }


def _of_model(path: Path) -> dict[str, list[dict]]:
    """All wrong answers of a model, by task."""
    found: dict[str, list[dict]] = {}
    for row in pandas.read_parquet(path / "samples.parquet").to_dict("records"):
        answers = list(_wrong_responses(row) if json.loads(row["errors"]) else _wrong_choice(row))
        if answers:
            facts = {"item": row["item"], "prompt": _short(row["prompt"]), "target": _short(row["target"])}
            found.setdefault(row["task"], []).extend(facts | answer for answer in answers)
    return found


def _wrong_responses(row: dict) -> Iterator[dict]:
    """The wrong responses to an item, each with what is wrong with it."""
    (responses,), errors = json.loads(row["responses"]), json.loads(row["errors"])
    for number, (response, error) in enumerate(zip(responses, errors, strict=True)):
        if error:
            yield {"number": number, "answer": _short(response), "error": error}


def _wrong_choice(row: dict) -> Iterator[dict]:
    """The choice that is likelier than the right one, where choices were scored."""
    values = [response[0][0] for response in json.loads(row["responses"]) if isinstance(response[0], list)]
    if len(values) > 1 and row["target"].isdigit() and values.index(max(values)) != int(row["target"]):
        yield {"number": 0, "answer": f"choice {values.index(max(values))}", "error": "another choice is likelier"}


def _short(text: str) -> str:
    """A text's beginning and end."""
    return text if len(text) <= LONGEST else f"{text[: LONGEST // 2]} […] {text[-LONGEST // 2 :]}"


def _rank(answer: dict) -> str:
    return hashlib.sha256(f"{answer['item']} {answer['number']}".encode()).hexdigest()
