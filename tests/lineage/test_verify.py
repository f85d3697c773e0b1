"""`verify` and `plan` say, in any clone and without changing it, what is stale and what a run would do."""

import hashlib
import re
import shutil
from types import SimpleNamespace

import pytest

from orchard import yamls
from orchard.lineage import plan
from orchard.lineage import project as lineage
from orchard.lineage.graph import Graph, Stage
from tests.helpers.matrix import stages
from tests.helpers.project import Project

BEHIND_NLL = ("models/rl-grpo-nll", "evals/sft-nll", "evals/rl-grpo-nll")
OUTS_BEHIND_NLL = {f"results/{out}-{seed}": f"sft@nll-{seed}" for out in BEHIND_NLL for seed in (1, 2)}
RATE = ("sft.objectives.nll.learning_rate", 7.0e-4)  # no other test runs it, so that no run cache has it
EDIT = ("src/orchard/stages/respond.py", "import jsonl, paths\n", "import jsonl, paths  # an edit\n")


def printed(project: Project, *command: str, status: int = 0) -> str:
    """What a command of orchard prints; it leaves every file as it is."""
    before = files(project)
    done = project.orchard(*command, ok=False)
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


def section(text: str, head: str) -> list[str]:
    """The indented lines under a heading."""
    return re.findall(r"^ +(.*)$", re.search(rf"^{head}.*\n((?: +.*\n?)*)", text, re.M)[1], re.M)


def state(text: str, name: str) -> dict[str, str]:
    """The stages of one state of a plan, with the first reason."""
    rows = re.search(rf"^{name} .*why\n((?: +.*\n?)*)", text, re.M)
    return dict(re.findall(r"^ {2}(\S+) +(?:[\d.]+  |unknown  )?(.*)$", rows[1], re.M)) if rows else {}


def put_back(project: Project) -> None:
    project.run("git", "checkout", "-q", ".")


def test_a_clean_clone_matches_and_comes_back_from_the_remote(colleague):
    count = len(colleague.lock())
    text = printed(colleague, "verify")
    assert f"of {count} outputs, {count} are what these make" in text
    assert f"0 as dvc.lock records them, 0 not, {count} not pulled" in text
    text = printed(colleague, "plan")
    assert text.startswith(f"{count} stages: 0 fresh, {count} restorable, 0 must run.")
    assert state(text, "restorable") == dict.fromkeys(colleague.lock(), "on the remote 'shared'")


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
    text = printed(colleague, "plan")
    assert state(text, "must run") == dict.fromkeys(colleague.lock(), why)
    assert text.count("cannot be reached or is empty") == times


def test_an_edited_parameter_is_text_with_its_stages_and_those_behind(colleague):
    old = colleague.study()["sft"]["objectives"]["nll"]["learning_rate"]
    colleague.set(*RATE)
    text = printed(colleague, "verify", status=1)
    assert section(text, "Stale:") == [
        f"{RATE[0]}: {old} → {RATE[1]}",
        "results/models/sft-nll-1",
        "results/models/sft-nll-2",
    ]
    behind = {line.split()[0]: line.split()[2] for line in section(text, "Behind them")}
    assert behind.pop("results/report").startswith("sft@nll-")
    assert behind == OUTS_BEHIND_NLL
    assert "docs/report" not in text, "what is published there is of another study"
    (colleague.folder / "docs/report/summary.md").write_text("Study `smoke`; ours\n")
    assert "docs/report and the README's table are stale" in printed(colleague, "verify", status=1)


def test_an_edited_file_is_text_with_both_hashes(pulled):
    file = pulled.folder / EDIT[0]
    old = hashlib.md5(file.read_bytes()).hexdigest()
    pulled.edit(*EDIT)
    text = printed(pulled, "verify", status=1)
    new = hashlib.md5(file.read_bytes()).hexdigest()
    put_back(pulled)
    outs = [f"data/responses/{name.partition('@')[2]}.jsonl" for name in stages(pulled, "respond@")]
    reason, *stale = section(text, "Stale:")
    assert reason == f"{EDIT[0]}: {old[:8]} → {new[:8]}"
    assert sorted(stale) == sorted(outs)


