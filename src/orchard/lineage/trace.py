"""Where a result comes from: the chain of stages back to data and code, as dvc.lock has it."""

import difflib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from orchard import git, paths
from orchard.errors import UserError
from orchard.lineage.leaves import shown
from orchard.lineage.lock import CODE, Lock, makers, read, with_hash

INDENT = "    "


def trace(path: str | Path) -> str:
    """The tree of stages behind a path, as text: the stage, its command, code, parameters, inputs and outputs with MD5.

    Args:
        path: an output of a stage, or a file in one, from the project's root.

    Raises:
        UserError: there is no dvc.lock, or no stage makes the path (the nearest outputs are named).
    """
    lock, path = read(), paths.from_root(path)
    if not (found := makers(path, lock)):
        raise _no_maker(path, lock)
    seen: set[str] = set()
    lines = [f"{path}, as of dvc.lock in {last_change()}"]
    for maker in found:
        lines += _describe(maker, lock, seen)
    return "\n".join(lines)


def _describe(name: str, lock: Lock, seen: set[str]) -> Iterator[str]:
    """The lines of one stage and of all before it. Adds to ``seen``; a stage in it is only referred to."""
    if name in seen:
        yield f"stage {name} (see above)"
        return
    seen.add(name)
    entry = lock[name]
    yield f"stage {name}"
    yield f"{INDENT}command: {entry.command}"
    for out in entry.outs.items():
        yield f"{INDENT}output: {with_hash(*out)}"
    for file, values in entry.params.items():
        for key, value in values.items():
            yield f"{INDENT}parameter: {file}: {key} = {shown(value)}"
    for dep, md5 in entry.deps.items():
        if dep.startswith(CODE):
            yield f"{INDENT}code: {with_hash(dep, md5)}"
    for dep in entry.inputs:
        before = makers(dep, lock)
        yield f"{INDENT}input: {with_hash(dep, entry.deps[dep])}" + ("" if before else ", from outside")
        for maker in before:
            yield from (INDENT * 2 + line for line in _describe(maker, lock, seen))


def last_change() -> str:
    """The git commit that last changed dvc.lock, and whether the file has changed since."""
    commit = git.ask("log", "-1", "--format=%H", "--", str(paths.LOCK))
    if not commit:
        return "no git commit"
    changed = git.ask("status", "--porcelain", "--", str(paths.LOCK))
    return f"git commit {commit}" + (" and changed since" if changed else "")


def _no_maker(path: str, lock: Lock) -> UserError:
    """The message for a path that no stage makes."""
    outs = [out for entry in lock.values() for out in entry.outs]
    near = difflib.get_close_matches(path, outs, 3) or [out for out in outs if PurePosixPath(out).name in path][:3]
    return UserError(
        found=f"{path} is no output of a stage in dvc.lock",
        rule="a path to trace is an output of a stage, or lies in one",
        why="only for these is it known what made them",
        fix=f"did you mean {' or '.join(near)}?" if near else f"name one of the {len(outs)} outputs in dvc.lock",
    )
