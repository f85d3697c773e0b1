"""The undisturbed run of the smoke study, made once: the other end-to-end tests clone it or compare with it."""

# One CPU thread, as stages have: sums in another order give other bits, and more threads only wait on models so small.
from orchard import stages  # isort: skip  # noqa: F401  (before torch is loaded)

import logging
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from filelock import FileLock

from tests.helpers.llama import random_llama, save_base
from tests.helpers.project import Project


def pytest_collection_modifyitems(items) -> None:
    """The longest file first: as the last one it would keep one of several workers busy alone."""
    items.sort(key=lambda item: item.path.name != "test_slurm.py")


@pytest.fixture(autouse=True)
def no_closed_streams() -> Iterator[None]:
    """Takes DVC's log handlers off after a test: they write to the streams that pytest captured then, and closes."""
    yield
    for name in ("dvc", "dvc_data", "dvc_objects"):
        logging.getLogger(name).handlers.clear()
    if "colorama" in sys.modules:
        sys.modules["colorama"].deinit()


@pytest.fixture(scope="session")
def finished(tmp_path_factory) -> Project:
    """A project that ran the smoke study, committed dvc.lock, and pushed its outputs to a folder remote.

    pytest's workers share it: the first that asks makes it.
    """
    shared = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        shared = shared.parent
    folder, seconds = shared / "finished", shared / "finished-seconds"
    with FileLock(shared / "finished.lock"):
        if not seconds.exists():
            taken = run_smoke_study(folder)
            seconds.write_text(str(taken))
    project = Project(folder / "project")
    project.seconds = float(seconds.read_text())
    return project


def run_smoke_study(folder: Path) -> float:
    """Returns the seconds that its run took."""
    project = Project.from_working_tree(folder / "project")
    start = time.monotonic()
    project.snakemake("--cores", "2")
    seconds = time.monotonic() - start
    remote = folder / "remote"
    project.run("dvc", "remote", "add", "-d", "shared", str(remote))
    project.run("dvc", "push", "-q", "--run-cache")
    project.commit("smoke study run")
    return seconds


@pytest.fixture
def colleague(finished, tmp_path) -> Project:
    """A fresh clone of the finished project: no data, no cache, the remote is known."""
    return finished.clone(tmp_path / "clone")


@pytest.fixture(scope="session")
def pulled(finished, tmp_path_factory) -> Project:
    """A clone with its data pulled; tests that use it put back what they change."""
    project = finished.clone(tmp_path_factory.mktemp("pulled") / "clone")
    project.run("dvc", "pull", "-q", "--run-cache")
    return project


@pytest.fixture(scope="session")
def model(tmp_path_factory) -> Path:
    """A model folder of random weights with orchard's own tokenizer."""
    folder = tmp_path_factory.mktemp("model") / "tiny"
    save_base(random_llama(num_hidden_layers=8), folder)
    return folder
