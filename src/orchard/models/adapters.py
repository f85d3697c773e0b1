"""Models that are kept as an adapter: what LoRA learnt, and the name of the model of the study that it changes.

Such a folder has tokenizer, config and record as any other, and in place of weights some thousandths of them.
`orchard.models.folders.load_model` merges it, so whoever loads it gets a whole model. It is one of the study's own
alone: a stranger's adapter is refused, because nobody can tell which model it belongs to.
"""

from __future__ import annotations

import json
import shutil
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from orchard import paths
from orchard.errors import UserError
from orchard.models import checkpoint, record

if TYPE_CHECKING:
    from peft import PeftModel

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
MAKE_AGAIN = "`snakemake --cores all`, which makes the adapter again"


def is_kept(folder: str | Path) -> bool:
    """Whether a folder of the study's models holds an adapter in place of weights."""
    return Path(folder).parent == paths.model("any").parent and (Path(folder) / CONFIG).is_file()


def start_of(folder: Path) -> Path:
    """The folder of the model that an adapter changes."""
    return Path(json.loads((folder / CONFIG).read_text())["base_model_name_or_path"])


def holder(folder: str | Path) -> Path:
    """The folder in which a model's weights lie: its own, or of an adapter that of the model that it changes."""
    return start_of(Path(folder)) if is_kept(folder) else Path(folder)


def save(model: PeftModel, start: Path, folder: Path) -> None:
    """Writes an adapter, and beside it the config of the model that it changes.

    Args:
        model: with the one adapter that was trained.
        start: the folder of that model, which holds weights.
        folder: where the adapter goes.

    Raises:
        UserError: a weight is NaN or infinite.
    """
    adapter = {name: value for name, value in model.named_parameters() if "lora_" in name}
    checkpoint.refuse_no_numbers(adapter, f"the adapter to be saved ({folder.name})", checkpoint.DIVERGED)
    config = model.peft_config["default"]
    config.base_model_name_or_path = str(start)
    config.target_modules = sorted(config.target_modules)  # PEFT has a set, which would be written in any order
    model.save_pretrained(folder, save_embedding_layers=False)
    for name in ("config.json", "generation_config.json"):
        shutil.copyfile(start / name, folder / name)


def refuse_unfit(folder: Path) -> None:
    """Refuses an adapter whose model is not here, or not the one that it was trained on.

    Raises:
        UserError: it is not.
    """
    start = start_of(folder)
    if start.parent != folder.parent or is_kept(start):
        raise _unfit(f"{folder} is an adapter of {start}", "it changes a model of the study that holds weights", folder)
    if not start.is_dir():
        raise _unfit(f"{folder} is an adapter of {start}, which is not here", "both are here", start)
    if not (folder / WEIGHTS).is_file():
        raise _unfit(f"{folder} has no {WEIGHTS}", "an adapter is safetensors", folder)
    if record.content_hash(start) != record.read(folder)["inputs"].get(str(start)):
        raise _unfit(
            f"{folder} was trained on another {start} than the one here", "an adapter changes its own model", folder
        )


def merged(model, folder: Path):
    """A model with an adapter merged into its weights.

    Args:
        model: the one that the adapter changes, as it was loaded.
        folder: of the adapter.

    Raises:
        UserError: the adapter does not fit the model, or a weight is NaN or infinite.
    """
    from peft import PeftModel  # takes a second, which only who has an adapter pays

    try:
        with warnings.catch_warnings(action="ignore"):  # of what is missing or left over: refused below
            adapted = PeftModel.from_pretrained(model, folder)
    except Exception as error:  # a damaged file fails anywhere in two libraries
        raise checkpoint.cannot_be_loaded(folder, error, MAKE_AGAIN) from error
    checkpoint.refuse_unfit_state(folder, adapted, MAKE_AGAIN)
    return adapted.merge_and_unload()


def _unfit(found: str, rule: str, target: Path) -> UserError:
    return UserError(
        found=found,
        rule=rule,
        why="merged into other weights it would give another model, without a word",
        fix=f"`snakemake --cores all {target}`, which makes it again",
    )
