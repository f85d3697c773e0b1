"""What a process knows of itself: its surroundings, its place among several, its parent's life, how far its work is.

Stages that train can run in several processes, one per GPU (`accelerate launch`).
"""

import atexit
import codecs
import contextlib
import ctypes
import fcntl
import json
import locale
import os
import re
import resource
import signal
import sys
import time
from pathlib import Path

from orchard import imports, paths
from orchard.errors import UserError

RANK = "RANK"  # set by accelerate launch: the number of this process, from 0
COUNT = "ORCHARD_PROCESSES"  # set by a job: the number of its GPUs
COST = "used {:.2f} CPU s and at most {:.0f} MiB"  # what a process says of itself at its end
COST_SAID = re.compile(r"^used ([\d.]+) CPU s and at most (\d+) MiB$", re.MULTILINE)
JOB = "ORCHARD_JOB"  # set by a job: its stage is run by Snakemake, not by DVC alone
SETTLED = "ORCHARD_SETTLED"  # the process that has settled; a number of its own does not change when it starts anew


def settle() -> None:
    """Starts this process anew where its surroundings would change what it does.

    - A Python environment may have another clone's code installed: a stage runs the code of its working folder. Where
      it cannot, the process ends with a message.
    - Files and output are UTF-8, whatever the locale says.
    - Warnings of libraries are no errors.
    """
    changed = {name: value for name, value in surroundings().items() if os.environ.get(name, "") != value}
    if changed and os.environ.get(SETTLED) != str(os.getpid()):
        os.environ.update(changed, **{SETTLED: str(os.getpid())})
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
    if not is_this_clones():
        error = UserError(
            found=f"the code of {imports.PACKAGE}, while {Path.cwd()} has its own",
            rule="a project runs its own code",
            why="its dvc.lock would name code that did not run",
            fix="call Python without -I, -E and -P, or install this clone (`pip install --no-deps --editable .`)",
        )
        sys.exit(f"\n{error}")


def surroundings() -> dict[str, str]:
    """The environment variables that this process and those below it need to be as ``settle`` says."""
    found = {"PYTHONIOENCODING": ""}
    if codecs.lookup(locale.getpreferredencoding(False)).name != "utf-8":
        found["PYTHONUTF8"] = "1"
    if "error" in os.environ.get("PYTHONWARNINGS", ""):
        found["PYTHONWARNINGS"] = ""
    if not is_this_clones():
        found["PYTHONPATH"] = os.pathsep.join(filter(None, [str(own_code()), os.environ.get("PYTHONPATH")]))
    return found


def own_code() -> Path:
    """The folder of the working folder's own package."""
    return Path("src").resolve()


def is_this_clones() -> bool:
    """Whether the code that runs is that of the working folder, if the folder has any."""
    own = own_code() / imports.NAME
    return not (own / "__init__.py").is_file() or own == imports.PACKAGE.resolve()


def count() -> int:
    """The number of processes that a stage may run in: one per GPU of its job."""
    return max(1, int(os.environ.get(COUNT) or 1))


def has_gpus() -> bool:
    """Whether the job of this process was given GPUs."""
    return int(os.environ.get(COUNT) or 0) > 0


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


def ask_nothing() -> None:
    """Closes the standard input: a question that nobody sees would be waited on for ever."""
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)


def is_locked(file: Path) -> bool:
    """Whether a process holds the lock of a file; not known, so no, on a file system without such locks."""
    with contextlib.suppress(FileNotFoundError), open(file) as opened:
        try:
            fcntl.flock(opened, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except OSError:
            return False
    return False


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
