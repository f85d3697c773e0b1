"""What a checkpoint must be before it is loaded, and what the loaded model must be: whole, plain, its own.

transformers fills what is missing with random numbers, passes over what it does not know, and reads what it cannot
use as if it were numbers. Every loader here goes through `refuse_unfit` before and `refuse_broken` after.
"""

import contextlib
import json
import re
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from gguf import MODEL_ARCH_NAMES, GGUFReader, get_tensor_name_map
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from transformers import AutoConfig
from transformers.modeling_gguf_pytorch_utils import TENSOR_PROCESSORS, TensorProcessor, get_gguf_hf_weights_map
from transformers.models.auto.modeling_auto import AutoModelForCausalLM

from orchard.errors import UserError

WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
# Files that torch reads by unpickling, or may: a pickle is a program.
PICKLES = ("*.bin", "*.pt", "*.pth", "*.pkl", "*.ckpt")
# Notes that tools of quantization leave beside the config: GPTQ, AWQ, ModelOpt.
QUANTIZED_BY = ("quantize_config.json", "quant_config.json", "hf_quant_config.json")
NUMBERS = ("F64", "F32", "F16", "BF16")
COUNTS = ("BOOL", "I64")  # of old checkpoints: masks and positions, which are no weights
# The parts of transformers itself; any other name is that of a kernel, a program that is fetched from the hub.
ATTENTION = ("eager", "sdpa", "flex_attention", "flash_attention_2", "flash_attention_3", None)
FETCH_AGAIN = "fetch or make the checkpoint again"
DIVERGED = "lower the learning rate of the stage; a diverged resume state goes with `rm -r .scratch/resume`"
PIECE = 2**24  # numbers of a tensor that are looked at at once: ours, 128 MB in float64; an embedding may have 2**30


class Header(NamedTuple):
    """What a file of weights says of one tensor."""

    dtype: str
    shape: tuple[int, ...]


def refuse_unfit(folder: str | Path) -> None:
    """Refuses a model folder by its files alone; nothing is loaded, and nothing in it is executed.

    Raises:
        UserError: it has no config, brings code, pickles, adapters, several parts or quantized weights, its shards are
            not all there, or config and weights disagree on layers or shapes.
    """
    folder = Path(folder)
    settings = read_settings(folder)
    refuse_code(folder)
    _refuse_parts(folder, settings)
    _refuse_quantized(folder, settings)
    headers = read_headers(folder)
    _refuse_other_numbers(folder, headers)
    _compare_layers(folder, headers, getattr(_settings_of(folder), "num_hidden_layers", None))
    _refuse_other_shapes(folder, settings, headers)


def read_settings(folder: Path) -> dict:
    """The content of a model folder's config.json.

    Raises:
        UserError: there is no such folder or file, or it is no JSON object of numbers.
    """
    if not (folder / "config.json").is_file():
        raise UserError(
            found=f"{folder} has no config.json" if folder.is_dir() else f"no folder {folder}",
            rule="a model is a Hugging Face folder",
            why="the architecture is read from it",
            fix="name a folder made by save_pretrained",
        )
    return _read_object(folder / "config.json")


def refuse_code(folder: Path) -> None:
    """Refuses a folder whose configs name code: its own, or a kernel of the hub.

    Raises:
        UserError: they do.
    """
    for file in sorted(folder.glob("*config*.json")):
        for key, value in _pairs(_read_object(file)):
            is_kernel = "attn_implementation" in key and not _is_own_attention(value)
            if key == "auto_map" or is_kernel:
                raise UserError(
                    found=f"{file}: {key} {json.dumps(value)[:80]}, which names code",
                    rule="a model is of a type that transformers itself has",
                    why="code of a stranger's folder could do anything here, so none is run",
                    fix=f"remove {key} if transformers has the type; otherwise name another model",
                )


def read_headers(folder: Path) -> dict[str, Header]:
    """The name, type and shape of each tensor in a folder's weights.

    Raises:
        UserError: there are no weights in safetensors, a shard is missing or broken, or a tensor stands in two.
    """
    headers = {}
    for file in _shards(folder):
        found = _read_header(file)
        if twice := sorted(headers.keys() & found.keys()):
            raise _broken(f"{file}: {twice[0]} stands in another shard too", "each tensor stands once")
        headers |= found
    return headers


def dtype_of(folder: Path) -> torch.dtype:
    """The type of the numbers in a folder's weights, as the study writes them: bfloat16, or float32 for all others."""
    types = {header.dtype for header in read_headers(folder).values()}
    return torch.bfloat16 if types == {"BF16"} else torch.float32


