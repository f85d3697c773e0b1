"""How orchard's jobs wait for DVC's locks: in line, never for the dead, and never for each other's entries.

DVC's own waiting tries again every half second, so that 200 jobs wake 400 times a second and the lock is idle between
few. Its lock for network file systems (core.hardlink_lock) does not end with the process that holds it.
"""

import contextlib
import fcntl
import json
import os
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import dvc.lock
import dvc.rwlock
import flufl.lock

LONG = 1  # second; a longer wait is told in the job's log: ours, less is not worth a line
LOOK_EVERY = (
    5  # seconds between two looks whether the holder of a hard-link lock is alive: ours, rare beside its polling
)
JOB = "orchard/job.py"  # in the command that DVC lists for a job


def install() -> None:
    """Gives DVC's locks in this process the methods below."""
    dvc.lock.Lock.lock = in_line
    dvc.lock.HardlinkLock.lock = unless_dead
    dvc.lock.HardlinkLock._set_claimfile = flufl.lock.Lock._set_claimfile  # DVC's is a hash, without host and process
    dvc.rwlock._check_blockers = not_by_jobs
    dvc.rwlock._edit_rwlock = edit_whole


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
            with contextlib.suppress(flufl.lock.TimeOutError):
                return flufl.lock.Lock.lock(self, LOOK_EVERY)
            if self.state is flufl.lock.LockState.stale:
                break_once(self)


def break_once(lock: dvc.lock.HardlinkLock) -> None:
    """Breaks the lock of a dead process. Of all that want to, the one that removes its claim may; the others are late.

    Without that, the second would break the lock of a third that has just got it.
    """
    claim = lock._read()
    with contextlib.suppress(FileNotFoundError):
        os.unlink(claim)
        os.unlink(lock.lockfile)


_check_blockers = dvc.rwlock._check_blockers


def not_by_jobs(tmp_dir, lock, info, *, mode, waiters) -> None:
    """DVC's check who else reads or writes a path, without orchard's jobs: Snakemake runs none at once that overlap.

    An entry of a job can therefore only be left over from a killed one. DVC would tell that by the process number
    alone, which another process of another node may have by chance.
    """
    listed = {
        path: [one for one in (entry if isinstance(entry, list) else [entry]) if JOB not in one["cmd"]]
        for path, entry in lock[mode].items()
    }
    _check_blockers(tmp_dir, {mode: listed}, info, mode=mode, waiters=waiters)


@contextlib.contextmanager
def edit_whole(lock_dir: str, fs, hardlink: bool) -> Iterator[dict]:
    """Edits DVC's list of who reads and writes what, in one step: DVC fills it where it is, and a kill would leave it
    cut, which fails every job after it.
    """
    path = Path(lock_dir, dvc.rwlock.RWLOCK_FILE)
    with dvc.lock.make_lock(f"{path}.lock", tmp_dir=lock_dir, hardlink_lock=hardlink):
        listed = dvc.rwlock.SCHEMA(json.loads(path.read_text()) if path.exists() else {})
        lock = {"write": defaultdict(dict, listed["write"]), "read": defaultdict(list, listed["read"])}
        yield lock
        half = path.with_suffix(".half")
        half.write_text(json.dumps(lock))
        half.replace(path)


@contextlib.contextmanager
def told_wait() -> Iterator[None]:
    """Tells in the job's log how long the block waited."""
    start = time.monotonic()
    yield
    if (waited := time.monotonic() - start) > LONG:
        print(f"waited {waited:.1f} s for DVC's lock", flush=True)
