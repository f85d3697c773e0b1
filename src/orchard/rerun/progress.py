"""What a run prints: its plan beforehand, how far it is, and the logs of what failed."""

import json
import os
import shutil
import sys
import threading
import time
from collections.abc import Iterable
from pathlib import Path

from orchard import paths
from orchard.lineage import costs

REPORT_EVERY = 15  # seconds between two lines of progress: ours, often enough to see movement and still read the log
FAILED = ("ERROR: failed to reproduce", "found: ")  # what DVC, and a job itself, write into a job's log
LAST_LINES = 12  # of a failed job's log: ours, enough for a message of four lines or the end of a traceback
MOST_NAMES = 6  # of stages in a real run's plan: ours, a dry run names all
_BEFORE: dict[Path, tuple[int, int]] = {}  # the logs of earlier runs, when this one starts


def print_plan(stages: list[str], changed: list[str], behind: list[str], cores: int | None, is_real: bool) -> None:
    """Says beforehand what will run and about how long it takes; a dry run names every stage."""
    if not changed:
        return
    show = _some if is_real else "\n".join
    lines = [f"{len(changed)} of {len(stages)} stages are changed or missing:", show(f"  {name}" for name in changed)]
    if behind:
        lines += [
            f"{len(behind)} stages behind them run only if their input's content changes:",
            show(f"  {name}" for name in behind),
        ]
    seconds, unknown = costs.expected(changed + behind)
    cores = cores or os.cpu_count()
    lines.append(
        f"At most about {max(1, round(seconds / cores / 60))} min on {cores} cores, less what the cache has"
        + (f" (not counting {unknown} stages whose duration is not known)." if unknown else ".")
    )
    print("\n".join(lines), file=sys.stderr)


def report(stale: int) -> None:
    """Starts a thread that prints which stages run, how far each is and about how long the rest takes."""
    shutil.rmtree(paths.PROGRESS, ignore_errors=True)
    _BEFORE.update(_states())
    threading.Thread(target=_report_loop, args=(stale, time.time()), daemon=True).start()


def _states() -> dict[Path, tuple[int, int]]:
    """What each log and benchmark is known by; another clock than ours may set its time."""
    found = {file: file.stat() for file in paths.LOGS.rglob("*.*") if file.is_file()}
    return {file: (state.st_ino, state.st_mtime_ns) for file, state in found.items()}


def _written(suffix: str) -> list[Path]:
    """The files of this run, of those with a suffix."""
    return sorted(file for file, state in _states().items() if file.suffix == suffix and _BEFORE.get(file) != state)


def _report_loop(stale: int, start: float) -> None:
    while True:
        time.sleep(REPORT_EVERY)
        running = []
        for file in sorted(paths.PROGRESS.glob("*.json")):
            state = json.loads(file.read_text())
            if state["done"] < state["total"]:
                running.append(f"{file.stem} {state['done']}/{state['total']}")
        done = len(_written(".tsv"))
        minutes = (time.time() - start) / 60
        rest = f", about {max(1, round(minutes / done * (stale - done)))} min left" if done else ""
        print(f"[{done} of {stale} stages{rest}] {'; '.join(running)}", file=sys.stderr, flush=True)


def print_failures() -> None:
    """Names the log of each stage that failed in this run, with its last lines."""
    for log in _written(".log"):
        lines = log.read_text(errors="replace").splitlines()
        if any(line.startswith(FAILED) for line in lines):
            print(f"\nfailed: {log}, which ends in", *lines[-LAST_LINES:], sep="\n  ", file=sys.stderr)


def _some(names: Iterable[str]) -> str:
    names = list(names)
    return "\n".join(
        names[:MOST_NAMES] + ([f"  and {len(names) - MOST_NAMES} more"] if len(names) > MOST_NAMES else [])
    )
