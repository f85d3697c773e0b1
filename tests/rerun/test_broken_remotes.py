"""A remote that is gone, full, read-only or corrupted, and a corrupted cache: one message, and nothing is lost."""

import hashlib
import os
import random
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from orchard.rerun import remote
from tests.helpers.project import Project
from tests.helpers.remotes import TARGET, cached, give_credentials, objects_of, with_cache
from tests.helpers.servers import READ_ONLY, SERVERS, ssh_server

DATA, STAGE = "data/eval/calc.jsonl", "generate@calc"  # one file, made in two seconds
ROOM = 500_000  # bytes of the full remote: ours, about a third of what the smoke study pushes
SEED = 3


@pytest.mark.parametrize("kind", ["folder", *SERVERS])
def test_a_remote_that_is_gone_is_named_before_any_job(finished, tmp_path, kind):
    project = finished.clone(tmp_path / "clone")
    if kind == "folder":
        project.run("dvc", "remote", "modify", "shared", "url", str(tmp_path / "gone"))
    else:
        server = SERVERS[kind](tmp_path / "server")  # never started
        project.run("dvc", "remote", "modify", "shared", "url", server.url)
        give_credentials(project, server)
    printed = failed(project, "--cores", "2")
    assert "found: remote 'shared'" in printed
    assert "Job stats" not in printed
    project.run("dvc", "config", "--local", "core.remote", "")  # what the message says
    project.snakemake("--cores", "2", DATA)
    assert project.executed() == {STAGE}


def test_what_needs_nothing_from_a_remote_that_is_gone_goes_on(pulled, tmp_path):
    pulled.set("report.confidence", 0.9)
    pulled.run("dvc", "remote", "modify", "--local", "shared", "url", str(tmp_path / "gone"))
    try:
        printed = pulled.snakemake("--cores", "2")
    finally:
        pulled.run("git", "checkout", "-q", "config.yaml", "params.yaml", "dvc.lock")
        pulled.run("dvc", "remote", "modify", "--local", "--unset", "shared", "url")
        pulled.run("dvc", "checkout", "-q")
    assert "remote 'shared'" in printed
    assert "is left out of this run" in printed
    assert pulled.executed() == {"report"}


