"""`verify` and `plan` say, in any clone and without changing it, what is stale and what a run would do."""

import hashlib
import re
import shutil
from types import SimpleNamespace

import pytest
import yaml

from orchard.lineage import plan, project as staleness, verify
from tests.project import Project
from tests.test_rerun_matrix import MATRIX, stages

OUTS_BEHIND_NLL = {"results/models/rl-grpo-nll-1", "results/evals/sft-nll-1", "results/evals/rl-grpo-nll-1"}
OUTS_BEHIND_NLL |= {"results/report"}
RATE = ("sft.objectives.nll.learning_rate", 7.0e-4)  # no other test runs it, so that no run cache has it
EDIT = ("src/orchard/respond.py", "import sys", "import sys  # an edit")


def said(project: Project, *command: str, status: int = 0) -> str:
    """What a command of orchard prints; it leaves every file as it is."""
    before = files(project)
    done = project.run("python", "-m", "orchard", *command, ok=False)
    assert files(project) == before, "the folder was changed"
    assert done.returncode == status, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout + done.stderr


def files(project: Project) -> dict:
    """Every file but DVC's own state, with its time and size."""
    found = {path.relative_to(project.folder): path.stat() for path in project.folder.rglob("*") if path.is_file()}
    left_out = {".git", "__pycache__"}
    return {
        path: (stat.st_mtime_ns, stat.st_size)
        for path, stat in found.items()
        if not left_out & set(path.parts) and path.parts[:2] != (".dvc", "tmp")
    }


def section(told: str, head: str) -> list[str]:
    """The indented lines under a heading."""
    return re.findall(r"^ +(.*)$", re.search(rf"^{head}.*\n((?: +.*\n?)*)", told, re.M)[1], re.M)


def state(told: str, name: str) -> dict[str, str]:
    """The stages of one state of a plan, with the first reason."""
    rows = re.search(rf"^{name} .*why\n((?: +.*\n?)*)", told, re.M)
    return dict(re.findall(r"^ {2}(\S+) +(?:[\d.]+  |unknown  )?(.*)$", rows[1], re.M)) if rows else {}


def put_back(project: Project) -> None:
    project.run("git", "checkout", "-q", ".")


def test_a_clean_clone_matches_and_comes_back_from_the_remote(colleague):
    count = len(colleague.lock())
    told = said(colleague, "verify")
    assert f"of {count} outputs, {count} are what these make" in told
    assert f"0 as dvc.lock records them, 0 not, {count} not pulled" in told
    told = said(colleague, "plan")
    assert told.startswith(f"{count} stages: 0 fresh, {count} restorable, 0 must run.")
    assert state(told, "restorable") == dict.fromkeys(colleague.lock(), "on the remote 'shared'")


@pytest.mark.parametrize(
    ("remote", "why", "times"),
    [
        (("remove", "shared"), "not in the cache, and no remote is named", 0),
        (("modify", "shared", "url", "../nowhere"), "not in the cache, nor on 'shared'", 1),
        (("modify", "shared", "url", "ssh://127.0.0.1:1/nobody"), "not in the cache, nor on 'shared'", 1),
    ],
    ids=["none", "not there", "not to be reached"],
)
def test_without_a_remote_all_must_run(colleague, remote, why, times):
    colleague.run("dvc", "remote", *remote)
    told = said(colleague, "plan")
    assert state(told, "must run") == dict.fromkeys(colleague.lock(), why)
    assert told.count("cannot be reached or is empty") == times


def test_an_edited_parameter_is_told_with_its_stages_and_those_behind(colleague):
    old = yaml.safe_load((colleague.folder / "config.yaml").read_text())["sft"]["objectives"]["nll"]["learning_rate"]
    colleague.set(*RATE)
    told = said(colleague, "verify", status=1)
    assert section(told, "Stale:") == [f"{RATE[0]}: {old} → {RATE[1]}", "results/models/sft-nll-1"]
    assert {line.split()[0]: line.split()[2] for line in section(told, "Behind them")} == dict.fromkeys(
        OUTS_BEHIND_NLL, "sft@nll-1"
    )
    assert "docs/report" not in told, "what is published there is of another study"
    (colleague.folder / "docs/report/summary.md").write_text("Study `smoke`; ours\n")
    assert "docs/report and the README's table are stale" in said(colleague, "verify", status=1)


def test_an_edited_file_is_told_with_both_hashes(pulled):
    file = pulled.folder / EDIT[0]
    old = hashlib.md5(file.read_bytes()).hexdigest()
    pulled.edit(*EDIT)
    told = said(pulled, "verify", status=1)
    new = hashlib.md5(file.read_bytes()).hexdigest()
    put_back(pulled)
    outs = [f"data/responses/{name.partition('@')[2]}.jsonl" for name in stages(pulled, "respond@")]
    reason, *stale = section(told, "Stale:")
    assert reason == f"{EDIT[0]}: {old[:8]} → {new[:8]}"
    assert sorted(stale) == sorted(outs)


