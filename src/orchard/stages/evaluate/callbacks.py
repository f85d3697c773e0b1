"""What the task YAMLs call: the loading of items, and the scores that need no verifier."""

from datasets import Dataset

from orchard.stages.evaluate.responses import rouge_l
from orchard.tasks import registry


def load(items_path: str, limit: int | None = None, shots: int = 0, shots_path: str | None = None, **_) -> dict:
    """The items of a task (split ``test``) and its few-shot examples (split ``shots``)."""
    splits = {"test": Dataset.from_list(registry.read(items_path)[:limit])}
    splits["shots"] = Dataset.from_list(registry.read(shots_path)[:shots]) if shots else splits["test"].select([])
    return splits


def nothing(doc: dict, results: list) -> dict[str, float]:
    """No score: the stage itself lets the item's task judge each response, once for all that is read of it."""
    return {}


def summary(doc: dict, results: list) -> dict[str, float]:
    """ROUGE-L (F1 of the longest common subsequence of stemmed words, 0 to 1), mean over the samples."""
    (responses,) = results
    scored = [rouge_l(doc["answer"], response) for response in responses]
    return {"rouge-l": sum(scored) / len(scored)}


def likelihood(doc: dict, results: list) -> dict[str, float]:
    """The log-likelihood of the reference answer in nats."""
    ((log_likelihood, _),) = results
    return {"log_likelihood": log_likelihood}
