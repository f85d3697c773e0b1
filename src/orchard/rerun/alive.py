"""Which processes of orchard and DVC live in this folder: one run at a time, and none beside jobs of a killed one."""

import contextlib
import fcntl
import re
import time
from pathlib import Path

import psutil

from orchard import links, paths
from orchard.errors import UserError

SNAKEMAKE_LOCKS = paths.SNAKEMAKE / "locks"
JOBS = paths.DVC_SCRATCH / "jobs"  # every job holds a shared lock of this file as long as it lives
BUSY = paths.DVC_SCRATCH / "rwlock"  # DVC's list of which process writes and reads which paths
GONE_WITHIN = 30  # seconds for the jobs of a killed run to end: ours, they die within one unless the machine is full
_held: dict[Path, object] = {}  # keeps the lock files of this process open until it ends


def be_the_only_run() -> None:
    """Makes this the only running orchard of the folder, and clears the lock that a killed Snakemake left behind.

    The operating system frees the lock when its process dies, however it dies.

    Raises:
        UserError: another run is there.
    """
    paths.RUNNING.parent.mkdir(exist_ok=True)
    _held[paths.RUNNING] = links.open_own(paths.RUNNING, "w")  # held until the process ends
    try:
        fcntl.flock(_held[paths.RUNNING], fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise UserError(
            found="another snakemake runs in this folder",
            rule="one at a time",
            why="both would write the same outputs",
            fix="wait for it, or stop it",
        ) from None
    for lock in SNAKEMAKE_LOCKS.glob("*"):
        lock.unlink()


def mark_job() -> None:
    """Holds a shared lock until this process ends, however it ends: a new run sees by it that old jobs still live.

    On a file system without such locks, a new run does not wait.
    """
    JOBS.parent.mkdir(parents=True, exist_ok=True)
    _held[JOBS] = links.open_own(JOBS, "a")  # held until the process ends
    with contextlib.suppress(OSError):
        fcntl.flock(_held[JOBS], fcntl.LOCK_SH)


def wait_for_old_jobs() -> None:
    """Waits until the jobs of a killed run are gone, and takes away DVC's list of writers if none of them lives.

    Such an entry is of a DVC command by hand; while its process lives, DVC says that the paths are busy. A kill may
    also have cut the list, which DVC would refuse to read.
    """
    deadline = time.time() + GONE_WITHIN
    while _is_busy() and time.time() < deadline:
        time.sleep(0.2)


def _is_busy() -> bool:
    """Whether a job of an earlier run lives, or a DVC command that is listed as a writer; a list of dead ones goes."""
    listed = BUSY.read_text() if BUSY.is_file() else ""
    if not any(_is_running(int(pid)) for pid in re.findall(r'"pid": (\d+)', listed)):
        BUSY.unlink(missing_ok=True)
    return jobs_live() or BUSY.is_file()


def jobs_live() -> bool:
    """Whether a job of an earlier run still lives."""
    JOBS.parent.mkdir(parents=True, exist_ok=True)
    with links.open_own(JOBS, "a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:  # a file system without such locks
            return False
    return False


def _is_running(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
