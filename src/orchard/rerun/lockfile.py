"""The text of dvc.lock, cut into the lines of each stage: written anew in part, and merged by git stage by stage.

The bytes are always those that DVC writes for the same content, so that git shows changed stages alone.
"""

import functools
import io
import json
from pathlib import Path

from ruamel.yaml.error import YAMLError

from orchard import yamls
from orchard.errors import UserError
from orchard.lineage.lock import HEAD, blocks, by_name


def merge(base: Path, ours: Path, theirs: Path) -> str:
    """Git's merge driver for dvc.lock: a three-way merge by stage, whose result takes the place of ``ours``.

    Args:
        base: the common ancestor; empty where there is none.
        ours: the side that git merges into. Its order of stages is kept; what only the other side has follows.
        theirs: the other side.

    Returns:
        The message for the user.

    Raises:
        UserError: a side is not a dvc.lock (nothing is written), or both sides changed a stage in different ways (its
            lines are written with conflict markers around them).
    """
    merged, conflicts = merged_entries(*(entries(path) for path in (base, ours, theirs)))
    ours.write_text(HEAD + "".join(merged.values()) if merged else "", encoding="utf-8")
    if conflicts:
        raise UserError(
            found=f"both sides changed {', '.join(conflicts)} in dvc.lock",
            rule="an entry of dvc.lock is one run of its stage, never a mixture of two",
            why="which run fits config.yaml and the code is known only when these are merged",
            fix="resolve all other files first; keep one side of each marked block (either will do), "
            "then run `snakemake --cores all`, which restores or reruns what does not fit, and `git add dvc.lock`",
        )
    return f"dvc.lock: merged by stage, {len(merged)} stand in it; `snakemake -n` says which of them are stale"


def merged_entries(
    base: dict[str, str], ours: dict[str, str], theirs: dict[str, str]
) -> tuple[dict[str, str], list[str]]:
    """The lines of each stage after a three-way merge, and the stages in conflict, marked by git's markers."""
    merged, conflicts = {}, []
    for name in {**ours, **theirs}:
        was, mine, other = (side.get(name, "") for side in (base, ours, theirs))
        if mine == other or other == was:
            merged[name] = mine
        elif mine == was:
            merged[name] = other
        else:
            conflicts.append(name)
            merged[name] = f"<<<<<<< ours\n{mine}=======\n{other}>>>>>>> theirs\n"
    return {name: lines for name, lines in merged.items() if lines}, conflicts


def entries(path: Path) -> dict[str, str]:
    """The lines of each stage in a dvc.lock, by name.

    Raises:
        UserError: the file is cut, has conflict markers, or is no dvc.lock for another reason.
    """
    head, *stages = blocks(path.read_text(encoding="utf-8", errors="replace"))
    try:
        named = {_name_of(lines): lines for lines in stages}
        if head != (HEAD if stages else "") or len(named) != len(stages):
            raise ValueError("it cannot be cut into its stages")
    except (YAMLError, ValueError) as error:
        raise UserError(
            found=f"a dvc.lock that is garbled on one side of the merge ({' '.join(str(error).split())})",
            rule="each side is a dvc.lock as DVC writes it",
            why="what cannot be read cannot be merged",
            fix="take the side that is whole (`git checkout --ours dvc.lock` or `--theirs`), "
            "then run `snakemake --cores all`, which restores or reruns what does not fit, and `git add dvc.lock`",
        ) from error
    return named


@functools.cache  # most stages are the same on all sides of a merge
def _name_of(lines: str) -> str:
    """The stage whose lines these are; a YAML or value error if they are not one whole entry."""
    entry = yamls.loads(lines)
    if not (lines.endswith("\n") and isinstance(entry, dict) and len(entry) == 1):
        raise ValueError(f"{lines[:60]!r} is no entry of a stage")
    [(name, stage)] = entry.items()
    if not (isinstance(stage, dict) and {"cmd", "outs"} <= set(stage)):
        raise ValueError(f"the entry of {name} is cut")
    return name


def changed_text(old: str, before: dict[str, str], data: dict, dumper) -> str:
    """The text of a dvc.lock; stages that are as they were keep their lines.

    Args:
        old: the text before.
        before: its stages (``as_json``), or some of them.
        data: the content now, of the same stages and of new ones.
        dumper: DVC's own, which writes data to a stream.
    """
    if (named := by_name(old)) is None:
        return dumped(data, dumper)
    texts = dict(named)
    for name, entry in as_json(data).items():
        if entry != before.get(name):
            alone = {"schema": data["schema"], "stages": {name: data["stages"][name]}}
            texts[name] = dumped(alone, dumper).removeprefix(HEAD)
    gone = before.keys() - data["stages"].keys()
    return HEAD + "".join(lines for name, lines in texts.items() if name not in gone)


def as_json(data: dict) -> dict[str, str]:
    """The stages of dvc.lock, each as a string: 1, 1.0 and true are equal in Python and not in a file."""
    return {name: json.dumps(entry) for name, entry in data.get("stages", {}).items()}


def dumped(data: dict, dumper) -> str:
    """The text that DVC's dumper makes of the data."""
    stream = io.StringIO()
    dumper(data, stream)
    return stream.getvalue()
