"""Loading and saving of model folders: ordinary Hugging Face folders (safetensors) with a record beside the weights.

A model that LoRA trained has an adapter in place of weights (`orchard.models.adapters`), which is merged on loading.
"""

import contextlib
import json
import os
import re
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import torch
from gguf import GGUFReader
from tokenizers import Tokenizer
from transformers import AutoTokenizer, PreTrainedTokenizerFast
from transformers.models.auto.modeling_auto import AutoModelForCausalLM

from orchard.errors import UserError
from orchard.models import adapters, checkpoint, loading, prompts, sampling


def load_model(folder: str | Path, dtype: torch.dtype = torch.float32, **options):
    """The causal language model of a folder, in evaluation mode, on the GPU if there is one.

    Args:
        folder: a Hugging Face folder, or one of the study's with an adapter.
        dtype: of the weights in memory; float32 where they are trained.
        options: more of from_pretrained's, such as a quantization of our own.

    Raises:
        UserError: the folder is not a whole model, or brings code (orchard.models.checkpoint); or its adapter is of
            another model.
    """
    if is_adapter := adapters.is_kept(folder):
        adapters.refuse_unfit(Path(folder))
    source = adapters.holder(folder)
    checkpoint.refuse_unfit(source)
    if attention := loading.settings().attention:
        options["attn_implementation"] = attention
    model = _loaded(source, source, dtype=dtype, use_safetensors=True, **options)
    if is_adapter:
        model = adapters.merged(model, Path(folder))
    if "device_map" in options:
        return model.eval()
    # of several processes, each has its own GPU
    return model.eval().to(f"cuda:{os.environ.get('LOCAL_RANK', 0)}" if torch.cuda.is_available() else "cpu")


def load_frozen(folder: str | Path):
    """A model that is not trained, in the study's ``loading.dtype``; see `load_model`."""
    return load_model(folder, getattr(torch, loading.settings().dtype))


def load_gguf(file: Path):
    """Model and tokenizer of a GGUF file, de-quantized to float32, on the CPU.

    Raises:
        UserError: transformers cannot read it, or it holds another set of tensors than its architecture has.
    """
    reader = checkpoint.read_gguf(file)
    model = _loaded(file, file.parent, reader, gguf_file=file.name, dtype=torch.float32)
    # The weights are de-quantized now; with the mark left on, save_pretrained refuses.
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    model.hf_quantizer = None
    model.is_quantized = False
    try:
        tokenizer = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name, trust_remote_code=False)
    except Exception as error:  # a stranger's file fails anywhere in transformers
        raise checkpoint.cannot_be_loaded(file, error) from error
    return model, fit_tokenizer(tokenizer, file, model.config.vocab_size)


def _loaded(source: str | Path, folder: str | Path, reader: GGUFReader | None = None, **options):
    """A model by from_pretrained, with every tensor that it has and no other; of a GGUF file with its reader."""
    try:
        model, info = AutoModelForCausalLM.from_pretrained(
            folder, trust_remote_code=False, output_loading_info=True, **options
        )
        unexpected = list(info["unexpected_keys"])
        if reader:
            unexpected += checkpoint.unread_of_gguf(model, reader)
    except (MemoryError, torch.OutOfMemoryError):
        raise  # of this machine, not of the checkpoint
    except Exception as error:  # a stranger's checkpoint fails anywhere in transformers
        raise checkpoint.cannot_be_loaded(source, error) from error
    checkpoint.refuse_broken(model, list(info["missing_keys"]), unexpected, source)
    return model


def load_tokenizer(folder: str | Path) -> PreTrainedTokenizerFast:
    """The tokenizer of a model folder; EOS pads where it has no padding token.

    Raises:
        UserError: the folder holds no tokenizer.json, brings code, or its tokenizer does not fit (`fit_tokenizer`).
    """
    folder = Path(folder)
    if not (folder / "tokenizer.json").is_file():
        raise UserError(
            found=f"{folder} has no tokenizer.json",
            rule="a model folder holds its tokenizer",
            why="text must be cut as in training",
            fix="save the tokenizer into the model's folder",
        )
    rows = checkpoint.read_settings(folder).get("vocab_size")
    checkpoint.refuse_code(folder)
    try:
        tokenizer = PreTrainedTokenizerFast.from_pretrained(folder, trust_remote_code=False)
    except Exception as error:  # a stranger's tokenizer fails anywhere in two libraries
        raise checkpoint.cannot_be_loaded(folder / "tokenizer.json", error) from error
    return fit_tokenizer(tokenizer, folder, rows)


def fit_tokenizer(tokenizer, source: str | Path, rows: int | None):
    """A tokenizer with an end and a padding token, each token of which has a row in the model's embedding.

    It puts no end behind a text by itself.

    Args:
        tokenizer: as it was loaded.
        source: where it was loaded from.
        rows: of the embedding; None: not known.

    Raises:
        UserError: it has no EOS, or tokens beyond the rows.
    """
    if tokenizer.eos_token_id is None:
        raise UserError(
            found=f"the tokenizer of {source} names no EOS token",
            rule="a tokenizer has an EOS token",
            why="a response ends by it, in training and in evaluation",
            fix="set eos_token in tokenizer_config.json to the token that its model writes at the end",
        )
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    if rows and (beyond := _beyond(tokenizer, rows)):
        _drop_marks(tokenizer, beyond)
    if rows and (beyond := _beyond(tokenizer, rows)):
        roles = [f"{role} {token!r}" for role, token in tokenizer.special_tokens_map.items() if token in beyond]
        shown = roles[0] if roles else f"{len(beyond)} tokens, first {min(beyond, key=beyond.__getitem__)!r}"
        raise UserError(
            found=f"the tokenizer of {source} has {shown}, beyond the embedding's {rows} rows",
            rule="each token has a row",
            why="the model has nothing to look up for another",
            fix="name a token that has a row in tokenizer_config.json"
            if roles
            else "name the model's own tokenizer, or give the model more rows (resize_token_embeddings)",
        )
    prompts.end_no_text(tokenizer)
    return tokenizer


