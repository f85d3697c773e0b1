"""Every patch of DVC and Snakemake but the gate's (orchard.lineage.gate), with the versions that all were tried with.

DVC asks git whether it ignores an output, and refuses outputs behind a link out of the repository. It hashes what a
stage read when the command has ended, so that an edit meanwhile is recorded with what was made before it. Snakemake
judges by time stamps, and deletes an output that is older than an input.

DVC's jobs work one after the other under one lock, and try again every half second: 200 jobs wake 400 times a second.
Its lock for network file systems (core.hardlink_lock) does not end with the process that holds it.
Its lists of who reads and writes grow with the jobs. It fills dvc.lock where it stands, so that a kill leaves it cut,
and parses all of each file, several times per job. It starts a stage as a new process, which imports for seconds.
"""

import contextlib
import copy
import fcntl
import functools
import json
import os
import time
from collections.abc import Callable, Iterable, Iterator
from importlib.metadata import version
from pathlib import Path

from ruamel.yaml.error import YAMLError

from orchard import links, paths
from orchard.errors import UserError
from orchard.lineage import gate, graph, lock, parsed
from orchard.rerun import began, lockfile, warm

TRIED = {"dvc": "3.67.1", "flufl.lock": "9.2.0", "snakemake": "9.27.1"}
LONG = 1  # second; a longer wait for a lock stands in the job's log: ours, less is not worth a line
TURN = paths.DVC_SCRATCH / "lock.turn"  # held by the one job that changes dvc.lock
LOOK_EVERY = 5  # seconds between two looks whether a hard-link lock's holder lives: ours, rare beside its polling


def refuse_other_versions() -> None:
    """Raises a UserError if DVC or Snakemake is of a version that the patches were not tried with."""
    for package, tried in TRIED.items():
        if (found := version(package)) != tried:
            raise UserError(
                found=f"{package} {found}",
                rule=f"it is {tried}, which requirements.lock pins",
                why="src/orchard/rerun/dvc_patches.py changes its inside, and was tried with that version alone",
                fix="`pip install --requirement requirements.lock`, or make the environment anew with `make`",
            )


def install(name: str | None = None) -> None:
    """Patches DVC in this process.

    Args:
        name: the one stage that it reproduces; None: it reproduces none.
    """
    import dvc.lock
    import dvc.rwlock
    import flufl.lock

    refuse_other_versions()
    gate.install()
    dvc.lock.Lock.lock = functools.partialmethod(_lock_in_line, name is not None)
    dvc.lock.HardlinkLock.lock = _lock_unless_dead
    dvc.lock.HardlinkLock._set_claimfile = flufl.lock.Lock._set_claimfile  # DVC's is a hash, without host and process
    dvc.rwlock.rwlock = _check_rwlock
    leave_git_alone()
    record_what_was_read()
    write_lock_whole()
    parse_less(name)
    fork_stages()


# Locks


def _lock_in_line(self, is_shared: bool) -> None:
    """Waits for a lock in the operating system's line. It is the same lock of the same file that DVC itself takes.

    Args:
        self: DVC's lock.
        is_shared: others may share it. The jobs of a run do: each writes its own output, adds to the cache, and changes
            its own entry of dvc.lock in its turn. A command by hand has the lock alone, as ever.
    """
    with _logged_wait():
        self._lock = links.open_own(self.lockfile, "a")  # held until DVC closes it
        fcntl.flock(self._lock, fcntl.LOCK_SH if is_shared else fcntl.LOCK_EX)


@contextlib.contextmanager
def _in_turn() -> Iterator[None]:
    """Lets no other job change dvc.lock until the block ends.

    Where a file system has no such lock, DVC's hard-link lock is in use, which jobs do not share.
    """
    TURN.parent.mkdir(parents=True, exist_ok=True)
    with links.open_own(TURN, "a") as held:
        with contextlib.suppress(OSError):
            fcntl.flock(held, fcntl.LOCK_EX)
        yield


def _lock_unless_dead(self, timeout=None) -> None:
    """Waits for a hard-link lock, and breaks it if the process that holds it was of this host and is no more.

    What another host holds cannot be known from here: if a whole node dies within the moments in which a job holds the
    lock, its file has to be removed by hand.
    """
    import flufl.lock

    with _logged_wait():
        while True:
            if self.state is flufl.lock.LockState.stale:
                _break_once(self)
            with contextlib.suppress(flufl.lock.TimeOutError):
                return flufl.lock.Lock.lock(self, LOOK_EVERY)


