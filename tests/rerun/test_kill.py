"""S6: jobs and the main process are killed with SIGKILL at random moments; the end result is the undisturbed one.

Each start of the run chooses at random whether stages are forks of its server or processes of their own.
"""

import json
import os
import random
import signal
import subprocess
import time
from collections import OrderedDict
from pathlib import Path

import pytest
from ruamel.yaml.representer import RepresenterError

from orchard import yamls
from orchard.lineage import lock
from orchard.models import training
from orchard.rerun import alive, dvc_patches, lockfile, warm
from tests.helpers.project import CHAIN, COMPUTES, Project

KILLS = 10
SEED = 7


def test_s6_killed_at_random_moments_ends_with_the_same_bits(finished, tmp_path):
    project = Project.from_working_tree(tmp_path / "killed")
    rng, kills, finished_stages = random.Random(SEED), 0, {}
    count = stages_of_chain(finished)
    while kills < KILLS:
        main = subprocess.Popen(
            ["snakemake", "--cores", "2", "--", *CHAIN],
            cwd=project.folder,
            env=project.env | {warm.PLAIN: rng.choice("01")},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        while main.poll() is None and kills < KILLS:
            time.sleep(rng.uniform(0.1, 1))
            # The chain takes about half the study's time. It may be faster: then as many kills as it has got far.
            due = time.monotonic() + rng.uniform(0, 0.8) * finished.seconds / 2 / KILLS
            enough = count * (kills + 1) / (KILLS + 2)
            while main.poll() is None and time.monotonic() < due and len(outputs(project)) <= enough:
                time.sleep(1)  # reading dvc.lock takes a quarter of one
            if main.poll() is not None:
                break
            assert still_there(finished_stages, project), "a finished stage was lost"
            finished_stages = outputs(project)
            victim = main.pid if rng.random() < 0.3 else pick_job(project.folder, main.pid, rng)
            if victim:
                os.kill(victim, signal.SIGKILL)
                kills += 1
        if kills >= KILLS and main.poll() is None:
            main.kill()
        code = main.wait()
        assert not (code == 0 and kills < KILLS), f"the study ended after {kills} kills"
    project.snakemake("--cores", "2", "--", *CHAIN)
    assert project.lock().items() <= finished.lock().items()
    assert project.families() >= COMPUTES
    assert not project.executed() & set(finished_stages), "a finished stage was run again"


def test_a_lock_file_that_is_half_written_leaves_the_old_one(tmp_path, monkeypatch):
    from dvc.utils.serialize import _yaml

    monkeypatch.setattr(_yaml, "_modify_data", _yaml._modify_data)
    lock = tmp_path / "dvc.lock"
    lock.write_text("stages: {a: 1}\n")
    dvc_patches.write_lock_whole()
    with pytest.raises(RepresenterError), _yaml.modify_yaml(lock) as content:
        content["stages"] = {"a": 2, "b": object()}
    assert lock.read_text() == "stages: {a: 1}\n"
    with _yaml.modify_yaml(lock) as content:
        content["stages"]["b"] = 2
    assert yamls.read(lock) == {"stages": {"a": 1, "b": 2}}


def test_a_checkpoint_that_is_half_written_is_passed_over(tmp_path, monkeypatch):
    assert training.last_checkpoint(tmp_path / "nothing") is None
    contents = {"checkpoint-9": "{", "checkpoint-20": '{"step": 20}', "checkpoint-100": '{"st', "checkpoint-40": None}
    for name, content in contents.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "optimizer.pt").touch()
        if content:
            (tmp_path / name / "trainer_state.json").write_text(content)
    assert training.last_checkpoint(tmp_path) == str(tmp_path / "checkpoint-20")
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    assert training.last_checkpoint(tmp_path) is None


