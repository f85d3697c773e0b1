"""Bringing outputs of dvc.lock here by DVC, behind the gate: for data, a remote or a dvc.lock of others."""

from orchard import paths
from orchard.errors import UserError
from orchard.lineage import gate, project
from orchard.lineage.graph import Graph
from orchard.rerun import remote


def pull(targets: list[str]) -> str:
    """Does what `dvc pull` does; returns how much came.

    Args:
        targets: outputs; none: all of this study in dvc.lock.

    Raises:
        UserError: there is no remote, dvc.lock has nothing of it, what the remote has is not what its names say, or
            what comes would lie outside the project. Nothing is changed then, but for DVC's cache.
    """
    from dvc.exceptions import DvcException

    with project.opened() as opened:
        recorded = [stage.out for stage in opened.stages.values() if opened.recorded(stage)]
        asked = [path for target in targets for path in outputs_of(opened.graph, paths.from_root(target))]
    wanted = [path for path in asked if paths.overlapping(path, recorded)] if targets else recorded
    if not wanted:
        raise UserError(
            found=f"nothing of {', '.join(targets) or 'this study'} in {paths.LOCK}",
            rule="what is pulled was made by somebody, and is in dvc.lock",
            why="the remote has it by the hash that dvc.lock names",
            fix="`git pull`, for a dvc.lock that has it, or `snakemake --cores all`",
        )
    with gate.repository() as repo:
        remote.refuse_none(repo, "outputs come from there", "make remote REMOTE=/path/or/url")
        try:
            done = repo.pull(wanted)
        except (DvcException, OSError) as error:
            raise UserError(
                found=f"{remote.named(repo)}: {remote.words_of(error)}",
                rule="what dvc.lock names is on the remote, as its name says, and nothing here is in its place",
                why="what is missing there, or was changed here, is not replaced unasked",
                fix="`orchard verify` says what was changed here; docs/sharing.md how to repair a remote",
            ) from error
    return ", ".join(f"{count if isinstance(count, int) else len(count)} {what}" for what, count in done.items())


def outputs_of(stages: Graph, target: str) -> list[str]:
    """What DVC pulls for a path: an output or a file in one by itself, of a folder that holds outputs each of these.

    Raises:
        UserError: no stage makes it.
    """
    if not (made := stages.made(target)):
        raise UserError(
            found=f"{target}, which no stage of this study makes",
            rule="what is pulled is an output, a file in one, or a folder of some",
            why="only these are on the remote",
            fix="`orchard plan --all` names the stages",
        )
    return [target] if target.startswith(f"{made[0]}/") else made
