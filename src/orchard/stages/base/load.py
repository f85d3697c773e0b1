"""Loads a base model that exists already: a Hugging Face folder (local, or fetched from the hub) or a GGUF file."""

import struct
from pathlib import Path

import torch
from transformers.models.auto.modeling_auto import AutoModelForCausalLM
from transformers.models.auto.tokenization_auto import AutoTokenizer

from orchard.errors import UserError
from orchard.models import folders
from orchard.study.schema.base import Loaded


def load(base: Loaded, folder: Path) -> None:
    """Writes the model at the base's source to ``folder`` as safetensors in float32.

    Raises:
        UserError: it cannot be loaded, or has another number of layers than the config says.
    """
    source = Path(base.source)
    if base.kind == "gguf":
        model, tokenizer = from_gguf(source)
        folders.fit_tokenizer(tokenizer, source, model.config.get_text_config().vocab_size)
    else:
        model, tokenizer = folders.load_model(source), folders.load_tokenizer(source)
    found = model.config.num_hidden_layers
    if found != base.model.layers:
        raise UserError(
            found=f"{source} has {found} layers, the config says {base.model.layers}",
            rule="both agree",
            why="pruning ratios are checked against the config before anything runs",
            fix=f"set model.layers to {found}",
        )
    folders.save(model, tokenizer, folder)


def from_gguf(source: Path):
    """Model and tokenizer of a GGUF file (or of the one GGUF file in a folder), de-quantized to float32.

    Raises:
        UserError: there is no such file, or transformers cannot read it.
    """
    files = [source] if source.is_file() else sorted(source.glob("*.gguf"))
    if len(files) != 1:
        raise UserError(
            found=f"{source} holds {len(files)} GGUF files",
            rule="one GGUF file is named",
            why="it is the model",
            fix="name the file itself",
        )
    place = {"pretrained_model_name_or_path": str(files[0].parent), "gguf_file": files[0].name}
    try:
        model = AutoModelForCausalLM.from_pretrained(**place, dtype=torch.float32)
        tokenizer = AutoTokenizer.from_pretrained(**place)
    except (OSError, ValueError, KeyError, struct.error) as error:
        raise UserError(
            found=f"{files[0]} cannot be loaded ({error})",
            rule="it is a whole GGUF file of an architecture that transformers knows",
            why="a part of a model gives wrong numbers",
            fix="fetch the file again, or name another model",
        ) from error
    # The weights are de-quantized now; with the mark left on, save_pretrained refuses.
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    model.hf_quantizer = None
    model.is_quantized = False
    return model, tokenizer
