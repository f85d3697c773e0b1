"""Prompt and answer as token ids, and where what a model wrote ends: one rule for every stage.

How a model is asked is its base's format (`formats`). Without a template a prompt is cut by the tokenizer, with the
special tokens that it puts in front, and an answer follows behind a space, if neither has white space there. With one,
prompt and answer are cut as the template writes them, special tokens too. Either way an answer ends in EOS, which is
the token that ends a turn. What a model wrote is kept as the tokens that it wrote, and is never cut anew from its text:
another cut may give other tokens.
"""

import bisect
import re
from collections.abc import Collection, Iterable
from itertools import takewhile
from typing import NamedTuple

import torch
from tokenizers.processors import TemplateProcessing
from transformers import BatchEncoding, GenerationConfig

from orchard.errors import UserError, shown
from orchard.models import formats, templates
from orchard.models.templates import Turn

Asked = str | list[Turn]  # a prompt, or a conversation whose last turn is the user's
TAG = re.compile(r"<[^<>\s]+>\s*$")  # with which a template may open the answer: <think>


class Rendered(str):
    """A text by a chat template, which brings its own special tokens.

    Attributes:
        turns: the conversation.
        is_begun: whether the last turn is the beginning of an answer.
    """

    turns: list[Turn]
    is_begun: bool

    def __new__(cls, text: str, turns: list[Turn], is_begun: bool = False):
        made = super().__new__(cls, text)
        made.turns, made.is_begun = turns, is_begun
        return made


def asked(row: dict) -> Asked:
    """What a row asks: its conversation, or its prompt.

    Raises:
        UserError: it has neither.
    """
    found = row.get("messages") or row.get("prompt")
    if found is None:
        raise UserError(
            found=f"row {shown(row)} without `prompt`",
            rule="a row asks something: it has `prompt`, a text, or `messages`, a conversation",
            why="a model goes on from it",
            fix="correct the row, or what made it",
        )
    return found


def start(tokenizer, question: Asked) -> str:
    """The text that a model goes on from, in the format of its base.

    Raises:
        UserError: the format cannot say it.
    """
    if formats.is_chat(tokenizer):
        turns = [{"role": "user", "content": question}] if isinstance(question, str) else question
        return conversation(tokenizer, turns)
    return question if isinstance(question, str) else only_turn(question)


def conversation(tokenizer, turns: list[Turn], is_begun: bool = False) -> Rendered:
    """A conversation by the template of a format, up to where the model goes on.

    Args:
        tokenizer: one whose format has a template.
        turns: of the conversation; a system turn among them takes the place of the format's.
        is_begun: the last turn is the beginning of the model's answer; else it is the user's.

    Raises:
        UserError: the template refuses it, or leaves out a part of what is asked.
    """
    form = formats.of(tokenizer)
    if turns[0]["role"] != "system":
        turns = [*formats.opening(tokenizer, form), *turns]
    text = templates.render(tokenizer, turns, "begun answer" if is_begun else "prompt", form.thinking)
    given = formats.letters(text)
    for turn in turns:
        if turn["role"] != "assistant" and formats.letters(turn["content"]) not in given:
            raise _cannot_say(f"a turn of role {turn['role']}, which the chat template leaves out", turn["content"])
    return Rendered(text + ("" if is_begun else form.begin or ""), turns, is_begun)


def only_turn(turns: list[Turn]) -> str:
    """The prompt of a conversation that is asked without a template.

    Raises:
        UserError: it has other turns than one of the user.
    """
    if [turn["role"] for turn in turns] != ["user"]:
        roles = ", ".join(turn["role"] for turn in turns)
        raise _cannot_say(f"a conversation ({roles}) where there is no template", turns[-1]["content"])
    return turns[0]["content"]


def with_examples(tokenizer, examples: list[dict], row: dict, is_plain: bool = False) -> str:
    """The text that a model goes on from, behind worked examples, as lm-eval has them.

    Args:
        tokenizer: the model's.
        examples: rows with answers: lines of text, or with a template turns of the conversation.
        row: what is asked.
        is_plain: without the template.
    """
    if is_plain or not formats.is_chat(tokenizer):
        texts = [
            question if isinstance(question, str) else only_turn(question) for question in map(asked, [*examples, row])
        ]
        before = [f"{text} {each['answer']}\n" for text, each in zip(texts, examples, strict=False)]
        return "".join(before) + texts[-1]
    turns = [
        turn for each in examples for turn in (*_turns(asked(each)), {"role": "assistant", "content": each["answer"]})
    ]
    return conversation(tokenizer, with_own_system([*turns, *_turns(asked(row))]))


def with_own_system(turns: list[Turn]) -> list[Turn]:
    """A conversation in which the last system turn, which is that of what is asked, is the only one and the first."""
    system = [turn for turn in turns if turn["role"] == "system"]
    return [*system[-1:], *(turn for turn in turns if turn["role"] != "system")]


def _turns(question: Asked) -> list[Turn]:
    return [{"role": "user", "content": question}] if isinstance(question, str) else question


def text_ids(tokenizer, text: str) -> list[int]:
    """The tokens of a text that a model goes on from. BOS stands there once, also where the text brings its own."""
    if isinstance(text, Rendered):
        return tokenizer(str(text), add_special_tokens=False)["input_ids"]
    ids = tokenizer(text)["input_ids"]
    twice = len(ids) > 1 and ids[0] == ids[1] == tokenizer.bos_token_id
    return ids[1:] if twice else ids