@contextlib.contextmanager
def opened(folder: Path) -> Iterator[dict[str, Callable[[], torch.Tensor]]]:
    """The tensors of a folder by name, each read when it is asked for, from however many shards."""
    with contextlib.ExitStack() as stack:
        shards = [stack.enter_context(safe_open(file, framework="pt")) for file in _shards(folder)]
        yield {name: partial(shard.get_tensor, name) for shard in shards for name in shard.keys()}  # noqa: SIM118


def refuse_broken(model, missing: list[str], unexpected: list[str], source: str | Path) -> None:
    """Refuses a loaded model whose weights are not exactly those of its architecture, or no numbers.

    Args:
        model: as it was loaded.
        missing: names of tensors that the architecture has and the checkpoint lacks.
        unexpected: names of tensors in the checkpoint that nothing took.
        source: where it was loaded from.

    Raises:
        UserError: it lacks a tensor, one is left over, a head that should be tied is not, or a weight is not finite.
    """
    if missing:
        found = f"{source} lacks {len(missing)} tensors, first {min(missing)}"
        raise _broken(found, "a checkpoint has every tensor of its architecture", "it would be filled at random")
    if unexpected:
        found = f"{source} holds {len(unexpected)} tensors that its architecture has not, first {min(unexpected)}"
        raise _broken(found, "every tensor of a checkpoint is used", "without them it is another model")
    head, embedding = model.get_output_embeddings(), model.get_input_embeddings()
    if getattr(model.config, "tie_word_embeddings", False) and head is not None and head.weight is not embedding.weight:
        raise UserError(
            found=f"{source}: the head differs from the embedding, and its config ties them",
            rule="with tie_word_embeddings both are one tensor",
            why="one of the two is wrong, and it is not known which",
            fix="set tie_word_embeddings to false in its config.json if the head is meant, or remove the head",
        )
    refuse_no_numbers(model.state_dict(), source)


def read_gguf(file: Path) -> GGUFReader:
    """The header of a GGUF file, as long as it agrees with itself on the number of layers.

    Raises:
        UserError: it does not, or cannot be read.
    """
    try:
        reader = GGUFReader(file)
        said = reader.fields[f"{_architecture(reader)}.block_count"].contents()
    except Exception as error:  # a stranger's file fails anywhere in the reader
        raise cannot_be_loaded(file, error) from error
    _compare_layers(file, [tensor.name for tensor in reader.tensors], said)
    return reader


def unread_of_gguf(model, reader: GGUFReader) -> list[str]:
    """The tensors and settings of a GGUF file that its loading passed over.

    transformers reads most architectures by a table of names, and leaves out what stands in none: `rope_freqs.weight`
    of Llama 3, say, without which positions are other ones.
    """
    rope = [key for key in reader.fields if ".rope.scaling." in key]
    is_scaled = (getattr(model.config, "rope_parameters", None) or {}).get("rope_type", "default") != "default"
    unread = [] if is_scaled else rope
    if model.hf_quantizer.supported:  # read by another way, which tells what is left over
        return unread
    kind, names = _architecture(reader), [tensor.name for tensor in reader.tensors]
    if arch := next((key for key, name in MODEL_ARCH_NAMES.items() if name == kind), None):
        table = get_tensor_name_map(arch, model.config.num_hidden_layers)
        read = {table.get_name(name, try_suffixes=(".weight", ".bias")) for name in model.state_dict()}
        names = [name for name in names if name not in read]
    if names:  # transformers' own table, which takes a minute for a deep model
        processor = TENSOR_PROCESSORS.get(kind, TensorProcessor)(config=model.config.to_dict())
        read = get_gguf_hf_weights_map(model, processor)
        names = [name for name in names if name not in read]
    return unread + names


def _architecture(reader: GGUFReader) -> str:
    return reader.fields["general.architecture"].contents()


def refuse_no_numbers(weights: dict[str, torch.Tensor], source: str | Path, fix: str = FETCH_AGAIN) -> None:
    """Refuses weights with NaN or infinity.

    Args:
        weights: by name.
        source: whose they are.
        fix: what to do about it.

    Raises:
        UserError: a number is not finite.
    """
    for name, tensor in weights.items():
        if bad := sum(int((~piece.isfinite()).sum()) for piece in pieces(tensor)):
            raise UserError(
                found=f"{source}: {name}: {bad} of {tensor.numel()} numbers are NaN or infinite",
                rule="every weight is a finite number",
                why="a single one spreads through all that the model computes",
                fix=fix,
            )


def pieces(tensor: torch.Tensor) -> Iterable[torch.Tensor]:
    """A tensor's numbers in pieces, so that what is worked out of them takes little memory."""
    return tensor.detach().flatten().split(PIECE)


