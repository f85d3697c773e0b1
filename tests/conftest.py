"""The undisturbed run of the smoke study, made once: the other end-to-end tests clone it or compare with it."""

import time

import pytest

from tests.project import Project


@pytest.fixture(scope="session")
def finished(tmp_path_factory) -> Project:
    """A project that ran the smoke study, committed dvc.lock, and pushed its outputs to a folder remote."""
    folder = tmp_path_factory.mktemp("finished")
    project = Project.from_working_tree(folder / "project")
    start = time.monotonic()
    project.snakemake("--cores", "2")
    project.seconds = time.monotonic() - start
    remote = folder / "remote"
    project.run("dvc", "remote", "add", "-d", "shared", str(remote))
    project.run("dvc", "push", "-q", "--run-cache")
    project.commit("smoke study run")
    return project


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
