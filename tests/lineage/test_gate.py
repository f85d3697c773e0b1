"""A stranger's dvc.lock, lists of folders, run cache and objects write, read and delete nothing outside the project."""

import json
import shutil
from pathlib import Path

import pytest

from orchard import yamls
from orchard.errors import UserError
from orchard.lineage import gate
from tests.helpers import small_dvc
from tests.helpers.messages import assert_one_message
from tests.helpers.small_dvc import CACHE, FILE, FOLDER

MD5 = "0" * 32


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    """A small project with its remote, never changed."""
    folder = tmp_path_factory.mktemp("made")
    small_dvc.make(folder / "project")
    return folder


@pytest.fixture
def project(made, tmp_path, monkeypatch) -> Path:
    """A copy, as the working folder; returns the folder in which it, its remote and the victim lie."""
    shutil.copytree(made, tmp_path / "here", symlinks=True)
    monkeypatch.chdir(tmp_path / "here/project")
    (tmp_path / "here/project/.dvc/config").write_text(
        f"[core]\n    remote = shared\n['remote \"shared\"']\n    url = {tmp_path / 'here/remote'}\n"
    )
    yield tmp_path / "here"
    assert (tmp_path / "here/victim").read_text() == "untouched"
    assert not (tmp_path / "here/planted").exists()


def refused(function, *arguments, **options) -> str:
    """The one message with which a call is refused."""
    with pytest.raises(UserError) as error:
        function(*arguments, **options)
    assert_one_message(str(error.value), [])
    return str(error.value)


def pull() -> None:
    with gate.repository() as repo:
        repo.pull()


# dvc.lock


@pytest.mark.parametrize(
    "md5",
    ["../../../../../victim", "..", "/etc/passwd", "aa", "", ".dir", f"{MD5}.dir.dir", "A" * 32, f"{MD5}\n", "０" * 32],
)
@pytest.mark.parametrize("call", [pull, lambda: small_dvc.reproduce("file")], ids=["pull", "a job"])
def test_a_hash_that_is_none(project, md5, call):
    small_dvc.set_out("file", md5=md5)
    assert "stages.file.outs.0.md5" in refused(call)


@pytest.mark.parametrize(
    "path", ["../victim", "/etc/passwd", "results/../../victim", ".git/hooks/x", "a//b", "a\x1b[2J"]
)
def test_a_path_that_leads_elsewhere(project, path):
    small_dvc.set_out("file", path=path)
    assert "stages.file.outs.0.path" in refused(pull)


@pytest.mark.parametrize("changes", [{"size": "9"}, {"size": -1}, {"nfiles": 1.5}, {"hash": "etag"}, {"files": []}])
def test_what_dvc_does_not_write_there(project, changes):
    small_dvc.set_out("file", **changes)
    assert f"stages.file.outs.0.{next(iter(changes))}" in refused(pull)


def test_dvc_itself_reads_no_other_lock(project):
    from dvc.repo import Repo

    gate.install()
    small_dvc.set_out("file", md5="../../../../../victim")
    with Repo() as repo:
        refused(repo.status)
        refused(repo.pull)


# Lists of folders


BAD_NAMES = [
    "../../../victim",
    "/tmp/planted",
    "one/../../../planted",
    "",
    ".",
    "one//two",
    "one/",
    "a\x00b",
    "a\x1b[2J",
]


@pytest.mark.parametrize("name", BAD_NAMES)
@pytest.mark.parametrize("place", ["cache", "remote"])
def test_a_list_that_names_files_elsewhere(project, name, place):
    content = small_dvc.put_object(b"planted", CACHE if place == "cache" else project / "remote/files/md5")
    cache = CACHE if place == "cache" else project / "remote/files/md5"
    md5 = small_dvc.put_list([{"md5": content, "relpath": name}], cache)
    small_dvc.set_out("folder", md5=md5)
    shutil.rmtree(FOLDER)
    assert "a list of a folder's files (.dir)" in refused(pull)
    assert not Path(FOLDER).exists()