def test_old_outputs_with_a_newer_config_and_code_must_run(pulled):
    count = len(pulled.lock())
    assert printed(pulled, "plan") == f"{count} stages: {count} fresh, 0 restorable, 0 must run.\n"
    pulled.set(*RATE)
    pulled.edit(*EDIT)
    text, verified = printed(pulled, "plan"), printed(pulled, "verify", status=1)
    stale = pulled.stale()
    put_back(pulled)
    assert f"{count} as dvc.lock records them, 0 not, 0 not pulled" in verified
    must = state(text, "must run")
    assert set(must) == stale
    assert must["sft@nll-1"].startswith(RATE[0])
    assert must["rl@grpo-nll-1"] == "behind sft@nll-1, only if its output changes"
    assert "restorable" in text.splitlines()[0]
    assert f"{count - len(stale)} fresh" in text


def test_a_change_that_is_taken_back_comes_from_the_run_cache(pulled, finished):
    pulled.set("recover.budgets.steps.amount.epochs", 3)
    expected = set(state(printed(pulled, "plan"), "must run"))
    pulled.snakemake("--cores", "2")
    ran = pulled.executed()
    assert {name for name in expected if name.startswith("recover@")} <= ran <= expected
    assert "unknown" not in printed(pulled, "plan")
    put_back_config(pulled)
    text = printed(pulled, "plan")
    assert state(text, "must run") == {}
    assert state(text, "restorable") == dict.fromkeys(ran, "in the run cache, from an earlier run")
    pulled.snakemake("--cores", "2")
    assert pulled.executed() == set()
    assert pulled.lock() == finished.lock()


def put_back_config(project: Project) -> None:
    """As before, with the dvc.lock of the run."""
    project.run("git", "checkout", "-q", "config.yaml", "params.yaml")


def test_the_run_cache_is_asked_by_dvcs_own_key(pulled, monkeypatch):
    monkeypatch.chdir(pulled.folder)
    with lineage.opened() as opened:
        contents = {stage.out: opened.recorded(stage) for stage in opened.stages.values()}
        made = {stage.out: opened.once_made(stage, contents) for stage in opened.stages.values()}
    assert made == contents


@pytest.mark.parametrize(
    ("stage", "dep"), [("sft@nll-1", "results/models/base-tiny-1"), ("evaluate@base-tiny-1", "data/eval")]
)
def test_an_input_in_the_lock_that_is_not_what_its_stage_made_is_text(colleague, stage, dep):
    tree = yamls.read(colleague.folder / "dvc.lock")
    entry = tree["stages"][stage]
    [read] = [read for read in entry["deps"] if read["path"] == dep]
    right = read["md5"]
    read["md5"] = f"{'0' * 32}.dir"
    (colleague.folder / "dvc.lock").write_text(yamls.dumps(tree))
    text = printed(colleague, "verify", status=1)
    assert section(text, "Stale:") == [f"{dep}: 00000000 → {right[:8]}", entry["outs"][0]["path"]]


def test_a_new_run_makes_params_and_the_lock_incomplete(colleague):
    before = (colleague.folder / "params.yaml").read_text()
    colleague.set("base.tiny.seeds", [1, 2, 3])
    text = printed(colleague, "verify", status=1)
    assert "params.yaml is not what config.yaml implies" in text
    stale = section(text, "Stale:")
    assert lineage.NEVER_RUN in stale
    assert "results/models/sft-nll-3" in stale
    assert "results/models/sft-nll-1" not in stale
    assert (colleague.folder / "params.yaml").read_text() == before
    (colleague.folder / "params.yaml").unlink()
    assert "params.yaml is not what config.yaml implies" in printed(colleague, "verify", status=1)


def test_a_changed_graph_and_other_studies_stages(colleague):
    tree = yamls.read(colleague.folder / "dvc.lock")
    tree["stages"]["sft@other-9"] = tree["stages"]["sft@nll-1"]
    (colleague.folder / "dvc.lock").write_text(yamls.dumps(tree))
    assert "also records 1 stages of other studies" in printed(colleague, "verify")
    colleague.edit("dvc.yaml", "python -m orchard.stages.report", "python -m orchard.stages.report --now")
    colleague.edit("dvc.yaml", "      - src/orchard/report/statistics.py\n", "      - README.md\n")
    assert section(printed(colleague, "verify", status=1), "Stale:") == [
        "command: python -m orchard.stages.report → python -m orchard.stages.report --now",
        "README.md: newly read",
        "src/orchard/report/statistics.py: no longer read",
        "results/report",
    ]


