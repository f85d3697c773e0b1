"""What the task YAMLs call: the loading of items and the scoring of responses."""

import functools
from math import comb

from datasets import Dataset

from orchard import stage
from orchard.tasks import items, programs


def load(
    items_path: str,
    limit: int | None = None,
    shots: int = 0,
    shots_path: str | None = None,
    unsafe_programs: bool = False,
    **_,
) -> dict[str, Dataset]:
    """The items of a task (split ``test``) and its few-shot examples (split ``shots``)."""
    rows = stage.read_jsonl(items_path)[:limit]
    for row in rows:
        if row["task"] == programs.TASK:
            row["unsafe"] = unsafe_programs
    splits = {"test": Dataset.from_list(rows)}
    splits["shots"] = Dataset.from_list(stage.read_jsonl(shots_path)[:shots]) if shots else splits["test"].select([])
    return splits


def generation(doc: dict, results: list) -> dict[str, float]:
    """pass@1 and pass@n of one item from its n samples, and pass@1 of those in the very form asked for."""
    (responses,) = results
    right = sum(items.is_correct(doc, response) for response in responses)
    strict = sum(items.is_strictly_correct(doc, response) for response in responses)
    scores = {f"pass@{k}": pass_at_k(len(responses), right, k) for k in {1, len(responses)}}
    return scores | {"strict pass@1": strict / len(responses)}


def summary(doc: dict, results: list) -> dict[str, float]:
    """ROUGE-L (F1 of the longest common subsequence of stemmed words, 0 to 1), mean over the samples."""
    (responses,) = results
    scored = [rouge().score(doc["answer"], response)["rougeL"].fmeasure for response in responses]
    return {"rouge-l": sum(scored) / len(scored)}


@functools.cache
def rouge():
    """The scorer of google-research; imported when first used, as few studies need it."""
    from rouge_score.rouge_scorer import RougeScorer

    return RougeScorer(["rougeL"], use_stemmer=True)


def pass_at_k(n: int, right: int, k: int) -> float:
    """The chance that one of k samples is right, without bias from n ≥ k samples (Chen et al., arXiv 2107.03374)."""
    return 1.0 - comb(n - right, k) / comb(n, k)


def likelihood(doc: dict, results: list) -> dict[str, float]:
    """The log-likelihood of the reference answer in nats."""
    ((log_likelihood, _),) = results
    return {"log_likelihood": log_likelihood}