@pytest.mark.parametrize(
    "files",
    [
        [{"md5": "../../../../../victim", "relpath": "one"}],
        [{"md5": f"{MD5}.dir", "relpath": "one"}],
        [{"relpath": "one"}],
        [{"md5": MD5, "relpath": "one"}, {"md5": MD5, "relpath": "one"}],
        [{"md5": MD5, "relpath": "one"}, {"md5": MD5, "relpath": "one/two"}],
        [{"md5": MD5, "relpath": 3}],
        [{"md5": MD5, "relpath": "one", "isexec": "yes"}],
        [3],
    ],
)
def test_a_list_that_is_none(files):
    assert "a list of a folder's files (.dir)" in refused(gate.check_list, files)


def test_a_sound_list_passes():
    gate.check_list([{"md5": MD5, "relpath": "a/b"}, {"md5": MD5, "relpath": "a/c", "isexec": True}])


# Objects


@pytest.mark.parametrize("link", ["object", "folder"])
def test_an_object_that_is_a_link(project, link):
    md5 = yamls.read(Path("dvc.lock"))["stages"]["file"]["outs"][0]["md5"]
    path = CACHE / md5[:2] / md5[2:]
    if link == "object":
        path.unlink()
        path.symlink_to(project / "victim")
    else:
        shutil.rmtree(path.parent)
        path.parent.symlink_to(project)
    Path(FILE).unlink()
    assert "is a link to" in refused(small_dvc.reproduce, "file")
    assert not Path(FILE).exists()


# The run cache


def of_file() -> Path:
    """The run cache's entry of the stage that makes a file."""
    [entry] = [file for file in small_dvc.run_entries() if FILE in file.read_text()]
    return entry


def forget() -> None:
    """Leaves the run cache alone to know the stage."""
    tree = yamls.read(Path("dvc.lock"))
    del tree["stages"]["file"]
    Path("dvc.lock").write_text(yamls.dumps(tree))
    Path(FILE).unlink()


def change(entry: Path, **changes) -> None:
    tree = yamls.read(entry)
    tree["outs"][0].update(changes)
    entry.chmod(0o644)
    entry.write_text(yamls.dumps(tree))


def test_a_sound_entry_is_used(project):
    forget()
    Path("dvc.yaml").write_text(Path("dvc.yaml").read_text())
    small_dvc.reproduce("file")
    assert Path(FILE).read_text() == "source"


@pytest.mark.parametrize("path", ["../planted", "src/a.py", "/tmp/planted", "results/other.txt", "dvc.yaml"])
def test_an_entry_with_outputs_that_are_not_the_stages_own(project, path):
    change(of_file(), path=path, md5=small_dvc.put_object(b"planted"))
    forget()
    assert str(of_planted()) in refused(small_dvc.reproduce, "file")
    assert not Path("src").exists()


def of_planted() -> Path:
    [entry] = [file for file in small_dvc.run_entries() if FOLDER not in file.read_text()]
    return entry


@pytest.mark.parametrize("text", ["", "3", "[1]", "cmd: x", "a: [", "cmd: x\nouts: []\n"])
def test_an_entry_that_is_none(project, text):
    entry = of_file()
    entry.chmod(0o644)
    entry.write_text(text)
    forget()
    assert str(entry) in refused(small_dvc.reproduce, "file")


def test_an_entry_that_is_a_link(project):
    entry = of_file()
    copy = project / "copy"
    entry.rename(copy)
    entry.symlink_to(copy)
    forget()
    assert "it is a link" in refused(small_dvc.reproduce, "file")


def test_bad_entries_of_a_remote_are_left_out_and_named(project, capsys):
    shutil.rmtree(".dvc/cache/runs")
    remote = project / "remote"
    entries = small_dvc.run_entries(remote)
    bad = next(file for file in entries if FILE in file.read_text())
    change(bad, path="../planted", md5=small_dvc.put_object(b"planted", remote / "files/md5"))
    (remote / "runs/notes.txt").write_text("x")
    with gate.repository() as repo:
        repo.stage_cache.pull("shared")
    said = capsys.readouterr().err
    assert f"runs/{bad.relative_to(remote / 'runs')}' of the run cache" in said
    assert "runs/notes.txt" in said
    assert [file.name for file in small_dvc.run_entries()] == [file.name for file in entries if file != bad]