def test_a_remote_that_dies_in_a_run_fails_its_jobs_with_one_message(finished, tmp_path):
    with ssh_server(tmp_path / "server") as server:
        project = shared(finished, server, tmp_path).clone(tmp_path / "friend")
        give_credentials(project, server)
        run = subprocess.Popen(
            ["snakemake", "--cores", "1", TARGET],
            cwd=project.folder,
            env=project.env,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        while not list(project.folder.glob("data/*/*.jsonl")) and run.poll() is None:
            time.sleep(0.05)
        server.stop()
        printed = run.communicate()[0]
        assert run.returncode != 0
        assert "found: remote 'shared'" in printed
        assert "Traceback" not in printed
        server.start()
        project.snakemake("--cores", "2", TARGET)
        assert project.executed() == set()


def test_a_read_only_remote_refuses_a_push_and_takes_it_later(finished, tmp_path):
    server = ssh_server(tmp_path / "server")
    project = named(finished, server, tmp_path)
    before = hashes(cached(project))
    try:
        server.start(*READ_ONLY)
        printed = refused_push(project)
        server.stop()
        assert hashes(cached(project)) == before
        assert "Permission denied" in printed
        assert server.objects() == {}
        server.start()
        project.run("make", "share")
    finally:
        server.stop()
    assert len(server.objects()) == len(before)


def test_a_full_remote_refuses_a_push_and_takes_the_rest_later(finished, tmp_path):
    project, place, kept = with_cache(finished, tmp_path / "project"), tmp_path / "remote", tmp_path / "kept"
    place.mkdir()
    project.run("make", "remote", f"REMOTE={place}")
    before = hashes(cached(project))
    full = ["bwrap", "--dev-bind", "/", "/", "--size", str(ROOM), "--tmpfs", str(place), "sh", "-c"]
    printed = refused_push(project, *full, f"make share; code=$?; cp -a {place} {kept}; exit $code")
    assert "No space left on device" in printed
    assert hashes(cached(project)) == before
    pushed = hashes(kept.glob("files/md5/*/*[!p]"))
    assert pushed.items() <= before.items()
    shutil.copytree(kept, place, dirs_exist_ok=True)
    project.run("make", "share")
    assert hashes(place.glob("files/md5/*/*[!p]")) == before


@pytest.mark.parametrize("verify", ["true", "false"])
def test_a_corrupted_object_of_a_remote_is_named_and_not_used(finished, tmp_path, verify):
    project, place = with_cache(finished, tmp_path / "project"), tmp_path / "remote"
    project.run("make", "share", f"REMOTE={place}")
    project.run("dvc", "remote", "modify", "shared", "verify", verify)
    project.commit("shared")
    stage = "behave@teacher"
    listing, *objects = [place / "files/md5" / name for name in objects_of(finished, stage)]
    flip(objects[0])
    friend = project.clone(tmp_path / "friend")
    friend.snakemake("--cores", "2", "data/behave/teacher")
    assert friend.executed() == {stage}
    assert friend.lock() == finished.lock()
    printed = (friend.folder / "logs/data/behave/teacher.log").read_text()
    assert f"remote 'shared' ({place}): object {oid(objects[0])} of data/behave/teacher" in printed

    assert f"remove {objects[0]} and {listing} there, then `make share`" in printed
    objects[0].unlink()
    listing.unlink()
    project.run("make", "share")
    assert sound(objects[0])
    assert sound(listing)


def test_a_corrupted_object_of_a_remote_ends_a_pull(finished, tmp_path):
    project, place = with_cache(finished, tmp_path / "project"), tmp_path / "remote"
    project.run("make", "share", f"REMOTE={place}")
    project.commit("shared")
    (name,) = objects_of(finished, STAGE)
    flip(place / "files/md5" / name)
    friend = project.clone(tmp_path / "friend")
    done = friend.run("dvc", "pull", DATA, ok=False)
    assert done.returncode != 0
    assert DATA in done.stderr
    assert "Traceback" not in done.stderr
    assert not (friend.folder / DATA).exists()


def truncate(path: Path) -> None:
    """Cuts a file in the middle; the file is as protected as before."""
    os.truncate(path, path.stat().st_size // 2)


def flip(path: Path) -> None:
    """Changes one bit of a file; size, times and protection stay."""
    before, content = path.stat(), bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.chmod(0o644)
    path.write_bytes(content)
    path.chmod(before.st_mode)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.mark.parametrize("links", ["copy", "symlink"])
@pytest.mark.parametrize("spoil", [flip, truncate])
def test_a_corrupted_object_of_the_cache_is_fetched_anew(colleague, finished, spoil, links):
    colleague.run("dvc", "config", "cache.type", links)
    colleague.run("dvc", "pull", "-q", DATA)
    (name,) = objects_of(finished, STAGE)
    spoil(colleague.folder / ".dvc/cache/files/md5" / name)
    (colleague.folder / DATA).unlink()
    colleague.snakemake("--cores", "2", DATA)
    assert colleague.executed() == set()
    assert hashlib.md5((colleague.folder / DATA).read_bytes()).hexdigest() == oid(Path(name))
    assert "corrupted: object" in (colleague.folder / "logs/data/eval/calc.jsonl.log").read_text()


def test_a_corrupted_object_of_the_cache_is_made_anew_where_no_remote_is(colleague, finished):
    colleague.run("dvc", "pull", "-q", "--run-cache", DATA)
    colleague.run("dvc", "remote", "remove", "shared")
    (name,) = objects_of(finished, STAGE)
    flip(colleague.folder / ".dvc/cache/files/md5" / name)
    (colleague.folder / DATA).unlink()
    colleague.edit("dvc.lock", f"  {STAGE}:", "  generate@of-another-study:")  # so that the run cache alone knows it
    colleague.snakemake("--cores", "2", DATA)
    assert colleague.executed() == {STAGE}
    assert colleague.lock()[STAGE] == finished.lock()[STAGE]
    assert sound(colleague.folder / ".dvc/cache/files/md5" / name)


def test_a_kill_leaves_no_half_object_under_its_name(finished, tmp_path):
    rng = random.Random(SEED)
    with ssh_server(tmp_path / "server") as server:
        project = named(finished, server, tmp_path)
        project.commit("named")
        for _ in range(3):
            kill_within(project, rng.uniform(0.8, 1.4), "dvc", "push")
            assert all(map(sound, server.store.glob("files/md5/*/*[!p]")))  # what was being written ends in .tmp
        project.run("make", "share")
        assert server.objects().keys() >= hashes(cached(project)).keys()
        friend = project.clone(tmp_path / "friend")
        give_credentials(friend, server)
        for _ in range(3):
            kill_within(friend, rng.uniform(0.8, 1.4), "dvc", "pull")
            assert all(sound(file) for file in cached(friend) if not file.name.endswith(".tmp"))
        friend.snakemake("--cores", "2", TARGET)
    assert friend.executed() == set()


def test_a_remote_that_never_answers_is_given_up(finished, tmp_path, monkeypatch):
    import socket

    from dvc.repo import Repo

    monkeypatch.setattr(remote, "ANSWERS_WITHIN", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes connections and says nothing
        project = finished.clone(tmp_path / "clone")
        project.run("dvc", "remote", "modify", "shared", "url", f"ssh://127.0.0.1:{silent.getsockname()[1]}/store")
        with Repo(str(project.folder)) as repo:
            assert remote.trouble(repo) == "no answer within 0.5 s"


def named(finished: Project, server, folder: Path) -> Project:
    """The finished project with the server as its remote; nothing is pushed."""
    project = with_cache(finished, folder / "project")
    project.run("make", "remote", f"REMOTE={server.url}")
    give_credentials(project, server)
    return project


def shared(finished: Project, server, folder: Path) -> Project:
    """The finished project, shared on the server."""
    project = named(finished, server, folder)
    project.run("make", "share")
    project.commit("shared")
    return project


def failed(project: Project, *options: str) -> str:
    """What a run of Snakemake says that fails with one message of orchard's."""
    done = project.run("snakemake", *options, ok=False)
    printed = done.stdout + done.stderr
    assert done.returncode != 0
    assert [printed.count(word) for word in ("found:", "rule:", "why:", "fix:")] == [1, 1, 1, 1], printed
    assert "Traceback" not in printed
    return printed


def refused_push(project: Project, *wrapper: str) -> str:
    """What `make share` says where it fails: one message."""
    done = project.run(*(wrapper or ("make", "share")), ok=False)
    printed = done.stdout + done.stderr
    assert done.returncode != 0, printed
    assert [printed.count(word) for word in ("found:", "rule:", "why:", "fix:")] == [1, 1, 1, 1], printed
    assert "Traceback" not in printed
    assert "failed to transfer" not in printed
    return printed


def kill_within(project: Project, seconds: float, *command: str) -> None:
    """Starts a command and kills it."""
    process = subprocess.Popen(command, cwd=project.folder, env=project.env, stderr=subprocess.DEVNULL)
    time.sleep(seconds)
    process.kill()
    process.wait()


def oid(path: Path) -> str:
    """The name of an object, from its path in a cache."""
    return path.parent.name + path.name


def sound(path: Path) -> bool:
    """Whether the bytes of an object are what its name says."""
    return hashlib.md5(path.read_bytes()).hexdigest() == oid(path).removesuffix(".dir")


def hashes(files) -> dict[str, str]:
    """Objects with the hash of their bytes."""
    return {oid(file): hashlib.md5(file.read_bytes()).hexdigest() for file in files}
