"""What the task YAMLs call: the loading of items, and the scores that need no verifier."""

import json

from datasets import Dataset

from orchard.models.prompts import Rendered, only_turn
from orchard.stages.evaluate.responses import likeness
from orchard.study.schema.common import count
from orchard.tasks import registry
from orchard.tasks.items import NEEDED

ITEM = "item"


def load(
    kind: str,
    items_path: str,
    limit: int | float | None = None,
    shots: int = 0,
    shots_path: str | None = None,
    by_template: bool = False,
    **_,
) -> dict:
    """The items of a task (split ``test``) and its few-shot examples (split ``shots``)."""
    splits = {"test": dataset(items_path, limit, kind, by_template)}
    splits["shots"] = dataset(shots_path, shots, kind, by_template) if shots else splits["test"].select([])
    return splits


def dataset(path: str, limit: int | float | None, kind: str, by_template: bool) -> Dataset:
    """The first items of a set, each with what a task of a kind shows of it.

    The item itself is one text beside that: in a table, where rows differ in their fields, some would be lost, and
    others would come to be null.
    """
    shown = ("answer", *(("choices", "label") if "choices" in NEEDED[kind] else ()))
    items = registry.read(path, NEEDED[kind])
    items = items[: count(limit, len(items))]
    if not by_template:
        items = [item if "prompt" in item else item | {"prompt": only_turn(item["messages"])} for item in items]
    return Dataset.from_list([{key: item[key] for key in shown} | {ITEM: json.dumps(item)} for item in items])


def asked(doc: dict) -> str:
    """What an item asks: a text, which brings along the turns of a conversation."""
    item = item_of(doc)
    return item["prompt"] if "prompt" in item else Rendered("", item["messages"])


def item_of(doc: dict) -> dict:
    """The item of a document of lm-eval; a document of its own tasks as it is."""
    return json.loads(doc[ITEM]) if ITEM in doc else doc


def nothing(doc: dict, results: list) -> dict[str, float]:
    """No score: the stage itself lets the item's task judge each response, once for all that is read of it."""
    return {}


def summary(doc: dict, results: list) -> dict[str, float]:
    """ROUGE-L (F1 of the longest common subsequence of stemmed words, 0 to 1), mean over the samples."""
    (responses,) = results
    return {"rouge-l": likeness(doc["answer"], responses)}


def likelihood(doc: dict, results: list) -> dict[str, float]:
    """The log-likelihood of the reference answer in nats."""
    ((log_likelihood, _),) = results
    return {"log_likelihood": log_likelihood}
