"""A run under faults: other clocks, other disks, full disks, odd surroundings, and what changes under it."""

import fcntl
import hashlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from orchard import paths
from tests.helpers.many import with_sets
from tests.helpers.messages import assert_one_message
from tests.helpers.project import Project

FUTURE = 2_051_222_400  # 2035-01-01, in seconds
SHM = Path("/dev/shm")  # another file system than that of most temporary folders
OTHER_DISK = pytest.mark.skipif(
    not SHM.is_dir() or SHM.stat().st_dev == Path(tempfile.gettempdir()).stat().st_dev, reason="one file system alone"
)
STAGE = "generate@set-000"
WRITES = "    with stage.output(paths.data_set(asked.role, name)) as scratch:\n"  # in src/orchard/stages/generate.py


@pytest.fixture
def project(tmp_path) -> Project:
    """A study with two small sets, of which nothing was run."""
    made, _ = with_sets(tmp_path / "project", 2)
    made.commit("two small sets")
    return made


@pytest.fixture
def other_disk() -> Path:
    with tempfile.TemporaryDirectory(dir=SHM) as folder:
        yield Path(folder)


def file_of(project: Project, name: str = "set-000") -> Path:
    return project.folder / f"data/eval/{name}.jsonl"


def run(project: Project, *more: str, ok: bool = True, **env: str) -> subprocess.CompletedProcess:
    """One run for the first set."""
    project.env |= env
    return project.run("snakemake", "--cores", "2", "data/eval/set-000.jsonl", *more, ok=ok)


def slow_down(project: Project, code: str) -> None:
    """Lets the stages that generate sets do something before they write."""
    project.edit("src/orchard/stages/generate.py", WRITES, f"    {code}\n{WRITES}")


def message(done: subprocess.CompletedProcess) -> str:
    """The one message in what a command printed."""
    text = done.stdout + done.stderr
    assert "Traceback" not in text, text
    return text[text.index("found:") :] if "found:" in text else text


# Clocks


def test_a_date_in_the_future_stops_no_stage(project):
    """Of an output that is to be made anew, and of an input from outside."""
    run(project)
    (project.folder / "own").mkdir()
    late = project.folder / "own/late.jsonl"
    late.write_text(json.dumps({"question": "How much is 1 + 1?", "answer": "#### 2"}) + "\n")
    config = project.folder / "config.yaml"
    added = "data:\n  ingest:\n    late: {role: eval, path: own/late.jsonl, format: gsm8k, limit: 1, seed: 1}\n"
    config.write_text(config.read_text().replace("data:\n", added, 1).replace("seed: 1000", "seed: 7"))
    for path in (late, file_of(project)):
        os.utime(path, (FUTURE, FUTURE))
    before = file_of(project).read_bytes()
    project.run("snakemake", "--cores", "2", "data/eval/set-000.jsonl", "data/eval/late.jsonl")
    assert file_of(project).read_bytes() != before
    assert file_of(project, "late").is_file()
    assert "Nothing to be done" in project.snakemake("-n", "data/eval/set-000.jsonl", "data/eval/late.jsonl")


# Disks


@OTHER_DISK
@pytest.mark.parametrize("linked", ["data", "data/eval", ".scratch"])
def test_a_folder_on_another_disk_is_as_good(project, other_disk, linked):
    (project.folder / linked).parent.mkdir(exist_ok=True)
    (project.folder / linked).symlink_to(other_disk)
    run(project)
    assert project.executed() == {STAGE}
    [out] = project.lock()[STAGE]["outs"]
    assert out["md5"] == hashlib.md5(file_of(project).read_bytes()).hexdigest()
    file_of(project).unlink()
    run(project)
    assert project.executed() == set()  # restored
    assert list(file_of(project).parent.glob(".*")) == []


@pytest.mark.parametrize("name", ["data", "logs", ".scratch"])
def test_a_folder_that_cannot_be_written_is_told_before_the_work(project, name):
    (project.folder / name).write_text("a file where a folder should be\n")
    done = run(project, ok=False)
    assert_one_message(message(done), [name])
    assert "Select jobs" not in done.stderr
    (project.folder / name).unlink()
    run(project)
    assert file_of(project).is_file()


def test_a_full_folder_for_temporary_files_is_told_before_the_work(project):
    done = run(project, ok=False, TMPDIR="/dev/full")
    assert_one_message(message(done), ["/dev/full"])
    assert not project.executed()


# Surroundings


@pytest.mark.parametrize(
    "env",
    [
        {"LC_ALL": "C", "PYTHONUTF8": "0"},
        {"PYTHONWARNINGS": "error"},
        {"PYTHONIOENCODING": "ascii"},
        {"HOME": "/"},
    ],
    ids=str,
)
def test_odd_surroundings_change_nothing(project, env):
    done = run(project, **env)
    assert "Traceback" not in done.stderr
    assert project.executed() == {STAGE}
    project.run("dvc", "repro", "--single-item", "generate@set-001")
    assert file_of(project, "set-001").is_file()
    project.set("name", "größer")
    assert "größer" in project.orchard("check", ok=False).stderr


def test_a_project_without_git_runs(project):
    subprocess.run(["rm", "-rf", str(project.folder / ".git")], check=True)
    run(project)
    assert project.executed() == {STAGE}


