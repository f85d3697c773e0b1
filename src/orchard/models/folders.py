"""Loading and saving of model folders: ordinary Hugging Face folders (safetensors) with a record beside the weights."""

import json
import os
import re
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from transformers import PreTrainedTokenizerFast
from transformers.models.auto.modeling_auto import AutoModelForCausalLM

from orchard.errors import UserError
from orchard.models import prompts, sampling


def load_model(folder: str | Path, dtype: torch.dtype = torch.float32):
    """The causal language model of a folder, in evaluation mode, on the GPU if there is one.

    Raises:
        UserError: the folder is not a model, or its weights lack a tensor that the architecture has.
    """
    if not (Path(folder) / "config.json").is_file():
        raise UserError(
            found=f"{folder} has no config.json",
            rule="a model is a Hugging Face folder",
            why="the architecture is read from it",
            fix="name a folder made by save_pretrained",
        )
    try:
        model, info = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, output_loading_info=True)
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise UserError(
            found=f"{folder} cannot be loaded: {error}",
            rule="a model folder holds whole weights that fit its config",
            why="a part of a model gives wrong numbers",
            fix="fetch or make the checkpoint again",
        ) from error
    missing = sorted(info["missing_keys"])
    if missing:
        raise UserError(
            found=f"{folder} lacks {len(missing)} tensors, first {missing[0]}",
            rule="a checkpoint has every tensor of its architecture",
            why="a missing tensor would be filled with random numbers",
            fix="fetch or make the checkpoint again",
        )
    # of several processes, each has its own GPU
    return model.eval().to(f"cuda:{os.environ.get('LOCAL_RANK', 0)}" if torch.cuda.is_available() else "cpu")


def load_tokenizer(folder: str | Path) -> PreTrainedTokenizerFast:
    """The tokenizer of a model folder; a padding token is set when it has none, and it ends no text by itself.

    Raises:
        UserError: the folder holds no tokenizer.json, or the tokenizer has no EOS or a special token unknown to the
            model.
    """
    if not (Path(folder) / "tokenizer.json").is_file():
        raise UserError(
            found=f"{folder} has no tokenizer.json",
            rule="a model folder holds its tokenizer",
            why="text must be cut as in training",
            fix="save the tokenizer into the model's folder",
        )
    file = Path(folder) / "config.json"
    config = json.loads(file.read_text()) if file.is_file() else {}
    embeddings = config.get("text_config", config).get("vocab_size")
    return fit_tokenizer(PreTrainedTokenizerFast.from_pretrained(folder), folder, embeddings)


def fit_tokenizer(tokenizer, source: str | Path, embeddings: int | None) -> PreTrainedTokenizerFast:
    """A tokenizer as stages need it: with a padding token, and without an end behind every text.

    Args:
        tokenizer: as it was saved.
        source: where it comes from, for messages.
        embeddings: the number of tokens that its model knows; None: not known.

    Raises:
        UserError: it has no EOS, or a special token that its model does not know.
    """
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    prompts.check_special_tokens(tokenizer, source, embeddings)
    prompts.end_no_text(tokenizer)
    return tokenizer


def save(model, tokenizer, folder: Path) -> None:
    """Writes weights, config and tokenizer, without a trace of where they came from.

    Of settings for generation only the tokens that end a response are written: all scores are those of the model's own
    distribution, so what it gives by default should be that too.
    """
    model.config._name_or_path = ""
    sampling.plain_settings(model, tokenizer)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def drift(before: str | Path, after: str | Path) -> dict:
    """How far training moved a model's parameters, by Euclidean distance in float64 (PEAR: ‖theta_RL − theta_SFT‖).

    Returns:
        ``absolute``: ‖theta_after − theta_before‖; ``relative``: that divided by ‖theta_before‖; ``parts``: the
        absolute distance of each layer by its number, of ``embedding`` and of ``other`` (last norm, untied head),
        whose squares sum to that of ``absolute``.
    """
    norm, moved = 0.0, {}
    with _weights(before) as old, _weights(after) as new:
        for key in old.keys():  # noqa: SIM118  (safe_open is not a mapping)
            start = old.get_tensor(key).double()
            norm += float(start.square().sum())
            change = float((new.get_tensor(key).double() - start).square().sum())
            moved[part_of(key)] = moved.get(part_of(key), 0.0) + change
    absolute = sum(moved.values()) ** 0.5
    parts = {part: square**0.5 for part, square in moved.items()}
    return {"absolute": absolute, "relative": absolute / norm**0.5, "parts": parts}


def part_of(parameter: str) -> str:
    """The part of a model that a parameter belongs to: the number of its layer, ``embedding`` or ``other``."""
    if layer := re.search(r"\.layers\.(\d+)\.", parameter):
        return layer.group(1)
    return "embedding" if "embed" in parameter else "other"


def _weights(folder: str | Path):
    return safe_open(Path(folder) / "model.safetensors", framework="pt")
