"""Where a result comes from: the chain of stages back to data and code, as dvc.lock has it.

dvc.lock is read as plain YAML, so that a result can be traced in any clone, without the outputs and without DVC.
"""

import difflib
import json
import subprocess
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import yaml

from orchard.errors import UserError

LOCK = Path("dvc.lock")
CODE = ("src/", "requirements.lock")
INDENT = "    "


def trace(path: str | Path) -> str:
    """The tree of stages behind a path, as text: the stage, its command, code, parameters, inputs and outputs with MD5.

    Args:
        path: an output of a stage, or a file in one, from the project's root.

    Raises:
        UserError: there is no dvc.lock, or no stage makes the path (the nearest outputs are named).
    """
    stages = read_lock()
    path = relative(path)
    if not (makers := makers_of(path, stages)):
        raise no_maker(path, stages)
    told: set[str] = set()
    lines = [f"{path}, as of dvc.lock in {last_change()}"]
    for maker in makers:
        lines += tell(maker, stages, told)
    return "\n".join(lines)


def read_lock() -> dict[str, dict]:
    """The stages of dvc.lock, by name."""
    if not LOCK.is_file():
        raise UserError(
            f"no file {LOCK}",
            "dvc.lock stands in the working folder",
            "it says what each result was made of",
            "go to the project's root, or run `snakemake --cores all` first",
        )
    return (yaml.safe_load(LOCK.read_text()) or {}).get("stages", {})


def tell(name: str, stages: dict[str, dict], told: set[str]) -> Iterator[str]:
    """The lines of one stage and of all before it. Adds to ``told``; a stage in it is only referred to."""
    if name in told:
        yield f"stage {name} (see above)"
        return
    told.add(name)
    stage = stages[name]
    yield f"stage {name}"
    yield f"{INDENT}command: {stage['cmd']}"
    for out in stage.get("outs", []):
        yield f"{INDENT}output: {with_hash(out)}"
    for file, values in stage.get("params", {}).items():
        for key, value in values.items():
            yield f"{INDENT}parameter: {file}: {key} = {json.dumps(value, ensure_ascii=False)}"
    deps = [(dep, makers_of(dep["path"], stages)) for dep in stage.get("deps", [])]
    for dep, _ in deps:
        if dep["path"].startswith(CODE):
            yield f"{INDENT}code: {with_hash(dep)}"
    for dep, makers in deps:
        if not dep["path"].startswith(CODE):
            yield f"{INDENT}input: {with_hash(dep)}" + ("" if makers else ", from outside")
        for maker in makers:
            yield from (INDENT * 2 + line for line in tell(maker, stages, told))


def present() -> dict[str, dict]:
    """The stages of dvc.lock whose outputs are here: it keeps those of studies that ran in this folder before."""
    stages = read_lock()
    return {name: stage for name, stage in stages.items() if all(Path(o["path"]).exists() for o in stage["outs"])}


def chain(path: str, stages: dict[str, dict]) -> list[dict]:
    """The stages behind a path in the order of their work: command, outputs with MD5, and the stages each reads from.

    Without code and parameters, which `trace` tells: what is told here changes only where an output does.
    """
    steps: dict[str, dict] = {}

    def climb(path: str) -> None:
        for name in sorted(makers_of(path, stages)):  # dvc.lock has them in the order in which they ran
            if name in steps:
                continue
            deps = [dep["path"] for dep in stages[name].get("deps", []) if not dep["path"].startswith(CODE)]
            for dep in deps:
                climb(dep)
            after = sorted({maker for dep in deps for maker in makers_of(dep, stages)})
            outs = [with_hash(out) for out in stages[name].get("outs", [])]
            steps[name] = {"stage": name, "command": stages[name]["cmd"], "outputs": outs, "after": after}

    climb(path)
    return list(steps.values())


def makers_of(path: str, stages: dict[str, dict]) -> list[str]:
    """The stages whose output is the path, holds it, or lies in it."""
    wanted = PurePosixPath(path)
    return [
        name
        for name, stage in stages.items()
        if any(
            wanted.is_relative_to(out["path"]) or PurePosixPath(out["path"]).is_relative_to(wanted)
            for out in stage.get("outs", [])
        )
    ]


def relative(path: str | Path) -> str:
    """A path as dvc.lock writes it: from the project's root, with slashes."""
    absolute = Path.cwd() / path
    try:
        return Path(absolute.parent.resolve(), absolute.name).relative_to(Path.cwd().resolve()).as_posix()
    except ValueError:
        return str(path)


def with_hash(entry: dict) -> str:
    """A path with its MD5, which for a folder is that of the list of its files."""
    return f"{entry['path']}  md5 {entry.get('md5', 'unknown')}"


def last_change() -> str:
    """The git commit that last changed dvc.lock, and whether the file has changed since."""
    commit = git("log", "-1", "--format=%H", "--", str(LOCK))
    if not commit:
        return "no git commit"
    return f"git commit {commit}" + (" and changed since" if git("status", "--porcelain", "--", str(LOCK)) else "")


def git(*arguments: str) -> str:
    """What git says; nothing where there is no repository."""
    return subprocess.run(["git", *arguments], capture_output=True, text=True).stdout.strip()


def no_maker(path: str, stages: dict[str, dict]) -> UserError:
    """The message for a path that no stage makes."""
    outs = [out["path"] for stage in stages.values() for out in stage.get("outs", [])]
    near = difflib.get_close_matches(path, outs, 3) or [out for out in outs if PurePosixPath(out).name in path][:3]
    fix = f"did you mean {' or '.join(near)}?" if near else f"name one of the {len(outs)} outputs in dvc.lock"
    return UserError(
        f"{path} is no output of a stage in dvc.lock",
        "a path to trace is an output of a stage, or lies in one",
        "only for these is it known what made them",
        fix,
    )
