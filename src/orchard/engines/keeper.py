"""Runs a server as long as the process that asked for it lives, and ends it with all of its children.

    python -m orchard.engines.keeper COMMAND [ARGUMENT ...]

Its standard input is a pipe from that process. The pipe ends when the process does, however that ended: also when it
was killed and could not end anything itself. The keeper takes in the children that the server leaves behind, so none
of them is missed.
"""

import contextlib
import ctypes
import os
import select
import subprocess
import sys
import time

import psutil

from orchard import processes

LOOKS = 0.2  # seconds between two looks at the server: ours
ENDS_WITHIN = 10  # seconds that a server gets to end by itself: ours; it has nothing to save
OURS = {"PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV"}  # of this Python's environment, which is not the server's
TAKE_IN = 36  # PR_SET_CHILD_SUBREAPER: a child whose parent ended becomes this process's


def main(command: list[str]) -> int:
    """The exit status of the server; it is ended with everything that it started."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(TAKE_IN, 1)
    environment = {name: value for name, value in os.environ.items() if name not in OURS}
    server = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        env=environment,
        start_new_session=True,
        preexec_fn=processes.die_with_parent,
    )
    while server.poll() is None and not select.select([sys.stdin], [], [], LOOKS)[0]:
        pass
    end_children()
    return server.wait()


def end_children() -> None:
    """Asks all descendants to end, and kills those that do not."""
    left = psutil.Process().children(recursive=True)
    for each in left:
        _tell(each.terminate)
    psutil.wait_procs(left, timeout=ENDS_WITHIN)
    while left := [each for each in psutil.Process().children(recursive=True) if _is_alive(each)]:
        for each in left:
            _tell(each.kill)
        psutil.wait_procs(left, timeout=1)
        time.sleep(LOOKS)


def _is_alive(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _tell(signal) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        signal()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
