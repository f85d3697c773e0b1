"""From a policy's offline data to what the trainer reads, with every row checked."""

import math

import pandas
from datasets import Dataset

from orchard.errors import UserError


def training_rows(path: str, tokenizer) -> Dataset:
    """Token ids, labels (−100 on the prompt) and behaviour log-probs (0 on the prompt) of each row.

    Args:
        path: Parquet file of `orchard.behave`.
        tokenizer: the tokenizer of the model in training.

    Raises:
        UserError: ids of another tokenizer, log-probs that are NaN, positive, or of another length; the row is named.
    """
    rows = pandas.read_parquet(path).to_dict("records")
    if not rows:
        raise UserError(
            f"{path} has no rows", "SFT has examples", "nothing can be learnt from none", "make the data again"
        )
    for number, row in enumerate(rows):
        _check(row, f"{path}, row {number}", tokenizer)
    return Dataset.from_list([_example(row) for row in rows])


def _example(row: dict) -> dict:
    prompt, completion = list(row["prompt_ids"]), list(row["completion_ids"])
    return {
        "input_ids": prompt + completion,
        "labels": [-100] * len(prompt) + completion,
        "behavior_logps": [0.0] * len(prompt) + list(row["behavior_logps"]),
    }


def _check(row: dict, place: str, tokenizer) -> None:
    ids, logps = list(row["completion_ids"]), list(row["behavior_logps"])
    if not ids:
        raise UserError(
            f"{place}: no completion tokens",
            "a response has at least its end of text",
            "nothing can be learnt from none",
            "make the behaviour data again",
        )
    if list(row["prompt_ids"]) != tokenizer(row["prompt"])["input_ids"] or max(ids) >= len(tokenizer):
        raise UserError(
            f"{place}: ids that this model's tokenizer does not give",
            "pi_theta and pi_beta share one tokenizer",
            "log-probs of different tokens cannot be compared",
            "make the behaviour data with this tokenizer",
        )
    if len(ids) != len(logps):
        raise UserError(
            f"{place}: {len(ids)} tokens, {len(logps)} log-probs",
            "one log-prob a token",
            "arrays out of step give wrong weights",
            "make the behaviour data again",
        )
    if any(math.isnan(logp) or logp > 1e-6 for logp in logps):
        raise UserError(
            f"{place}: a log-prob is NaN or positive",
            "log-probs are numbers at most 0",
            "they are logarithms of probabilities",
            "make the behaviour data again",
        )
