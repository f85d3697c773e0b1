"""Sampling of responses from a model, in batches, with the log-probs under the distribution that was sampled from."""

from collections.abc import Iterator
from typing import NamedTuple

import torch

from orchard.processes import Progress
from orchard.study.schema.common import Sampling


class Response(NamedTuple):
    """One sampled response.

    Attributes:
        text: without special tokens.
        ids: token ids, with EOS if it came.
        logps: the log-prob of each id, in nats, before temperature and top-p.
        top_ids: the most likely tokens at each place.
        top_logps: their log-probs.
    """

    text: str
    ids: list[int]
    logps: list[float]
    top_ids: list[list[int]]
    top_logps: list[list[float]]


@torch.inference_mode()
def sample(
    model, tokenizer, prompts: list[str], asked: Sampling, progress: Progress | None = None, top_k: int = 0
) -> Iterator[Response]:
    """One response per prompt, in order.

    Args:
        model: a causal language model in evaluation mode.
        tokenizer: its tokenizer; prompts are padded on the left.
        prompts: the texts to go on from.
        asked: how to sample.
        progress: gets the number of prompts done after each batch, if given.
        top_k: how many of the most likely tokens to give at each place.
    """
    torch.manual_seed(asked.seed)
    options = {"do_sample": False}
    if asked.temperature > 0:
        options = {"do_sample": True, "temperature": asked.temperature, "top_p": asked.top_p, "top_k": 0}
    for start in range(0, len(prompts), asked.batch_size):
        texts = prompts[start : start + asked.batch_size]
        batch = tokenizer(texts, return_tensors="pt", padding=True, padding_side="left")
        generated = model.generate(
            input_ids=batch["input_ids"].to(model.device),
            attention_mask=batch["attention_mask"].to(model.device),
            max_new_tokens=asked.max_new_tokens,
            pad_token_id=tokenizer.pad_token_id,
            output_logits=True,
            return_dict_in_generate=True,
            **options,
        )
        responses = generated.sequences[:, batch["input_ids"].shape[1] :]
        yield from _responses(responses, generated.logits, tokenizer, top_k)
        if progress:
            progress.step(start + len(texts))


def _responses(ids: torch.Tensor, logits: tuple, tokenizer, top_k: int) -> Iterator[Response]:
    logps, top_ids, top_logps = [], [], []
    for place, scores in enumerate(logits):  # place by place: all logits at once would not fit for a large vocabulary
        log_probs = scores.float().log_softmax(-1)
        logps.append(log_probs.gather(-1, ids[:, place : place + 1]).squeeze(-1))
        best = log_probs.topk(top_k, dim=-1)
        top_ids.append(best.indices)
        top_logps.append(best.values)
    parts = [torch.stack(part, dim=1).tolist() for part in (logps, top_ids, top_logps)]
    for row, *scores in zip(ids.tolist(), *parts, strict=True):
        length = row.index(tokenizer.eos_token_id) + 1 if tokenizer.eos_token_id in row else len(row)
        text = tokenizer.decode(row[:length], skip_special_tokens=True)
        yield Response(text, row[:length], *(part[:length] for part in scores))
