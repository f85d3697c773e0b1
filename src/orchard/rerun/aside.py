"""Outputs of other studies: set aside under the study's name while another one runs, and brought back with it.

A stage that reads a whole folder (all evaluations, all sets of a role) must see its own study's alone. Nothing is ever
deleted or overwritten.
"""

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from orchard import paths, yamls
from orchard.errors import UserError

EARLIER = "earlier"  # where it is not known which study made what is set aside


def active_study() -> str:
    """The study of the last run in this folder, as params.yaml has it."""
    try:
        return str(yamls.read(paths.PARAMS)["name"])
    except (UserError, KeyError, TypeError):
        return EARLIER


def swap(outs: Iterable[str], before: str, now: str) -> None:
    """Sets aside what no stage of this study makes, and brings back what was set aside of it.

    Args:
        outs: the outputs of this study.
        before: the study that ran in this folder last.
        now: this study.
    """
    outs = set(outs)
    for child in _leftovers(outs):
        target = _free(paths.SET_ASIDE / before / child)
        target.parent.mkdir(parents=True, exist_ok=True)
        child.rename(target)
        print(f"{child} is of another study or an earlier config: set aside in {target}", file=sys.stderr)
    for out in sorted(outs):
        kept = paths.SET_ASIDE / now / out
        if kept.exists() and not Path(out).exists():
            Path(out).parent.mkdir(parents=True, exist_ok=True)
            kept.rename(out)


def _leftovers(outs: set[str]) -> Iterator[Path]:
    """What lies beside the outputs of this study and is none of them."""
    parents = {Path(out).parent for out in outs} | {paths.model("none").parent, paths.EVALUATIONS}
    for parent in sorted(filter(Path.is_dir, parents)):
        for child in sorted(parent.iterdir()):
            if child.name[0] != "." and not paths.overlapping(child.as_posix(), outs):
                yield child


def _free(path: Path) -> Path:
    """The path itself, or with the first number behind it under which nothing lies."""
    number = 1
    while path.exists():
        path, number = path.with_name(f"{path.name.partition('~')[0]}~{number}"), number + 1
    return path
