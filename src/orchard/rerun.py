"""The glue of exact re-runs: DVC decides by content which stages are stale, Snakemake schedules them.

Every rule has a stamp file among its inputs. Where a stage's code, parameters, inputs and output are those of dvc.lock,
its stamp is as old as can be; a changed stage, and every stage behind it, gets a new stamp, so Snakemake starts a job
for it. The job (orchard.job) is `dvc repro` of that one stage, which runs the command, restores its output from the
cache or a remote, or finds that nothing changed after all.
"""

import fcntl
import json
import os
import re
import shutil
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from snakemake.io import ancient

from orchard import config, costs, locks, restore, runs, stage
from orchard.errors import UserError

STAMPS = Path(".dvc/tmp/stamps")
BUSY = Path(".dvc/tmp/rwlock")  # DVC's list of which process writes and reads which paths
GONE_WITHIN = 30  # seconds for the jobs of a killed run to end: ours, they die within one unless the machine is full
EVICTED = stage.SCRATCH / "evicted"
TELL_EVERY = 15  # seconds between two lines of progress: ours, often enough to see movement and still read the log
FAILED = ("ERROR: failed to reproduce", "found: ")  # what DVC, and a job itself, write into a job's log
LAST_LINES = 12  # of a failed job's log: ours, enough for a message of four lines or the end of a traceback
_START = time.time()
_held_lock = None  # keeps this process's lock file open until the process ends


def prepare(workflow) -> list[str]:
    """Run when the main Snakemake process reads the Snakefile: validates the config and brings the stamps up to date.

    Args:
        workflow: Snakemake's workflow object.

    Returns:
        The outputs of all stages; an empty list in a job's own process, which has only its job to do.
    """
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    os.environ["PYTHONPATH"] = str(Path("src").resolve())
    if not workflow.is_main_process:
        return []
    try:
        runs.write(config.load("config.yaml").model_dump())
        refuse_overrides(workflow.config_settings.config, workflow.config_settings.configfiles)
        dry_run = any(re.fullmatch(r"-[a-z]*n[a-z]*|--dry-?run", word) for word in sys.argv)
        if not dry_run:
            take_lock()
            settle_busy()
        stages, changed, behind = staleness()
        if changed and not dry_run:
            restore.meet_remote(changed)
    except UserError as error:
        print(f"\n{error}\n", file=sys.stderr)
        sys.exit(1)
    evict_leftovers(set(stages.values()))
    for name, out in stages.items():
        set_stamp(out, fresh=name not in changed and name not in behind)
    tell_plan(stages, changed, behind, workflow.resource_settings.cores, dry_run)
    return list(stages.values())


def lift_job_rate(workflow) -> None:
    """Takes off Snakemake's limit of jobs a second on this machine, where cores are the limit.

    With it, Snakemake 9.27 looks at all waiting jobs once a second for every job that ended: a third of a core after
    100 jobs, a whole one after 300.
    """
    if workflow.local_exec:
        workflow.scheduler.job_rate_limiter = None


def stamp(out: str) -> str:
    """The stamp of the stage that makes ``out``."""
    return str(STAMPS / f"{out}.stamp")


def made(paths: str | list[str] | Callable) -> Callable:
    """Inputs of a rule that other stages make: time stamps count only where such a stage is stale.

    Args:
        paths: a pattern with wildcards, a list of paths, or a function from wildcards to a path.

    Returns:
        An input function for Snakemake. What a fresh stage made is `ancient`, since a clone's time stamps say nothing;
        what a stale stage makes is not, so that the stages behind it are started after it.
    """

    def of(wildcards):
        if isinstance(paths, list):
            return [_edge(path) for path in paths]
        return _edge(paths(wildcards) if callable(paths) else paths.format(**wildcards))

    return of


def _edge(path: str):
    state = Path(stamp(path))
    return path if state.is_file() and _is_stale(state) else ancient(path)


def _is_stale(state: Path) -> bool:
    return state.read_text() != "fresh"


def staleness() -> tuple[dict[str, str], list[str], list[str]]:
    """What DVC says of the stages: all (name to output), those changed themselves, and those behind a changed one."""
    import networkx
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    locks.install()
    try:
        with Repo(_wait_for_lock=True) as repo:
            changed = set(repo.status())
            graph = repo.index.graph
            stages = {
                node.addressing: str(Path(node.outs[0].fs_path).relative_to(repo.root_dir))
                for node in repo.index.stages
            }
            behind = {
                user.addressing
                for node in graph.nodes
                if node.addressing in changed
                for user in networkx.ancestors(graph, node)
            }
    except DvcException as error:
        raise SystemExit(f"\nDVC cannot read the stages: {error}\n") from error
    return stages, [name for name in stages if name in changed], [name for name in stages if name in behind - changed]


