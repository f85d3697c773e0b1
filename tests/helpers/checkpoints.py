"""Model folders, sound and damaged."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

NAME = "model.layers.3.mlp.up_proj.weight"  # a tensor of every model here
Change = Callable[[dict], dict | None]


def changed(model: Path, folder: Path, *, weights: Change | None = None, config: Change | None = None) -> Path:
    """A copy of a model folder with other tensors or settings.

    Args:
        model: what is copied.
        folder: where the copy goes.
        weights: changes the tensors by name, in place or by what it returns.
        config: changes config.json's content, in the same way.
    """
    shutil.copytree(model, folder)
    if weights:
        tensors = load_file(folder / "model.safetensors")
        save_file(weights(tensors) or tensors, folder / "model.safetensors", {"format": "pt"})
    if config:
        settings = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(config(settings) or settings))
    return folder


def with_files(model: Path, folder: Path, files: dict[str, str | None]) -> Path:
    """A copy of a model folder with files of some content, or without them where it is None."""
    shutil.copytree(model, folder)
    for name, content in files.items():
        (folder / name).unlink(missing_ok=True)
        if content is not None:
            (folder / name).write_text(content)
    return folder


def damaged(model: Path, folder: Path, damage: str) -> Path:
    """A copy of a model folder with one defect."""
    if damage == "a tensor missing":
        return changed(model, folder, weights=lambda tensors: tensors.__delitem__(NAME))
    if damage == "a tensor of another shape":
        return changed(model, folder, weights=lambda tensors: tensors | {NAME: torch.zeros(3, 8)})
    gone = {"no config": "config.json", "no tokenizer": "tokenizer.json"}
    with_files(model, folder, {gone[damage]: None} if damage in gone else {})
    if damage == "truncated weights":
        (folder / "model.safetensors").write_bytes((model / "model.safetensors").read_bytes()[:5000])
    return folder