# Outputs and names


def test_a_dvc_file_with_an_output_elsewhere(project):
    md5 = small_dvc.put_object(b"planted")
    Path("x.dvc").write_text(yamls.dumps({"outs": [{"path": "../planted", "md5": md5, "hash": "md5", "size": 7}]}))
    assert "'../planted'" in refused(pull)
    Path("x.dvc").unlink()
    Path("sub").mkdir()
    Path("sub/x.dvc").write_text(
        yamls.dumps({"wdir": "../..", "outs": [{"path": "planted", "md5": md5, "hash": "md5", "size": 7}]})
    )
    assert "'../planted'" in refused(pull)


@pytest.mark.parametrize("out", ["../planted", "/tmp/planted", ".git/hooks/x", ".dvc/config", "a/../../b", ""])
def test_an_output_outside_the_project(out):
    assert repr(out) in refused(gate.refuse_outs, [out])


def test_an_output_that_is_a_link_leads_into_the_cache_alone(project):
    gate.refuse_outs([FILE, FOLDER], Path(".dvc/cache"))
    Path(FILE).unlink()
    Path(FILE).symlink_to(Path(".dvc/cache/files").absolute())
    gate.refuse_outs([FILE], Path(".dvc/cache"))
    shutil.rmtree(FOLDER)
    Path(FOLDER).symlink_to(project)
    assert f"a link to {project}" in refused(gate.refuse_outs, [FOLDER], Path(".dvc/cache"))


@pytest.mark.parametrize(
    "name", ["sft@x; touch planted", "sft@$(x)", "sft@a b", "sft@..", "sft@a/b", "SFT@a", "sft@a\nb", "-x"]
)
def test_a_name_that_a_shell_would_run(name):
    assert repr(name)[:40] in refused(gate.refuse_names, ["sft@good-0.25", name], [])
    assert refused(gate.refuse_names, [], ["seed", name])


# Settings


def test_secrets_are_refused_without_printing_them():
    said = refused(gate.refuse_secrets, {}, {"shared": {"url": "ssh://me:hunter2@host/path"}})
    assert "ssh://me@host/path" in said
    assert "hunter2" not in said
    said = refused(gate.refuse_secrets, {"shared": {"url": "s3://b", "secret_access_key": "hunter2"}}, {})
    assert "secret_access_key of the remote 'shared'" in said
    assert "hunter2" not in said
    gate.refuse_secrets({"shared": {"url": "ssh://me@host", "ask_password": True}}, {"shared": {"password": "x"}})


def test_the_local_config_is_its_owners_alone(project):
    local = Path(".dvc/config.local")
    local.write_text("")
    local.chmod(0o644)
    gate.keep_private(local)
    assert local.stat().st_mode & 0o777 == 0o600


def test_dvcs_hashes_are_kept_in_the_users_own_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "own"))
    folder = gate.site_cache()
    assert folder.is_relative_to(tmp_path / "own/orchard/dvc")
    assert folder.stat().st_mode & 0o777 == 0o700
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    monkeypatch.chdir(tmp_path)
    assert gate.site_cache() == tmp_path / ".dvc/tmp/site"


def test_a_project_without_git_is_one_message(project):
    shutil.rmtree(".git")
    assert "core.no_scm true" in refused(pull)
    with open(".dvc/config.local", "w") as file:
        file.write("[core]\n    no_scm = true\n")
    pull()


def test_lists_of_the_cache_are_json_that_dvc_wrote(project):
    md5 = yamls.read(Path("dvc.lock"))["stages"]["folder"]["outs"][0]["md5"]
    gate.check_list(json.loads((CACHE / md5[:2] / md5[2:]).read_text()))