def _beyond(tokenizer, rows: int) -> dict[str, int]:
    """The tokens, with their numbers, that have no row of an embedding."""
    return {token: number for token, number in tokenizer.get_vocab().items() if number >= rows}


def _drop_marks(tokenizer, beyond: dict[str, int]) -> None:
    """Takes out special tokens that have neither a row nor a role: they are cut as any other text then.

    Gemma 3 has such a mark for pictures, and transformers gives a GGUF file's tokenizer GPT-2's end of text.
    """
    content = json.loads(tokenizer.backend_tokenizer.to_str())
    in_use = tokenizer.special_tokens_map.values()
    content["added_tokens"] = [
        token
        for token in content["added_tokens"]
        if token["content"] not in beyond or token["content"] in in_use or not token["special"]
    ]
    tokenizer._tokenizer = Tokenizer.from_str(json.dumps(content))


def depth(folder: Path) -> int:
    """The number of a model's layers."""
    return checkpoint.read_settings(folder)["num_hidden_layers"]


def dtype_of(folder: Path) -> torch.dtype:
    """The type of a checkpoint's numbers; of an adapter, that of the model that it changes."""
    return checkpoint.dtype_of(adapters.holder(folder))


def save(model, tokenizer, folder: Path, start: Path | None = None) -> None:
    """Writes weights, config and tokenizer, without a trace of where they came from.

    Of settings for generation only the tokens that end a response are written: all scores are those of the model's own
    distribution, so what it gives by default should be that too.

    Args:
        model: it is no longer of use for computing where ``start`` has another type of numbers.
        tokenizer: its tokenizer.
        folder: where they go.
        start: the folder of the model that it was made from, whose type of numbers it keeps; None: as in memory.

    Raises:
        UserError: a weight is NaN or infinite.
    """
    if start:
        model = model.to(dtype_of(start))
    checkpoint.refuse_no_numbers(model.state_dict(), f"the model to be saved ({folder.name})", checkpoint.DIVERGED)
    model.config._name_or_path = ""
    sampling.plain_settings(model, tokenizer)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def save_trained(model, tokenizer, folder: Path, start: Path) -> None:
    """Writes what a training made: of LoRA the adapter, which `load_model` merges, otherwise the whole model.

    What LoRA made of a model that is an adapter itself is merged and written whole: adapters lie on weights.

    Args:
        model: as the trainer leaves it.
        tokenizer: its tokenizer.
        folder: where it goes.
        start: the folder of the model that the training started from.
    """
    if hasattr(model, "peft_config") and not adapters.is_kept(start):
        adapters.save(model, start, folder)
        tokenizer.save_pretrained(folder)
    else:
        save(model.merge_and_unload() if hasattr(model, "peft_config") else model, tokenizer, folder, start)


def drift(before: Path, after: Path) -> dict:
    """How far training moved a model's parameters, by Euclidean distance in float64 (PEAR: ‖theta_RL − theta_SFT‖).

    One piece of one tensor of each model is in memory at a time, except of an adapter, which is merged first.

    Returns:
        ``absolute``: ‖theta_after − theta_before‖; ``relative``: that divided by ‖theta_before‖; ``parts``: the
        absolute distance of each layer by its number, of ``embedding`` and of ``other`` (last norm, untied head),
        whose squares sum to that of ``absolute``.
    """
    norm, moved = 0.0, {}
    with _tensors(before) as old, _tensors(after) as new:
        for key, read in old.items():
            change = 0.0
            for start, end in zip(checkpoint.pieces(read()), checkpoint.pieces(new[key]()), strict=True):
                norm += float(start.double().square().sum())
                change += float((end.double() - start.double()).square().sum())
            moved[part_of(key)] = moved.get(part_of(key), 0.0) + change
    absolute = sum(moved.values()) ** 0.5
    parts = {part: square**0.5 for part, square in moved.items()}
    return {"absolute": absolute, "relative": absolute / norm**0.5, "parts": parts}


def part_of(parameter: str) -> str:
    """The part of a model that a parameter belongs to: the number of its layer, ``embedding`` or ``other``."""
    if layer := re.search(r"\.layers\.(\d+)\.", parameter):
        return layer.group(1)
    return "embedding" if "embed" in parameter else "other"


@contextlib.contextmanager
def _tensors(folder: Path) -> Iterator[dict[str, Callable[[], torch.Tensor]]]:
    """The tensors of a model by name, each to be read when it is needed."""
    if (folder / adapters.CONFIG).is_file():  # also of a model that is being made, which is kept nowhere yet
        start = adapters.start_of(folder)
        model = adapters.merged(load_model(start, dtype_of(start)), folder)
        yield {name: partial(value.detach().cpu) for name, value in model.named_parameters()}
    else:
        with checkpoint.opened(Path(folder)) as tensors:
            yield tensors
