"""The format of a base, as its model's tokenizer carries it: so each model that is made of it is asked the same way.

A tokenizer is saved with each model. Its chat template is that of the format, its EOS is what ends an answer, and the
rest of the format stands in its config, under KEY. None of it is said anywhere else, so nothing can disagree.
"""

import hashlib
from pathlib import Path

from orchard.errors import UserError
from orchard.models import templates
from orchard.study.schema.format import OWN, Format

KEY = "orchard_format"
QUESTION, ANSWER = "What is 2 + 5?", "It is 7."  # a conversation that shows what a template does


def of(tokenizer) -> Format:
    """The format of a tokenizer's model. Its template is OWN, or None; its end is that which the template writes."""
    return Format.model_validate(tokenizer.init_kwargs.get(KEY, {}))


def is_chat(tokenizer) -> bool:
    """Whether a tokenizer's model is asked by a chat template."""
    return of(tokenizer).template is not None


def put(tokenizer, asked: Format) -> None:
    """Gives a tokenizer the format of its base.

    Args:
        tokenizer: the checkpoint's.
        asked: as the config has it.

    Raises:
        UserError: there is no template, or it leaves out what the format asks for, or shows no end of an answer.
    """
    tokenizer.init_kwargs.pop(KEY, None)  # a published model may bring one
    if asked.template is None:
        _end_with(tokenizer, asked.end)
        return
    if asked.template != OWN:
        tokenizer.chat_template = Path(asked.template).read_text(encoding="utf-8")
    elif tokenizer.chat_template is None:
        raise _unfit("template: own, of a checkpoint without one", "name a file, or set template: null")
    _refuse_unheard(tokenizer, asked)
    written = _end_of_turn(tokenizer, asked)
    kept = asked.model_copy(update={"template": OWN, "end": written})
    tokenizer.init_kwargs[KEY] = kept.model_dump(exclude_none=True)
    _end_with(tokenizer, asked.end or written)


def facts(tokenizer) -> dict:
    """A format for a record: with the SHA-256 of the template, and the token that ends an answer."""
    own = of(tokenizer)
    template = None if own.template is None else templates.template_of(tokenizer)
    digest = template and hashlib.sha256(template.encode()).hexdigest()
    return own.model_dump() | {"template": digest, "end": tokenizer.eos_token}


def opening(tokenizer, asked: Format) -> list[templates.Turn]:
    """The turns with which each conversation of a format begins, if it has no system turn of its own."""
    return [{"role": "system", "content": asked.system}] if asked.system else []


def letters(text: str) -> str:
    """A text without white space, which templates put in and take away."""
    return "".join(text.split())


def _probe(tokenizer, asked: Format, thinking: bool | None) -> str:
    turns = [*opening(tokenizer, asked), {"role": "user", "content": QUESTION}]
    return templates.render(tokenizer, turns, thinking=thinking)


def _refuse_unheard(tokenizer, asked: Format) -> None:
    """Refuses a template that leaves out the question or the system turn, or whose text is none of the vocabulary."""
    text = _probe(tokenizer, asked, asked.thinking)
    for said in filter(None, (QUESTION, asked.system)):
        if letters(said) not in letters(text):
            raise _unfit(f"the chat template leaves out {said!r}", "name a template that puts it into the prompt")
    if asked.thinking is not None and text == _probe(tokenizer, asked, not asked.thinking):
        found = f"thinking: {str(asked.thinking).lower()}, which changes nothing in the chat template"
        raise _unfit(found, "set thinking: null, or name a template that takes enable_thinking")
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    if tokenizer.unk_token_id is not None and tokenizer.unk_token_id in ids:
        raise _unfit("the chat template writes what the tokenizer has no token for", "name another template")


def _end_of_turn(tokenizer, asked: Format) -> str | None:
    """The token that a chat template puts behind an answer; None where it puts none, and the format names one."""
    turns = [*opening(tokenizer, asked), {"role": "user", "content": QUESTION}]
    turns.append({"role": "assistant", "content": ANSWER})
    behind = templates.render(tokenizer, turns, "answer", asked.thinking).rpartition(ANSWER)[2]
    added = tokenizer.added_tokens_decoder
    ids = tokenizer(behind, add_special_tokens=False)["input_ids"]
    ends = [added[token].content for token in ids if token in added and added[token].content.strip()]
    if not ends and not asked.end:
        found = f"the chat template ends an answer in {behind!r}, which holds no token of its own"
        raise _unfit(found, "name the token that ends an answer as format.end")
    return ends[0] if ends else None


def _end_with(tokenizer, end: str | None) -> None:
    """Makes a token the tokenizer's EOS: what answers are learnt with and end at."""
    if end is None:
        return
    if end not in tokenizer.get_vocab():
        raise _unfit(f"end: {end!r}, which is no token of the checkpoint's", "name one token of its vocabulary")
    tokenizer.eos_token = end


def _unfit(found: str, fix: str) -> UserError:
    return UserError(
        found=f"base.<name>.format: {found}",
        rule="a format says how this very checkpoint is asked, and how it ends an answer",
        why="a model that is asked otherwise than it learnt, or never stops, is measured wrong",
        fix=fix,
    )
