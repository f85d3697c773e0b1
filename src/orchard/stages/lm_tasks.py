"""lm-eval's own tasks: which there are, and their data, which are fetched once and then read without a network.

lm-eval loads what a task needs by ``datasets.load_dataset``, at no particular version. Here these calls are answered:
where data are fetched, from the hub at pinned commits, and where a model is evaluated, from what was fetched.
"""

import contextlib
import hashlib
import json
import os
import re
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from orchard.errors import UserError, did_you_mean

if TYPE_CHECKING:
    from lm_eval.tasks import TaskManager

YAMLS = Path(__file__).parent / "evaluate" / "tasks"
INDEX = "index.json"  # in the folder of a task's data: what was asked for, and under which name it lies
COMMIT = re.compile(r"[0-9a-f]{40}")
UNHEARD = ("trust_remote_code", "cache_dir", "download_mode", "token")  # of no matter to which rows come


class Request(NamedTuple):
    """A call of ``datasets.load_dataset``.

    Attributes:
        path: of the data set: a name on the hub, or what reads files.
        name: of its configuration.
        options: others, as revision, split and data_files.
    """

    path: str
    name: str | None
    options: dict

    @property
    def key(self) -> str:
        """A name for what is asked for, whatever the version."""
        asked = {**self.options, "path": self.path, "name": self.name, "revision": None}
        return hashlib.sha256(json.dumps(asked, sort_keys=True, default=str).encode()).hexdigest()[:16]

    @property
    def is_local(self) -> bool:
        """Whether the rows are of this machine: files that one of the readers of `datasets` reads, or a whole path.

        A folder here that has the name of a data set on the hub is not that data set.
        """
        from datasets.packaged_modules import _PACKAGED_DATASETS_MODULES

        is_reader = self.path in _PACKAGED_DATASETS_MODULES and "://" not in str(self.options.get("data_files"))
        return is_reader or os.path.isabs(self.path)


def manager(names: Collection[str], key: str) -> "TaskManager":
    """lm-eval's register of tasks; its own are read only if one is asked for, which takes 15 s.

    Args:
        names: of the tasks that are asked for.
        key: of the config, which names them.

    Raises:
        UserError: lm-eval knows no task of a name.
    """
    from lm_eval.tasks import TaskManager

    own = TaskManager(include_path=str(YAMLS), include_defaults=False)
    known = own if all(name in own.all_tasks for name in names) else TaskManager(include_path=str(YAMLS))
    for name in names:
        if name not in known.all_tasks:
            raise UserError(
                found=f"{key}: no task {name!r} in lm-eval or {YAMLS.name}/",
                rule="a task of kind lm-eval has a name that lm-eval knows",
                why="items, prompt and score are looked up by it",
                fix=did_you_mean(name, known.all_tasks, "`lm-eval ls tasks` prints all names"),
            )
    return known


@contextlib.contextmanager
def answered(answer: Callable) -> Iterator[None]:
    """A block in which calls of ``datasets.load_dataset`` are answered by a function.

    Args:
        answer: from a Request to the data set. Files of this machine are read as ever.
    """
    import datasets

    ask = datasets.load_dataset

    def load_dataset(path: str, name: str | None = None, **options):
        kept = {key: value for key, value in options.items() if value is not None and key not in UNHEARD}
        request = Request(path, name, kept)
        return ask(path, name, **kept) if request.is_local else answer(request)

    datasets.load_dataset = load_dataset
    try:
        yield
    finally:
        datasets.load_dataset = ask


@contextlib.contextmanager
def failing(task: str) -> Iterator[None]:
    """A block in which lm-eval loads a task; what fails there becomes one message.

    Raises:
        UserError: lm-eval cannot load it.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:  # code of many authors
        raise UserError(
            found=f"lm-eval cannot load its task {task} ({type(error).__name__}: {' '.join(str(error).split())[:300]})",
            rule="a task is loaded with all its data before anything is scored",
            why="what fails later would cost all scores before it",
            fix="correct the task's name and `data`; what it loads from the hub is fetched by data.fetch, kind "
            "lm-eval-data",
        ) from error


# Where data are fetched


def keep(request: Request, found, folder: Path) -> None:
    """Writes what was asked for to a folder: a Parquet file for each split, the same bytes for the same rows.

    Args:
        request: the call.
        found: a data set, or several by split.
        folder: of the task's data.
    """
    (folder / request.key).mkdir()
    splits = found if isinstance(found, dict) else {"rows": found}
    for split, rows in splits.items():
        rows.to_parquet(folder / request.key / f"{split}.parquet")
    index = json.loads((folder / INDEX).read_text()) if (folder / INDEX).is_file() else {}
    index[request.key] = {
        **request._asdict(),
        "splits": list(splits) if isinstance(found, dict) else None,
    }
    (folder / INDEX).write_text(json.dumps(dict(sorted(index.items())), indent=2, default=str) + "\n")


# Where they are read


@contextlib.contextmanager
def reading(folder: Path | None) -> Iterator[None]:
    """A block in which lm-eval reads data from what was fetched, and from files of this machine.

    Args:
        folder: of the task's data; None: it brings its data along.

    Raises:
        UserError: it asks for something else.
    """
    with answered(lambda request: _read(request, folder)):
        yield


def _read(request: Request, folder: Path | None):
    import datasets
    from pyarrow import parquet

    index = json.loads((folder / INDEX).read_text()) if folder and (folder / INDEX).is_file() else {}
    if request.key not in index:
        raise UserError(
            found=f"lm-eval asks for {_in_words(request)}, which {folder or 'nothing here'} does not hold",
            rule="the data of lm-eval's tasks are fetched before, and evaluation has no network",
            why="a score is of the same items whenever and wherever it is made",
            fix="fetch them by data.fetch.<name>: {kind: lm-eval-data, task: …}, and name the folder, "
            "data/eval/<name>, as `data` of the task",
        )

    def rows(split: str):
        return datasets.Dataset(datasets.table.InMemoryTable(parquet.read_table(folder / request.key / split)))

    splits = index[request.key]["splits"]
    if splits is None:
        return rows("rows.parquet")
    return datasets.DatasetDict({split: rows(f"{split}.parquet") for split in splits})


def _in_words(request: Request) -> str:
    options = "".join(f", {key} {value}" for key, value in sorted(request.options.items()))
    return f"the data set {request.path}" + (f", {request.name}" if request.name else "") + options
