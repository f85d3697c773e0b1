"""A stage that trains in several processes, started as a job with several GPUs starts it: on the CPU, by gloo."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from orchard import models, stage, training
from orchard.errors import UserError
from tests.project import ROOT

STAGES = {"base": ["tiny"], "sft": ["pear-token", "1"], "rl": ["grpo", "pear-token", "1"]}
OUTPUTS = {"base": "base-tiny", "sft": "sft-pear-token-1", "rl": "rl-grpo-pear-token-1"}


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> dict[int, Path]:
    """The results of the three stages in one process and in two, from the same start each."""
    tree = yaml.safe_load((ROOT / "studies/smoke.yaml").read_text())
    tree["base"]["tiny"] |= {"steps": 6, "warmup_steps": 2}
    tree["data"]["generate"]["sft"]["items"] = 64  # two whole batches: accelerate fills one that is not whole
    made = {}
    for processes in (1, 2):
        folder = made[processes] = tmp_path_factory.mktemp(f"processes-{processes}")
        (folder / "config.yaml").write_text(yaml.safe_dump(tree))
        shutil.copytree(ROOT / "profiles", folder / "profiles")
        if processes == 2:
            shutil.copytree(made[1] / "data", folder / "data")
        else:
            for name in ("mix", "sft", "rl"):
                run(folder, 1, "generate", name)
        run(folder, processes, "base", *STAGES["base"])
        if processes == 2:
            shutil.move(folder / "results/models/base-tiny", folder / "own-base")
            shutil.copytree(made[1] / "results/models/base-tiny", folder / "results/models/base-tiny")
        else:
            run(folder, 1, "behave", "teacher")
            shutil.copytree(folder / "results/models/base-tiny", folder / "own-base")
        for name in ("sft", "rl"):
            run(folder, processes, name, *STAGES[name])
    return made


def run(folder: Path, processes: int, name: str, *arguments: str) -> None:
    """Runs a stage's command as a rule does, with so many GPUs to its job."""
    environment = os.environ | {
        "PYTHONPATH": str(ROOT / "src"),
        "ORCHARD_PROCESSES": str(processes),
        "CUDA_VISIBLE_DEVICES": "",
    }
    command = [sys.executable, "-m", f"orchard.{name}", *arguments]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def curve(folder: Path, name: str) -> list[dict]:
    return stage.read_jsonl(folder / "results/models" / OUTPUTS[name] / "curve.jsonl")


def test_two_processes_have_the_loss_curve_of_one(folders):
    one, two = (curve(folders[processes], "sft") for processes in (1, 2))
    assert len(one) == 2
    assert one != two  # other roundings: there were two
    for step, other in zip(one, two, strict=True):
        assert step.keys() == other.keys()
        assert {key: value for key, value in other.items() if key in ("loss", "grad_norm", "learning_rate")} == {
            key: pytest.approx(step[key], rel=1e-5) for key in ("loss", "grad_norm", "learning_rate")
        }


@pytest.mark.parametrize("name", ["own-base", "results/models/sft-pear-token-1"])
def test_two_processes_learn_the_weights_of_one(name, folders):
    one, two = (models.load_model(folders[processes] / name).state_dict() for processes in (1, 2))
    assert max(float((one[key] - two[key]).abs().max()) for key in one) < 1e-4  # AdamW divides by gradients near 0
    start = models.load_model(folders[1] / "results/models/base-tiny").state_dict()
    if name != "own-base":
        assert max(float((one[key] - start[key]).abs().max()) for key in one) > 1e-3


def test_rl_of_two_processes_samples_as_many_responses_and_learns(folders):
    """Each process draws its own samples, so the course is another one; the first step's learning rate is not."""
    one, two = (curve(folders[processes], "rl") for processes in (1, 2))
    assert [step["step"] for step in two] == [step["step"] for step in one] == [1, 2]
    assert [step["learning_rate"] for step in two] == [step["learning_rate"] for step in one]
    assert all(0 <= step["reward"] <= 1 and step["reward"] * 16 % 1 == 0 for step in two)  # 16 samples a step


def test_one_process_writes_and_nothing_is_left_behind(folders):
    for name, output in OUTPUTS.items():
        one, two = (folders[processes] / "results/models" / output for processes in (1, 2))
        assert {file.name for file in two.iterdir()} == {file.name for file in one.iterdir()}
        if name != "base":
            records = [json.loads((folder / "record.json").read_text()) for folder in (one, two)]
            assert records[0]["settings"] == records[1]["settings"]
    assert not [file for file in (folders[2] / ".scratch").rglob("*.safetensors")]


def test_a_batch_that_cannot_be_split_evenly_is_refused(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "3")
    assert training.own_share(9) == 3
    with pytest.raises(UserError, match="32 rows at a time on 3 GPUs"):
        training.own_share(32)


def test_one_process_sees_one_gpu(monkeypatch):
    for given, expected in {"2,3": "2", "0": "0", "": ""}.items():
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", given)
        stage.use_one_gpu()
        assert os.environ["CUDA_VISIBLE_DEVICES"] == expected
