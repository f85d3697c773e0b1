"""Git merges dvc.lock stage by stage, so that two people can each run stages on a branch of their own."""

import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from orchard import yamls
from orchard.errors import UserError
from orchard.lineage import lock
from orchard.rerun import lockfile
from tests.helpers.project import ROOT, Project

CALC, RL, MIX, BASE = (
    "data/eval/calc.jsonl",
    "data/prompts/rl.jsonl",
    "data/pretrain/mix.jsonl",
    "results/models/base-tiny-1",
)

# Edits that stand far enough apart for git to merge them.
CONFIG = """extends: smoke
data:
  generate:
    mix: {items: 64, seed: 11}
    # of branch data; the next line is of branches calc and other
    #
    calc: {seed: 21}
    #
    # of branch rl:
    #
    rl: {seed: 13}
    #
    # of branch model:
    #
base:
  tiny: {steps: 2, seeds: [1]}
"""


@pytest.fixture(scope="module")
def branches(tmp_path_factory) -> Project:
    """A run of three sets on main, one set made anew on each of two branches, and the driver in git's config."""
    project = Project.from_working_tree(tmp_path_factory.mktemp("branches") / "project")
    (project.folder / "config.yaml").write_text(CONFIG)
    project.orchard("check")
    project.snakemake("--cores", "2", CALC, RL, MIX)
    project.run("make", "merge-driver", f"VENV={Path(sys.executable).parent.parent}")
    project.commit("a run")
    branch(project, "calc", ("seed: 21", "seed: 121"), CALC)
    branch(project, "rl", ("seed: 13", "seed: 113"), RL)
    return project


@pytest.fixture
def project(branches, tmp_path) -> Project:
    """A copy of it, with data and cache, on branch rl."""
    return Project(shutil.copytree(branches.folder, tmp_path / "project", symlinks=True))


@pytest.mark.parametrize("command", [("merge", "-q", "calc"), ("rebase", "-q", "calc"), ("cherry-pick", "calc")])
def test_runs_on_two_branches_merge_and_nothing_is_run_again(project, command):
    one, other = lock_of(project, "calc"), lock_of(project, "rl")
    project.run("git", *command)
    merged = project.lock()
    assert merged["generate@calc"] == one["generate@calc"] != other["generate@calc"]
    assert merged["generate@rl"] == other["generate@rl"] != one["generate@rl"]
    assert (project.folder / "dvc.lock").read_text() == in_dvcs_bytes(project.folder / "dvc.lock")
    project.run("dvc", "checkout", "-q", CALC, RL)
    assert "Nothing to be done" in project.snakemake("-n", CALC, RL)


def test_a_stage_that_ran_on_another_input_than_the_merged_one_is_stale(project):
    branch(project, "data", ("seed: 11", "seed: 111"), MIX)
    branch(project, "model", ("steps: 2,", "steps: 3,"), BASE)
    assert "Nothing to be done" in project.snakemake("-n", BASE)
    project.run("git", "merge", "-q", "data")
    project.run("dvc", "checkout", "-q", MIX)
    stale = project.stale()
    assert "base@tiny-1" in stale
    assert "generate@mix" not in stale
    assert "Nothing to be done" not in project.snakemake("-n", BASE)


def test_a_stage_that_ran_differently_on_both_branches_is_a_conflict_of_its_own_lines_only(project):
    branch(project, "other", ("seed: 21", "seed: 221"), CALC)
    failed = project.run("git", "merge", "calc", ok=False)
    assert failed.returncode == 1
    printed = failed.stdout + failed.stderr
    assert "both sides changed generate@calc in dvc.lock" in printed
    assert "snakemake --cores all" in printed
    text = (project.folder / "dvc.lock").read_text()
    ours, other = text.split("<<<<<<< ours\n")[1].split(">>>>>>> theirs\n")[0].split("=======\n")
    for side in (ours, other):
        assert side.startswith("  generate@calc:\n")
        assert len(lock.blocks(side)) == 2
    project.run("git", "checkout", "-q", "--ours", "config.yaml", "params.yaml")
    (project.folder / "dvc.lock").write_text(
        text.replace("<<<<<<< ours\n" + ours + "=======\n", "").replace(">>>>>>> theirs\n", "")
    )
    project.snakemake("--cores", "2", CALC, RL)  # the wrong side was kept: the right one comes back from the cache
    assert project.executed() == set()
    assert project.lock() == lock_of(project, "other")