def _break_once(held) -> None:
    """Breaks the lock of a dead process. Of all that want to, the one that removes its claim may; the others are late.

    Without that, the second would break the lock of a third that has just got it.
    """
    claim = held._read()
    with contextlib.suppress(FileNotFoundError):
        os.unlink(claim)
        os.unlink(held.lockfile)


@contextlib.contextmanager
def _check_rwlock(tmp_dir: str, fs, cmd: str, read: list[str], write: list[str], hardlink: bool) -> Iterator[None]:
    """DVC's check whether a command by hand reads or writes the paths of a stage, without listing this job itself.

    Snakemake runs no jobs at once that overlap, so an entry of a job could only be left over from a killed one. DVC
    would judge that by the process number alone, which another process of another node may have; a kill that cut the
    list would fail all jobs after it; a list of 200 jobs took each of them 0.5 s. Who edits it has DVC's lock, as this
    job has.
    """
    import dvc.rwlock

    path = Path(tmp_dir, dvc.rwlock.RWLOCK_FILE)
    if path.exists():
        listed = json.loads(path.read_text(encoding="utf-8"))
        for mode, waiters in (("write", read + write), ("read", write)):
            dvc.rwlock._check_blockers(tmp_dir, {mode: listed.get(mode, {})}, None, mode=mode, waiters=waiters)
    yield


@contextlib.contextmanager
def _logged_wait() -> Iterator[None]:
    """Writes into the job's log how long the block waited."""
    start = time.monotonic()
    yield
    if (waited := time.monotonic() - start) > LONG:
        print(f"waited {waited:.1f} s for DVC's lock", flush=True)


# What is recorded


def leave_git_alone() -> None:
    """Makes DVC ask git nothing: it would refuse `results` or `data` that are links, and a folder without git.

    Git ignores both folders anyway (.gitignore).
    """
    from dvc.repo import Repo

    original = Repo.__init__

    def without_git(self, *args, config=None, **options) -> None:
        original(self, *args, config={"core": {"no_scm": True}} | (config or {}), **options)

    Repo.__init__ = without_git


def record_what_was_read() -> None:
    """Makes DVC record nothing of a stage whose code, parameters or inputs changed while its command ran.

    DVC hashes them before the command and again after it, and records the latter.
    """
    import dvc.stage
    import dvc.stage.run

    run, save_deps = dvc.stage.run.cmd_run, dvc.stage.Stage.save_deps

    def run_as_began(stage, dry=False, run_env=None) -> None:
        _refuse_change_since_start(stage)
        stage.read = _read_by(stage)
        run(stage, dry, run_env)

    def save_if_unchanged(self, allow_missing=False) -> None:
        save_deps(self, allow_missing)
        if (before := getattr(self, "read", None)) and before != (now := _read_by(self)):
            changed = [path for path in now if now[path] != before.get(path)]
            raise _in_dvc(
                UserError(
                    found=f"{self.addressing}: {', '.join(changed)} changed while its command ran",
                    rule="what a stage reads stays as it is until it ends",
                    why="nobody could say which of the two contents its output was made of, so it is not recorded",
                    fix="`snakemake --cores all` once more, which makes it anew",
                )
            )

    dvc.stage.run.cmd_run = run_as_began
    dvc.stage.Stage.save_deps = save_if_unchanged


def _refuse_change_since_start(stage) -> None:
    from dvc.dependency import ParamsDependency

    values = {key: value for dep in stage.deps if isinstance(dep, ParamsDependency) for key, value in _values(dep)}
    code = [str(dep) for dep in stage.deps if str(dep).startswith(lock.CODE)]
    try:
        began.refuse_change(stage.addressing, stage.cmd, values, code)
    except UserError as error:
        raise _in_dvc(error) from None


def _values(dep) -> Iterable[tuple]:
    return (dep.hash_info.value or {}).items()


def _read_by(stage) -> dict:
    """What a stage reads, as DVC has just hashed it; a file of code that was put back meanwhile counts as changed."""
    found = {}
    for dep in stage.deps:
        state = os.stat(str(dep)) if str(dep).startswith(lock.CODE) and os.path.isfile(str(dep)) else None
        found[str(dep)] = (copy.deepcopy(dep.hash_info), state and (state.st_ino, state.st_mtime_ns))
    return found


def _in_dvc(error: UserError) -> Exception:
    """A message as DVC prints it: without a traceback."""
    from dvc.exceptions import DvcException

    return DvcException(f"\n{error}")


# Files