def test_an_output_that_was_edited_is_text_and_comes_back(pulled):
    out = pulled.folder / "data/eval/calc.jsonl"
    text = out.read_text()
    out.unlink()
    out.write_text(text + "\n")
    verified, text = printed(pulled, "verify", status=1), printed(pulled, "plan")
    pulled.run("dvc", "checkout", "-q", "--force", "data/eval/calc.jsonl")
    assert section(verified, "Not as dvc.lock records them:")[0].startswith("data/eval/calc.jsonl: ")
    assert state(text, "restorable") == {"generate@calc": "its output here is not that of dvc.lock"}


def test_a_folder_in_the_cache_that_lacks_a_file_must_be_made_anew(colleague):
    colleague.run("dvc", "pull", "-q")
    colleague.run("dvc", "remote", "remove", "shared")
    shutil.rmtree(colleague.folder / "results/evals/base-tiny-1")
    assert state(printed(colleague, "plan"), "restorable") == {"evaluate@base-tiny-1": "in the cache"}
    cache = colleague.folder / ".dvc/cache/files/md5"
    md5 = colleague.lock()["evaluate@base-tiny-1"]["outs"][0]["md5"]
    for entry in yamls.read(cache / md5[:2] / md5[2:]):
        (cache / entry["md5"][:2] / entry["md5"][2:]).unlink(missing_ok=True)
    assert state(printed(colleague, "plan"), "must run") == {
        "evaluate@base-tiny-1": "not in the cache, and no remote is named",
        "report": "behind evaluate@base-tiny-1, only if its output changes",
    }


CONFLICT = "<<<<<<< HEAD\n    cmd: a\n=======\n    cmd: b\n>>>>>>> theirs\n"


@pytest.mark.parametrize(
    ("file", "text", "message"),
    [
        ("dvc.lock", f"schema: '2.0'\nstages:\n  report:\n{CONFLICT}", "line 4: <<<<<<<, a mark of a git merge conf"),
        ("dvc.lock", "schema: '2.0'\nstages: [", "dvc.lock, line "),
        ("dvc.lock", "schema: '2.0'\nstages: {a: {cmd: b}, a: {cmd: c}}", 'duplicate key "a"'),
        ("dvc.lock", "schema: '2.0'\nstages: {a: {deps: 3}}", "dvc.lock: "),
        ("dvc.lock", None, "no stage in dvc.lock"),
        ("dvc.yaml", "stages: {a: {cmd: ", "dvc.yaml, line "),
        ("dvc.yaml", "stages: {a: {cmd: '${none}', outs: [a]}}", "Could not find 'none'"),
        ("dvc.yaml", None, "no file dvc.yaml"),
        ("config.yaml", CONFLICT, "config.yaml, line 1: <<<<<<<"),
        ("config.yaml", "extends: smoke\nname: 3", "config.yaml: 1 mistake"),
    ],
)
def test_a_broken_file_is_one_message(colleague, file, text, message):
    if text is None:
        (colleague.folder / file).unlink()
    else:
        (colleague.folder / file).write_text(text)
    text = printed(colleague, "verify", status=1)
    assert message in text
    assert all(f"{part}:" in text for part in ("found", "rule", "why", "fix"))


def test_neither_git_nor_a_lock_is_needed_for_a_plan(colleague):
    shutil.rmtree(colleague.folder / ".git")
    printed(colleague, "verify")
    (colleague.folder / "dvc.lock").unlink()
    assert set(state(printed(colleague, "plan"), "must run").values()) == {lineage.NEVER_RUN}
    shutil.rmtree(colleague.folder / ".dvc")
    assert "DVC stops: you are not inside of a DVC repository" in printed(colleague, "plan", status=1)


def test_the_fresh_are_named_on_demand(pulled):
    assert set(section(printed(pulled, "plan", "--all"), "fresh:")) == set(pulled.lock())


def test_stages_one_after_the_other_take_their_time_however_many_cores_there_are():
    reads = {"a": [], "b": ["a"], "c": ["b"], "d": ["a"]}
    stages = Graph([Stage(name, "", deps, [], name) for name, deps in reads.items()])
    opened = SimpleNamespace(stages=stages.stages, graph=stages)
    assert plan.longest_chain(opened, {"a": 1.0, "b": 2.0, "c": 3.0, "d": 4.0}) == 6.0
