"""Tokenizers in the manner of real models, and model folders with them."""

from pathlib import Path

from tokenizers import Tokenizer, decoders, pre_tokenizers
from tokenizers.models import BPE
from tokenizers.processors import TemplateProcessing
from transformers import GenerationConfig, PreTrainedTokenizerFast

from orchard.models import folders
from tests.helpers.llama import random_llama

SPECIAL = {"pad_token": "<pad>", "bos_token": "<bos>", "eos_token": "<eos>"}
TURN = "<end_of_turn>"  # as chat models end their turn; no tokenizer's EOS
CHAT = (  # a chat template that ends answers in it
    "{{ bos_token }}{% for m in messages %}<{{ m['role'] }}>{{ m['content'] }}"
    "{% if m['role'] == 'assistant' %}<end_of_turn>\n{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)


def spelling(pieces: str = "bytes", front: str = "<bos>", behind: str = "", **named: str | None):
    """A tokenizer that spells every text.

    Args:
        pieces: ``bytes``, a space before a word belongs to it (GPT-2, Llama 3, Qwen); ``metaspace``, a space is put in
            front of any text (Llama 2).
        front: what its post-processor puts before every text; empty: nothing.
        behind: and behind it.
        named: special tokens by role; None: it has none of the role.
    """
    letters = [*SPECIAL.values(), TURN, *sorted(pre_tokenizers.ByteLevel.alphabet()), "▁", "\n"]
    tokenizer = Tokenizer(BPE({letter: number for number, letter in enumerate(letters)}, []))
    if pieces == "bytes":
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
    else:
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
        tokenizer.decoder = decoders.Metaspace(prepend_scheme="always")
    template = [part for part in (front, "$A", behind) if part]
    used = [(part, letters.index(part)) for part in (front, behind) if part]
    tokenizer.post_processor = TemplateProcessing(single=template, pair=[*template, "$B"], special_tokens=used)
    tokens = {role: token for role, token in (SPECIAL | named).items() if token}
    whole = PreTrainedTokenizerFast(tokenizer_object=tokenizer, **tokens)
    whole.add_special_tokens({"additional_special_tokens": [TURN]})
    return whole


def speller(tokenizer=None, seed: int = 3, ends: list[int] | None = None, **settings):
    """A random model over such a tokenizer, with its tokenizer.

    Args:
        tokenizer: one of `spelling`.
        seed: of its weights.
        ends: what its generation_config names as ends; none: the tokenizer's EOS alone.
        settings: what its generation_config asks for besides.
    """
    tokenizer = tokenizer or spelling()
    model = random_llama(
        seed, vocab_size=len(tokenizer), initializer_range=0.5, eos_token_id=tokenizer.eos_token_id,
        max_position_embeddings=128,
    )  # fmt: skip
    named = {f"{role}_token_id": getattr(tokenizer, f"{role}_token_id") for role in ("bos", "eos", "pad")}
    named |= {"eos_token_id": ends} if ends else {}
    model.generation_config = GenerationConfig(**named, **settings)
    return model, tokenizer


def save_as_it_is(model, tokenizer, folder: Path) -> Path:
    """Writes a model folder as a stranger's would be, with its generation settings and tokenizer untouched."""
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def load(folder: Path):
    """The model and the tokenizer of a folder, as stages load them."""
    return folders.load_model(folder), folders.load_tokenizer(folder)