def started_ids(tokenizer, text: str) -> list[int]:
    """The tokens of a text of `start` that was kept as plain text."""
    return text_ids(tokenizer, Rendered(text, []) if formats.is_chat(tokenizer) else text)


def prompt_ids(tokenizer, question: Asked) -> list[int]:
    """The tokens that a model goes on from."""
    return text_ids(tokenizer, start(tokenizer, question))


def joined(prompt: str, answer: str) -> str:
    """A prompt and its answer as one text."""
    is_apart = not prompt or prompt[-1].isspace() or answer[:1].isspace()
    return prompt + ("" if is_apart else " ") + answer


def answer_ids(tokenizer, question: Asked, answer: str) -> list[int]:
    """The tokens of a given answer after its prompt, up to its end, with EOS.

    Both are cut as one text, because some tokenizers put a space in front of any text. Where the cut does not go
    between the two, the answer is cut alone, since the model is given the prompt's own tokens.
    """
    return _ids_behind(tokenizer, start(tokenizer, question), answer)


def _ids_behind(tokenizer, text: str, answer: str) -> list[int]:
    both = _answered(tokenizer, text, answer) if isinstance(text, Rendered) else joined(text, answer)
    before, whole = text_ids(tokenizer, text), text_ids(tokenizer, both)
    if whole[: len(before)] == before:
        ids = whole[len(before) :]
    else:
        ids = tokenizer(both[len(text) :], add_special_tokens=False)["input_ids"]
    ends = {tokenizer.eos_token_id, tokenizer.convert_tokens_to_ids(formats.of(tokenizer).end or tokenizer.eos_token)}
    return [*takewhile(lambda token: token not in ends, ids), tokenizer.eos_token_id]


def _answered(tokenizer, text: Rendered, answer: str) -> Rendered:
    """A prompt and its answer as the template writes them: trimmed, say, or with an empty block of thoughts in front.

    Where the template begins a turn otherwise than its prompt ends, or leaves out a part of the answer (DeepSeek-R1's
    leaves out the thoughts), the answer follows as it is. A tag that both bring (<think>) stands once.

    Raises:
        UserError: thinking is off in the format, and the answer has thoughts.
    """
    form = formats.of(tokenizer)
    turns = [*text.turns, {"role": "assistant", "content": answer}]
    whole = templates.render(tokenizer, turns, "answer", form.thinking)
    if whole.startswith(text) and formats.letters(answer) in formats.letters(whole[len(text) :]):
        return Rendered(whole, turns)
    if form.thinking is False and not whole.startswith(text.removesuffix(form.begin or "")):
        raise _cannot_say("an answer with thoughts, of a model whose format has thinking: false", answer)
    tag = TAG.search(text)
    if tag and answer.lstrip().startswith(tag.group().strip()):
        answer = answer.lstrip().removeprefix(tag.group().strip()).lstrip("\n")
    return Rendered(text + answer, turns)


def _cannot_say(what: str, text: str) -> UserError:
    return UserError(
        found=f"{what}: {shown(text)}",
        rule="a model is asked, and learns to answer, in the format of its base (base.<name>.format)",
        why="what is left out, or said in another way, would be another question",
        fix="correct the format (template, thinking), or take other rows",
    )


def completion_ids(row: dict, tokenizer) -> list[int]:
    """The tokens of a row's response: those that a model wrote, or those of a given text.

    Args:
        row: prompt or messages, and response; of a model's own response also completion_ids, which end in no EOS if it
            was cut off.
        tokenizer: the model's.

    Raises:
        UserError: the ids are none, or not of this tokenizer.
    """
    if "completion_ids" not in row:
        return answer_ids(tokenizer, asked(row), row["response"])
    if not (ids := row["completion_ids"]) or not 0 <= min(ids) <= max(ids) < len(tokenizer):
        raise UserError(
            found=f"response {row.get('id')} of tokens {str(ids)[:60]}, where the tokenizer has {len(tokenizer)}",
            rule="a model's own response is the tokens that it wrote, at least one",
            why="other tokens would teach another text",
            fix="make the responses again with this model",
        )
    return ids


def example(row: dict, tokenizer) -> dict:
    """A row to learn from: token ids, and labels, which are −100 on the prompt, as it does not count in the loss.

    Of a conversation of several turns the last answer counts alone: those before it are a part of what is asked.
    """
    prompt, completion = prompt_ids(tokenizer, asked(row)), completion_ids(row, tokenizer)
    return {"input_ids": prompt + completion, "labels": [-100] * len(prompt) + completion}


def pair_ids(tokenizer, text: str, continuation: str) -> tuple[list[int], list[int]]:
    """A text that a model goes on from and what follows it, to be scored: without the token that ends an answer.

    By a template, what follows are the tokens with which the same answer is learnt. Without one, both are split as
    lm-eval does, the whole is cut after the prompt: white space at the prompt's end belongs to what follows.
    """
    if isinstance(text, Rendered) and not text.is_begun:
        # A space in front parts an answer from a prompt that is text.
        return text_ids(tokenizer, text), _ids_behind(tokenizer, text, continuation.removeprefix(" "))[:-1]
    kept = text if isinstance(text, Rendered) else text.rstrip()
    before = text_ids(tokenizer, kept)
    both = Rendered(text + continuation, text.turns) if isinstance(text, Rendered) else text + continuation
    return before, text_ids(tokenizer, both)[len(before) :]


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
    """The ends of responses, by a checkpoint's generation_config. A format's own end is the tokenizer's EOS."""
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