@pytest.mark.parametrize("key", MATRIX)
def test_what_is_stale_is_dvcs_own_word(pulled, key, monkeypatch):
    monkeypatch.chdir(pulled.folder)
    value, prefixes = MATRIX[key]
    pulled.set(key, value)
    try:
        with staleness.opened() as project:
            stale, behind = verify.judge(project)
    finally:
        put_back(pulled)
    assert set(stale) == stages(pulled, *prefixes)
    assert not set(stale) & set(behind)


def test_old_outputs_with_a_newer_config_and_code_must_run(pulled):
    count = len(pulled.lock())
    assert said(pulled, "plan") == f"{count} stages: {count} fresh, 0 restorable, 0 must run.\n"
    pulled.set(*RATE)
    pulled.edit(*EDIT)
    told, verified = said(pulled, "plan"), said(pulled, "verify", status=1)
    stale = pulled.stale()
    put_back(pulled)
    assert f"{count} as dvc.lock records them, 0 not, 0 not pulled" in verified
    must = state(told, "must run")
    assert set(must) == stale
    assert must["sft@nll-1"].startswith(RATE[0])
    assert must["rl@grpo-nll-1"] == "behind sft@nll-1, only if its output changes"
    assert "restorable" in told.splitlines()[0]
    assert f"{count - len(stale)} fresh" in told


def test_a_change_that_is_taken_back_comes_from_the_run_cache(pulled, finished):
    pulled.set("recover.budgets.steps.epochs", 3)
    expected = set(state(said(pulled, "plan"), "must run"))
    pulled.snakemake("--cores", "2")
    ran = pulled.executed()
    assert {name for name in expected if name.startswith("recover@")} <= ran <= expected
    assert "unknown" not in said(pulled, "plan")
    put_back_config(pulled)
    told = said(pulled, "plan")
    assert state(told, "must run") == {}
    assert state(told, "restorable") == dict.fromkeys(ran, "in the run cache, from an earlier run")
    pulled.snakemake("--cores", "2")
    assert pulled.executed() == set()
    assert pulled.lock() == finished.lock()


def put_back_config(project: Project) -> None:
    """As before, with the dvc.lock of the run."""
    project.run("git", "checkout", "-q", "config.yaml")


def test_the_run_cache_is_asked_by_dvcs_own_key(pulled, monkeypatch):
    monkeypatch.chdir(pulled.folder)
    with staleness.opened() as project:
        contents = {stage.out: project.recorded(stage) for stage in project.stages.values()}
        made = {stage.out: plan.once_made(project, stage, contents) for stage in project.stages.values()}
    assert made == contents


@pytest.mark.parametrize(
    ("stage", "dep"), [("sft@nll-1", "results/models/base-tiny"), ("evaluate@base-tiny", "data/eval")]
)
def test_an_input_in_the_lock_that_is_not_what_its_stage_made_is_told(colleague, stage, dep):
    lock = yaml.safe_load((colleague.folder / "dvc.lock").read_text())
    entry = lock["stages"][stage]
    [read] = [read for read in entry["deps"] if read["path"] == dep]
    right = read["md5"]
    read["md5"] = f"{'0' * 32}.dir"
    (colleague.folder / "dvc.lock").write_text(yaml.safe_dump(lock, sort_keys=False))
    told = said(colleague, "verify", status=1)
    assert section(told, "Stale:") == [f"{dep}: 00000000 → {right[:8]}", entry["outs"][0]["path"]]


def test_a_new_run_makes_runs_yaml_and_the_lock_incomplete(colleague):
    text = (colleague.folder / "runs.yaml").read_text()
    colleague.set("sft.seeds", [1, 2])
    told = said(colleague, "verify", status=1)
    assert "runs.yaml is not what config.yaml implies" in told
    stale = section(told, "Stale:")
    assert staleness.NEVER_RUN in stale
    assert "results/models/sft-nll-2" in stale
    assert "results/models/sft-nll-1" not in stale
    assert (colleague.folder / "runs.yaml").read_text() == text
    (colleague.folder / "runs.yaml").unlink()
    assert "runs.yaml is not what config.yaml implies" in said(colleague, "verify", status=1)


