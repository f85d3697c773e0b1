"""What dvc.lock records, against what the code, the study and the graph are now: whether a stage is stale, and why.

This is the one answer to that question: a run, `orchard verify` and `orchard plan` ask here. (`dvc status` answers it
too, but only where every output is pulled; tests hold both answers equal.) It reads only: DVC keeps the hashes of files
that it saw in a database of its own, and nothing else is written.
"""

import contextlib
import functools
import os
from collections.abc import Collection, Iterator
from pathlib import Path, PurePosixPath

from orchard import paths
from orchard.lineage import gate, graph, leaves, lock
from orchard.lineage.graph import Graph, Stage
from orchard.lineage.lock import Lock

NEVER_RUN = "never run: it is not in dvc.lock"
NOT_RECORDED = "its output here is not that of dvc.lock"
ABSENT = "missing"  # the content of a file that is not there
Contents = dict[str, str | None]  # the MD5 of each output; None where it cannot be known


@contextlib.contextmanager
def opened(
    tree: dict | None = None, stages: Graph | None = None, names: list[str] | None = None
) -> Iterator["Project"]:
    """The project in the working folder; git is not asked for anything.

    Args:
        tree: the content of params.yaml; None: as config.yaml implies it, whatever the file says.
        stages: the graph, where it is known.
        names: the stages that are wanted; None: all.

    Raises:
        UserError: config.yaml, dvc.yaml or dvc.lock cannot be read or breaks a rule, or DVC does not know the folder.
    """
    from dvc.exceptions import DvcException

    tree = _implied() if tree is None else tree
    recorded = lock.read_if_there(names=names)
    try:
        with gate.repository({"no_scm": True}, names) as repo:
            stages = stages or graph.fill_in(repo, graph.read(), tree, names)
            gate.refuse_outs(stages.outs, Path(repo.cache.local_cache_dir))
            yield Project(repo, tree, stages, recorded)
    except DvcException as error:
        raise gate.stopped(error) from error


def _implied() -> dict:
    from orchard.study import load, params  # the whole schema, which a job does not need

    return params.tree(load.load())


def short(md5: str) -> str:
    """The first 8 characters: enough to tell two contents apart."""
    return md5[:8]


class Project:
    """The stages, what dvc.lock records of them, and the contents of files.

    Args:
        repo: DVC's repository object.
        tree: the content of params.yaml.
        stages: those of dvc.yaml.
        recorded: the entries of dvc.lock.
    """

    def __init__(self, repo, tree: dict, stages: Graph, recorded: Lock):
        self.repo, self.tree, self.graph, self.lock = repo, tree, stages, recorded
        self.stages = stages.stages
        self.cache, self.stage_cache = repo.cache.local, Path(repo.stage_cache.cache_dir)
        self._listings: dict[str, object] = {}
        self.here = functools.cache(self._here)
        self.made = functools.cache(stages.made)

    def recorded(self, stage: Stage) -> str | None:
        """The MD5 of a stage's output in dvc.lock."""
        entry = self.lock.get(stage.name)
        return entry.outs.get(stage.out) if entry else None

    # Whether a stage is stale

    def judge(
        self, contents: Contents, edited: Collection[str] = ()
    ) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
        """The stages that changed, with the reasons, and those behind them, with the names of the changed ones.

        Args:
            contents: the MD5 of every stage's output.
            edited: the stages whose output is not the recorded one.
        """
        stale: dict[str, list[str]] = {}
        roots: dict[str, list[str]] = {}
        for name, stage in self.stages.items():
            before = [roots[producer.name] for producer in self.graph.producers(stage)]
            roots[name] = list(dict.fromkeys(root for each in before for root in each))
            reasons = self.changes(stage, contents) + ([NOT_RECORDED] if name in edited else [])
            if reasons:
                stale[name], roots[name] = reasons, [name]
        return stale, {name: found for name, found in roots.items() if found and name not in stale}

    def to_start(self) -> tuple[list[str], list[str]]:
        """What a run has to start: the stages that are not here as dvc.lock and the study want them, and those behind.

        An output that is missing here is taken for the recorded one where others read it: it may come back.
        """
        here = {stage.name: self.here(stage.out) for stage in self.stages.values()}
        recorded = {stage.name: self.recorded(stage) for stage in self.stages.values()}
        contents = {
            stage.out: recorded[name] if here[name] == ABSENT else here[name] for name, stage in self.stages.items()
        }
        stale, behind = self.judge(contents, [name for name in self.stages if here[name] != recorded[name]])
        return list(stale), list(behind)

    def changes(self, stage: Stage, contents: Contents) -> list[str]:
        """Why a stage is not what dvc.lock records, one line per reason; an input of unknown content is no reason.

        Args:
            stage: the stage.
            contents: the MD5 of every stage's output.
        """
        if not (entry := self.lock.get(stage.name)):
            return [NEVER_RUN]
        found = [] if entry.command == stage.command else [f"command: {entry.command} → {stage.command}"]
        if entry.values != (now := self.params(stage)):  # 1 and 1.0 are the same, as for DVC
            found += leaves.changes(entry.values, now)
        found += self.dep_changes(stage, entry.deps, contents)
        if self.recorded(stage) is None:
            found.append(f"output: {', '.join(entry.outs)} → {stage.out}")
        return found

    def params(self, stage: Stage) -> dict:
        """The values of a stage's parameters."""
        return graph.values(stage, self.tree)

    def dep_changes(self, stage: Stage, recorded: dict[str, str], contents: Contents) -> Iterator[str]:
        """A line for each path that a stage reads and that is new, gone or of another content."""
        for path in dict.fromkeys([*stage.deps, *recorded]):
            if path not in stage.deps:
                yield f"{path}: no longer read"
            elif path not in recorded:
                yield f"{path}: newly read"
            elif (now := self.content(path, contents)) not in (None, recorded[path]):
                yield f"{path}: {short(recorded[path])} → {short(now)}"

    # What is in files

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

    def once_made(self, stage: Stage, contents: Contents) -> str | None:
        """The MD5 that DVC's run cache has for the output of a stage with this command, parameters and inputs."""
        from dvc.utils import dict_sha256

        inputs = [{"path": path, "hash": "md5", "md5": self.content(path, contents)} for path in sorted(stage.deps)]
        if any(entry["md5"] in (None, ABSENT) for entry in inputs):
            return None
        values = {"params": {str(paths.PARAMS): self.params(stage)}} if stage.params else {}
        key = dict_sha256({"cmd": stage.command, "deps": inputs, "outs": [stage.out], **values})
        entry = gate.newest_run(self.stage_cache / key[:2] / key)
        return entry["outs"][0]["md5"] if entry else None

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
