"""What dvc.lock records, against what the code, the config and the stage graph are now.

`verify` and `plan` share it. It reads only: DVC keeps the hashes of files that it saw in a database of its own, and
nothing else is written. The stage graph is dvc.yaml filled in from config.yaml, whatever runs.yaml says.
"""

import contextlib
import functools
import graphlib
import operator
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from orchard import config, runs
from orchard.compare import MISSING, leaves
from orchard.errors import UserError
from orchard.trace import LOCK

CONFIG, GRAPH = "config.yaml", Path("dvc.yaml")
CONFLICT = re.compile(r"^(<{7}|={7}|>{7})(?= |$)", re.MULTILINE)
NEVER_RUN = "never run: it is not in dvc.lock"
ABSENT = "missing"  # the content of a file that is not there
Contents = dict[str, str | None]  # the MD5 of each output; None where it cannot be known


@dataclass(frozen=True)
class Stage:
    """A stage of dvc.yaml, filled in.

    Args:
        name: as DVC names it, `sft@nll-1`.
        command: what it runs.
        deps: the paths that it reads.
        params: the keys of config.yaml that it reads, with dots.
        out: the path that it writes.
    """

    name: str
    command: str
    deps: list[str]
    params: list[str]
    out: str


@contextlib.contextmanager
def opened() -> Iterator["Project"]:
    """The project in the working folder; git is not asked for anything.

    Raises:
        UserError: config.yaml, dvc.yaml or dvc.lock cannot be read or breaks a rule, or DVC does not know the folder.
    """
    from dvc.exceptions import DvcException
    from dvc.repo import Repo
    from dvc.schema import COMPILED_LOCKFILE_SCHEMA, COMPILED_MULTI_STAGE_SCHEMA

    study = config.validate(config.read(Path(CONFIG)), CONFIG).model_dump()  # config.load would write logs/
    graph = read_yaml(GRAPH, COMPILED_MULTI_STAGE_SCHEMA)
    lock = read_yaml(LOCK, COMPILED_LOCKFILE_SCHEMA).get("stages", {}) if LOCK.is_file() else {}
    try:
        with Repo(config={"core": {"no_scm": True}}) as repo:
            yield Project(repo, study, fill_in(repo, graph, study), lock)
    except DvcException as error:
        raise UserError(
            f"DVC stops: {error}",
            "DVC can read the stages of dvc.yaml, in a folder with .dvc",
            "they say what is stale",
            "mend what it names; `git status` tells what differs from the commit",
        ) from error


def read_yaml(path: Path, schema) -> dict:
    """The content of one of DVC's files.

    Args:
        path: the file.
        schema: DVC's own check of it.

    Raises:
        UserError: there is none, git left conflict marks in it, or it is not what DVC writes.
    """
    from dvc.utils.serialize import _yaml
    from ruamel.yaml.error import YAMLError
    from voluptuous import Invalid

    rule, reason = "it is YAML as DVC reads it", "it says what each result is made of"
    if not path.is_file():
        raise UserError(f"no file {path}", "it stands in the working folder", reason, "go to the project's root")
    text = path.read_text(encoding="utf-8")
    if mark := CONFLICT.search(text):
        raise UserError(
            f"{path}, line {text.count(chr(10), 0, mark.start()) + 1}: {mark[0]}, a mark of a git merge conflict",
            rule,
            reason,
            f"`git checkout --ours {path}` or `--theirs`; then `snakemake --cores all` runs what the choice lacks",
        )
    try:
        return schema(_yaml.loads_yaml(text, typ="safe") or {})
    except (YAMLError, Invalid) as error:
        told = " ".join(str(error).split())
        raise UserError(f"{path}: {told}", rule, reason, f"mend it, or `git checkout {path}`") from error


