"""Prompt and answer as token ids, and where what a model wrote ends: one rule for every stage.

A prompt is cut by the tokenizer, with the special tokens that it puts in front. An answer follows behind a space, if
neither has white space there, and ends in EOS. What a model wrote is kept as the tokens that it wrote, and is never cut
anew from its text: another cut may give other tokens.
"""

import bisect
from collections.abc import Collection, Iterable
from itertools import takewhile
from typing import NamedTuple

import torch
from tokenizers.processors import TemplateProcessing
from transformers import BatchEncoding, GenerationConfig

from orchard.errors import UserError


def prompt_ids(tokenizer, prompt: str) -> list[int]:
    """The tokens that a model goes on from. BOS stands there once, also where the text brings its own."""
    ids = tokenizer(prompt)["input_ids"]
    twice = len(ids) > 1 and ids[0] == ids[1] == tokenizer.bos_token_id
    return ids[1:] if twice else ids


def joined(prompt: str, answer: str) -> str:
    """A prompt and its answer as one text."""
    is_apart = not prompt or prompt[-1].isspace() or answer[:1].isspace()
    return prompt + ("" if is_apart else " ") + answer


def answer_ids(tokenizer, prompt: str, answer: str) -> list[int]:
    """The tokens of a given answer after its prompt, up to its end, with EOS.

    Both are cut as one text, because some tokenizers put a space in front of any text. Where the cut does not go
    between the two, the answer is cut alone, since the model is given the prompt's own tokens.
    """
    before, text = prompt_ids(tokenizer, prompt), joined(prompt, answer)
    whole = prompt_ids(tokenizer, text)
    if whole[: len(before)] == before:
        ids = whole[len(before) :]
    else:
        ids = tokenizer(text[len(prompt) :], add_special_tokens=False)["input_ids"]
    return [*takewhile(lambda token: token != tokenizer.eos_token_id, ids), tokenizer.eos_token_id]


def completion_ids(row: dict, tokenizer) -> list[int]:
    """The tokens of a row's response: those that a model wrote, or those of a given text.

    Args:
        row: prompt and response; of a model's own response also completion_ids, which end in no EOS if it was cut off.
        tokenizer: the model's.

    Raises:
        UserError: the ids are none, or not of this tokenizer.
    """
    if "completion_ids" not in row:
        return answer_ids(tokenizer, row["prompt"], row["response"])
    if not (ids := row["completion_ids"]) or not 0 <= min(ids) <= max(ids) < len(tokenizer):
        raise UserError(
            found=f"response {row.get('id')} of tokens {str(ids)[:60]}, where the tokenizer has {len(tokenizer)}",
            rule="a model's own response is the tokens that it wrote, at least one",
            why="other tokens would teach another text",
            fix="make the responses again with this model",
        )
    return ids


def example(row: dict, tokenizer) -> dict:
    """A row to learn from: token ids, and labels, which are −100 on the prompt, as it does not count in the loss."""
    prompt, completion = prompt_ids(tokenizer, row["prompt"]), completion_ids(row, tokenizer)
    return {"input_ids": prompt + completion, "labels": [-100] * len(prompt) + completion}


def pair_ids(tokenizer, prompt: str, continuation: str) -> tuple[list[int], list[int]]:
    """A prompt and what follows it, to be scored: split as lm-eval does, the whole is cut after the prompt.

    White space at the prompt's end belongs to what follows.
    """
    kept = prompt.rstrip()
    before = prompt_ids(tokenizer, kept)
    return before, prompt_ids(tokenizer, prompt + continuation)[len(before) :]


def padded(tokenizer, rows: list[list[int]], side: str, device) -> BatchEncoding:
    """Rows of tokens as one batch: input_ids and attention_mask of shape (rows, tokens), padded on one side."""
    return tokenizer.pad({"input_ids": rows}, padding_side=side, return_tensors="pt").to(torch.device(device))


# Ends


def ends(model, tokenizer) -> frozenset[int]:
    """The tokens at the first of which a response ends: the tokenizer's EOS, and those that the checkpoint names.

    A chat model's turn often ends in a token of its own, which its generation_config lists (Llama 3, Gemma, Phi).
    """
    return named_ends(model.generation_config, tokenizer)


def named_ends(settings: GenerationConfig, tokenizer) -> frozenset[int]:
    """The ends of responses, by a checkpoint's generation_config."""
    own = settings.eos_token_id
    named = own if isinstance(own, Iterable) else [own]
    return frozenset(token for token in [tokenizer.eos_token_id, *named] if token is not None)


class Written(NamedTuple):
    """What a model wrote after a prompt.

    Attributes:
        text: without special tokens, up to the first stop text.
        ids: its tokens, as they were generated; none of the end or of the stop text.
        end: the token that ended it, as a list; empty if a stop text did, or nothing.
        ended: whether it came to an end by itself, within the tokens that it had.
    """

    text: str
    ids: list[int]
    end: list[int]
    ended: bool


def written(generated: list[int], ends: Collection[int], tokenizer, stop: Iterable[str] = ()) -> Written:
    """Cuts what was generated at its first end.

    Args:
        generated: the tokens behind the prompt, perhaps with others behind the end.
        ends: the tokens that end a response.
        tokenizer: the model's.
        stop: texts that end it too.
    """
    length = next((place for place, token in enumerate(generated) if token in ends), len(generated))
    ids, end = generated[:length], generated[length : length + 1]
    text = kept = tokenizer.decode(ids, skip_special_tokens=True)
    for each in filter(None, stop):
        kept = kept.split(each)[0]
    if kept == text:
        return Written(text, ids, end, bool(end))
    return Written(kept, ids[: _tokens_within(ids, len(kept), tokenizer)], [], True)


def _tokens_within(ids: list[int], letters: int, tokenizer) -> int:
    """How many of the first tokens make up a text of at most so many letters."""
    counts = range(1, len(ids) + 1)
    return bisect.bisect_right(counts, letters, key=lambda n: len(tokenizer.decode(ids[:n], skip_special_tokens=True)))


# A tokenizer as stages need it


def end_no_text(tokenizer) -> None:
    """Takes off what a tokenizer puts behind every text, such as EOS. What it puts in front stays.

    A model goes on from a text, and not from its end.
    """
    encoding = tokenizer.backend_tokenizer.encode("a")
    is_text = [not added for added in encoding.special_tokens_mask]
    if True not in is_text or is_text[-1]:
        return
    first = is_text.index(True)
    front = list(zip(encoding.tokens[:first], encoding.ids[:first], strict=True))
    names = [name for name, _ in front]
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single=[*names, "$A"], pair=[*names, "$A", "$B"], special_tokens=front
    )
    for option in ("add_bos_token", "add_eos_token"):  # of the tokenizer's config, where they would undo this
        tokenizer.init_kwargs.pop(option, None)
