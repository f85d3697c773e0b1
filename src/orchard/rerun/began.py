"""What a run began with. Files may change under it: an edit, a `git checkout`, an `orchard check` for another study.

A stage whose code, command or parameters are others by then is not started: one run would mix two versions. Stages that
are as they were go on. At its end the run says what changed.
"""

import hashlib
import json
import os
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

from orchard import files, paths
from orchard.errors import UserError
from orchard.lineage import graph
from orchard.lineage.graph import Graph, Stage
from orchard.lineage.lock import CODE

FILE = "ORCHARD_BEGAN"  # set for the jobs of a run: where it noted what it began with
MOST_NAMES = 5  # of changed files in a message: ours, enough to see what happened


def note(begun: Graph, tree: dict) -> None:
    """Notes what a run begins with, for its jobs and its end.

    Args:
        begun: the graph.
        tree: the content of params.yaml.
    """
    read = {dep for stage in begun.stages.values() for dep in stage.deps if dep.startswith(CODE)}
    read |= {str(path) for path in (paths.CONFIG, paths.GRAPH, *paths.STUDIES.glob("*.yaml"))}
    made = {name: _asked(stage.command, graph.values(stage, tree)) for name, stage in begun.stages.items()}
    rows = [asdict(stage) | {"deps": stage.inputs} for stage in begun.stages.values()]
    noted = {"files": {path: md5(path) for path in sorted(read)}, "stages": made, "graph": rows}
    paths.BEGAN.write_text(json.dumps(noted), encoding="utf-8")
    os.environ[FILE] = str(paths.BEGAN)


def stages() -> Graph:
    """The graph of the run that this process belongs to, without code dependencies.

    Raises:
        UserError: the run noted none that this process sees.
    """
    if not (noted := _noted()):
        raise UserError(
            found=f"no {paths.BEGAN}, in a job's own Snakemake",
            rule="a job sees the folder and the environment of the run that submitted it",
            why="the run notes there which stages there are",
            fix=f"let jobs inherit the environment ({FILE}), and put the project where all nodes see it",
        )
    return Graph([Stage(**row) for row in noted["graph"]])


def refuse_change(name: str, command: str, values: dict, code: Iterable[str]) -> None:
    """Refuses to start a stage that is not as it was when the run of this job began.

    Args:
        name: of the stage.
        command: what it would run.
        values: its parameters.
        code: the paths of its code.

    Raises:
        UserError: something is another now.
    """
    if not (noted := _noted()):
        return
    changed = [path for path in code if md5(path) != noted["files"].get(path)]
    if noted["stages"].get(name) != _asked(command, values):
        changed.append(f"{paths.PARAMS} or {paths.GRAPH}")
    if changed:
        raise UserError(
            found=f"{name}: {_some(changed)} changed since this run began",
            rule="a run ends with the code and the study that it began with",
            why="its results would be a mixture of two versions",
            fix="`snakemake --cores all` once more: what is finished is kept, what is stale by then runs",
        )


def tell_change() -> str:
    """What changed under a run, as a line for its end; nothing if nothing did."""
    noted = _noted() or {"files": {}}
    changed = [path for path, before in noted["files"].items() if md5(path) != before]
    if not changed:
        return ""
    return (
        f"Changed while this run went on: {_some(changed)}. What it made is of the state before; "
        "`snakemake -n` says what is stale now."
    )


def md5(path: str) -> str | None:
    """The MD5 of a file, or of a folder's files with their names; None where there is neither."""
    if Path(path).is_file():
        return files.digest(Path(path), "md5")
    if not Path(path).is_dir():
        return None
    inside = [file for file in sorted(Path(path).rglob("*")) if file.is_file() and file.suffix != ".pyc"]
    return hashlib.md5("".join(f"{file} {md5(str(file))}\n" for file in inside).encode()).hexdigest()


def _noted() -> dict | None:
    """What was noted by the run that this process belongs to."""
    file = os.environ.get(FILE)
    return json.loads(Path(file).read_text(encoding="utf-8")) if file and Path(file).is_file() else None


def _asked(command: str, values: dict) -> str:
    return hashlib.md5(json.dumps([command, values], sort_keys=True, default=str).encode()).hexdigest()


def _some(names: list[str]) -> str:
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    return ", ".join(names[:MOST_NAMES]) + more
