"""Loads a base model that exists already: a Hugging Face folder (local, or fetched from the hub) or a GGUF file."""

from pathlib import Path

import torch

from orchard.errors import UserError
from orchard.models import checkpoint, folders, formats, prompts, sampling
from orchard.study.schema.base import Loaded

HELD_EXACTLY = {"float32": {"F32", "F16", "BF16"}, "bfloat16": {"BF16"}}  # types whose numbers each type holds


def load(base: Loaded, folder: Path) -> tuple[str, dict]:
    """Writes the model at the base's source to ``folder`` as safetensors, in the base's format and type of numbers.

    A response ends at each token at which that of the checkpoint ended, and at the end of a turn in the format.

    Returns:
        What was done, for the card: also whether numbers were rounded. And facts for the record: the format, the tokens
        that end a response, whether BOS stands in front of a prompt, and the checkpoint's other settings for
        generation, none of which is kept.

    Raises:
        UserError: it cannot be loaded, has another number of layers than the config says, or does not fit its format.
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
    reset = sampling.reset_settings(model.generation_config)
    ends = prompts.ends(model, tokenizer)
    formats.put(tokenizer, base.format)
    model.generation_config.eos_token_id = ends = sorted({*ends, tokenizer.eos_token_id})
    folders.save(model, tokenizer, folder)
    rounded = sorted(types - HELD_EXACTLY[base.dtype])
    rounding = f", rounded from {' and '.join(rounded)}" if rounded else ""
    made = f"loaded from {base.source} ({base.kind}) as {base.dtype}{rounding}"
    begins = prompts.prompt_ids(tokenizer, formats.QUESTION)[0] == tokenizer.bos_token_id
    if tokenizer(formats.QUESTION)["input_ids"][0] == tokenizer.bos_token_id and not begins:
        print("note: the tokenizer puts BOS before a text, and the chat template does not", flush=True)
    named = tokenizer.convert_ids_to_tokens(ends)
    facts = {"format": formats.facts(tokenizer), "ends": named, "begins_with_bos": begins, "reset_settings": reset}
    return made, facts


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