def fill_in(repo, graph: dict, study: dict) -> dict[str, Stage]:
    """The stages of dvc.yaml by name, each after those that it reads from, with the runs that the config implies.

    Args:
        repo: DVC's repository object.
        graph: the content of dvc.yaml.
        study: the content of config.yaml.
    """
    from dvc.parsing import DataResolver

    implied = [{"runs": runs.expand(study)} if file == str(runs.RUNS) else file for file in graph["vars"]]
    found = DataResolver(repo, repo.root_dir, graph | {"vars": implied}).resolve()["stages"]
    stages = {}
    for name, entry in found.items():
        params = [key for files in entry["params"] for key in files[CONFIG]]
        stages[name] = Stage(name, entry["cmd"], entry["deps"], params, entry["outs"][0])
    outs = {stage.out: name for name, stage in stages.items()}
    makers = {dep: [outs[out] for out in overlap(dep, outs)] for stage in stages.values() for dep in stage.deps}
    before = {name: [maker for dep in stage.deps for maker in makers[dep]] for name, stage in stages.items()}
    return {name: stages[name] for name in graphlib.TopologicalSorter(before).static_order()}


def overlap(path: str, outs) -> list[str]:
    """The outputs that a path is, holds or lies in."""
    if path in outs:
        return [path]
    return [out for out in outs if out.startswith(f"{path}/") or path.startswith(f"{out}/")]


def short(md5: str) -> str:
    """The first 8 characters: enough to tell two contents apart."""
    return md5[:8]