def test_a_changed_graph_and_other_studies_stages(colleague):
    lock = yaml.safe_load((colleague.folder / "dvc.lock").read_text())
    lock["stages"]["sft@other-9"] = lock["stages"]["sft@nll-1"]
    (colleague.folder / "dvc.lock").write_text(yaml.safe_dump(lock, sort_keys=False))
    assert "also records 1 stages of other studies" in said(colleague, "verify")
    colleague.edit("dvc.yaml", "python -m orchard.report", "python -m orchard.report --now")
    colleague.edit("dvc.yaml", "      - src/orchard/report/claims.py\n", "      - README.md\n")
    assert section(said(colleague, "verify", status=1), "Stale:") == [
        "command: python -m orchard.report → python -m orchard.report --now",
        "README.md: newly read",
        "src/orchard/report/claims.py: no longer read",
        "results/report",
    ]


def test_an_output_that_was_edited_is_told_and_comes_back(pulled):
    out = pulled.folder / "data/eval/calc.jsonl"
    text = out.read_text()
    out.unlink()
    out.write_text(text + "\n")
    verified, told = said(pulled, "verify", status=1), said(pulled, "plan")
    pulled.run("dvc", "checkout", "-q", "--force", "data/eval/calc.jsonl")
    assert section(verified, "Not as dvc.lock records them:")[0].startswith("data/eval/calc.jsonl: ")
    assert state(told, "restorable") == {"generate@calc": "its output here is not that of dvc.lock"}


def test_a_folder_in_the_cache_that_lacks_a_file_must_be_made_anew(colleague):
    colleague.run("dvc", "pull", "-q")
    colleague.run("dvc", "remote", "remove", "shared")
    shutil.rmtree(colleague.folder / "results/evals/base-tiny")
    assert state(said(colleague, "plan"), "restorable") == {"evaluate@base-tiny": "in the cache"}
    cache = colleague.folder / ".dvc/cache/files/md5"
    md5 = colleague.lock()["evaluate@base-tiny"]["outs"][0]["md5"]
    for entry in yaml.safe_load((cache / md5[:2] / md5[2:]).read_text()):
        (cache / entry["md5"][:2] / entry["md5"][2:]).unlink(missing_ok=True)
    assert state(said(colleague, "plan"), "must run") == {
        "evaluate@base-tiny": "not in the cache, and no remote is named",
        "report": "behind evaluate@base-tiny, only if its output changes",
        "artifact@base": "behind evaluate@base-tiny, only if its output changes",
    }


CONFLICT = "<<<<<<< HEAD\n    cmd: a\n=======\n    cmd: b\n>>>>>>> theirs\n"


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("dvc.lock", f"schema: '2.0'\nstages:\n  report:\n{CONFLICT}", "line 4: <<<<<<<, a mark of a git merge conf"),
        ("dvc.lock", "schema: '2.0'\nstages: [", "dvc.lock: while parsing"),
        ("dvc.lock", "schema: '2.0'\nstages: {a: {cmd: b}, a: {cmd: c}}", 'duplicate key "a"'),
        ("dvc.lock", "schema: '2.0'\nstages: {a: {deps: 3}}", "dvc.lock: "),
        ("dvc.lock", None, "no stage in dvc.lock"),
        ("dvc.yaml", "stages: {a: {cmd: ", "dvc.yaml: while parsing"),
        ("dvc.yaml", "vars: [config.yaml]\nstages: {a: {cmd: '${none}'}}", "Could not find 'none'"),
        ("dvc.yaml", None, "no file dvc.yaml"),
        ("config.yaml", CONFLICT, "config.yaml"),
        ("config.yaml", "name: 3", "config.yaml"),
    ],
)
def test_a_broken_file_is_one_message(colleague, file, text, message):
    if text is None:
        (colleague.folder / file).unlink()
    else:
        (colleague.folder / file).write_text(text)
    told = said(colleague, "verify", status=1)
    assert message in told
    assert all(f"{part}:" in told for part in ("found", "rule", "why", "fix"))


def test_neither_git_nor_a_lock_is_needed_for_a_plan(colleague):
    shutil.rmtree(colleague.folder / ".git")
    said(colleague, "verify")
    (colleague.folder / "dvc.lock").unlink()
    assert set(state(said(colleague, "plan"), "must run").values()) == {staleness.NEVER_RUN}
    shutil.rmtree(colleague.folder / ".dvc")
    assert "DVC stops: you are not inside of a DVC repository" in said(colleague, "plan", status=1)


def test_the_fresh_are_named_on_demand(pulled):
    assert set(section(said(pulled, "plan", "--all"), "fresh:")) == set(pulled.lock())


def test_stages_one_after_the_other_take_their_time_however_many_cores_there_are():
    graph = {"a": [], "b": ["a"], "c": ["b"], "d": ["a"]}
    steps = {name: staleness.Stage(name, "", deps, [], "") for name, deps in graph.items()}
    project = SimpleNamespace(stages=steps, producers=lambda stage: [steps[dep] for dep in stage.deps])
    assert plan.longest_chain(project, {"a": 1.0, "b": 2.0, "c": 3.0, "d": 4.0}) == 6.0
