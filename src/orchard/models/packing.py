"""Rows of a batch laid end to end in fewer, longer ones, so that little is computed for padding.

A step learns from the same rows, and none attends to another: each counts its positions from 0, by which transformers
tells them apart (`masking_utils.find_packed_sequence_indices`). Losses are those of rows apart, but for rounding.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch

from orchard.errors import UserError

IGNORED = -100  # a label that does not count


def collator(collate: Callable[[list[dict]], dict], is_asked: bool, model) -> Callable[[list[dict]], dict]:
    """The collator of a training: as it is, or one that packs.

    Args:
        collate: pads a list of rows on the right.
        is_asked: whether rows are to be packed.
        model: the one in training.

    Raises:
        UserError: rows are to be packed, and the model reads packed rows as one (`refuse_unfit`).
    """
    if not is_asked:
        return collate
    refuse_unfit(model)
    return Packing(collate)


class Packing(NamedTuple):
    """A collator that lays rows end to end.

    Attributes:
        collate: pads a list of rows on the right, and labels with IGNORED, as TRL's collators do.
    """

    collate: Callable[[list[dict]], dict]

    def __call__(self, rows: list[dict]) -> dict:
        """A batch of packed rows: with position_ids, and without attention_mask. The model may not use a cache."""
        bins = bins_of([len(row["input_ids"]) for row in rows])
        batch = dict(self.collate([_joined([rows[number] for number in numbers]) for numbers in bins]))
        batch.pop("attention_mask", None)
        width = batch["input_ids"].shape[1]
        lengths = [[len(rows[number]["input_ids"]) for number in numbers] for numbers in bins]
        return batch | {"position_ids": torch.tensor([_positions(each, width) for each in lengths])}


def bins_of(lengths: list[int]) -> list[list[int]]:
    """The numbers of the rows that share a packed row, none of which is longer than the longest row.

    First fit decreasing (Johnson 1973): at most 11/9 of the fewest packed rows there can be.
    """
    room, bins = [], []
    for number in sorted(range(len(lengths)), key=lambda number: -lengths[number]):
        place = next((place for place, left in enumerate(room) if left >= lengths[number]), len(bins))
        if place == len(bins):
            room.append(max(lengths))
            bins.append([])
        room[place] -= lengths[number]
        bins[place].append(number)
    return bins


def _joined(rows: list[dict]) -> dict:
    """Rows as one; no row's first token is learnt, as the one before it is another row's."""
    joined = {name: [value for row in rows for value in row[name]] for name in rows[0] if name != "attention_mask"}
    start = 0
    for row in rows:
        joined["labels"][start] = IGNORED
        start += len(row["input_ids"])
    return joined


def _positions(lengths: list[int], width: int) -> list[int]:
    """Positions within each row; the padding behind them counts as one more."""
    return [place for length in (*lengths, width - sum(lengths)) for place in range(length)]


@torch.no_grad()
def refuse_unfit(model) -> None:
    """Refuses a model in which a packed row reads the one before it.

    Args:
        model: a causal language model; it is asked about some of its own tokens.

    Raises:
        UserError: behind another row, log-probs are nearer to those of one long row than to those of the row alone.
    """
    first, second = ([token % model.config.vocab_size for token in range(start, start + 5)] for start in (11, 31))
    was_training = model.training
    model.eval()
    alone = _log_probs(model, second, [*range(5)])
    packed, as_one = (_log_probs(model, first + second, places) for places in ([*range(5)] * 2, [*range(10)]))
    model.train(was_training)
    if (packed - alone).abs().max() >= 0.5 * (packed - as_one).abs().max():
        raise UserError(
            found=f"packing: true, of a model of type {model.config.model_type} in which rows laid end to end are one",
            rule="no row of a batch reads another",
            why="a response would be learnt as the continuation of somebody else's",
            fix="set packing: false",
        )


def _log_probs(model, ids: list[int], positions: list[int]) -> torch.Tensor:
    """The log-probs behind each of the last five tokens."""
    inputs = [torch.tensor([each], device=model.device) for each in (ids, positions)]
    return model(inputs[0], position_ids=inputs[1], use_cache=False).logits[0, -5:].float().log_softmax(-1)
