"""What a Snakemake job runs: DVC's reproduction of one stage, as a fork of the run's server where there is one.

python -m orchard.rerun.job STAGE
"""

import os
import signal
import sys

from orchard import processes
from orchard.rerun import warm


def main(stage: str) -> int:
    """Returns the exit status."""
    processes.die_with_parent()
    status = warm.ask(warm.JOB, [stage])
    if status is None:
        os.execv(sys.executable, [sys.executable, "-m", warm.JOB, stage])
    if status < 0:
        print(f"ended by {signal.Signals(-status).name}; of a server that ended, {warm.LOG} has the reason")
    return status if status >= 0 else 128 - status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
