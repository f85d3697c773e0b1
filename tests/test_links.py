"""Files that a run opens under known names are not opened through links."""

import fcntl
from pathlib import Path

import pytest

from orchard import links, paths
from orchard.errors import UserError
from orchard.rerun import alive
from orchard.stages import stage
from tests.helpers.messages import assert_one_message


@pytest.fixture
def victim(tmp_path, monkeypatch) -> Path:
    """A file outside the working folder, which stays as it is."""
    (tmp_path / "project").mkdir()
    monkeypatch.chdir(tmp_path / "project")
    file = tmp_path / "victim"
    file.write_text("untouched")
    yield file
    assert file.read_text() == "untouched"


def link(path: Path, target: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(target)


def refused(function, *arguments) -> None:
    with pytest.raises(UserError) as error:
        function(*arguments)
    assert_one_message(str(error.value), ["is a link to", "`rm "])


@pytest.mark.parametrize("mode", ["w", "a", "r"])
def test_a_link_is_not_opened(victim, mode):
    link(Path("lock"), victim)
    refused(links.open_own, "lock", mode)


def test_a_link_to_nothing_makes_nothing(victim):
    link(Path("lock"), victim.parent / "new")
    refused(links.write_own, "lock", "x")
    assert not (victim.parent / "new").exists()


def test_a_file_is_written(victim):
    links.write_own("lock", "one")
    links.write_own("lock", "two")
    assert Path("lock").read_text() == "two"


@pytest.mark.parametrize("path", ["a", "a/b", "a/b/c"])
def test_a_path_through_a_link(victim, path):
    link(Path("a"), victim.parent)
    refused(links.refuse, path)


@pytest.mark.parametrize(
    ("path", "call"),
    [
        (paths.RUNNING, alive.be_the_only_run),
        (alive.JOBS, alive.mark_job),
        (alive.JOBS, alive.jobs_live),
        (Path(f"{paths.SCRATCH}/results/x.lock"), lambda: stage.output(Path("results/x")).__enter__()),
    ],
    ids=["run", "job", "look", "output"],
)
def test_locks_of_a_run_are_no_links(victim, path, call):
    link(path, victim)
    refused(call)


def test_a_lock_can_be_held(victim):
    with links.open_own("lock", "a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
