"""What the command of every stage shares: parameters, scratch folders, records, progress, one error message.

A stage writes to a folder in ``.scratch/`` and renames it at the end, so that a half-written output is never an output.
Nothing with a time, a host name or a path of the machine goes into an output.
"""

import contextlib
import ctypes
import fcntl
import gc
import hashlib
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import NoReturn

import yaml

from orchard.errors import UserError

CONFIG = Path("config.yaml")
SCRATCH = Path(".scratch")
PROGRESS = Path("logs/progress")
PARALLEL = Path("profiles/accelerate")
PROCESSES = "ORCHARD_PROCESSES"  # set by a rule: the number of GPUs of its job
FIRST_SAYS_WITHIN = 10  # seconds: ours; when one process ends, the launch ends the others at once
RANK = "RANK"  # set by accelerate launch: the number of this process, from 0
LIBRARIES = ["torch", "transformers", "trl", "datasets", "lm_eval", "numpy", "pandas"]


def set_threads(count: int) -> None:
    """Fixes the number of CPU threads; call it before torch is imported. Sums in another order give other bits."""
    for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[variable] = str(count)
    os.environ.update(
        TOKENIZERS_PARALLELISM="false",
        HF_HUB_OFFLINE=os.environ.get("HF_HUB_OFFLINE", "1"),  # only the fetch stage may use the network
        HF_DATASETS_CACHE=str(SCRATCH / "datasets"),
        TRL_EXPERIMENTAL_SILENCE="1",
    )


def params(*keys: str) -> dict | list:
    """The sub-tree of config.yaml at a path of keys, as plain Python."""
    tree = yaml.safe_load(CONFIG.read_text())
    for key in keys:
        tree = tree[key]
    return tree


def run(main: Callable[[], None], parallel: bool = False) -> None:
    """Runs a stage's main function; a user's mistake ends in its one message and exit status 1, without a traceback.

    Args:
        main: the function.
        parallel: the stage trains, which it can do in several processes, one a GPU, where the rule's job has several.
    """
    die_with_parent()
    # The imports of torch and transformers take 5 s with Python's own thresholds, 3.7 s with these.
    gc.set_threshold(100_000, 50, 50)
    try:
        if RANK not in os.environ:
            if parallel and (processes := int(os.environ.get(PROCESSES) or 1)) > 1:
                launch(processes)
            use_one_gpu()
        main()
    except UserError as error:
        if not is_first():  # of several processes that make the same mistake, one says it
            time.sleep(FIRST_SAYS_WITHIN)
        print(f"\n{error}", file=sys.stderr)
        sys.exit(1)


def launch(processes: int) -> NoReturn:
    """Is `accelerate launch` of this stage from here on: in several processes, as the config's ``parallel`` says."""
    from accelerate.commands.launch import launch_command, launch_command_parser
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    settings = PARALLEL / f"{params('parallel')}.yaml"
    module = sys.modules["__main__"].__spec__.name.removesuffix(".__main__")
    options = ["--config_file", settings, "--num_processes", processes, "--module", module]
    try:
        launch_command(launch_command_parser().parse_args([*map(str, options), *sys.argv[1:]]))
    except ChildFailedError:  # the process that failed has said why
        sys.exit(1)
    sys.exit()


def use_one_gpu() -> None:
    """Hides all GPUs but the first: trainers would split each batch among all they see, unasked."""
    os.environ["CUDA_VISIBLE_DEVICES"] = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0]


def is_first() -> bool:
    """Whether this is the only process of the stage, or the first of several, which alone writes."""
    return os.environ.get(RANK, "0") == "0"


def holds_shares() -> bool:
    """Whether each process of the stage holds a share of the weights alone (FSDP), as its launch says."""
    return os.environ.get("ACCELERATE_USE_FSDP") == "true"


def leave_to_first() -> None:
    """Ends every process of the stage but the first."""
    if not is_first():
        sys.exit()


