"""What a Snakemake job runs: DVC's reproduction of one stage.

python -m orchard.job STAGE
"""

import sys

from orchard import stage


def repro(name: str) -> int:
    """Reproduces one stage by DVC, in this process; waits where another job has DVC's lock. Returns the exit status.

    Where a remote is named, DVC looks there before it runs a stage whose output is not here; without one it must not
    be asked to (it would fail instead of running the stage).
    """
    stage.die_with_parent()
    from dvc.cli import main
    from dvc.repo import Repo

    with Repo() as repo:
        pull = ["--pull"] if repo.config["core"].get("remote") else []
    return main(["--wait-for-lock", "repro", "--single-item", *pull, name])


if __name__ == "__main__":
    sys.exit(repro(sys.argv[1]))
