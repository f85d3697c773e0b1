"""Naming a remote and a release: what is given to make is no code, and secrets stay out of what git keeps."""

import shutil
import subprocess
from pathlib import Path

import pytest

from orchard.errors import UserError
from orchard.lineage import gate
from orchard.share import name, release
from tests.helpers.messages import assert_one_message
from tests.helpers.project import ROOT, Project

CODE = [
    "$(shell touch planted)",
    "`touch planted`",
    '"; touch planted; "',
    "$(touch planted)",
    "a\ntouch planted",
    "-v",
    "%",
]


@pytest.fixture
def project(tmp_path) -> Project:
    """Nothing but the Makefile and what git and DVC need."""
    project = Project(tmp_path / "project")
    project.folder.mkdir()
    shutil.copy(ROOT / "Makefile", project.folder)
    project.env["PYTHONPATH"] = str(ROOT / "src")
    for command in (["git", "init", "-q"], ["dvc", "init", "-q"]):
        project.run(*command)
    return project


@pytest.mark.parametrize("text", CODE)
def test_what_make_is_given_is_text(project, text):
    for goal in (f"REMOTE={text}", f"TAG={text}"):
        done = project.run("make", "-s", "remote" if goal[0] == "R" else "release", goal, ok=False)
        assert not (project.folder / "planted").exists(), done.stdout
    assert f"found: TAG={text!r}" in done.stderr
    config = (project.folder / ".dvc/config").read_text()
    assert text in config or "\n" in text


def test_a_remote_is_named_with_a_config_of_ones_own_for_secrets(project):
    project.run("make", "-s", "remote", "REMOTE=ssh://me@host/path")
    assert "verify = true" in (project.folder / ".dvc/config").read_text()
    project.run("dvc", "remote", "modify", "--local", "shared", "password", "x")
    assert (project.folder / ".dvc/config.local").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("url", ["", " ", "a\nb", "ssh://me:hunter2@host/path", "https://:hunter2@host"])
def test_a_url_that_is_refused(url, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError) as refused:
        name.name(url)
    assert_one_message(str(refused.value), ["REMOTE="])
    assert "hunter2" not in str(refused.value)
    assert not list(tmp_path.iterdir())


def test_dvcs_hashes_are_kept_in_ones_own_folder_also_by_hand(project, tmp_path):
    project.env |= {"XDG_CACHE_HOME": str(tmp_path / "own"), "VENV": str(Path(shutil.which("dvc")).parents[1])}
    project.env.pop(gate.SITE_CACHE, None)  # an earlier test in this process may have set it
    project.run("make", "-s", "own-cache")
    assert "own/orchard/dvc" in project.run("dvc", "config", "core.site_cache_dir").stdout
    assert (project.folder / ".dvc/config.local").stat().st_mode & 0o777 == 0o600
    project.run("dvc", "status")
    assert list((tmp_path / "own/orchard/dvc").glob("*/repo/*"))


@pytest.fixture
def committed(tmp_path, monkeypatch) -> None:
    """A git repository with one commit, and no identity of the user's."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "nobody"))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    for key in ("NAME", "EMAIL"):
        monkeypatch.delenv(f"GIT_COMMITTER_{key}", raising=False)
        monkeypatch.delenv(f"GIT_AUTHOR_{key}", raising=False)
    monkeypatch.delenv("EMAIL", raising=False)
    identity = ["-c", "user.name=a", "-c", "user.email=b@c"]
    for command in (
        ["init", "-q"],
        [*identity, "commit", "-q", "--allow-empty", "-m", "a"],
        ["config", "user.useConfigOnly", "true"],
    ):
        subprocess.run(["git", *command], check=True)


def test_a_release_without_an_identity_is_refused_before_the_push(committed):
    with pytest.raises(UserError) as refused:
        release.release("v1.0.0")
    assert_one_message(str(refused.value), ["git does not know who you are", "git config user.name"])


def test_a_release_needs_a_repository(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError) as refused:
        release.release("v1.0.0")
    assert_one_message(str(refused.value), ["no git repository here", "git clone"])


def test_a_tag_of_an_artifact_that_exists_is_refused_too(committed):
    Path("results/artifacts/rl").mkdir(parents=True)
    subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=b@c", "tag", "rl@v1.0.0"], check=True)
    with pytest.raises(UserError, match=r"the tag rl@v1\.0\.0 exists"):
        release.release("v1.0.0")
