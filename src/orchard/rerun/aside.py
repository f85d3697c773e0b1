"""Outputs of other studies: set aside under the study's name while another one runs, and brought back with it.

A stage that reads a whole folder (all evaluations, all sets of a role) must see its own study's alone. Nothing is ever
deleted or overwritten.
"""

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from orchard import files, paths

EARLIER = "earlier"  # instead of a study's name, where no run in this folder has noted its study yet


def swap(outs: Iterable[str], study: str) -> None:
    """Sets aside what no stage of this study makes, and brings back what was set aside of it.

    Args:
        outs: the outputs of this study.
        study: its name, which is noted for the next swap.
    """
    outs = set(outs)
    last = paths.LAST_STUDY.read_text(encoding="utf-8") if paths.LAST_STUDY.is_file() else EARLIER
    for child in _leftovers(outs):
        target = _free(paths.SET_ASIDE / last / child)
        files.move(child, target)
        print(f"{child} is of another study or an earlier config: set aside in {target}", file=sys.stderr)
    paths.LAST_STUDY.parent.mkdir(parents=True, exist_ok=True)
    paths.LAST_STUDY.write_text(study, encoding="utf-8")
    for out in sorted(outs):
        for kept in (paths.SET_ASIDE / name / out for name in (study, EARLIER)):
            if kept.exists() and not Path(out).exists():
                files.move(kept, Path(out))


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
