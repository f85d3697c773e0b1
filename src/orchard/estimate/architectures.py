"""The architecture of a study's base models: from its config where that is here, or by the model's name."""

import json
from pathlib import Path

from orchard import paths
from orchard.errors import UserError, did_you_mean
from orchard.estimate.formulas import Shape
from orchard.models import checkpoint
from orchard.study.schema.base import Loaded
from orchard.study.schema.study import Study

CONFIG = "config.json"
# Published models by name: what their config.json says of sizes.
KNOWN = {
    "SmolLM2-135M": {
        "model_type": "llama",
        "num_hidden_layers": 30,
        "hidden_size": 576,
        "intermediate_size": 1536,
        "num_attention_heads": 9,
        "num_key_value_heads": 3,
        "vocab_size": 49_152,
        "max_position_embeddings": 8192,
        "tie_word_embeddings": True,
    },
    "Qwen3-1.7B": {
        "model_type": "qwen3",
        "num_hidden_layers": 28,
        "hidden_size": 2048,
        "intermediate_size": 6144,
        "num_attention_heads": 16,
        "num_key_value_heads": 8,
        "head_dim": 128,
        "vocab_size": 151_936,
        "max_position_embeddings": 40_960,
        "tie_word_embeddings": True,
    },
    "Qwen3-4B": {
        "model_type": "qwen3",
        "num_hidden_layers": 36,
        "hidden_size": 2560,
        "intermediate_size": 9728,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "head_dim": 128,
        "vocab_size": 151_936,
        "max_position_embeddings": 40_960,
        "tie_word_embeddings": True,
    },
    "Llama-3.1-8B": {
        "model_type": "llama",
        "num_hidden_layers": 32,
        "hidden_size": 4096,
        "intermediate_size": 14_336,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "vocab_size": 128_256,
        "max_position_embeddings": 131_072,
        "tie_word_embeddings": False,
    },
}


def shape_of(settings: dict) -> Shape:
    """The sizes of a model, counted on one without weights, which takes no memory.

    Args:
        settings: the content of its config.json.
    """
    import torch
    from transformers import AutoConfig
    from transformers.models.auto.modeling_auto import AutoModelForCausalLM

    config = AutoConfig.for_model(**settings)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config, trust_remote_code=False)
    layers = model.model.layers
    of_layer = sum(each.numel() for each in layers[0].parameters())
    maps = [each for each in layers[0].modules() if isinstance(each, torch.nn.Linear)]
    head = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return Shape(
        layers=len(layers),
        width=config.hidden_size,
        inner=config.intermediate_size,
        query_width=head * config.num_attention_heads,
        key_value_width=head * config.num_key_value_heads,
        vocabulary=config.vocab_size,
        layer_parameters=of_layer,
        other_parameters=sum(each.numel() for each in model.parameters()) - len(layers) * of_layer,
        linear_widths=sum(each.in_features + each.out_features for each in maps),
    )


def settings_of(name: str, study: Study, given: dict[str, Path]) -> tuple[dict, str]:
    """The config of a loaded base model, as plain Python, and where it comes from, in words.

    Args:
        name: of the base, in the study.
        study: the study.
        given: config files by the name of the base.

    Raises:
        UserError: it is not known, or has another depth than the study says.
    """
    base = study.base[name]
    found, origin = _found(name, base, study, given)
    if found.get("num_hidden_layers") != base.model.layers:
        raise UserError(
            found=f"base.{name}: {found.get('num_hidden_layers')} layers in {origin}, {base.model.layers} in the study",
            rule="both agree",
            why="another model would be measured",
            fix=f"set base.{name}.model.layers, or give another config: --config {name}=FILE",
        )
    return found, origin


def _found(name: str, base: Loaded, study: Study, given: dict[str, Path]) -> tuple[dict, str]:
    if name in given:
        file = given[name] / CONFIG if given[name].is_dir() else given[name]
        return _read(file), str(file)
    for folder in (Path(base.source), paths.model(f"base-{name}")):
        if (folder / CONFIG).is_file():
            return checkpoint.read_settings(folder), str(folder / CONFIG)
    called = _names(base, study)
    for known, settings in KNOWN.items():
        if any(known.lower() in each.lower() for each in called):
            return settings, f"the sizes of {known}, by its name"
    raise UserError(
        found=f"base.{name}: {base.source} is not here, and {called[-1]!r} is no model whose sizes are known",
        rule="the sizes of a model are known before it is measured",
        why="time and memory follow from them",
        fix=f"`--config {name}=config.json` from the model's page; or fetch it: `snakemake --cores 1 {base.source}`",
    )


def _names(base: Loaded, study: Study) -> list[str]:
    """What a model is called where it comes from."""
    fetched = study.data.fetch.get(Path(base.source).parts[2]) if base.source.startswith("data/fetched/") else None
    called = [getattr(fetched, key) for key in ("repo", "member") if hasattr(fetched, key)]
    return [base.source, *called]


def _read(file: Path) -> dict:
    """A config that the user named."""
    try:
        return json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(
            found=f"{file}: {error}",
            rule="it is the config.json of a model, or the model's folder",
            why="the model's sizes stand in it",
            fix=did_you_mean(file.name, KNOWN, "name another file"),
        ) from None


def shallower(settings: dict, layers: int) -> dict:
    """The config of the same model with its first layers alone; lists with an entry a layer are cut too."""
    depth = settings["num_hidden_layers"]
    cut = {key: value[:layers] for key, value in settings.items() if isinstance(value, list) and len(value) == depth}
    return settings | cut | {"num_hidden_layers": layers}
