"""Drops layers of a model: the last ones, or the ones that change their input least (arXiv 2602.01997, section 3).

python -m orchard.prune MODEL METHOD RATIO
"""

import sys

from orchard import stage
from orchard.errors import UserError


def main() -> None:
    of, method, ratio = sys.argv[1], sys.argv[2], float(sys.argv[3])
    settings = stage.params("prune", "calibration")
    stage.set_threads(1)
    from orchard import models

    folder, calibration = f"results/models/{of}", settings["items"]
    model, tokenizer = models.load_model(folder), models.load_tokenizer(folder)
    count = layers_to_drop(model.config.num_hidden_layers, ratio)
    influence = None
    if method == "reverse":
        dropped = last_layers(model.config.num_hidden_layers, count)
    else:
        texts = [text_of(item) for item in stage.read_jsonl(calibration)]
        progress = stage.Progress(f"prune@{of}-{method}-{sys.argv[3]}", len(texts))
        influence = block_influence(model, tokenizer, texts, settings["batch_size"], progress)
        dropped = least_influential(influence, count)
    drop_layers(model, dropped)
    with stage.output(f"results/models/prune-{of}-{method}-{sys.argv[3]}") as scratch:
        models.save(model, tokenizer, scratch)
        facts = {"of": of, "method": method, "ratio": ratio, "dropped": dropped, "block_influence": influence}
        stage.write_record(scratch, "prune", settings, [folder, calibration], **facts)


def layers_to_drop(layers: int, ratio: float) -> int:
    """The number of layers that a ratio stands for.

    Raises:
        UserError: it is not a whole number, or leaves no layer.
    """
    count = round(ratio * layers)
    if abs(count - ratio * layers) > 1e-6 or count >= layers:
        raise UserError(
            f"ratio {ratio} of {layers} layers is {ratio * layers:g} layers",
            "it is a whole number and leaves a layer",
            "a layer is dropped whole or kept",
            f"use a multiple of 1/{layers}",
        )
    return count


def block_influence(model, tokenizer, texts: list[str], batch_size: int, progress=None) -> list[float]:
    """1 − the mean cosine of each layer's input and output over all calibration tokens (Block Influence).

    Args:
        model: a decoder model.
        tokenizer: its tokenizer.
        texts: the calibration set.
        batch_size: texts a forward pass.
        progress: told the number of texts done, if given.

    Returns:
        One number a layer: 0 for a layer that changes nothing in direction.
    """
    import torch

    similarity, tokens, mask = torch.zeros(model.config.num_hidden_layers, dtype=torch.float64), 0, None

    def add_similarity(index: int):
        def hook(_, args, kwargs, output):
            before, after = hidden_states(args, kwargs), output[0] if isinstance(output, tuple) else output
            similarity[index] += (
                torch.cosine_similarity(before[mask].double(), after[mask].double(), dim=-1).sum().cpu()
            )

        return hook

    handles = [
        layer.register_forward_hook(add_similarity(index), with_kwargs=True)
        for index, layer in enumerate(model.model.layers)
    ]
    texts = sorted(texts, key=len)  # texts of like length: less padding
    try:
        for start in range(0, len(texts), batch_size):
            batch = tokenizer(texts[start : start + batch_size], return_tensors="pt", padding=True)
            batch = {
                key: value.to(model.device) for key, value in batch.items() if key in ("input_ids", "attention_mask")
            }
            mask = batch["attention_mask"].bool()
            with torch.inference_mode():
                model.model(**batch)  # without the head: nobody reads the logits
            tokens += int(mask.sum())
            if progress:
                progress.step(min(start + batch_size, len(texts)))
    finally:
        for handle in handles:
            handle.remove()
    return [round(1 - value, 12) for value in (similarity / tokens).tolist()]


def hidden_states(args: tuple, kwargs: dict):
    """The hidden states that a decoder layer was called with."""
    return args[0] if args else kwargs["hidden_states"]


def last_layers(layers: int, count: int) -> list[int]:
    """The layers to drop in reverse order: the last ones."""
    return list(range(layers - count, layers))


def least_influential(influence: list[float], count: int) -> list[int]:
    """The layers to drop by Block Influence: those of least influence (ties: the later layer)."""
    return sorted(sorted(range(len(influence)), key=lambda layer: (influence[layer], -layer))[:count])


def drop_layers(model, dropped: list[int]) -> None:
    """Takes layers out of a decoder model in place: modules, their indices for the KV cache, and the config.

    Args:
        model: a transformers decoder model with ``model.layers``.
        dropped: indices of the layers to take out.
    """
    import torch

    kept = [n for n in range(len(model.model.layers)) if n not in set(dropped)]
    model.model.layers = torch.nn.ModuleList(model.model.layers[n] for n in kept)
    for index, layer in enumerate(model.model.layers):
        layer.self_attn.layer_idx = index
    model.config.num_hidden_layers = len(kept)
    if getattr(model.config, "layer_types", None):
        model.config.layer_types = [model.config.layer_types[n] for n in kept]


def text_of(item: dict) -> str:
    """A calibration text: the prompt and what follows it."""
    return f"{item['prompt']} {item.get('response') or item.get('answer') or ''}".strip()


if __name__ == "__main__":
    stage.run(main)
