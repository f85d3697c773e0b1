"""Decoding of a batch whose rows leave it when they end: no work is spent on what waits for the longest response.

It takes the place of the loop in transformers' ``generate`` (its argument ``custom_generate``), which prepares a batch,
and says how tokens are chosen and where rows end.
"""

import torch
from transformers import LogitsProcessorList, StoppingCriteriaList
from transformers.generation import GenerateDecoderOnlyOutput

WORTH_IT = 0.75  # of a batch's rows still to write: ours, as memory of keys and values is copied when rows leave


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
    **options,
) -> torch.Tensor | GenerateDecoderOnlyOutput:
    """The loop; its arguments and its result are those of transformers' own ``_sample``.

    Each stopping criterion has to judge each row by itself. Where GPUs share a model, all take the same number of
    steps, and so transformers' own loop.
    """
    if synced_gpus:
        return model._sample(
            input_ids, logits_processor, stopping_criteria, generation_config, synced_gpus, streamer, **options
        )
    count, start = input_ids.shape
    rows, logits = _Rows(input_ids, options), []
    written = input_ids.new_full((count, stopping_criteria.max_length - start), generation_config._pad_token_tensor)
    outputs = model._prefill(input_ids, generation_config, rows.options)
    for place in range(written.shape[1]):
        rows.options = model._update_model_kwargs_for_generation(outputs, rows.options)
        last = outputs.logits[:, -1].float()
        if generation_config.output_logits:
            logits.append(last.new_zeros((count, last.shape[-1])).index_copy(0, rows.numbers, last))
        tokens = _chosen(logits_processor(rows.ids, last), generation_config.do_sample)
        written[rows.numbers[rows.writing], place] = tokens[rows.writing]
        rows.ids = torch.cat([rows.ids, tokens[:, None]], dim=-1)
        rows.writing &= ~stopping_criteria(rows.ids, None)
        if not rows.writing.any():
            break
        if rows.writing.sum() <= WORTH_IT * len(rows.writing):
            rows.leave(logits_processor)
        asked = model.prepare_inputs_for_generation(rows.ids, next_sequence_length=1, **rows.options)
        outputs = model(**asked, return_dict=True)
    sequences = torch.cat([input_ids, written[:, : place + 1]], dim=-1)
    if not generation_config.return_dict_in_generate:
        return sequences
    return GenerateDecoderOnlyOutput(sequences=sequences, logits=tuple(logits))


def _chosen(scores: torch.Tensor, do_sample: bool) -> torch.Tensor:
    """The next token of each row, from scores of shape (rows, vocabulary)."""
    if do_sample:
        return torch.multinomial(scores.softmax(-1), 1).squeeze(-1)
    return scores.argmax(-1)
