"""How orchard's processes wait for DVC's locks: in line, never for the dead, and without a list that grows.

DVC's own waiting tries again every half second, so that 200 jobs wake 400 times a second and the lock is idle between
few. Its lock for network file systems (core.hardlink_lock) does not end with the process that holds it.
"""

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import dvc.lock
import dvc.rwlock
import flufl.lock

LONG = 1  # second; a longer wait is told in the job's log: ours, less is not worth a line
LOOK_EVERY = (
    5  # seconds between two looks whether the holder of a hard-link lock is alive: ours, rare beside its polling
)
JOBS = Path(".dvc/tmp/jobs")  # every job holds a shared lock of this file as long as it lives
_alive = None


def install() -> None:
    """Gives DVC's locks in this process the functions below."""
    dvc.lock.Lock.lock = in_line
    dvc.lock.HardlinkLock.lock = unless_dead
    dvc.lock.HardlinkLock._set_claimfile = flufl.lock.Lock._set_claimfile  # DVC's is a hash, without host and process
    dvc.rwlock.rwlock = unlisted


def in_line(self: dvc.lock.Lock) -> None:
    """Waits for a lock in the operating system's line. It is the same lock of the same file that DVC itself takes."""
    with told_wait():
        self._lock = open(self.lockfile, "a")  # noqa: SIM115  (held until DVC closes it)
        fcntl.flock(self._lock, fcntl.LOCK_EX)


def unless_dead(self: dvc.lock.HardlinkLock, timeout=None) -> None:
    """Waits for a hard-link lock, and breaks it if the process that holds it was of this host and is no more.

    What another host holds cannot be told from here: if a whole node dies within the moments in which a job holds the
    lock, its file has to be removed by hand.
    """
    with told_wait():
        while True:
            if self.state is flufl.lock.LockState.stale:
                break_once(self)
            with contextlib.suppress(flufl.lock.TimeOutError):
                return flufl.lock.Lock.lock(self, LOOK_EVERY)


def break_once(lock: dvc.lock.HardlinkLock) -> None:
    """Breaks the lock of a dead process. Of all that want to, the one that removes its claim may; the others are late.

    Without that, the second would break the lock of a third that has just got it.
    """
    claim = lock._read()
    with contextlib.suppress(FileNotFoundError):
        os.unlink(claim)
        os.unlink(lock.lockfile)


@contextlib.contextmanager
def unlisted(tmp_dir: str, fs, cmd: str, read: list[str], write: list[str], hardlink: bool) -> Iterator[None]:
    """DVC's check whether a command by hand reads or writes the paths of a stage, without listing this job itself.

    Snakemake runs no jobs at once that overlap, so an entry of a job could only be left over from a killed one. DVC
    would judge that by the process number alone, which another process of another node may have; a kill that cut the
    list would fail all jobs after it; a list of 200 jobs took each of them 0.5 s. Who edits it has DVC's lock, as this
    job has.
    """
    path = Path(tmp_dir, dvc.rwlock.RWLOCK_FILE)
    if path.exists():
        listed = json.loads(path.read_text(encoding="utf-8"))
        for mode, paths in (("write", read + write), ("read", write)):
            dvc.rwlock._check_blockers(tmp_dir, {mode: listed.get(mode, {})}, None, mode=mode, waiters=paths)
    yield


def mark_alive() -> None:
    """Holds a shared lock until this process ends, however it ends: a new run sees by it that old jobs still live.

    A file system without such locks cannot tell; then a new run does not wait.
    """
    global _alive
    JOBS.parent.mkdir(parents=True, exist_ok=True)
    _alive = open(JOBS, "a")  # noqa: SIM115  (held until the process ends)
    with contextlib.suppress(OSError):
        fcntl.flock(_alive, fcntl.LOCK_SH)


def jobs_live() -> bool:
    """Whether a job of an earlier run still lives."""
    JOBS.parent.mkdir(parents=True, exist_ok=True)
    with open(JOBS, "a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:  # a file system without such locks
            return False
    return False


@contextlib.contextmanager
def told_wait() -> Iterator[None]:
    """Tells in the job's log how long the block waited."""
    start = time.monotonic()
    yield
    if (waited := time.monotonic() - start) > LONG:
        print(f"waited {waited:.1f} s for DVC's lock", flush=True)
