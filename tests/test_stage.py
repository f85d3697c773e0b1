"""What every stage shares: an output appears whole or not at all; a user's mistake is one message."""

import json
import subprocess
import sys

import pytest

from orchard.stages import stage
from orchard.errors import UserError


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def fail_in(place):
    """Writes something, then fails."""
    with place as scratch:
        (scratch / "step" if scratch.is_dir() else scratch).write_text("half")
        scratch.mkdir()


def test_an_output_that_fails_leaves_the_earlier_one(tmp_path):
    with stage.output("data/x.txt") as scratch:
        scratch.write_text("first")
    with pytest.raises(FileExistsError):
        fail_in(stage.output("data/x.txt"))
    assert (tmp_path / "data/x.txt").read_text() == "first"


def test_resume_state_outlives_a_failure_and_goes_with_success(tmp_path):
    with pytest.raises(FileExistsError):
        fail_in(stage.resumable("results/x"))
    with stage.resumable("results/x") as state:
        assert (state / "step").read_text() == "half"
    assert not (tmp_path / ".scratch/resume/results/x").exists()


def test_content_hash_sees_names_and_bytes_and_not_snakemakes_time_stamp(tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "a").write_text("1")
    before = stage.content_hash(folder)
    (folder / ".snakemake_timestamp").touch()
    assert stage.content_hash(folder) == before
    (folder / "a").rename(folder / "b")
    assert stage.content_hash(folder) != before


def test_a_record_names_the_version_that_is_pinned_and_no_build(tmp_path, monkeypatch):
    written = []
    for build in ("", "+cpu", "+cu130"):
        monkeypatch.setattr(stage, "version", lambda library, build=build: f"2.13.0{build}")
        stage.write_record(tmp_path, "sft", {}, [])
        written.append((tmp_path / "record.json").read_text())
    assert len(set(written)) == 1
    assert json.loads(written[0])["versions"]["torch"] == "2.13.0"


def test_a_mistake_is_one_message_without_a_traceback():
    code = "from orchard import stage; stage.run(lambda: stage.read_jsonl('nowhere.jsonl'))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 1
    assert "nowhere.jsonl" in done.stderr
    assert "Traceback" not in done.stderr
    assert [line.split(":")[0].strip() for line in done.stderr.strip().splitlines()] == ["found", "rule", "why", "fix"]


def test_truncated_jsonl_names_the_line(tmp_path):
    (tmp_path / "x.jsonl").write_text('{"a": 1}\n{"a": ')
    with pytest.raises(UserError, match="line 2"):
        stage.read_jsonl("x.jsonl")
