"""Ordinary folders of models that the study keeps in another form: as an adapter, or as a view without some layers."""

import contextlib
import shutil
from collections.abc import Collection, Iterator
from pathlib import Path

from orchard import files, paths
from orchard.models import adapters, folders, record, surgery


def write(folder: Path, target: Path, dropped: Collection[int] = ()) -> None:
    """Writes a model of the study as an ordinary folder: its adapter merged, some layers left out.

    What lies beside weights, config and tokenizer (record, curves) is copied.

    Args:
        folder: of the model.
        target: where it goes.
        dropped: the numbers of the layers that are left out.
    """
    model = folders.load_model(folder, folders.dtype_of(folder))
    if dropped:
        surgery.check(model)
        surgery.drop_layers(model, dropped)
    folders.save(model, folders.load_tokenizer(folder), target)
    made = {file.name for file in target.iterdir()} | {adapters.CONFIG, adapters.WEIGHTS, record.NOT_CONTENT}
    for file in folder.iterdir():
        if file.is_file() and file.name not in made and file.suffix != ".safetensors":
            shutil.copyfile(file, target / file.name)


@contextlib.contextmanager
def written(folder: Path, dropped: Collection[int] = ()) -> Iterator[Path]:
    """An ordinary folder of a model for the time of the block: its own, if it is one and has all its layers."""
    if not dropped and not adapters.is_kept(folder):
        yield folder
        return
    target = paths.SCRATCH / "whole" / "-".join([folder.name, *map(str, dropped)])
    files.remove(target)  # one that a kill left
    try:
        write(folder, target, dropped)
        yield target
    finally:
        files.remove(target)