class Project:
    """The stages, what dvc.lock records of them, and the contents of files.

    Args:
        repo: DVC's repository object.
        study: the content of config.yaml, valid.
        stages: those of dvc.yaml by name, each after those that it reads from.
        lock: the entries of dvc.lock by name.
    """

    def __init__(self, repo, study: dict, stages: dict[str, Stage], lock: dict[str, dict]):
        from dvc.utils.serialize import load_yaml

        self.repo, self.study, self.stages, self.lock = repo, study, stages, lock
        self.cache, self.stage_cache = repo.cache.local, Path(repo.stage_cache.cache_dir)
        self.tree = load_yaml(CONFIG)  # as DVC reads it
        self.outs = {stage.out: stage for stage in stages.values()}
        self._listings: dict[str, object] = {}
        self.here = functools.cache(self._here)
        self.made = functools.cache(lambda path: overlap(path, self.outs))

    def recorded(self, stage: Stage) -> str | None:
        """The MD5 of a stage's output in dvc.lock."""
        outs = {out["path"]: out.get("md5") for out in self.lock.get(stage.name, {}).get("outs", [])}
        return outs.get(stage.out)

    def producers(self, stage: Stage) -> list[Stage]:
        """The stages that a stage reads from."""
        return [self.outs[out] for dep in stage.deps for out in self.made(dep)]

    def changes(self, stage: Stage, contents: Contents) -> list[str]:
        """Why a stage is not what dvc.lock records, one line a reason; an input of unknown content is no reason.

        Args:
            stage: the stage.
            contents: the MD5 of every stage's output.
        """
        if stage.name not in self.lock:
            return [NEVER_RUN]
        entry = self.lock[stage.name]
        told = [] if entry["cmd"] == stage.command else [f"command: {entry['cmd']} → {stage.command}"]
        told += self.param_changes(stage, entry.get("params", {}).get(CONFIG, {}))
        inputs = {dep["path"]: dep.get("md5", MISSING) for dep in entry.get("deps", [])}
        told += self.dep_changes(stage, inputs, contents)
        if self.recorded(stage) is None:
            told.append(f"output: {', '.join(out['path'] for out in entry.get('outs', []))} → {stage.out}")
        return told

    def param_changes(self, stage: Stage, recorded: dict) -> Iterator[str]:
        """A line for each parameter that differs, down to the key; 1 and 1.0 are the same, as for DVC."""
        now = self.params(stage)
        if recorded == now:
            return
        before, after = (
            {leaf: shown for key, value in values.items() for leaf, shown in leaves(key, value).items()}
            for values in (recorded, now)
        )
        for leaf in dict.fromkeys([*after, *before]):
            if before.get(leaf, MISSING) != after.get(leaf, MISSING):
                yield f"{leaf}: {before.get(leaf, MISSING)} → {after.get(leaf, MISSING)}"

    def params(self, stage: Stage) -> dict:
        """The values of a stage's parameters in config.yaml."""
        found = {}
        for key in stage.params:
            with contextlib.suppress(KeyError, TypeError):  # no such key, or nothing where it would stand
                found[key] = functools.reduce(operator.getitem, key.split("."), self.tree)
        return found

    def dep_changes(self, stage: Stage, recorded: dict, contents: Contents) -> Iterator[str]:
        """A line for each path that a stage reads and that is new, gone or of another content."""
        for path in dict.fromkeys([*stage.deps, *recorded]):
            if path not in stage.deps:
                yield f"{path}: no longer read"
            elif path not in recorded:
                yield f"{path}: newly read"
            elif (now := self.content(path, contents)) not in (None, recorded[path]):
                yield f"{path}: {short(recorded[path])} → {short(now)}"

    def content(self, path: str, contents: Contents) -> str | None:
        """The MD5 of what a stage reads: of the file here if no stage makes it, else what follows from the outputs.

        A folder of several outputs, or a file in one, is known where the lists of their files are (of single files
        always, of folders if DVC's cache or the working folder has them).
        """
        if not (outs := self.made(path)):
            return self.here(path)
        if outs == [path]:
            return contents[path]
        files = self.files(outs, contents)
        if files is None:
            return None
        if path.startswith(f"{outs[0]}/") and path in files:
            return files[path]
        return folder_md5(path, files)

    def files(self, outs: list[str], contents: Contents) -> dict[str, str] | None:
        """The MD5 of every file of some outputs by path; None where a list of them is not known."""
        found = {}
        for out in outs:
            md5 = contents[out]
            if md5 is None or (md5.endswith(".dir") and self.listing(md5) is None):
                return None
            if md5.endswith(".dir"):
                found |= {"/".join((out, *key)): entry.value for key, _, entry in self.listing(md5)}
            else:
                found[out] = md5
        return found

    def listing(self, md5: str):
        """DVC's list of the files of a folder with this MD5; None where neither the cache nor the folder is here."""
        from dvc_data.hashfile.hash_info import HashInfo
        from dvc_data.hashfile.tree import Tree
        from dvc_objects.errors import ObjectFormatError

        if md5 not in self._listings:
            with contextlib.suppress(FileNotFoundError, ObjectFormatError):
                self._listings[md5] = Tree.load(self.cache, HashInfo("md5", md5))
        return self._listings.get(md5)

    def _here(self, path: str) -> str:
        """The MD5 of a file or folder here; DVC hashes anew only what has changed since it last saw it."""
        from dvc_data.hashfile.build import build

        if not Path(path).exists():
            return ABSENT
        *_, found = build(
            self.cache, os.path.abspath(path), self.repo.fs, "md5", dry_run=True, ignore=self.repo.dvcignore
        )
        if found.hash_info.isdir:
            self._listings[found.hash_info.value] = found
        return found.hash_info.value


def folder_md5(path: str, files: dict[str, str]) -> str:
    """DVC's MD5 of a folder, from those of its files (by their paths from the project's root)."""
    from dvc_data.hashfile.hash_info import HashInfo
    from dvc_data.hashfile.tree import Tree

    tree = Tree()
    for file, md5 in files.items():
        if file.startswith(f"{path}/"):
            tree.add(PurePosixPath(file).relative_to(path).parts, None, HashInfo("md5", md5))
    tree.digest()
    return tree.hash_info.value


def some(names: list[str]) -> str:
    """The first of some names, and how many more there are."""
    return names[0] + (f" and {len(names) - 1} more" if len(names) > 1 else "")
