"""What a Snakemake job runs: DVC's reproduction of one stage.

python -m orchard.job STAGE
"""

import os
import sys

from orchard import stage


def repro(name: str) -> int:
    """Reproduces one stage by DVC, in this process; waits where another job has DVC's lock. Returns the exit status.

    Where a remote is named, DVC looks there before it runs a stage whose output is not here; without one it must not
    be asked to (it would fail instead of running the stage).
    """
    stage.die_with_parent()
    write_lock_whole()
    from dvc.cli import main
    from dvc.repo import Repo

    with Repo() as repo:
        pull = ["--pull"] if repo.config["core"].get("remote") else []
    return main(["--wait-for-lock", "repro", "--single-item", *pull, name])


def write_lock_whole() -> None:
    """Makes DVC put dvc.lock in place in one step; it fills the file where it is, and a kill would leave it cut."""
    from dvc.utils.serialize import _common  # no public way; pinned in requirements.lock, and tests/test_kill.py sees

    def dump(path, data, dumper, fs=None, **options) -> None:
        half = f"{path}.half"
        with open(half, "w", encoding="utf-8") as file:
            dumper(data, file, **options)
        os.replace(half, path)

    _common._dump_data = dump


if __name__ == "__main__":
    sys.exit(repro(sys.argv[1]))
