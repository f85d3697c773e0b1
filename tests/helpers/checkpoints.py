"""Model folders, sound and damaged."""

from pathlib import Path

import torch
from safetensors.torch import load_file, save_file


def damaged(model: Path, folder: Path, damage: str) -> Path:
    """A copy of a model folder with one defect."""
    folder.mkdir()
    for file in model.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    weights, name = load_file(folder / "model.safetensors"), "model.layers.3.mlp.up_proj.weight"
    if damage == "no config":
        (folder / "config.json").unlink()
    elif damage == "no tokenizer":
        (folder / "tokenizer.json").unlink()
    elif damage == "truncated weights":
        (folder / "model.safetensors").write_bytes((model / "model.safetensors").read_bytes()[:5000])
    elif damage == "a tensor missing":
        save_file(
            {key: value for key, value in weights.items() if key != name},
            folder / "model.safetensors",
            {"format": "pt"},
        )
    elif damage == "a tensor of another shape":
        save_file(weights | {name: torch.zeros(3, 8)}, folder / "model.safetensors", {"format": "pt"})
    return folder
