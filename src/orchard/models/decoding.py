"""Decoding of a batch whose rows leave it when they end: no work is spent on what waits for the longest response.

It takes the place of the loop in transformers' ``generate`` (its argument ``custom_generate``), which prepares a batch,
and says how tokens are chosen and where rows end.
"""

import torch
from transformers import LogitsProcessorList, StoppingCriteriaList

WORTH_IT = 0.75  # of a batch's rows still to write: ours, as memory of keys and values is copied when rows leave


class Notes:
    """The log-probs of the tokens that a batch is given, gathered place by place: no logits are kept.

    Args:
        top_k: how many of the most likely tokens to note at each place.
    """

    def __init__(self, top_k: int = 0):
        self.top_k = top_k
        self._places: list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]] = []

    def add(self, numbers: torch.Tensor, count: int, logits: torch.Tensor, tokens: torch.Tensor) -> None:
        """Notes one place.

        Args:
            numbers: the places of the rows in the whole batch.
            count: the rows of the whole batch.
            logits: of the rows, of shape (rows, vocabulary), before temperature and top-p.
            tokens: that were chosen.
        """
        log_probs = logits.log_softmax(-1)
        best = log_probs.topk(self.top_k, dim=-1)
        chosen = log_probs.gather(-1, tokens[:, None]).squeeze(-1)
        self._places.append(
            tuple(
                part.new_zeros((count, *part.shape[1:])).index_copy(0, numbers, part)
                for part in (chosen, best.indices, best.values)
            )
        )

    def by_row(self) -> tuple[list, list, list]:
        """For each row its tokens' log-probs, in nats; the most likely tokens at each place; their log-probs."""
        return tuple(torch.stack(part, dim=1).tolist() for part in zip(*self._places, strict=True))


class _Rows:
    """The rows that are still in the batch.

    Attributes:
        numbers: their places in the whole batch.
        ids: their tokens so far.
        writing: which have not ended.
        options: what the model's forward pass takes besides: masks, keys and values.
    """

    def __init__(self, ids: torch.Tensor, options: dict):
        self.numbers = torch.arange(len(ids), device=ids.device)
        self.writing = torch.ones(len(ids), dtype=torch.bool, device=ids.device)
        self.ids, self.options = ids, options

    def leave(self, processors: LogitsProcessorList) -> None:
        """Takes the rows that have ended out of the batch; a processor with numbers of each row's own is told."""
        kept = self.writing.nonzero().squeeze(-1)
        rows = len(self.ids)
        self.options |= {
            name: value[kept]
            for name, value in self.options.items()
            if isinstance(value, torch.Tensor) and value.ndim and len(value) == rows
        }
        self.options["past_key_values"].batch_select_indices(kept)
        self.numbers, self.ids, self.writing = self.numbers[kept], self.ids[kept], self.writing[kept]
        for processor in processors:
            if hasattr(processor, "keep"):
                processor.keep(kept)


def leaving(
    model,
    input_ids: torch.Tensor,
    logits_processor: LogitsProcessorList,
    stopping_criteria: StoppingCriteriaList,
    generation_config,
    synced_gpus: bool = False,
    streamer=None,
    notes: Notes | None = None,
    **options,
) -> torch.Tensor:
    """The loop; its arguments and its result are those of transformers' own ``_sample``, but for the notes.

    Each stopping criterion has to judge each row by itself. Where GPUs share a model, all take the same number of
    steps, and so transformers' own loop.
    """
    if synced_gpus:
        return model._sample(
            input_ids, logits_processor, stopping_criteria, generation_config, synced_gpus, streamer, **options
        )
    count, start = input_ids.shape
    rows = _Rows(input_ids, options)
    written = input_ids.new_full((count, stopping_criteria.max_length - start), generation_config._pad_token_tensor)
    outputs = model._prefill(input_ids, generation_config, rows.options)
    for place in range(written.shape[1]):
        rows.options = model._update_model_kwargs_for_generation(outputs, rows.options)
        last = outputs.logits[:, -1].float()
        tokens = _chosen(logits_processor(rows.ids, last), generation_config.do_sample)
        if notes:
            notes.add(rows.numbers, count, last, tokens)
        written[rows.numbers[rows.writing], place] = tokens[rows.writing]
        rows.ids = torch.cat([rows.ids, tokens[:, None]], dim=-1)
        rows.writing &= ~stopping_criteria(rows.ids, None)
        if not rows.writing.any():
            break
        if rows.writing.sum() <= WORTH_IT * len(rows.writing):
            rows.leave(logits_processor)
        asked = model.prepare_inputs_for_generation(rows.ids, next_sequence_length=1, **rows.options)
        outputs = model(**asked, return_dict=True)
    return torch.cat([input_ids, written[:, : place + 1]], dim=-1)


def _chosen(scores: torch.Tensor, do_sample: bool) -> torch.Tensor:
    """The next token of each row, from scores of shape (rows, vocabulary)."""
    if do_sample:
        return torch.multinomial(scores.softmax(-1), 1).squeeze(-1)
    return scores.argmax(-1)
