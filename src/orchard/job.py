"""What a Snakemake job runs: DVC's reproduction of one stage.

python -m orchard.job STAGE
"""

import sys

from orchard import stage


def repro(name: str) -> int:
    """Reproduces one stage by DVC, in this process; waits where another job has DVC's lock. Returns the exit status."""
    stage.die_with_parent()
    from dvc.cli import main

    return main(["--wait-for-lock", "repro", "--single-item", "--pull", name])


if __name__ == "__main__":
    sys.exit(repro(sys.argv[1]))
