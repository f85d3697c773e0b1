"""Stages made anew beside the results, from what dvc.lock says that they read: does it say what they give?

Each works in a folder of its own, in which links stand for its inputs. Nothing of the project is changed.
"""

import os
import random
import secrets
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from orchard import arithmetic, files, paths, processes
from orchard.errors import UserError, did_you_mean
from orchard.lineage import project
from orchard.lineage.graph import Stage
from orchard.lineage.project import ABSENT, Project, short, some

FOLDER = paths.SCRATCH / "recomputed"
BESIDE = (paths.PARAMS, paths.PROFILES)  # what a stage reads beside its inputs
FETCH = "fetch"  # its outputs come from the network and not from a machine's arithmetic
LAST_LINES = 12  # of a failed stage's log: ours, enough for a message or the end of a traceback


class Chosen(NamedTuple):
    """What is to be made anew.

    Attributes:
        names: of stages.
        why: why these, in words.
        missing: the outputs that they read and that are not here.
    """

    names: list[str]
    why: str
    missing: list[str]


def choose(asked: list[str], seed: int | None) -> Chosen:
    """The stages that are asked for.

    Args:
        asked: their names, or a number of them to be drawn.
        seed: of the draw; None: any.

    Raises:
        UserError: there are no such stages, or what dvc.lock records of one is not of this code and study, or was
            made of inputs that are not here and cannot be had.
    """
    with project.opened() as opened:
        stale, _ = opened.judge({stage.out: opened.recorded(stage) for stage in opened.stages.values()})
        if len(asked) == 1 and asked[0].isdigit():
            names, why = drawn(opened, stale, int(asked[0]), secrets.randbelow(2**31) if seed is None else seed)
        else:
            names, why = named(opened, stale, asked), "by name"
        outs = dict.fromkeys(out for name in names for out in read_by(opened, opened.stages[name]))
        missing = [out for out in outs if opened.here(out) == ABSENT]
        refuse_edited(opened, outs)
        if missing and not opened.repo.config["core"].get("remote"):
            raise UserError(
                found=f"{some(missing)}, which these stages read, not here; and no remote is named",
                rule="a stage is made anew from what dvc.lock says that it read",
                why="other inputs give another output",
                fix="`make remote REMOTE=/path/or/url`, from where they come; or `snakemake --cores all` makes them",
            )
    return Chosen(names, why, missing)


def drawn(opened: Project, stale: dict, count: int, seed: int) -> tuple[list[str], str]:
    """Some stages at random, of those that dvc.lock records as code and study are now; fetches are left out."""
    known = [name for name, stage in opened.stages.items() if name not in stale and stage.family != FETCH]
    if not 0 < count <= len(known):
        raise UserError(
            found=f"{count} stages to be made anew",
            rule=f"1 to {len(known)} can be: that many of dvc.lock are as code and study are now",
            why="a stage with another code or other parameters gives another output",
            fix="ask for fewer; `orchard verify` says what the others differ in",
        )
    return random.Random(seed).sample(known, count), f"drawn from {len(known)} (`--seed {seed}` draws them again)"


def named(opened: Project, stale: dict, asked: list[str]) -> list[str]:
    """Stages by name."""
    for name in asked:
        if name not in opened.stages:
            raise UserError(
                found=f"{name!r}, which is no stage of this study",
                rule="stages are named as in dvc.lock, such as base@tiny, or a number says how many to draw",
                why="there is nothing to make anew",
                fix=did_you_mean(name, opened.stages, "`orchard plan --all` names the stages"),
            )
        if name in stale:
            raise UserError(
                found=f"{name}: {some(stale[name])}",
                rule="what dvc.lock records of it is of this code, study and graph",
                why="other code or parameters give another output",
                fix="`git checkout` the commit whose dvc.lock it is, or `snakemake --cores all`, which makes it anew",
            )
    return list(dict.fromkeys(asked))


def read_by(opened: Project, stage: Stage) -> list[str]:
    """The outputs of other stages that a stage reads."""
    return [out for dep in stage.inputs for out in opened.made(dep)]


