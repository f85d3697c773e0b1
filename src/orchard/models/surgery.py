"""Layer surgery: takes decoder layers out of a transformers model, for good or for the time of a block.

A decoder layer is known by its place in three ways: the list of modules, ``layer_idx`` (its slot in the KV cache), and
settings in the config. All three must change together, or the model saved and loaded again is not the one in memory.
"""

import contextlib
from collections.abc import Collection, Iterator

import torch

from orchard.errors import UserError
from orchard.study.schema.prune import WHOLE_LAYERS, WHY_WHOLE, nearest_ratio, whole_layers

# Tried by tests/models/test_surgery.py: the view, the saved folder and a model built by hand give the same bits.
MODEL_TYPES = ["llama", "qwen2", "qwen3", "mistral", "gemma", "gemma2", "gemma3_text"]
NOT_OF_LAYERS = {"architectures", "eos_token_id"}  # lists whose length equals the number of layers by accident only


def check(model) -> None:
    """Refuses models whose layers cannot be dropped safely.

    Raises:
        UserError: it has an encoder, unmerged adapters or no one list of decoder layers, or its type was not tried.
    """
    config, layers = model.config, getattr(getattr(model, "model", None), "layers", None)
    one_list = isinstance(layers, torch.nn.ModuleList) and len(layers) == config.num_hidden_layers
    cases = [
        (
            config.is_encoder_decoder,
            "it has an encoder and a decoder",
            "a model to prune is a decoder only",
            "which of the two stacks a ratio counts is not defined",
            "name another model",
        ),
        (
            hasattr(model, "peft_config"),
            "it has adapters that are not merged",
            "the weights are the model's own",
            "adapters are named by the number of their layer",
            "merge them (merge_and_unload) and save the model again",
        ),
        (
            not one_list,
            "it has no list model.layers of num_hidden_layers layers",
            "the decoder layers are one list",
            "a layer is dropped by its place in the list",
            "name another model",
        ),
        (
            config.model_type not in MODEL_TYPES,
            "the type was not tried",
            f"it is one of {', '.join(MODEL_TYPES)}",
            "other types may keep layer numbers where nobody changes them",
            "name another model",
        ),
    ]
    for broken, what, rule, why, fix in cases:
        if broken:
            raise UserError(found=f"a model of type {config.model_type!r}: {what}", rule=rule, why=why, fix=fix)


def layers_to_drop(layers: int, ratio: int | float) -> int:
    """The number of layers that a ratio stands for: an integer is that number, a float a share of all layers.

    Raises:
        UserError: it is not a whole number, or leaves no layer.
    """
    if (count := whole_layers(ratio, layers)) is None:
        found, fix = f"ratio {ratio} of {layers} layers", nearest_ratio(ratio, layers)
        raise UserError(found=found, rule=WHOLE_LAYERS, why=WHY_WHOLE, fix=fix)
    return count


def drop_layers(model, dropped: Collection[int]) -> None:
    """Takes layers out of a model in place: modules, their numbers, and the config.

    Args:
        model: one that `check` accepts.
        dropped: the numbers of the layers, from 0; none is allowed and changes nothing.

    Raises:
        UserError: a number is not one of the model's, stands twice, or no layer would be left.
    """
    layers = model.model.layers
    _refuse_bad_numbers(dropped, len(layers))
    if not dropped:
        return
    kept = [n for n in range(len(layers)) if n not in dropped]
    model.model.layers = torch.nn.ModuleList(layers[n] for n in kept)
    _number(model.model.layers)
    _drop_from_config(model.config, kept, dropped)


@contextlib.contextmanager
def without(model, dropped: Collection[int]) -> Iterator:
    """A view of a model without some layers: the same object and the same weights, for the time of the block.

    At the end of the block, also after an error, the model and its config are what they were before. A KV cache that
    was filled inside the block fits the view only.

    Args:
        model: one that `check` accepts.
        dropped: as in drop_layers.

    Raises:
        UserError: as in drop_layers.
    """
    layers, settings = model.model.layers, dict(vars(model.config))
    try:
        drop_layers(model, dropped)
        yield model
    finally:
        model.model.layers = layers
        _number(layers)
        vars(model.config).clear()
        vars(model.config).update(settings)


def _refuse_bad_numbers(dropped: Collection[int], layers: int) -> None:
    outside = [n for n in dropped if n not in range(layers)]
    twice = sorted({n for n in dropped if list(dropped).count(n) > 1})
    if outside or twice or len(dropped) == layers:
        what = f"{outside} outside the model" if outside else f"{twice} twice" if twice else "all layers"
        raise UserError(
            found=f"layers to drop: {sorted(dropped)} of {layers}: {what}",
            rule=f"each is a number from 0 to {layers - 1} that stands once, and one layer is left",
            why="a count that is off by one would prune another model than the record says",
            fix="correct the list",
        )


def _number(layers: torch.nn.ModuleList) -> None:
    """Gives every part of a layer that knows the layer's number (attention; in Gemma 3 the layer too) the present one.

    What else a layer chose by its number when it was built, a sliding window say, stays its own.
    """
    for number, layer in enumerate(layers):
        for part in layer.modules():
            if hasattr(part, "layer_idx"):
                part.layer_idx = number


def _drop_from_config(config, kept: list[int], dropped: Collection[int]) -> None:
    """Lists with an entry a layer (layer_types above all) lose entries; what counts in layer numbers is counted again.

    New lists replace old ones, so that `without` can put the old ones back.
    """
    for key, value in vars(config).items():
        if isinstance(value, list) and len(value) == config.num_hidden_layers and key not in NOT_OF_LAYERS:
            setattr(config, key, [value[n] for n in kept])
    if hasattr(config, "max_window_layers"):  # Qwen: layers from this number on have a sliding window
        config.max_window_layers -= sum(n < config.max_window_layers for n in dropped)
    if hasattr(config, "sliding_window_pattern"):  # Gemma 3: every so many-th layer sees all; layer_types say it now
        del config.sliding_window_pattern
    config.num_hidden_layers = len(kept)