def refuse_unfit_state(folder: Path, model, fix: str | None = None) -> None:
    """Refuses the weights of a resume state that are not exactly those in training; the trainer would take what fits.

    Args:
        folder: of the checkpoint.
        model: in training; of one with adapters, a checkpoint has the adapters alone.
        fix: what to do about it; None: what helps a training.

    Raises:
        UserError: a tensor is missing, left over, of another shape, or not finite.
    """
    from peft import get_peft_model_state_dict  # takes a second, which only a resumed training pays

    fix = fix or f"remove {folder}; the stage then goes on from an earlier state, or starts anew"
    has_adapters = hasattr(model, "peft_config")
    wanted = get_peft_model_state_dict(model) if has_adapters else model.state_dict()
    twice = set() if has_adapters else set(getattr(model, "all_tied_weights_keys", {}))
    files = sorted(folder.glob("*.safetensors"))
    found = {name: header.shape for file in files for name, header in _read_header(file, fix).items()}
    differ = {name for name, tensor in wanted.items() if found.get(name) != tensor.shape}
    if differ := (differ - (twice - found.keys())) | (found.keys() - wanted.keys()):
        raise _broken(
            f"{folder}: {min(differ)} is missing, left over or of another shape",
            "a resume state has exactly the weights in training",
            "what it lacks would start from the beginning",
            fix,
        )
    for file in files:
        refuse_no_numbers(load_file(file), folder, fix)


def _refuse_parts(folder: Path, settings: dict) -> None:
    """Refuses what is not one language model with weights of its own."""
    parts = sorted(key for key, value in settings.items() if isinstance(value, dict) and "model_type" in value)
    if parts:
        raise UserError(
            found=f"{folder} is a model of type {settings.get('model_type')!r} with parts: {', '.join(parts)}",
            rule="a model is one decoder of text",
            why="pictures and sounds are no part of a study, and layers are counted in one place",
            fix="name a model of text, or save the language model alone as a folder of its own",
        )
    if "transformers_weights" in settings or list(folder.glob("shard-*-model-*.safetensors")):
        raise _broken(f"{folder} has its weights under other names", f"weights are {WEIGHTS}, or shards by {INDEX}")
    if (folder / "adapter_config.json").is_file():
        raise UserError(
            found=f"{folder} holds an adapter (adapter_config.json)",
            rule="the weights are the model's own",
            why="an adapter changes a model that lies elsewhere, and which one it is cannot be checked",
            fix="merge it (merge_and_unload) and save the model again; a study's artifacts are merged",
        )


def _refuse_quantized(folder: Path, settings: dict) -> None:
    notes = [name for name in QUANTIZED_BY if (folder / name).is_file()]
    notes += [f"{key} in config.json" for key in ("quantization_config", "compression_config") if settings.get(key)]
    if notes:
        given = settings.get("quantization_config") or {}
        method = given.get("quant_method") if isinstance(given, dict) else None
        raise quantized(f"{folder} ({notes[0]}{f': {method}' if method else ''})")


def _refuse_other_numbers(folder: Path, headers: dict[str, Header]) -> None:
    for name, header in headers.items():
        is_count = header.dtype in COUNTS and not name.endswith(("weight", "bias"))
        if header.dtype not in NUMBERS and not is_count:
            raise quantized(f"{folder} ({name} is of type {header.dtype})")


def quantized(what: str) -> UserError:
    """The message for weights that are held in few bits, with scales apart."""
    return UserError(
        found=f"quantized weights: {what}",
        rule=f"weights are plain numbers of type {', '.join(NUMBERS)}; of the quantized, GGUF alone is read",
        why="read without their scales they are other numbers, and layers of few bits cannot be trained",
        fix="name the unquantized model, or dequantize it (transformers: model.dequantize()) and save it again",
    )


def _compare_layers(source: Path, names: Iterable[str], said: int | None) -> None:
    """Compares the number of layers in the settings with that in the tensors: the first number of a name."""
    numbers = {int(place[1]) for name in names if (place := re.search(r"\.(\d+)\.", name))}
    if numbers and numbers != set(range(len(numbers))):
        gap = min(set(range(len(numbers))) - numbers)
        raise _broken(f"{source}: no tensor of layer {gap} of {max(numbers) + 1}", "the layers are numbered from 0 on")
    if said != len(numbers):
        raise UserError(
            found=f"{source}: its settings say {said} layers, its weights have {len(numbers)}",
            rule="both agree",
            why="layers would be left out without a word, or filled at random",
            fix="correct num_hidden_layers in its config.json, or fetch the checkpoint again",
        )


