"""A project is shared over SSH and S3 by real servers, a checkpoint fetched by its name, and a release made."""

import shutil
import zipfile
from pathlib import Path

import pandas
import pytest

from tests.helpers.project import Project
from tests.helpers.remotes import MODEL, TARGET, cached, give_credentials, objects_of, with_cache
from tests.helpers.servers import SERVERS, Server


@pytest.fixture(scope="module", params=SERVERS)
def server(request, tmp_path_factory) -> Server:
    """A server that runs, with nothing on it."""
    with SERVERS[request.param](tmp_path_factory.mktemp(request.param) / "server") as running:
        yield running


@pytest.fixture(scope="module")
def owner(finished, server, tmp_path_factory) -> Project:
    """The finished project, shared on the server as the README says."""
    project = with_cache(finished, tmp_path_factory.mktemp("owner") / "project")
    project.run("make", "remote", f"REMOTE={server.url}")
    give_credentials(project, server)
    project.run("make", "share")
    project.commit("shared")
    return project


@pytest.fixture
def friend(owner, server, tmp_path) -> Project:
    """A clone of the shared project, with credentials and no data."""
    project = owner.clone(tmp_path / "friend")
    give_credentials(project, server)
    return project


def test_a_share_has_every_object_and_git_no_secret(owner, server):
    assert set(server.objects()) == {file.parent.name + file.name for file in cached(owner)}
    history = owner.run("git", "log", "--patch", "--all").stdout
    assert "verify = true" in history
    assert [secret for secret in server.secrets if secret in history] == []
    assert server.secrets[0] in (owner.folder / ".dvc/config.local").read_text()


def test_s1_clone_and_pull_leave_nothing_to_do(friend):
    friend.run("dvc", "pull", "-q")
    assert "Nothing to be done" in friend.snakemake("-n")


def test_s2_clone_without_pull_restores_and_runs_nothing(friend, owner):
    friend.snakemake("--cores", "2", TARGET)
    assert friend.executed() == set()
    assert friend.lock() == owner.lock()
    assert "Nothing to be done" in friend.snakemake("-n", TARGET)


def test_a_named_checkpoint_is_fetched_alone_and_scores_as_recorded(finished, tmp_path):
    project = finished.clone(tmp_path / "project")
    project.run("git", "tag", "v1")
    project.run("git", "rm", "-q", "dvc.lock")
    project.commit("the newest commit has no results")
    objects = objects_of(finished, f"sft@{MODEL.removeprefix('sft-')}")
    for name in objects:  # a remote that has this checkpoint and nothing else
        place = tmp_path / "remote/files/md5" / name
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(finished.folder.parent / "remote/files/md5" / name, place)
    other = Project(tmp_path / "other")
    (other.folder / "results/models").mkdir(parents=True)
    get = ["dvc", "get", str(project.folder), "--rev", "v1", "-q"]
    other.run(*get, TARGET, "-o", TARGET, "--remote-config", f"url={tmp_path / 'remote'}")
    fetched = [file for file in (other.folder / TARGET).rglob("*") if file.is_file()]
    assert len(fetched) == len(objects) - 1 >= 5  # the list of the folder's files is an object too

    other.run(*get, "data/eval", "-o", "data/eval")
    shutil.copy(project.folder / "params.yaml", other.folder)
    other.env["PYTHONPATH"] = str(project.folder / "src")
    other.run("python", "-m", "orchard.stages.evaluate", MODEL, "--model", MODEL)
    ours, theirs = (
        pandas.read_parquet(place.folder / "results/evals" / MODEL / "scores.parquet") for place in (other, finished)
    )
    pandas.testing.assert_frame_equal(ours, theirs)


def test_a_release_is_tagged_pushed_and_packed(finished, tmp_path):
    project = with_cache(finished, tmp_path / "project")
    project.run("dvc", "checkout", "-q")
    remote = tmp_path / "remote"
    project.run("make", "remote", f"REMOTE={remote}")
    project.commit("a remote of its own")
    said = project.run("make", "release", "TAG=v1.0.0").stdout
    assert "git push --follow-tags" in said
    assert project.run("git", "cat-file", "-t", "v1.0.0").stdout == "tag\n"
    assert len([*remote.glob("files/md5/*/*")]) == len(cached(project))
    with zipfile.ZipFile(project.folder / "release/orchard-v1.0.0.zip") as packed:
        assert packed.read("index.html") == (project.folder / "results/report/index.html").read_bytes()
    assert project.run("git", "status", "--porcelain").stdout == ""
    fetch_the_artifact(project, tmp_path / "elsewhere")
    assert "the tag v1.0.0 exists" in refused(project, "v1.0.0")


def fetch_the_artifact(project: Project, folder: Path) -> None:
    """From a folder that is no repository, by its name alone: the newest version, with its scores in the model card."""
    folder.mkdir()
    elsewhere = Project(folder)
    elsewhere.run("dvc", "artifacts", "get", str(project.folder), "rl", "-o", "rl", "-q")
    names = {file.name for file in (folder / "rl").iterdir()}
    assert {"model.safetensors", "tokenizer.json", "record.json", "README.md"} <= names
    model = project.lock()["artifact@rl"]["deps"][1]["path"]
    scores = pandas.read_parquet(project.folder / model / "scores.parquet")
    mean = scores[(scores["task"] == "calc") & (scores["metric"] == "pass@1")]["value"].mean()
    card = (folder / "rl/README.md").read_text()
    assert f"| calc | pass@1 | {mean:.3f} |" in card
    assert "license: apache-2.0" in card
    assert "3. trained by GRPO" in card


@pytest.mark.parametrize(
    ("tag", "spoil", "found"),
    [
        ("", [], "TAG=''"),
        ("v1", [], "TAG='v1'"),
        ("v1.0.0", ["touch", "new-file"], "1 files differ from the commit (?? new-file"),
        ("v1.0.0", ["dvc", "config", "--local", "core.remote", ""], "no DVC remote"),
        ("v1.0.0", ["git", "rm", "-rqf", "src/orchard/stages/rl"], "files differ"),
        ("v1.0.0", [], "stages are stale or missing"),
    ],
)
def test_a_release_is_refused_in_one_message(colleague, tag, spoil, found):
    if spoil:
        colleague.run(*spoil)
    assert found in refused(colleague, tag)
    assert colleague.run("git", "tag").stdout == ""


def test_a_release_is_not_tagged_where_the_push_fails(finished, tmp_path):
    project = with_cache(finished, tmp_path / "project")
    project.run("dvc", "checkout", "-q")
    (tmp_path / "file").touch()
    project.run("make", "remote", f"REMOTE={tmp_path}/file/remote")
    project.commit("a remote that cannot be")
    assert "file/remote" in refused(project, "v1.0.0")
    assert project.run("git", "tag").stdout == ""


def refused(project: Project, tag: str) -> str:
    """What `make release` says where it fails: one message of orchard's."""
    done = project.run("make", "release", f"TAG={tag}", ok=False)
    said = done.stdout + done.stderr
    assert done.returncode != 0
    assert [said.count(word) for word in ("found:", "rule:", "why:", "fix:")] == [1, 1, 1, 1]
    assert "Traceback" not in said
    return said
