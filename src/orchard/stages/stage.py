"""What the command of every stage shares: its options and parameters, its output, and one message for a mistake.

A stage writes to a folder in ``.scratch/`` and renames it at the end, so that a half-written output is never an output.
"""

import argparse
import contextlib
import fcntl
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn, TypeVar, get_origin

from pydantic import TypeAdapter

from orchard import arithmetic, files, links, paths, processes, yamls
from orchard.errors import UserError, of_machine
from orchard.study.schema.common import Parallel, Run, way

FIRST_SAYS_WITHIN = 10  # seconds: ours; when one process ends, the launch ends the others at once
T = TypeVar("T")


def run(
    main: Callable,
    options: type[Run] | None = None,
    *,
    is_named: bool = True,
    parallel: bool = False,
    computes: bool = True,
) -> None:
    """Runs a stage's main function; a user's mistake, or what the machine refuses, ends in one message and status 1.

    Args:
        main: the function; it gets the name of the run and, where the family has them, its options.
        options: their type.
        is_named: whether the family has runs with names.
        parallel: the stage trains, which it can do in several processes, one per GPU, where the job has several.
        computes: its output depends on how a machine rounds.
    """
    processes.die_with_parent()
    processes.tell_cost_at_exit(with_children=True)
    try:
        refuse_by_hand()
        if computes:
            arithmetic.hold()
        if parallel and processes.RANK not in os.environ and processes.count() > 1:
            launch(processes.count())
        main(*(arguments(options) if is_named else ()))
    except Exception as error:
        if not (message := of_machine(error)):
            raise
        if not processes.is_first():  # of several processes that make the same mistake, one says it
            time.sleep(FIRST_SAYS_WITHIN)
        print(f"\n{message}", file=sys.stderr)
        sys.exit(1)


def refuse_by_hand() -> None:
    """Refuses what a stage that DVC starts without Snakemake (`dvc repro`) would do wrong.

    Raises:
        UserError: a run of Snakemake goes on in this folder.
        SystemExit: params.yaml is not what config.yaml implies.
    """
    if "DVC_STAGE" not in os.environ or processes.JOB in os.environ or processes.RANK in os.environ:
        return
    if processes.is_locked(paths.RUNNING):
        raise UserError(
            found="`dvc repro` beside a snakemake that runs in this folder",
            rule="one at a time",
            why="both would write the same outputs",
            fix="wait for it, or stop it",
        )
    # In a process of its own: a stage that imported all rules of a study would depend on their code.
    if status := subprocess.run(
        [sys.executable, "-m", "orchard", "check", "--look"], stdout=subprocess.DEVNULL
    ).returncode:
        sys.exit(status)


def arguments(options: type[Run] | None) -> tuple:
    """The name of the run and its options, from the command line."""
    parser = argparse.ArgumentParser(allow_abbrev=False)
    parser.add_argument("name", help="of the run, as dvc.yaml has it behind the @")
    for name, field in options.model_fields.items() if options else ():
        many = {"nargs": "+"} if get_origin(field.annotation) is list else {}
        parser.add_argument(f"--{name}", required=field.is_required(), default=field.default, **many)
    given = vars(parser.parse_args())
    name = given.pop("name")
    return (name, options.model_validate(given)) if options else (name,)


def params(kind: type[T] | Any, *keys: str) -> T:
    """A part of the study, as params.yaml has it.

    Args:
        kind: its type.
        keys: the path of keys to it.
    """
    tree = yamls.read(paths.PARAMS)
    for key in keys:
        tree = tree[key]
    return TypeAdapter(kind).validate_python(tree)


def launch(count: int) -> NoReturn:
    """Runs this stage again under `accelerate launch`, in several processes, as the study's ``parallel`` says."""
    from accelerate.commands.launch import launch_command, launch_command_parser
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    module = sys.modules["__main__"].__spec__.name.removesuffix(".__main__")
    shared = way(params(Parallel, "parallel"), module.rpartition(".")[2])
    config = paths.PROFILES / "accelerate" / f"{shared}.yaml"
    options = ["--config_file", config, "--num_processes", count, "--module", module]
    try:
        launch_command(launch_command_parser().parse_args([*map(str, options), *sys.argv[1:]]))
    except ChildFailedError:  # the process that failed has printed why
        sys.exit(1)
    sys.exit()


@contextlib.contextmanager
def output(path: Path) -> Iterator[Path]:
    """Yields a scratch path (nothing there yet) that becomes ``path`` if the block ends without an error."""
    scratch = paths.SCRATCH / path
    if not processes.is_first():
        yield scratch
        return
    scratch.parent.mkdir(parents=True, exist_ok=True)
    with links.open_own(f"{scratch}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # a process that a killed run left behind may still write here
        files.remove(scratch)
        yield scratch
        files.remove(path)
        files.move(scratch, path)
        files.remove(paths.RESUME / path)
