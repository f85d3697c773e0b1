"""A clone has the same bytes whatever git's settings are, so that nothing is stale in it."""

import hashlib
import subprocess

import pytest

from tests.helpers.project import Project


@pytest.mark.parametrize("setting", [("core.autocrlf", "true"), ("core.autocrlf", "input"), ("core.eol", "crlf")])
def test_a_clone_has_the_same_bytes(tmp_path, setting):
    project = Project.from_working_tree(tmp_path / "project")
    files = project.run("git", "ls-files").stdout.splitlines()
    option = "=".join(setting)
    subprocess.run(["git", "clone", "-q", "-c", option, str(project.folder), str(tmp_path / "clone")], check=True)
    different = [file for file in files if digest(tmp_path / "clone" / file) != digest(project.folder / file)]
    assert different == []
    assert Project(tmp_path / "clone").run("git", "status", "--porcelain").stdout == ""


def digest(file) -> str:
    return hashlib.md5(file.read_bytes()).hexdigest()