def set_stamp(out: str, fresh: bool) -> None:
    """Makes one stamp older than any output, or newer and of another content (Snakemake compares both)."""
    path = Path(stamp(out))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("fresh" if fresh else f"changed {time.time_ns()}")
    if fresh:
        os.utime(path, (1, 1))


def refuse_overrides(overrides: dict, files: list) -> None:
    """Snakemake's --config and --configfile would change what Snakemake sees and not what DVC sees."""
    if overrides or [Path(file).name for file in files] not in ([], ["config.yaml"]):
        raise UserError(
            f"--config or --configfile ({overrides or files})",
            "the study is the content of config.yaml",
            "DVC decides what to run by that file and would not see the change",
            "edit config.yaml, or copy a file of studies/ over it",
        )


def take_lock() -> None:
    """Makes this the only running orchard of the folder, and clears the lock that a killed Snakemake left behind.

    The operating system frees the lock when its process dies, however it dies.
    """
    global _held_lock
    Path(".snakemake").mkdir(exist_ok=True)
    _held_lock = open(".snakemake/orchard.lock", "w")  # noqa: SIM115  (held until the process ends)
    try:
        fcntl.flock(_held_lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise UserError(
            "another snakemake runs in this folder",
            "one at a time",
            "both would write the same outputs",
            "wait for it, or stop it",
        ) from None
    for lock in Path(".snakemake/locks").glob("*"):
        lock.unlink()


def settle_busy() -> None:
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
    return locks.jobs_live() or BUSY.is_file()


def _is_running(pid: int) -> bool:
    import psutil

    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def evict_leftovers(outs: set[str]) -> None:
    """Moves what no stage of this study makes out of data/ and results/: a stage that reads a folder sees its own.

    Such files come from another study or an earlier config; DVC's cache still has them.
    """
    parents = {Path(out).parent for out in outs} | {Path("results/models"), Path("results/evals")}
    for parent in sorted(filter(Path.is_dir, parents)):
        for child in sorted(parent.iterdir()):
            if child.name[0] != "." and not any(Path(out).is_relative_to(child) for out in outs):
                target = EVICTED / child
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.rmtree(target, ignore_errors=True)
                child.rename(target)
                print(f"{child} is of another study: moved to {target}", file=sys.stderr)


def tell_plan(stages: dict, changed: list[str], behind: list[str], cores: int | None, dry_run: bool) -> None:
    """Says beforehand what will run and about how long it takes; a dry run names every stage."""
    if not changed:
        return
    show = "\n".join if dry_run else _some
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


def tell_progress() -> None:
    """Starts a thread that prints which stages run, how far each is and about how long the rest takes."""
    shutil.rmtree(stage.PROGRESS, ignore_errors=True)
    stale = sum(map(_is_stale, STAMPS.rglob("*.stamp")))
    threading.Thread(target=_progress_loop, args=(stale, time.time()), daemon=True).start()


def _progress_loop(stale: int, start: float) -> None:
    while True:
        time.sleep(TELL_EVERY)
        running = []
        for file in sorted(stage.PROGRESS.glob("*.json")):
            state = json.loads(file.read_text())
            if state["done"] < state["total"]:
                running.append(f"{file.stem} {state['done']}/{state['total']}")
        done = sum(file.stat().st_mtime > start for file in costs.BENCHMARKS.glob("*.tsv"))
        minutes = (time.time() - start) / 60
        rest = f", about {max(1, round(minutes / done * (stale - done)))} min left" if done else ""
        print(f"[{done} of {stale} stages{rest}] {'; '.join(running)}", file=sys.stderr, flush=True)


def tell_failures() -> None:
    """Names the log of each stage that failed in this run, with its last lines."""
    for log in sorted(Path("logs").glob("*.log")):
        lines = log.read_text(errors="replace").splitlines()
        if log.stat().st_mtime > _START and any(line.startswith(FAILED) for line in lines):
            print(f"\nfailed: {log}, which ends in", *lines[-LAST_LINES:], sep="\n  ", file=sys.stderr)


def _some(names, most: int = 6) -> str:
    names = list(names)
    return "\n".join(names[:most] + ([f"  and {len(names) - most} more"] if len(names) > most else []))
