"""Outputs of other studies: set aside under the study's name while another one runs, and brought back with it.

A stage that reads a whole folder (all evaluations, all sets of a role) must see its own study's alone. Nothing is ever
deleted or overwritten, and nothing moves through a link.
"""

import os
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

from orchard import files, links, paths
from orchard.errors import UserError
from orchard.study.schema.common import NAME

EARLIER = "earlier"  # instead of a study's name, where no run in this folder has noted its study yet


def swap(outs: Iterable[str], study: str) -> None:
    """Sets aside what no stage of this study makes, and brings back what was set aside of it.

    Args:
        outs: the outputs of this study.
        study: its name, which is noted for the next swap.

    Raises:
        UserError: something would move through a link. Nothing has moved then.
    """
    outs = set(outs)
    aside = paths.SET_ASIDE / _last_study()
    away = [(child, _free(aside / child)) for child in _leftovers(outs)]
    places = {name: paths.SET_ASIDE / name for name in (study, EARLIER)}
    back = [(place / out, Path(out)) for out in sorted(outs) for place in places.values()]
    for here, there in [*away, *((kept, out) for kept, out in back if os.path.lexists(kept))]:
        links.refuse(here.parent)
        links.refuse(there.parent)
    for child, target in away:
        files.move(child, target)
        print(f"{child} is of another study or an earlier config: set aside in {target}", file=sys.stderr)
    paths.LAST_STUDY.parent.mkdir(parents=True, exist_ok=True)
    links.write_own(paths.LAST_STUDY, study)
    for kept, out in back:
        if os.path.lexists(kept) and not os.path.lexists(out):
            files.move(kept, out)


def _last_study() -> str:
    """The name of the study that ran last; it becomes a folder's."""
    try:
        with links.open_own(paths.LAST_STUDY, "r") as file:
            name = file.read().strip()
    except FileNotFoundError:
        return EARLIER
    if re.fullmatch(NAME, name):
        return name
    raise UserError(
        found=f"{name[:60]!r} in {paths.LAST_STUDY}",
        rule="it is the name of the study that ran last: small letters and digits, joined by single hyphens",
        why="what that study made is set aside in a folder of this name",
        fix=f"`rm {paths.LAST_STUDY}`: what it made is then set aside as {EARLIER!r}",
    )


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
    while os.path.lexists(path):
        path, number = path.with_name(f"{path.name.partition('~')[0]}~{number}"), number + 1
    return path