def refuse_edited(opened: Project, outs: dict[str, None]) -> None:
    """Raises a UserError if an input lies here and is not that of dvc.lock."""
    recorded = {out: opened.recorded(opened.graph.outs[out]) for out in outs}
    if edited := [out for out in outs if opened.here(out) not in (ABSENT, recorded[out])]:
        raise UserError(
            found=f"{some(edited)} not as dvc.lock records it",
            rule="a stage is made anew from what dvc.lock says that it read",
            why="other inputs give another output",
            fix=f"`dvc checkout --force {edited[0]}`, which puts back what dvc.lock names",
        )


def recompute(chosen: Chosen) -> tuple[str, int]:
    """Makes the stages anew; their inputs are here. Says which gave what dvc.lock records; status 1 if one did not."""
    lines, same = [], 0
    with project.opened() as opened:
        for name in chosen.names:
            print(f"{name}: is made anew", file=sys.stderr, flush=True)
            stage = opened.stages[name]
            files.remove(FOLDER / name)
            folder = working_folder(stage)
            difference = ran(stage, folder) or difference_of(opened, stage, folder)
            if not difference:
                files.remove(FOLDER / name)
                same += 1
            lines.append(f"  {name}: {difference or f'the same, {short(opened.recorded(stage))}'}")
    count = len(chosen.names)
    head = f"{count} stages made anew from their inputs in dvc.lock, {chosen.why}: {same} the same, {count - same} not."
    if same < count and arithmetic.kind() != arithmetic.PORTABLE:
        lines.append("The study's arithmetic is fast: another kind of machine than the one it ran on rounds otherwise.")
    return "\n".join([head, *lines]), int(same < count)


def working_folder(stage: Stage) -> Path:
    """Where a stage is made anew: so deep that a path such as ../files/items.jsonl does not lead out of FOLDER."""
    ups = max((Path(os.path.normpath(path)).parts.count("..") for path in stage.inputs), default=0)
    return FOLDER.joinpath(stage.name, *["inside"] * ups)


def ran(stage: Stage, folder: Path) -> str:
    """Runs a stage's command in a folder; returns why it failed, if it did."""
    folder.mkdir(parents=True)
    for here in {*BESIDE, *map(Path, stage.inputs)}:
        link_files(here, folder / here)
    log = folder / "log"
    surroundings = {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(processes.own_code()),
    }
    with log.open("w") as stream:
        done = subprocess.run(
            stage.command, shell=True, cwd=folder, env=os.environ | surroundings, stdout=stream, stderr=stream
        )
    if not done.returncode:
        return ""
    last = log.read_text(errors="replace").splitlines()[-LAST_LINES:]
    return "\n      ".join([f"failed with status {done.returncode}; {log} ends in", *last])


def link_files(source: Path, target: Path) -> None:
    """Gives a folder's files, or a file, a second place; a path from the root of the machine has its own."""
    if source.is_absolute():
        return
    for file in [source] if source.is_file() else [each for each in walk(source) if each.is_file()]:
        link = target / file.relative_to(source)
        link.parent.mkdir(parents=True, exist_ok=True)
        if not link.is_symlink():  # a stage may read a folder and, by its own name, a file in it
            link.symlink_to(file.absolute())


def walk(folder: Path) -> Iterator[Path]:
    """All that lies in a folder, also behind links."""
    for parent, _, names in os.walk(folder, followlinks=True):
        yield from (Path(parent, name) for name in names)


def difference_of(opened: Project, stage: Stage, folder: Path) -> str:
    """What is different in a stage's new output, in words; empty if nothing is."""
    recorded, made = opened.recorded(stage), opened.here(str(folder / stage.out))
    if made == recorded:
        return ""
    before, after = ({"/".join(key): entry for key, _, entry in opened.listing(md5) or ()} for md5 in (recorded, made))
    changed = sorted(name for name in {**before, **after} if before.get(name) != after.get(name)) if before else []
    what = f" ({', '.join(changed)})" if changed else ""
    return f"{short(recorded)} → {short(made)}{what}, kept as {folder / stage.out}"