def write_lock_whole() -> None:
    """Makes DVC put dvc.lock in place in one step, and write anew only what changed in it; the bytes are DVC's own.

    DVC's YAML library keeps comments, of which dvc.lock has none, and takes 3 s of each job where there are 200 stages.
    """
    from dvc.utils.serialize import _yaml

    @contextlib.contextmanager
    def modify(path, parser, dumper, fs=None) -> Iterator[dict]:
        path = Path(path)
        with _in_turn():
            old = path.read_text(encoding="utf-8") if path.exists() else ""
            data = _yaml.parse_yaml(old, path)
            before = lockfile.as_json(data)
            yield data
            half = Path(f"{path}.half")
            new = lockfile.changed_text(old, before, data, dumper)
            links.write_own(half, new)
            half.replace(path)
        for lines in {*(lock.by_name(new) or {}).values()} - {*(lock.by_name(old) or {}).values()}:
            parsed.loads(lines)  # so that the next run need not

    _yaml._modify_data = modify


def parse_less(name: str | None = None) -> None:
    """Makes DVC take what its files hold from `orchard.lineage.parsed`, and of dvc.lock and the runs the one stage's.

    The run has checked the whole of dvc.lock (orchard.lineage.gate).

    Args:
        name: the stage; None: all are parsed, each by itself.
    """
    from dvc.utils import strictyaml
    from dvc.utils.serialize import _yaml

    plain = _yaml.parse_yaml

    def whole(text: str, path, typ: str = "safe") -> dict:
        with contextlib.suppress(YAMLError):  # DVC has its own message for it
            return parsed.loads(text) or {}
        return plain(text, path, typ)

    def parse(text: str, path, typ: str = "safe") -> dict:
        if typ != "safe":
            return plain(text, path, typ)
        if name and Path(path).name == str(paths.PARAMS):
            return graph.needed(whole(text, path), name)
        if not (stages := lock.by_name(text)):
            return whole(text, path)
        if name:  # DVC refuses a dvc.lock without stages, so one of another is there where it has none of its own
            stages = dict([(name, stages[name]) if name in stages else next(iter(stages.items()))])
        return {"schema": "2.0", "stages": {each: whole(lines, path)[each] for each, lines in stages.items()}}

    _yaml.parse_yaml = strictyaml.parse_yaml = parse


# Commands


def fork_stages() -> None:
    """Makes DVC run a stage's command as a fork of this run's server, where there is one."""
    import dvc.stage.run
    from dvc.stage.exceptions import StageCmdFailedError

    plain = dvc.stage.run._run

    def run(executable: str, command: str, cwd: str, env: dict[str, str], **options) -> None:
        status = warm.run_command(command, cwd, env)
        if status is None:
            plain(executable, command, cwd=cwd, env=env, **options)
        elif status:
            raise StageCmdFailedError(command, status)

    dvc.stage.run._run = run


# Snakemake


def before_execution(workflow, prepare: Callable[[bool, bool], None]) -> None:
    """Lets something be done before Snakemake works out what to run; Snakemake has a hook only for the time after.

    Args:
        workflow: Snakemake's workflow object.
        prepare: called with whether jobs will really run (not in a dry run, nor with --touch), and whether on this
            machine, which Snakemake itself does not know yet by then.
    """
    execute = workflow.execute

    def prepared(*args, executor_plugin, **options):
        settings = executor_plugin.common_settings
        prepare(not (settings.dryrun_exec or settings.touch_exec), settings.local_exec)
        return execute(*args, executor_plugin=executor_plugin, **options)

    workflow.execute = prepared


def ignore_time_stamps(workflow, stale: Callable[[], Iterable[str]]) -> None:
    """Makes Snakemake start what DVC calls stale, and never compare time stamps, which other clocks may have set.

    It would not start a stage whose output is dated in the future, and delete one that is older than its input.

    Args:
        workflow: Snakemake's workflow object.
        stale: gives the outputs that are to be made anew, whatever their time stamps.
    """
    from snakemake.dag import DAG

    async def check_nothing(self, job, expanded_output) -> None:
        pass

    DAG.check_output_mtime = check_nothing
    prepare = workflow._prepare_dag

    def prepare_forced(*args, **options) -> None:
        prepare(*args, **options)
        workflow._dag.forcefiles.update(stale())

    workflow._prepare_dag = prepare_forced


def lift_job_rate(workflow) -> None:
    """Takes off Snakemake's limit of jobs a second on this machine, where cores are the limit.

    With it, Snakemake looks at all waiting jobs once a second for every job that ended: a third of a core after 100
    jobs, a whole one after 300.
    """
    if workflow.local_exec:
        workflow.scheduler.job_rate_limiter = None
