"""What a model writes is sampled in shards: a kill costs the unfinished one, and their number changes no data."""

import subprocess
import time

import pytest

from orchard import yamls
from tests.helpers.project import Project

POLICY, DATA = "behave@student", "data/behave/student"
STUDENT = {
    "kind": "model",
    "model": "base-tiny-1",
    "prompts": "data/prompts/sft.jsonl",
    "sampling": {"seed": 1, "temperature": 1.0, "max_new_tokens": 24, "batch_size": 4},
    "shards": 3,
}
CONFIG = {
    "extends": "smoke",
    "data": {"generate": {"mix": {"items": 64}, "sft": {"items": 24}}},
    "base": {"tiny": {"steps": 2, "warmup_steps": 1}},
    "behave": {"student": STUDENT},
    "recover": {"responses": {"self": {"batch_size": 8}}},
}


@pytest.fixture(scope="module")
def project(tmp_path_factory) -> Project:
    """A project whose base model is made, and which is to sample from it."""
    project = Project.from_working_tree(tmp_path_factory.mktemp("shards") / "project")
    (project.folder / "config.yaml").write_text(yamls.dumps(CONFIG))
    project.orchard("check")
    project.snakemake("--cores", "2", "--", "results/models/base-tiny-1", "data/prompts/sft.jsonl")
    return project


def shard(number: int) -> str:
    return f"sample@behave-student-{number}"


def killed_after_a_shard(project: Project) -> set[str]:
    """Runs the policy's stages on one core until a shard is done; returns the stages that had ended."""
    main = subprocess.Popen(
        ["snakemake", "--cores", "1", "--", DATA],
        cwd=project.folder,
        env=project.env,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    while main.poll() is None and not any(name.startswith("sample@") for name in project.lock()):
        time.sleep(0.02)
    main.kill()
    main.wait()
    return {name for name in project.lock() if name.startswith(("sample@", "behave@"))}


def test_a_kill_costs_the_shards_that_had_not_ended_and_their_number_changes_no_data(project):
    ended = killed_after_a_shard(project)
    assert ended
    assert POLICY not in ended
    project.snakemake("--cores", "2", "--", DATA)
    assert project.executed() == {shard(1), shard(2), shard(3), POLICY} - ended
    outs = project.lock()[POLICY]["outs"]
    for shards, sampled in ((1, set()), (2, {shard(1), shard(2)}), (3, set())):
        project.set("behave.student.shards", shards)
        project.orchard("check")
        project.snakemake("--cores", "2", "--", DATA)
        assert project.executed() == ({POLICY, *sampled} if shards < 3 else set()), "in the run cache"
        assert project.lock()[POLICY]["outs"] == outs
    project.set("behave.student.keep_policy", True)
    assert not {name for name in project.stale() if name.startswith("sample@behave-student")}
    shards = (project.folder / "data/samples/behave/student").iterdir()
    assert sorted(file.name for file in shards) == ["1.parquet", "2.parquet", "3.parquet"]
