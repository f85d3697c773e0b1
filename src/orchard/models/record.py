"""The record of an output: what made it. Nothing with a time, a host name or a path of the machine goes into it."""

import hashlib
import json
from importlib.metadata import version
from pathlib import Path

from pydantic import BaseModel

from orchard import arithmetic, files
from orchard.errors import UserError

FILE = "record.json"
LIBRARIES = ["torch", "transformers", "trl", "datasets", "lm_eval", "numpy", "pandas"]
NOT_CONTENT = ".snakemake_timestamp"  # Snakemake puts a time stamp into folders


def write(folder: Path, stage: str, settings: BaseModel | dict | None, inputs: list[Path], **facts) -> None:
    """Writes the record of an output: stage, settings, arithmetic, its inputs' hashes and the library versions.

    Args:
        folder: of the output.
        stage: the family of the stage.
        settings: the part of the study that the stage read.
        inputs: the files and folders that it read.
        facts: what else is known of the output.
    """
    record = {
        "stage": stage,
        "settings": plain(settings),
        "inputs": {str(path): content_hash(path) for path in inputs},
        "arithmetic": arithmetic.kind(),
        "versions": versions(),
        **facts,
    }
    (folder / FILE).write_text(json.dumps(record, indent=2, sort_keys=True) + "\n")


def versions() -> dict[str, str]:
    """The versions of the libraries that results depend on.

    Of a version, as of 2.13.0+cpu, this is what the lock file pins: torch's builds for CPUs and for CUDA gave the same
    bits on a CPU, and a record that names the build would make all that comes after look changed.
    """
    return {library: version(library).partition("+")[0] for library in LIBRARIES}


def plain(settings):
    """Blocks of the config as plain Python, also within mappings."""
    if isinstance(settings, dict):
        return {key: plain(value) for key, value in settings.items()}
    return settings.model_dump() if isinstance(settings, BaseModel) else settings


def read(folder: Path) -> dict:
    """The record of an output."""
    return json.loads((folder / FILE).read_text())


def chain(folder: Path) -> dict:
    """The chain that a model belongs to, as facts: its base model, and the replicate's seed, null if it is loaded."""
    return {key: read(folder)[key] for key in ("base", "seed")}


def content_hash(path: Path) -> str:
    """SHA-256 of a file, or of the names and hashes of a folder's files.

    Raises:
        UserError: there is no such file or folder.
    """
    if path.is_file():
        return files.digest(path, "sha256")
    if not path.is_dir():
        raise UserError(
            found=f"no file or folder {path}",
            rule="an input of a stage exists",
            why="its content goes into the record",
            fix="run `snakemake --cores all`, which makes inputs first",
        )
    listing = [
        f"{file.relative_to(path)} {content_hash(file)}"
        for file in sorted(path.rglob("*"))
        if file.is_file() and file.name != NOT_CONTENT
    ]
    return hashlib.sha256("\n".join(listing).encode()).hexdigest()
