"""`orchard pull` brings what `dvc pull` does, and refuses a stranger's remote and dvc.lock."""

import pytest

from tests.helpers import small_dvc
from tests.helpers.messages import assert_one_message
from tests.helpers.project import Project

OUT = "data/eval/calc.jsonl"


@pytest.fixture(scope="module")
def owner(tmp_path_factory) -> Project:
    """A project that made one data set and pushed it."""
    folder = tmp_path_factory.mktemp("pull")
    project = Project.from_working_tree(folder / "owner")
    project.snakemake("--cores", "1", OUT)
    project.run("make", "-s", "share", f"REMOTE={folder / 'remote'}")
    project.commit("shared")
    return project


@pytest.fixture
def friend(owner, tmp_path) -> Project:
    return owner.clone(tmp_path / "friend")


@pytest.mark.parametrize("targets", [[OUT], ["data/eval"], []], ids=str)
def test_an_output_is_brought(friend, owner, targets):
    friend.orchard("pull", *targets)
    assert (friend.folder / OUT).read_bytes() == (owner.folder / OUT).read_bytes()
    assert "Nothing to be done" in friend.snakemake("-n", OUT)


def test_what_nobody_made_is_named(friend):
    assert_one_message(friend.orchard("pull", "results/report", ok=False).stderr, ["nothing of results/report"])
    assert_one_message(friend.orchard("pull", "data/nothing", ok=False).stderr, ["data/nothing"])


def test_a_file_that_was_changed_here_is_not_replaced(friend):
    friend.orchard("pull", OUT)
    (friend.folder / OUT).unlink()
    (friend.folder / OUT).write_text("mine")
    assert_one_message(friend.orchard("pull", OUT, ok=False).stderr, ["data/eval/calc.jsonl"])
    assert (friend.folder / OUT).read_text() == "mine"


def test_without_a_remote_that_answers_is_one_message(friend, tmp_path):
    friend.run("dvc", "remote", "modify", "shared", "url", str(tmp_path / "gone"))
    assert_one_message(friend.orchard("pull", OUT, ok=False).stderr, ["remote 'shared'"])


def test_a_strangers_lock_and_remote_write_nothing_outside(friend, tmp_path, monkeypatch):
    remote = tmp_path / "remote"
    cache = remote / "files/md5"
    content = small_dvc.put_object(b"planted", cache)
    md5 = small_dvc.put_list([{"md5": content, "relpath": "../../../planted"}], cache)
    friend.run("dvc", "remote", "modify", "shared", "url", str(remote))
    monkeypatch.chdir(friend.folder)
    small_dvc.set_out("generate@calc", md5=md5)
    for command in (("pull", OUT), ("pull",)):
        assert_one_message(friend.orchard(*command, ok=False).stderr, ["'../../../planted'"])
    done = friend.run("snakemake", "--cores", "1", OUT, ok=False)
    assert "'../../../planted'" in done.stdout + done.stderr
    small_dvc.set_out("generate@calc", md5="../../../../../../planted")
    for command in (("orchard", "pull", OUT), ("snakemake", "-n", OUT)):
        done = friend.run(*command, ok=False)
        assert_one_message(done.stdout + done.stderr, ["'../../../../../../planted'"])
    assert not [*tmp_path.glob("planted"), *friend.folder.rglob("planted")]