@contextlib.contextmanager
def output(path: str | Path) -> Iterator[Path]:
    """Yields a scratch path (nothing there yet) that becomes ``path`` if the block ends without an error."""
    path = Path(path)
    scratch = SCRATCH / path
    if not is_first():
        yield scratch
        return
    scratch.parent.mkdir(parents=True, exist_ok=True)
    with open(f"{scratch}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # a process that a killed run left behind may still write here
        _remove(scratch)
        yield scratch
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove(path)
        scratch.rename(path)


@contextlib.contextmanager
def resumable(path: str | Path) -> Iterator[Path]:
    """Yields the folder of the resume state of an output: it outlives a kill, and goes when the block ends well."""
    folder = SCRATCH / "resume" / path
    folder.mkdir(parents=True, exist_ok=True)
    yield folder
    _remove(folder)


def write_record(folder: Path, stage: str, settings: dict, inputs: list[str | Path], **facts) -> None:
    """Writes ``record.json``: the stage, its resolved settings, its inputs' hashes and the library versions.

    Of a version, as of 2.13.0+cpu, it keeps what the lock file pins: torch's builds for CPUs and for CUDA gave the same
    bits on a CPU, and a record that names the build would make all that comes after look changed.
    """
    record = {
        "stage": stage,
        "settings": settings,
        "inputs": {str(path): content_hash(Path(path)) for path in inputs},
        "versions": {library: version(library).partition("+")[0] for library in LIBRARIES},
        **facts,
    }
    (folder / "record.json").write_text(json.dumps(record, indent=2, sort_keys=True) + "\n")


def content_hash(path: Path) -> str:
    """SHA-256 of a file, or of the names and hashes of a folder's files."""
    if path.is_file():
        return hashlib.sha256(path.read_bytes()).hexdigest()
    if not path.is_dir():
        raise UserError(
            f"no file or folder {path}",
            "an input of a stage exists",
            "its content goes into the record",
            "run `snakemake --cores all`, which makes inputs first",
        )
    listing = [
        f"{file.relative_to(path)} {content_hash(file)}"
        for file in sorted(path.rglob("*"))
        if file.is_file() and file.name != ".snakemake_timestamp"
    ]
    return hashlib.sha256("\n".join(listing).encode()).hexdigest()


def read_jsonl(path: str | Path) -> list[dict]:
    """The rows of a JSONL file.

    Raises:
        UserError: the file is missing, empty, or has a line that is not a JSON object (its number is named).
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(
            f"no file {path}",
            "a data set that the config names exists",
            "a stage reads it",
            "correct the path in config.yaml, or put the file there",
        )
    rows = []
    for number, line in enumerate(path.read_text().splitlines(), start=1):
        try:
            row = json.loads(line)
            if not isinstance(row, dict):
                raise ValueError("not an object")
        except ValueError as error:
            raise UserError(
                f"{path}, line {number}: {line[:60]!r} ({error})",
                "every line is one whole JSON object",
                "a truncated file would silently become a smaller data set",
                "fetch or write the file again",
            ) from error
        rows.append(row)
    if not rows:
        raise UserError(
            f"{path} has no rows",
            "a data set has at least one row",
            "nothing can be learnt or scored on none",
            "check the step that made it, and the limits in config.yaml",
        )
    return rows


def write_jsonl(path: Path, rows: list[dict]) -> None:
    """Writes rows as JSONL."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


class Progress:
    """Tells how far a stage is, in ``logs/progress/<stage>.json``, at most twice a second."""

    def __init__(self, stage: str, total: int):
        self.file, self.total, self.done, self.told = PROGRESS / f"{stage}.json", total, 0, 0.0
        PROGRESS.mkdir(parents=True, exist_ok=True)

    def step(self, done: int | None = None) -> None:
        """Counts one more step, or sets the count."""
        if not is_first():
            return
        self.done = self.done + 1 if done is None else done
        if time.monotonic() - self.told > 0.5 or self.done >= self.total:
            self.told = time.monotonic()
            scratch = self.file.with_suffix(".new")
            scratch.write_text(json.dumps({"done": self.done, "total": self.total}))
            scratch.rename(self.file)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def die_with_parent() -> None:
    """On Linux, this process ends when the one above it is killed, so that no orphan works beside its successor."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # 1 is PR_SET_PDEATHSIG
