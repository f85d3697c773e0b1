"""What a Snakemake job runs: DVC's reproduction of one stage.

python -m orchard.rerun.job STAGE
"""

import sys

from orchard import processes
from orchard.errors import UserError
from orchard.lineage import gate
from orchard.rerun import alive, dvc_patches, remote


def repro(name: str) -> int:
    """Reproduces one stage by DVC, in this process; waits where another job has DVC's lock. Returns the exit status.

    What can be restored is brought into DVC's cache first (orchard.rerun.remote), so DVC itself need not ask the
    remote: it would fetch the whole run cache for each stage.
    """
    processes.die_with_parent()
    try:
        dvc_patches.install()
        alive.mark_job()
        remote.bring(name)
        from dvc.cli import main

        with gate.unswallowed():
            return main(["--wait-for-lock", "repro", "--single-item", name])
    except UserError as error:
        print(f"\n{error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(repro(sys.argv[1]))
