"""Loads a base model that exists already: a Hugging Face folder (local, or fetched from the hub) or a GGUF file."""

from pathlib import Path

import torch

from orchard.errors import UserError
from orchard.models import checkpoint, folders
from orchard.study.schema.base import Loaded

HELD_EXACTLY = {"float32": {"F32", "F16", "BF16"}, "bfloat16": {"BF16"}}  # types whose numbers each type holds


def load(base: Loaded, folder: Path) -> str:
    """Writes the model at the base's source to ``folder`` as safetensors, its numbers of the base's type.

    Returns:
        What was done, for the card: also whether numbers were rounded.

    Raises:
        UserError: it cannot be loaded, or has another number of layers than the config says.
    """
    source, dtype = Path(base.source), getattr(torch, base.dtype)
    if base.kind == "gguf":
        model, tokenizer = folders.load_gguf(gguf_file(source))
        model, types = model.to(dtype), {"F32"}
    else:
        model, tokenizer = folders.load_model(source, dtype), folders.load_tokenizer(source)
        types = {header.dtype for header in checkpoint.read_headers(source).values()} & set(checkpoint.NUMBERS)
    found = model.config.num_hidden_layers
    if found != base.model.layers:
        raise UserError(
            found=f"{source} has {found} layers, the config says {base.model.layers}",
            rule="both agree",
            why="pruning ratios are checked against the config before anything runs",
            fix=f"set model.layers to {found}",
        )
    folders.save(model, tokenizer, folder)
    rounded = sorted(types - HELD_EXACTLY[base.dtype])
    rounding = f", rounded from {' and '.join(rounded)}" if rounded else ""
    return f"loaded from {base.source} ({base.kind}) as {base.dtype}{rounding}"


def gguf_file(source: Path) -> Path:
    """The GGUF file itself, or the one GGUF file in a folder.

    Raises:
        UserError: there is no such file, or more than one.
    """
    files = [source] if source.is_file() else sorted(source.glob("*.gguf"))
    if len(files) != 1:
        raise UserError(
            found=f"{source} holds {len(files)} GGUF files",
            rule="one GGUF file is named",
            why="it is the model",
            fix="name the file itself",
        )
    return files[0]
