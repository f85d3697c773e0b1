"""S7: many jobs at once. They share DVC's one lock, none fails, and every entry stands in dvc.lock."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time

import pytest

from orchard.rerun import alive, dvc_patches
from tests.helpers.many import with_sets

MANY = 40  # jobs: ours; benchmarks/many_stages.py runs 200 and tells how long they wait


@pytest.mark.parametrize(("count", "hardlinks"), [(MANY, "false"), (12, "true")])
def test_s7_as_many_jobs_at_once_as_stages_lose_no_entry(count, hardlinks, tmp_path):
    project, files = with_sets(tmp_path / "many", count)
    project.run("dvc", "config", "core.hardlink_lock", hardlinks)
    project.snakemake("--cores", str(count), *files)
    logs = project.logs()
    assert len(project.executed()) == count
    assert "ERROR" not in logs
    assert "Traceback" not in logs
    entries = project.lock()
    assert len(entries) == count
    for name, entry in entries.items():
        [out] = entry["outs"]
        assert out["path"] == f"data/eval/{name.partition('@')[2]}.jsonl"
        assert out["md5"] == hashlib.md5((project.folder / out["path"]).read_bytes()).hexdigest()
    assert "Nothing to be done" in project.snakemake("-n", *files)


def test_a_job_breaks_the_hard_link_lock_of_a_killed_one(tmp_path):
    project, [file] = with_sets(tmp_path / "killed", 1)
    project.run("dvc", "config", "core.hardlink_lock", "true")
    (project.folder / ".dvc/tmp").mkdir(exist_ok=True)
    for name in ("lock", "rwlock.lock"):
        take_and_die = (
            "import os, signal; from orchard.rerun import dvc_patches; from dvc.lock import make_lock;"
            "dvc_patches.install();"
            f"make_lock('{project.folder}/.dvc/tmp/{name}', tmp_dir='.dvc/tmp', hardlink_lock=True).lock();"
            "os.kill(os.getpid(), signal.SIGKILL)"
        )
        died = project.run(sys.executable, "-c", take_and_die, ok=False)
        assert died.returncode == -signal.SIGKILL
        assert (project.folder / ".dvc/tmp" / name).exists()
    project.run(sys.executable, "-m", "orchard.rerun.job", "generate@set-000")
    assert (project.folder / file).is_file()


def test_a_lock_that_somebody_holds_is_waited_for_and_never_broken(tmp_path):
    from dvc.lock import make_lock

    with make_lock(str(tmp_path / "lock"), tmp_dir=str(tmp_path), hardlink_lock=True):
        wait = (
            "from orchard.rerun import dvc_patches; from dvc.lock import make_lock; dvc_patches.install();"
            f"make_lock('{tmp_path}/lock', tmp_dir='{tmp_path}', hardlink_lock=True).lock(); print('got it')"
        )
        waiting = subprocess.Popen([sys.executable, "-c", wait], stdout=subprocess.PIPE, text=True)
        with pytest.raises(subprocess.TimeoutExpired):
            waiting.wait(dvc_patches.LOOK_EVERY + 3)
    printed = waiting.communicate(timeout=30)[0]
    assert "for DVC's lock" in printed
    assert "got it" in printed


def test_jobs_share_the_lock_and_a_command_by_hand_waits_for_them(tmp_path):
    from dvc.lock import LockError, make_lock

    hold = (
        "import sys; from orchard.rerun import dvc_patches; from dvc.lock import make_lock;"
        f"dvc_patches.install('sft@nll-1'); held = make_lock('{tmp_path}/lock', tmp_dir='{tmp_path}'); held.lock();"
        "print('got it', flush=True); sys.stdin.read()"
    )
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    jobs = [subprocess.Popen([sys.executable, "-c", hold], **pipes) for _ in range(2)]
    assert [job.stdout.readline() for job in jobs] == ["got it\n"] * 2
    by_hand = make_lock(str(tmp_path / "lock"), tmp_dir=str(tmp_path))
    with pytest.raises(LockError):
        by_hand._do_lock()
    for job in jobs:
        job.communicate(timeout=60)
    by_hand._do_lock()
    waiting = subprocess.Popen([sys.executable, "-c", hold], **pipes)
    with pytest.raises(subprocess.TimeoutExpired):
        waiting.wait(5)
    by_hand.unlock()
    assert "for DVC's lock" in waiting.communicate(timeout=60)[0]


def test_a_path_that_a_dvc_command_by_hand_writes_is_busy_and_one_of_a_dead_process_is_not(tmp_path):
    project, [file] = with_sets(tmp_path / "busy", 1)
    listed = project.folder / ".dvc/tmp/rwlock"
    listed.parent.mkdir(exist_ok=True)
    writer = {str(project.folder / file): {"pid": os.getpid(), "cmd": "dvc repro"}}
    listed.write_text(json.dumps({"write": writer, "read": {}}))
    failed = project.run(sys.executable, "-m", "orchard.rerun.job", "generate@set-000", ok=False)
    assert "is busy" in failed.stdout + failed.stderr
    dead = subprocess.Popen(["true"])
    dead.wait()
    listed.write_text(json.dumps({"write": {path: info | {"pid": dead.pid} for path, info in writer.items()}}))
    project.run(sys.executable, "-m", "orchard.rerun.job", "generate@set-000")
    assert (project.folder / file).is_file()


def test_a_new_run_waits_for_jobs_that_still_live(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    live = "import time; from orchard.rerun import alive; alive.mark_job(); print('lives', flush=True); time.sleep(2)"
    job = subprocess.Popen([sys.executable, "-c", live], stdout=subprocess.PIPE)
    job.stdout.readline()
    start = time.monotonic()
    alive.wait_for_old_jobs()
    assert 1 < time.monotonic() - start < alive.GONE_WITHIN
    job.wait()


@pytest.mark.parametrize("file", ["params.yaml", "dvc.yaml", "dvc.lock"])
def test_what_is_parsed_is_what_dvc_parses(file):
    code = (
        "import json, sys; from pathlib import Path; from dvc.utils.serialize import _yaml;"
        "from orchard.rerun import dvc_patches; path = sys.argv[1]; text = Path(path).read_text();"
        "theirs = _yaml.parse_yaml(text, path); dvc_patches.parse_less();"
        "ours = _yaml.parse_yaml(text, path); assert json.dumps(ours) == json.dumps(theirs);"
        "ours.clear(); assert _yaml.parse_yaml(text, path) == theirs"
    )
    subprocess.run([sys.executable, "-c", code, file], check=True)
