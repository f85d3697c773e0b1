"""DVC's reproduction of one stage.

python -m orchard.rerun.repro STAGE
"""

import os
import sys

from orchard import paths, processes
from orchard.errors import UserError, of_machine
from orchard.lineage import gate
from orchard.rerun import alive, dvc_patches, remote

INGEST = "ingest@"


def repro(name: str) -> int:
    """Reproduces one stage by DVC, in this process; waits where another job has DVC's lock. Returns the exit status.

    What can be restored is brought into DVC's cache first (orchard.rerun.remote), so DVC itself need not ask the
    remote: it would fetch the whole run cache for each stage.
    """
    processes.die_with_parent()
    processes.tell_cost_at_exit(with_children=False)
    processes.ask_nothing()
    os.environ[processes.JOB] = name
    from dvc.cli import main
    from dvc.exceptions import DvcException

    try:
        dvc_patches.install(name)
        alive.mark_job()
        remote.bring(name)
        if name.startswith(INGEST):  # what was fetched meanwhile could not be compared when the run began
            from orchard.study import overlaps, params  # the whole schema, which other jobs do not need

            overlaps.refuse(params.read())
        with gate.unswallowed():
            return main(["--wait-for-lock", "repro", "--single-item", name])
    except DvcException as error:  # of a file that changed since the run began
        print(f"\n{unreadable(error)}", file=sys.stderr)
        return 1
    except Exception as error:
        if not (message := of_machine(error)):
            raise
        print(f"\n{message}", file=sys.stderr)
        return 1


def unreadable(error: Exception) -> UserError:
    """The message for what DVC cannot read."""
    return UserError(
        found=str(error),
        rule=f"{paths.PARAMS}, {paths.GRAPH} and {paths.LOCK} stay readable while a run goes on",
        why="each job reads them",
        fix=f"`orchard check` writes {paths.PARAMS} anew; for the others, `git status` shows what differs",
    )


if __name__ == "__main__":
    sys.exit(repro(sys.argv[1]))
