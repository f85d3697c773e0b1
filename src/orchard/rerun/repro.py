"""DVC's reproduction of one stage.

python -m orchard.rerun.repro STAGE
"""

import os
import sys

from orchard import processes
from orchard.errors import UserError
from orchard.rerun import alive, dvc_patches, remote


def repro(name: str) -> int:
    """Reproduces one stage by DVC, in this process; waits where another job has DVC's lock. Returns the exit status.

    What can be restored is brought into DVC's cache first (orchard.rerun.remote), so DVC itself need not ask the
    remote: it would fetch the whole run cache for each stage.
    """
    processes.die_with_parent()
    processes.tell_cost_at_exit(with_children=False)
    processes.ask_nothing()
    os.environ[processes.JOB] = name
    try:
        dvc_patches.install()
        alive.mark_job()
        remote.bring(name)
    except UserError as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    from dvc.cli import main

    return main(["--wait-for-lock", "repro", "--single-item", name])


if __name__ == "__main__":
    sys.exit(repro(sys.argv[1]))