def _refuse_other_shapes(folder: Path, settings: dict, headers: dict[str, Header]) -> None:
    """Compares architecture and shapes with a model that has no weights, which takes no memory, whatever its size."""
    try:
        with torch.device("meta"):
            skeleton = AutoModelForCausalLM.from_config(_settings_of(folder), trust_remote_code=False)
    except Exception as error:  # a stranger's settings fail anywhere in transformers
        raise cannot_be_loaded(folder, error) from error
    own = type(skeleton).__name__
    if own not in (settings.get("architectures") or [own]):
        raise UserError(
            found=f"{folder} is a {settings['architectures']}, not a {own}",
            rule="a model is a causal language model",
            why="another kind has another head, or sees the text to come",
            fix="name another model, or correct architectures in its config.json",
        )
    for name, tensor in skeleton.state_dict().items():
        if name in headers and headers[name].shape != tuple(tensor.shape):
            found = f"{folder}: {name} is {list(headers[name].shape)}, its config makes it {list(tensor.shape)}"
            raise _broken(found, "weights fit the config")


def _settings_of(folder: Path):
    """The config of a folder as transformers reads it."""
    try:
        return AutoConfig.from_pretrained(folder, trust_remote_code=False)
    except Exception as error:  # a stranger's settings fail anywhere in transformers
        raise cannot_be_loaded(folder, error) from error


def _shards(folder: Path) -> list[Path]:
    """The files of a folder's weights."""
    if (folder / WEIGHTS).is_file():
        return [folder / WEIGHTS]
    if not (folder / INDEX).is_file():
        pickles = sorted(file.name for pattern in PICKLES for file in folder.glob(pattern))
        raise UserError(
            found=f"{folder}: the weights are pickles ({pickles[0]})" if pickles else f"{folder} has no {WEIGHTS}",
            rule="weights are safetensors",
            why="a pickle is a program, which runs when it is read" if pickles else "they are the model",
            fix="load it where you trust it, and save it again with save_pretrained" if pickles else FETCH_AGAIN,
        )
    places = _read_object(folder / INDEX).get("weight_map")
    names = sorted({str(name) for name in places.values()}) if isinstance(places, dict) else []
    for name in names:
        if Path(name).name != name or not (folder / name).is_file():
            raise _broken(f"{folder}: no shard {name!r}, which {INDEX} names", "every shard lies in the folder")
    if not names:
        raise _broken(f"{folder}: {INDEX} names no shard", "it says which tensor lies in which file")
    return [folder / name for name in names]


def _read_header(file: Path, fix: str = FETCH_AGAIN) -> dict[str, Header]:
    try:
        with safe_open(file, framework="pt") as weights:
            slices = {name: weights.get_slice(name) for name in weights.keys()}  # noqa: SIM118
            return {name: Header(part.get_dtype(), tuple(part.get_shape())) for name, part in slices.items()}
    except (OSError, SafetensorError) as error:
        raise cannot_be_loaded(file, error, fix) from error


def _read_object(file: Path) -> dict:
    """A JSON object of a file; NaN, which is no JSON, is none."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"), parse_constant=_no_nan)
        if not isinstance(content, dict):
            raise ValueError("not an object")
    except (OSError, ValueError, RecursionError) as error:
        raise _broken(f"{file}: {error}", "it is one JSON object") from error
    return content


def _no_nan(constant: str) -> float:
    if constant == "NaN":
        raise ValueError("NaN for a number")
    return float(constant)


def _pairs(tree: Any) -> list[tuple[str, Any]]:
    """Each key of a tree with its value, at any depth."""
    values = list(tree.values()) if isinstance(tree, dict) else tree if isinstance(tree, list) else []
    return [*(tree.items() if isinstance(tree, dict) else ()), *(pair for value in values for pair in _pairs(value))]


def _is_own_attention(value: Any) -> bool:
    return all(each in ATTENTION for each in (value.values() if isinstance(value, dict) else [value]))


def cannot_be_loaded(source: str | Path, error: Exception, fix: str = FETCH_AGAIN) -> UserError:
    """The message for what a library refuses."""
    reason = " ".join(f"{type(error).__name__}: {error}".split())
    if "ignore_mismatched_sizes" in reason:
        reason = "a tensor has another shape than the settings make it"
    return _broken(f"{source} cannot be loaded ({reason[:300]})", "weights and config are whole", fix=fix)


def _broken(found: str, rule: str, why: str = "a part of a model gives wrong numbers", fix: str = FETCH_AGAIN):
    return UserError(found=found, rule=rule, why=why, fix=fix)
