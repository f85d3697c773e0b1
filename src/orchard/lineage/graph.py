"""The one graph: the stages of dvc.yaml, filled in from a study.

Rules of Snakemake take their inputs and outputs from it. The code dependencies in dvc.yaml are written by
`orchard graph --write`, from the imports of the module that each stage runs.
"""

import contextlib
import functools
import graphlib
import operator
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from orchard import imports, paths
from orchard.errors import UserError
from orchard.lineage import gate, parsed
from orchard.lineage.lock import CODE

SUITES = "suites"  # of params.yaml, beside the families of runs
NO_FOLDER = ".dvc/none"  # DVC would read params.yaml beside dvc.yaml, and what is asked is the tree that is given


@dataclass(frozen=True)
class Stage:
    """A stage of dvc.yaml, filled in.

    Attributes:
        name: as DVC names it, ``sft@nll-1``.
        command: what it runs.
        deps: the paths that it reads.
        params: the keys of params.yaml that it reads, with dots.
        out: the path that it writes.
        threads: CPU threads that it computes with.
    """

    name: str
    command: str
    deps: list[str]
    params: list[str]
    out: str
    threads: int = 1

    @property
    def family(self) -> str:
        """What the stage is a run of: ``sft`` of ``sft@nll-1``."""
        return self.name.partition("@")[0]

    @property
    def inputs(self) -> list[str]:
        """The paths that it reads, without code."""
        return [dep for dep in self.deps if not dep.startswith(CODE)]


class Graph:
    """The stages by name, each after those that it reads from.

    Args:
        stages: in any order.
    """

    def __init__(self, stages: list[Stage]):
        self.outs = {stage.out: stage for stage in stages}
        named = {stage.name: stage for stage in stages}
        before = {stage.name: {producer.name for producer in self.producers(stage)} for stage in stages}
        self.stages = {name: named[name] for name in graphlib.TopologicalSorter(before).static_order()}

    def made(self, path: str) -> list[str]:
        """The outputs that a path is, holds or lies in."""
        return [path] if path in self.outs else self._inside.get(path) or self._around(path)

    def producers(self, stage: Stage) -> list[Stage]:
        """The stages that a stage reads from."""
        return [self.outs[out] for dep in stage.inputs for out in self.made(dep)]

    @cached_property
    def _inside(self) -> dict[str, list[str]]:
        """The outputs in each folder that holds some."""
        found: dict[str, list[str]] = {}
        for out in self.outs:
            for parent in list(Path(out).parents)[:-1]:
                found.setdefault(parent.as_posix(), []).append(out)
        return found

    def _around(self, path: str) -> list[str]:
        """The output that a path lies in."""
        return [out for parent in Path(path).parents if (out := parent.as_posix()) in self.outs]


def read(path: Path = paths.GRAPH) -> dict:
    """The content of dvc.yaml.

    Raises:
        UserError: there is none, or it is not what DVC reads.
    """
    from dvc.schema import COMPILED_MULTI_STAGE_SCHEMA
    from voluptuous import Invalid

    try:
        return COMPILED_MULTI_STAGE_SCHEMA(parsed.read(path) or {})
    except Invalid as error:
        raise UserError(
            found=f"{path}: {' '.join(str(error).split())}",
            rule="it is what DVC reads",
            why="it says what each stage reads and writes",
            fix=f"correct it, or `git checkout {path}`",
        ) from error


def fill_in(repo, definitions: dict, tree: dict, names: list[str] | None = None) -> Graph:
    """The stages of dvc.yaml with a study's values in place.

    Args:
        repo: DVC's repository object.
        definitions: the content of dvc.yaml.
        tree: the content of params.yaml.
        names: the stages that are wanted; None: all.
    """
    from dvc.parsing import DataResolver

    resolver = DataResolver(repo, NO_FOLDER, definitions | {"vars": [tree]})
    found = [entry for name in names or resolver.get_keys() for entry in resolver.resolve_one(name).items()]
    runs = [run for family in (tree.get("runs") or {}).values() for run in family.values()]
    gate.refuse_names((name for name, _ in found), {option for run in runs for option in run})
    gate.refuse_outs(out for _, entry in found for out in entry["outs"])
    return Graph([_stage(name, entry, tree) for name, entry in found])


def needed(tree: dict, name: str) -> dict:
    """The content of params.yaml without the runs of other stages than one: DVC takes long over thousands."""
    family, _, key = name.partition("@")
    runs = {each: {key: of[key]} if each == family and key in of else {} for each, of in tree["runs"].items()}
    runs[SUITES] = tree["runs"].get(SUITES, {})
    return tree | {"runs": runs}


def _stage(name: str, entry: dict, tree: dict) -> Stage:
    deps, params = entry.get("deps", []), entry.get("params", [])
    return Stage(name, entry["cmd"], deps, params, entry["outs"][0], _threads(name, tree))


def _threads(name: str, tree: dict) -> int:
    """A base model says how many it is pretrained with; sums by more threads are others."""
    run = tree["runs"]["base"].get(name.removeprefix("base@"), {})
    return run.get("settings", {}).get("threads", 1)


def values(stage: Stage, tree: dict) -> dict:
    """The values of a stage's parameters, by their keys with dots.

    Args:
        stage: the stage.
        tree: the content of params.yaml.
    """
    found = {}
    for key in stage.params:
        with contextlib.suppress(KeyError, TypeError):  # no such key, or nothing where it would stand
            found[key] = functools.reduce(operator.getitem, key.split("."), tree)
    return found


# Code dependencies


def with_code_deps(text: str) -> str:
    """The text of dvc.yaml with the code dependencies that follow from the imports of each stage's module."""
    sections = re.split(r"^(?=  \w+:$)", text, flags=re.MULTILINE)
    return "".join(map(_with_code, sections))


def _with_code(section: str) -> str:
    """The section of one stage with its code dependencies, behind what else it reads."""
    command = re.search(r"cmd: python -m (\S+)", section)
    if not command:
        return section
    kept = re.sub(r"^ +- src/.*\n", "", section, flags=re.MULTILINE)
    deps = re.search(r"^( *)deps:\n((?:\1  - .*\n)*)", kept, flags=re.MULTILINE)
    code = "".join(f"{deps[1]}  - {file}\n" for file in code_of(command[1]))
    return kept[: deps.end()] + code + kept[deps.end() :]


def code_of(module: str, package: Path = imports.PACKAGE) -> Iterator[str]:
    """The files that a stage's module loads from the package, and the data files that lie beside them."""
    files = imports.closure(module, package)
    beside = {each for folder in {file.parent for file in files} for each in _data_files(folder)}
    for file in sorted({*files, *beside}):
        yield file.relative_to(package.parent.parent).as_posix()


def _data_files(folder: Path) -> Iterator[Path]:
    """The files and folders of a package that are no modules: templates, tables, task files."""
    for each in folder.iterdir():
        files = [each] if each.is_file() else [file for file in each.rglob("*") if file.is_file()]
        kept = [file for file in files if file.suffix != ".pyc" and not file.name.startswith(".")]
        if kept and not any(file.suffix == ".py" for file in kept):
            yield each
