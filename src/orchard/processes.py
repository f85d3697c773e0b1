"""What a process knows of itself: its place among several, its parent's life, and how far its work is.

Stages that train can run in several processes, one per GPU (`accelerate launch`).
"""

import atexit
import ctypes
import json
import os
import re
import resource
import signal
import sys
import time

from orchard import paths

RANK = "RANK"  # set by accelerate launch: the number of this process, from 0
COUNT = "ORCHARD_PROCESSES"  # set by a job: the number of its GPUs
COST = "used {:.2f} CPU s and at most {:.0f} MiB"  # what a process says of itself at its end
COST_SAID = re.compile(r"^used ([\d.]+) CPU s and at most (\d+) MiB$", re.MULTILINE)


def count() -> int:
    """The number of processes that a stage may run in: one per GPU of its job."""
    return max(1, int(os.environ.get(COUNT) or 1))


def is_first() -> bool:
    """Whether this is the only process of the stage, or the first of several, which alone writes."""
    return os.environ.get(RANK, "0") == "0"


def is_sharded() -> bool:
    """Whether each process of the stage holds a shard of the weights alone (FSDP), as its launch says."""
    return os.environ.get("ACCELERATE_USE_FSDP") == "true"


def leave_to_first() -> None:
    """Ends every process of the stage but the first."""
    if not is_first():
        sys.exit()


def die_with_parent() -> None:
    """On Linux, ends this process when the one above it is killed, so that no orphan works beside its successor."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # 1 is PR_SET_PDEATHSIG


def tell_cost_at_exit(*, with_children: bool) -> None:
    """Writes what this process used as the last line of its log (orchard.lineage.costs reads it).

    Args:
        with_children: whether that of its ended children counts too; a job's stage tells its own.
    """
    if RANK not in os.environ:  # of several processes, the one above them tells it
        atexit.register(_tell_cost, with_children)


def _tell_cost(with_children: bool) -> None:
    used = [resource.getrusage(resource.RUSAGE_SELF)]
    if with_children:
        used.append(resource.getrusage(resource.RUSAGE_CHILDREN))
    seconds = sum(each.ru_utime + each.ru_stime for each in used)
    print(COST.format(seconds, max(each.ru_maxrss for each in used) / 1024), flush=True)


class Progress:
    """Reports how far a stage is, in ``logs/progress/<stage>.json``, at most twice a second.

    Args:
        stage: its name in DVC, ``sft@nll-1``.
        total: the number of steps.
    """

    def __init__(self, stage: str, total: int):
        self.file, self.total = paths.PROGRESS / f"{stage}.json", total
        self.done, self._written = 0, 0.0
        paths.PROGRESS.mkdir(parents=True, exist_ok=True)

    def step(self, done: int | None = None) -> None:
        """Counts one more step, or sets the count."""
        if not is_first():
            return
        self.done = self.done + 1 if done is None else done
        if time.monotonic() - self._written > 0.5 or self.done >= self.total:
            self._written = time.monotonic()
            scratch = self.file.with_suffix(".new")
            scratch.write_text(json.dumps({"done": self.done, "total": self.total}))
            scratch.rename(self.file)
