"""Loads a base model that exists already: a Hugging Face folder (local, or fetched from the hub) or a GGUF file."""

from pathlib import Path

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
        model, tokenizer = folders.load_gguf(gguf_file(source))
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
