"""CPU time of all that a benchmark started, also of what outlives its parent (the server of `orchard.rerun.warm`)."""

import contextlib
import ctypes
import os
import resource

CHILD_SUBREAPER = 36  # PR_SET_CHILD_SUBREAPER of linux/prctl.h


def adopt_orphans() -> None:
    """Makes this process the parent of processes below it whose own parent ends."""
    ctypes.CDLL(None, use_errno=True).prctl(CHILD_SUBREAPER, 1, 0, 0, 0)


def cpu_seconds() -> float:
    """User and system time of all processes that ended under this one; waits for those that are ending."""
    with contextlib.suppress(ChildProcessError):
        while True:
            os.waitpid(-1, 0)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
