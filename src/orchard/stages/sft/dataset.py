"""From a policy's offline data to what the trainer reads, with every row checked."""

import json
import math
from collections.abc import Collection
from pathlib import Path

import numpy as np
import pandas
from datasets import Dataset

from orchard.errors import UserError, refuse_none
from orchard.models import prompts
from orchard.study.schema.sft import Select, SelectStyles


def read_rows(path: Path, tokenizer) -> list[dict]:
    """The rows of a policy's data, each checked.

    Args:
        path: Parquet file of `orchard.stages.behave`.
        tokenizer: the tokenizer of the model in training.

    Raises:
        UserError: ids of another tokenizer, log-probs that are NaN, positive, or of another length; the row is named.
    """
    rows = pandas.read_parquet(path).to_dict("records")
    refuse_none(len(rows), f"{path} has no rows", "make the data again")
    for number, row in enumerate(rows):
        _check(row, f"{path}, row {number}", tokenizer)
    return rows


def length(row: dict) -> int:
    """The tokens of a row: prompt and completion."""
    return len(row["prompt_ids"]) + len(row["completion_ids"])


def select(rows: list[dict], rule: Select | None, start_logps: list[list[float]]) -> list[dict]:
    """The rows that an objective learns from.

    Args:
        rows: the policy's data.
        rule: None keeps all; by style keeps the rows of some styles (the oracle, who knows what can be followed); by
            likelihood keeps the share of rows whose mean token log-ratio log pi_0 − log pi_beta is highest, among
            equals the first.
        start_logps: log pi_0 of each row's completion tokens, in nats.

    Raises:
        UserError: nothing is left.
    """
    kept = rows
    if isinstance(rule, SelectStyles):
        kept = [row for row in rows if row["style"] in rule.styles]
    elif rule:
        ratios = [
            np.mean(np.subtract(logps, row["behavior_logps"])) for row, logps in zip(rows, start_logps, strict=True)
        ]
        best = np.argsort(np.negative(ratios), kind="stable")[: max(1, round(rule.keep * len(rows)))]
        kept = [rows[number] for number in sorted(best)]
    refuse_none(len(kept), f"no row left of {len(rows)} after select {rule}", "name styles that the policy writes")
    return kept


def examples(rows: list[dict], with_top: bool) -> Dataset:
    """Token ids, labels (−100 on the prompt) and what pi_beta gives for each token (0 on the prompt).

    Args:
        rows: from `read_rows`.
        with_top: whether the stored most likely tokens of pi_beta come along (for distillation).
    """
    return Dataset.from_list([_example(row, with_top) for row in rows])


def _example(row: dict, with_top: bool) -> dict:
    prompt, completion = list(row["prompt_ids"]), list(row["completion_ids"])
    example = {
        "input_ids": prompt + completion,
        "labels": [-100] * len(prompt) + completion,
        "behavior_logps": [0.0] * len(prompt) + list(row["behavior_logps"]),
    }
    if with_top:
        top_ids = [list(ids) for ids in row["top_ids"]]
        k = len(top_ids[0])
        example["top_ids"] = [[0] * k] * len(prompt) + top_ids
        example["top_logps"] = [[-math.inf] * k] * len(prompt) + [list(logps) for logps in row["top_logps"]]
    return example


def _read(row: dict) -> str:
    """The text that the policy went on from."""
    return prompts.Rendered(row["read"], []) if "read" in row else row["prompt"]


def in_format(rows: list[dict], tokenizer, ends: Collection[int], loss: str) -> tuple[list[dict], dict]:
    """A policy's rows as the model in training is asked, and as its answers end.

    Policy and model may have different formats: the same question is asked in the model's own, and a response of the
    policy ends in the model's EOS where the model does not stop at the policy's end. The log-prob of that token stays
    the policy's of its own end: in both it is that of ending here.

    Args:
        rows: from `read_rows`.
        tokenizer: of the model in training.
        ends: the tokens at which it stops.
        loss: of the objective.

    Returns:
        The rows, with the tokens that are learnt; and how many of them were asked otherwise (``asked_anew``), and ended
        otherwise (``ends_mapped``).

    Raises:
        UserError: a distribution is to be learnt of which a token, or the prompt, is another.
    """
    found, asked_anew, ends_mapped = [], 0, 0
    for row in rows:
        question = json.loads(row.get("messages") or "null") or row["prompt"]
        asked_ids, completion = prompts.prompt_ids(tokenizer, question), list(row["completion_ids"])
        is_other_end = not row["cut"] and completion[-1] not in ends
        if is_other_end:
            completion[-1] = tokenizer.eos_token_id
        asked_anew += asked_ids != list(row["prompt_ids"])
        ends_mapped += is_other_end
        found.append(row | {"prompt_ids": asked_ids, "completion_ids": completion})
    if (loss == "kl-live" and asked_anew) or (loss in ("kl-live", "kl-stored") and ends_mapped):
        raise UserError(
            found=f"loss {loss} on a policy of another format: of its rows {asked_anew} are asked otherwise, and "
            f"{ends_mapped} end otherwise",
            rule="distillation compares two distributions over the same tokens, after the same prompt",
            why="where the policy's end is another token, its distribution is none over the model's",
            fix="give both bases one format (base.<name>.format), or name another loss",
        )
    return found, {"asked_anew": asked_anew, "ends_mapped": ends_mapped}


def _check(row: dict, place: str, tokenizer) -> None:
    ids, logps = list(row["completion_ids"]), list(row["behavior_logps"])
    if not ids:
        raise UserError(
            found=f"{place}: no completion tokens",
            rule="a response has at least its end of text",
            why="nothing can be learnt from none",
            fix="make the behaviour data again",
        )
    if list(row["prompt_ids"]) != prompts.text_ids(tokenizer, _read(row)) or max(ids) >= len(tokenizer):
        raise UserError(
            found=f"{place}: ids that this model's tokenizer does not give",
            rule="pi_theta and pi_beta share one tokenizer",
            why="log-probs of different tokens cannot be compared",
            fix="make the behaviour data with this tokenizer",
        )
    if len(ids) != len(logps):
        raise UserError(
            found=f"{place}: {len(ids)} tokens, {len(logps)} log-probs",
            rule="one log-prob a token",
            why="arrays out of step give wrong weights",
            fix="make the behaviour data again",
        )
    if any(math.isnan(logp) or logp > 1e-6 for logp in logps):
        raise UserError(
            found=f"{place}: a log-prob is NaN or positive",
            rule="log-probs are numbers at most 0",
            why="they are logarithms of probabilities",
            fix="make the behaviour data again",
        )
