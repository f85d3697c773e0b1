"""Sampling of responses from a model, in batches, with the log-probs under the distribution that was sampled from."""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from transformers import GenerationConfig, LogitsProcessorList
from transformers.generation import TemperatureLogitsWarper, TopPLogitsWarper

from orchard.errors import refuse_none
from orchard.models import cache, decoding, draws, prompts
from orchard.models.prompts import Asked
from orchard.processes import Progress
from orchard.study.schema.common import Sampling


class Response(NamedTuple):
    """One sampled response.

    Attributes:
        text: without special tokens.
        ids: token ids, with the one that ended it if that came.
        logps: the log-prob of each id, in nats, before temperature and top-p.
        top_ids: the most likely tokens at each place.
        top_logps: their log-probs.
        cut: whether max_new_tokens cut it off.
    """

    text: str
    ids: list[int]
    logps: list[float]
    top_ids: list[list[int]]
    top_logps: list[list[float]]
    cut: bool


def plain_settings(model, tokenizer) -> frozenset[int]:
    """Lets a model generate by what it is asked alone, and returns the tokens that end its responses.

    A checkpoint's generation_config may bring a repetition penalty, suppressed tokens or the like. What is sampled then
    is another distribution's than the model's, so of these settings only the tokens that end a response are kept.

    Args:
        model: a causal language model, whose generation_config is replaced.
        tokenizer: its tokenizer.
    """
    ends = prompts.ends(model, tokenizer)
    model.generation_config = GenerationConfig(
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=sorted(ends) if len(ends) > 1 else tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return ends


def refuse_silence(written: list[tuple[list[int], bool]], who: str, fix: str) -> None:
    """Refuses responses without a single token but those that ended them.

    Args:
        written: of each response its token ids, and whether max_new_tokens cut it off.
        who: wrote them.
        fix: what to change.

    Raises:
        UserError: nothing was written.
    """
    tokens = sum(len(ids) - (not cut) for ids, cut in written)
    refuse_none(tokens, f"{who} ended each of its {len(written)} responses at once", fix)


def reset_settings(settings: GenerationConfig) -> dict:
    """What a checkpoint's generation_config asks for besides the tokens that end a response: none of it is kept."""
    asked = settings.to_diff_dict()
    return {key: asked[key] for key in sorted(asked) if not key.endswith("token_id") and key != "transformers_version"}


@torch.inference_mode()
def sample(
    model,
    tokenizer,
    questions: list[Asked],
    asked: Sampling,
    progress: Progress | None = None,
    top_k: int = 0,
    first: int = 0,
) -> Iterator[Response]:
    """One response per prompt, in order. Each prompt's random numbers follow from the seed and its place alone.

    Args:
        model: a causal language model in evaluation mode.
        tokenizer: its tokenizer; prompts are padded on the left.
        questions: what is asked.
        asked: how to sample.
        progress: gets the number of prompts done after each batch, if given.
        top_k: how many of the most likely tokens to give at each place.
        first: the place of the first prompt in the whole list, where these are a part of one.
    """
    ends = plain_settings(model, tokenizer)
    for start in range(0, len(questions), asked.batch_size):
        rows = [prompts.prompt_ids(tokenizer, each) for each in questions[start : start + asked.batch_size]]
        batch = prompts.padded(tokenizer, rows, "left", model.device)
        generated = model.generate(
            **batch,
            max_new_tokens=asked.max_new_tokens,
            past_key_values=cache.roomy(model.config),
            custom_generate=decoding.leaving,
            output_logits=True,
            return_dict_in_generate=True,
            do_sample=False,  # where there are draws, they leave one token to choose
            logits_processor=_choices(asked, range(first + start, first + start + len(rows))),
        )
        responses = generated.sequences[:, batch["input_ids"].shape[1] :]
        yield from _responses(responses, generated.logits, tokenizer, ends, top_k)
        if progress:
            progress.step(start + len(rows))


def _choices(asked: Sampling, places: range) -> LogitsProcessorList:
    """How the tokens of a batch are chosen, by the places of its prompts in the whole list; empty: the most likely."""
    if asked.temperature == 0:
        return LogitsProcessorList()
    nucleus = [TopPLogitsWarper(asked.top_p)] if asked.top_p < 1 else []
    chosen = draws.ByNumbers(draws.of_each(asked.seed, places, asked.max_new_tokens))
    return LogitsProcessorList([TemperatureLogitsWarper(asked.temperature), *nucleus, chosen])


def _responses(ids: torch.Tensor, logits: tuple, tokenizer, ends: frozenset[int], top_k: int) -> Iterator[Response]:
    logps, top_ids, top_logps = [], [], []
    for place, scores in enumerate(logits):  # place by place: all logits at once would not fit for a large vocabulary
        log_probs = scores.float().log_softmax(-1)
        logps.append(log_probs.gather(-1, ids[:, place : place + 1]).squeeze(-1))
        best = log_probs.topk(top_k, dim=-1)
        top_ids.append(best.indices)
        top_logps.append(best.values)
    parts = [torch.stack(part, dim=1).tolist() for part in (logps, top_ids, top_logps)]
    for row, *scores in zip(ids.tolist(), *parts, strict=True):
        found = prompts.written(row, ends, tokenizer)
        whole = found.ids + found.end
        yield Response(found.text, whole, *(part[: len(whole)] for part in scores), cut=not found.ended)