def test_a_clone_without_the_driver_merges_by_text_and_a_folder_without_git_is_set_up_as_well(project, tmp_path):
    project.run("git", "config", "--unset", "merge.dvc-lock.driver")
    project.run("git", "checkout", "-q", "main")
    assert project.run("git", "merge", "-q", "calc").stderr == ""
    (tmp_path / "tarball").mkdir()
    subprocess.run(["make", "-f", ROOT / "Makefile", "merge-driver"], cwd=tmp_path / "tarball", check=True)


@pytest.mark.parametrize("seed", range(200))
def test_a_merge_is_the_three_way_merge_of_the_entries(seed, tmp_path):
    rng = random.Random(seed)
    base = {f"s@{n}": rng.randrange(3) for n in rng.sample(range(12), rng.randrange(12))}
    ours, theirs = changed(base, rng), changed(base, rng)
    paths = [tmp_path / name for name in ("base", "ours", "theirs")]
    for path, side in zip(paths, (base, ours, theirs), strict=True):
        path.write_text(lock_text(side))
    expected, in_conflict = {}, set()
    for name in [*ours, *(name for name in theirs if name not in ours)]:
        sides = [side.get(name) for side in (base, ours, theirs)]
        if sides[1] != sides[2] and sides[0] not in sides[1:]:
            in_conflict.add(name)
        else:
            expected[name] = sides[2] if sides[1] == sides[0] else sides[1]
    if in_conflict:
        with pytest.raises(UserError) as error:
            lockfile.merge(*paths)
        assert {word.strip(",") for word in str(error.value).split() if word.startswith("s@")} == in_conflict
        assert paths[1].read_text().count("<<<<<<< ours\n") == len(in_conflict)
    else:
        lockfile.merge(*paths)
        assert paths[1].read_text() == lock_text({name: value for name, value in expected.items() if value is not None})


@pytest.mark.parametrize(
    "garbled",
    [
        "<<<<<<< ours\n" + lock.HEAD,
        lock.HEAD + "  a:\n    cmd: x\n",  # cut before the outputs
        lock.HEAD + "  a:\n    cmd: x\n    outs:\n    - path: da",
        lock.HEAD + "  a:\n    cmd: x\n    outs: []\n" * 2,
        lock.HEAD + "  a:\n    cmd: 'x\n    outs: []\n",
        lock.HEAD + "  a:\n    cmd: x\n<<<<<<< ours\n    outs: []\n=======\n>>>>>>> theirs\n",
        "schema: '1.0'\n  a:\n    cmd: x\n    outs: []\n",
        "schema: '2.0'\n",
    ],
)
@pytest.mark.parametrize("which", [0, 1, 2])
def test_a_side_that_is_no_lock_file_is_named_and_nothing_is_written(garbled, which, tmp_path):
    paths = [tmp_path / name for name in ("base", "ours", "theirs")]
    texts = [lock_text({"a": 1})] * 3
    texts[which] = garbled
    for path, text in zip(paths, texts, strict=True):
        path.write_text(text)
    with pytest.raises(UserError, match="garbled"):
        lockfile.merge(*paths)
    assert paths[1].read_text() == texts[1]


def branch(project: Project, name: str, edit: tuple[str, str], *targets: str) -> None:
    """From main, a branch with one edit of the config and the run that it needs."""
    project.run("git", "checkout", "-q", "-b", name, "main")
    project.edit("config.yaml", *edit)
    project.snakemake("--cores", "2", *targets)
    project.commit(name)


def lock_of(project: Project, name: str) -> dict:
    """The stages of dvc.lock in a git revision."""
    return yamls.loads(project.run("git", "show", f"{name}:dvc.lock").stdout)["stages"]


def in_dvcs_bytes(path: Path) -> str:
    """What DVC would write for the content of a lock file."""
    from dvc.utils.serialize import _yaml, loads_yaml

    return lockfile.dumped(loads_yaml(path.read_text(), typ="rt"), _yaml._dump)


def lock_text(stages: dict[str, int]) -> str:
    """A dvc.lock whose stages have one number each; empty without stages."""
    lines = [f"  {name}:\n    cmd: x {value}\n    outs:\n    - path: {name}\n" for name, value in stages.items()]
    return lock.HEAD + "".join(lines) if lines else ""


def changed(stages: dict[str, int], rng: random.Random) -> dict[str, int]:
    """A side of a merge: stages dropped, changed, moved and added."""
    side = {name: rng.randrange(3) if rng.random() < 0.3 else was for name, was in stages.items() if rng.random() < 0.8}
    names = rng.sample(sorted(side), len(side))
    return {name: side[name] for name in names} | {f"s@{rng.randrange(12)}": rng.randrange(3) for _ in range(2)}
