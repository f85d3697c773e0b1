"""`orchard verify --recompute`: stages made anew beside the results give what dvc.lock records, or it is told."""

import re
import subprocess
from pathlib import Path

import pytest

from orchard import yamls
from orchard.rerun import recompute
from tests.helpers.many import with_sets
from tests.helpers.messages import assert_one_message
from tests.helpers.project import Project

STAGE = "generate@set-000"


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Project:
    """A study of which two sets were made; tests clone it."""
    project, files = with_sets(tmp_path_factory.mktemp("made") / "project", 2)
    project.run("snakemake", "--cores", "2", *files)
    project.commit("two small sets")
    return project


@pytest.fixture
def clone(made, tmp_path) -> Project:
    """A clone with git's files alone."""
    return made.clone(tmp_path / "clone")


def recomputed(project: Project, *asked: str, status: int = 0) -> str:
    done = project.orchard("verify", "--recompute", *asked, ok=False)
    assert done.returncode == status, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout if done.stdout.strip() else done.stderr


def edited_lock(project: Project, stage: str, md5: str = "0" * 32) -> None:
    tree = yamls.read(project.folder / "dvc.lock")
    tree["stages"][stage]["outs"][0]["md5"] = md5
    (project.folder / "dvc.lock").write_text(yamls.dumps(tree))


def state(project: Project) -> str:
    """What git would say of the clone, and its outputs."""
    outs = sorted(str(file) for top in ("data", "results") for file in (project.folder / top).rglob("*"))
    return subprocess.check_output(["git", "status", "--short"], cwd=project.folder, text=True) + "\n".join(outs)


def test_a_stage_gives_what_the_lock_records_and_nothing_else_changes(clone):
    before = state(clone)
    text = recomputed(clone, STAGE, "generate@set-001")
    assert text.startswith("2 stages made anew from their inputs in dvc.lock, by name: 2 the same, 0 not.\n")
    assert state(clone) == before
    assert not list((clone.folder / recompute.FOLDER).glob("*"))


def test_a_draw_can_be_had_again(clone):
    text = recomputed(clone, "1")
    seed = re.search(r"`--seed (\d+)`", text)[1]
    assert recomputed(clone, "1", "--seed", seed) == text


def test_another_output_is_told_and_kept(clone):
    edited_lock(clone, STAGE)
    text = recomputed(clone, STAGE, status=1)
    line = text.splitlines()[1]
    assert re.fullmatch(rf"  {STAGE}: 00000000 → \w{{8}}, kept as (\S+)", line), line
    assert (clone.folder / line.rpartition(" ")[2]).is_file()


def test_a_stage_that_fails_is_told_with_its_log(clone):
    clone.edit("params.yaml", "items: 4", "items: four")
    text = recomputed(clone, STAGE, status=1)
    assert "failed with status 1" in text
    assert "items" in text


@pytest.mark.parametrize(
    ("asked", "parts"),
    [
        (["generate@set-00"], ["no stage of this study", "did you mean 'generate@set-00"]),
        (["base@tiny-1"], ["base@tiny-1: never run"]),
        (["3"], ["1 to 2 can be"]),
        (["0"], ["1 to 2 can be"]),
    ],
)
def test_what_cannot_be_made_anew_is_one_message(clone, asked, parts):
    assert_one_message(recomputed(clone, *asked, status=1), parts)


# Stages that read what others made


COMPUTING = "prune@rl-grpo-pear-token-1-block-influence-0.25"


def test_inputs_that_are_not_here_are_pulled(colleague):
    text = recomputed(colleague, COMPUTING)
    assert "1 the same" in text
    assert (colleague.folder / "results/models/rl-grpo-pear-token-1").is_dir()
    assert not (colleague.folder / "results/models/prune-rl-grpo-pear-token-1-block-influence-0.25").exists()


def test_without_a_remote_missing_inputs_are_refused(colleague):
    colleague.run("dvc", "remote", "remove", "shared")
    assert_one_message(recomputed(colleague, COMPUTING, status=1), ["not here; and no remote is named"])


def test_an_input_that_was_edited_is_refused(colleague):
    colleague.run("dvc", "pull", "-q", "data/calibration/held-in.jsonl")
    file = colleague.folder / "data/calibration/held-in.jsonl"
    text = file.read_text()
    file.unlink()
    file.write_text(text + "\n")
    assert_one_message(recomputed(colleague, COMPUTING, status=1), ["held-in.jsonl not as dvc.lock records it"])


def test_a_path_that_leads_out_of_the_project_leads_to_no_other_place(tmp_path, monkeypatch):
    (tmp_path / "given").mkdir()
    (tmp_path / "given/items.jsonl").write_text("{}\n")
    (tmp_path / "a/project").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "a/project")
    dep = "../../given/items.jsonl"
    stage = recompute.Stage("ingest@far", f"python -c \"print(open('{dep}').read())\"", [dep], [], "out")
    folder = recompute.working_folder(stage)
    assert recompute.ran(stage, folder) == ""
    assert (folder / "log").read_text().strip() == "{}"
    assert not Path("given").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "given"]