def test_a_job_asks_nothing(project):
    slow_down(project, "import sys; assert sys.stdin.read() == ''")
    with subprocess.Popen(
        ["snakemake", "--cores", "2", "data/eval/set-000.jsonl"],
        cwd=project.folder,
        env=project.env,
        stdin=subprocess.PIPE,  # which nobody closes
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as running:
        assert running.wait(timeout=60) == 0


@pytest.mark.parametrize("name", ["results/models/base-tyni-1", "evaluate@base-tiny-1", "data/eval/set-0000.jsonl"])
def test_a_target_that_no_stage_makes_is_one_message(project, name):
    done = project.run("snakemake", "-n", name, ok=False)
    near = {"results/models/base-tyni-1": "base-tiny-1", "evaluate@base-tiny-1": "results/evals/base-tiny-1"}
    assert_one_message(message(done), [name, near.get(name, "data/eval/set-000.jsonl")])


# Whose code runs


@pytest.mark.parametrize("worktree", [False, True])
def test_a_clone_runs_its_own_code_whatever_the_environment_has(project, tmp_path, worktree):
    if worktree:
        project.run("git", "worktree", "add", "-q", "-b", "other", str(tmp_path / "two"))
        two = Project(tmp_path / "two")
    else:
        two = project.clone(tmp_path / "two")
    slow_down(two, "print('the code of the second')")
    two.env["PYTHONPATH"] = str(project.folder / "src")  # as an editable install of the first clone has it
    done = two.run("dvc", "repro", "--single-item", STAGE)
    assert "the code of the second" in done.stdout + done.stderr
    code = two.folder / "src/orchard/stages/generate.py"
    deps = {dep["path"]: dep["md5"] for dep in two.lock()[STAGE]["deps"]}
    assert deps["src/orchard/stages/generate.py"] == hashlib.md5(code.read_bytes()).hexdigest()
    (two.folder / "src/orchard/__main__.py").write_text("print('own command')")
    assert two.run(sys.executable, "-m", "orchard", "check").stdout == "own command\n"


# What changes under a run


@pytest.mark.parametrize(
    ("edit", "told"),
    [
        ("echo '# later' >> src/orchard/tasks/words.py", "src/orchard/tasks/words.py"),
        ("cp src/orchard/tasks/words.py w; mv w src/orchard/tasks/words.py", "src/orchard/tasks/words.py"),
        ("sed -i 's/seed: 1000/seed: 9/' params.yaml", "params.yaml"),
    ],
    ids=["edited", "put back", "parameters"],
)
def test_what_changed_while_a_stage_ran_is_not_recorded(project, edit, told):
    slow_down(project, f'import os; os.system("""{edit}""")')
    project.orchard("check")
    done = run(project, ok=False)
    assert done.returncode != 0
    log = (project.folder / "logs/data/eval/set-000.jsonl.log").read_text()
    assert_one_message(log[log.index("found:") :], [told, "changed while its command ran"])
    assert not (project.folder / "dvc.lock").exists() or STAGE not in project.lock()
    project.run("git", "checkout", "-q", "src", "params.yaml")
    run(project)
    assert STAGE in project.lock()


def test_a_stage_whose_code_changed_since_the_run_began_does_not_start(project):
    """The first stage edits the code of both."""
    later = "echo >> src/orchard/tasks/words.py; echo >> src/orchard/stages/report.py"
    slow_down(project, f"import os; name == 'set-000' and os.system({later!r})")
    both = ["snakemake", "--cores", "1", "data/eval/set-000.jsonl", "data/eval/set-001.jsonl", "--prioritize"]
    done = project.run(*both, "data/eval/set-000.jsonl", ok=False)
    printed = done.stdout + done.stderr
    assert "generate@set-001: src/orchard/tasks/words.py changed since this run began" in printed
    assert "Changed while this run went on: src/orchard/stages/report.py, src/orchard/tasks/words.py" in printed
    assert not (project.folder / "dvc.lock").exists()


def test_an_edit_of_the_config_leaves_a_run_as_it_began(project):
    slow_down(project, "import os; os.system('echo \"# later\" >> config.yaml')")
    project.commit("slower")
    done = run(project)
    assert project.executed() == {STAGE}
    assert "Changed while this run went on: config.yaml" in done.stderr
    assert project.lock()[STAGE]["params"]["params.yaml"][f"data.generate.{STAGE.partition('@')[2]}"]["seed"] == 1000


# DVC by hand


def test_a_stage_by_hand_beside_a_run_is_refused(project):
    lock = project.folder / paths.RUNNING
    lock.parent.mkdir(exist_ok=True)
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        done = project.run("dvc", "repro", "--single-item", STAGE, ok=False)
    assert_one_message(message(done), ["`dvc repro`", "one at a time"])
    project.run("dvc", "repro", "--single-item", STAGE)


def test_a_stage_by_hand_behind_the_config_is_refused(project):
    project.set("data.generate.set-001.seed", 7)
    done = project.run("dvc", "repro", "--single-item", STAGE, ok=False)
    assert_one_message(message(done), ["params.yaml", "orchard check"])
    project.orchard("check")
    project.run("dvc", "repro", "--single-item", STAGE)