@pytest.mark.parametrize("path", ["dvc.lock", "docs/pear/full/dvc.lock"])
def test_a_lock_file_is_written_in_the_bytes_of_dvc(path):
    from dvc.utils.serialize import _yaml, loads_yaml

    values = [None, 1e-5, "1.0", "a: b ", True, {"": []}, 1.0e20, "x " * 60]
    old = Path(path).read_text()
    theirs, ours = (loads_yaml(old, typ=typ) for typ in ("rt", "safe"))
    before = lockfile.as_json(ours)
    for content in (theirs, ours):
        name = list(content["stages"])[3]
        content["stages"][name]["cmd"] = (
            "python -m orchard.stages.evaluate prune-rl-grpo-pear-token-1-block-influence-0.25 --more"
        )
        content["stages"]["new"] = OrderedDict(cmd="yes", params=values)
        del content["stages"][list(content["stages"])[5]]
    assert lockfile.changed_text(old, before, ours, _yaml._dump) == lockfile.dumped(theirs, _yaml._dump)


@pytest.mark.parametrize("name", ["sft@nll-1", "new"])
def test_who_knows_one_stage_alone_leaves_the_others_lines(name):
    from dvc.utils.serialize import _yaml, loads_yaml

    old = Path("docs/pear/full/dvc.lock").read_text()
    whole = loads_yaml(old)
    own = {name: whole["stages"][name]} if name in whole["stages"] else {}
    before = lockfile.as_json({"stages": own})
    changed = {"cmd": "python -m orchard.stages.report", "outs": []}
    mine = {"schema": "2.0", "stages": own | {name: changed}}
    theirs = whole | {"stages": whole["stages"] | {name: changed}}
    assert lockfile.changed_text(old, before, mine, _yaml._dump) == lockfile.dumped(theirs, _yaml._dump)


@pytest.mark.parametrize("listed", ['{"write": {"results/a": {"pid": %d, "cmd": "job"}}, "read": {}}', '{"wri'])
def test_a_new_run_waits_for_the_dying_jobs_of_a_killed_one(listed, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    dying = subprocess.Popen(["sleep", "1"])  # nobody waits for it, so that it ends as a zombie
    alive.BUSY.parent.mkdir(parents=True)
    alive.BUSY.write_text(listed % dying.pid if "%" in listed else listed)
    start = time.time()
    alive.wait_for_old_jobs()
    assert (time.time() - start > 0.5) == ("%" in listed)
    assert not alive.BUSY.exists()
    dying.wait()


def test_who_works_on_is_left_alone(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(alive, "GONE_WITHIN", 0.5)
    alive.BUSY.parent.mkdir(parents=True)
    alive.BUSY.write_text(json.dumps({"write": {"results/a": {"pid": os.getpid(), "cmd": "job"}}, "read": {}}))
    alive.wait_for_old_jobs()
    assert alive.BUSY.exists()


def stages_of_chain(finished: Project) -> int:
    """The number of stages that CHAIN rests on."""
    stages = lock.read(finished.folder / "dvc.lock")
    return len({step["stage"] for target in CHAIN for step in lock.chain(target, stages)})


def pick_job(folder: Path, main: int, rng: random.Random) -> int | None:
    """One of the processes that work in the project's folder: a job of Snakemake's, or a stage's own command."""
    pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit() and int(entry.name) != main]
    jobs = [pid for pid in pids if _works_in(pid, folder)]
    return rng.choice(jobs) if jobs else None


def outputs(project: Project) -> dict:
    """The stages in dvc.lock with the hashes of what they made."""
    return (
        {name: entry["outs"] for name, entry in project.lock().items()}
        if (project.folder / "dvc.lock").exists()
        else {}
    )


def still_there(before: dict, project: Project) -> bool:
    """Whether all entries of an earlier dvc.lock are in today's, unchanged."""
    now = outputs(project)
    return all(now.get(name) == outs for name, outs in before.items())


def _works_in(pid: int, folder: Path) -> bool:
    try:
        inside = Path(os.readlink(f"/proc/{pid}/cwd")) == folder
        return inside and b"orchard" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False
