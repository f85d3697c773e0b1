"""Stages that train in several processes, started as a job with several GPUs starts them: on the CPU, by gloo."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from orchard.errors import UserError
from orchard.models import folders as models
from orchard.models import training
from orchard.stages import stage
from tests.helpers.project import ROOT

PROCESSES = {"one": 1, "data": 2, "fsdp": 2}
SHARED = ("data", "fsdp")
BASE, SFT, RL = [["base", "tiny"], ["sft", "pear-token", "1"], ["rl", "grpo", "pear-token", "1"]]
# A step's batch is split in two, and these are means over the halves: of the tokens' weights, and of their quantiles.
MEANS_OF_HALVES = ("pear/",)


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> dict[str, Path]:
    """SFT and RL in one process, and in two by each value of ``parallel``: the same data and the same start."""
    made = {}
    for way in PROCESSES:
        folder = made[way] = with_config(tmp_path_factory.mktemp(way), way)
        if way == "one":
            for name in ("mix", "sft"):
                run(folder, way, ["generate", name])
            (folder / "data/prompts/rl.jsonl").write_text(last_number_prompts())
            run(folder, way, BASE)
            run(folder, way, ["behave", "teacher"])
            run(folder, way, SFT)
        else:
            copy(made["one"], folder, "data", output(BASE))
            run(folder, way, SFT)
            (folder / output(SFT)).rename(folder / "own-sft")
            copy(made["one"], folder, output(SFT))
        run(folder, way, RL)
    return made


def with_config(folder: Path, way: str) -> Path:
    """The smoke study, smaller, but with more responses in RL, so that some are right."""
    tree = yaml.safe_load((ROOT / "studies/smoke.yaml").read_text())
    tree["parallel"] = "data" if way == "one" else way
    tree["base"]["tiny"] |= {"steps": 6, "warmup_steps": 2}
    tree["data"]["generate"]["sft"]["items"] = 64  # two whole batches: accelerate fills one that is not whole
    tree["rl"]["recipes"]["grpo"] |= {"steps": 3, "save_steps": 1, "samples_per_prompt": 32}
    (folder / "config.yaml").write_text(yaml.safe_dump(tree))
    shutil.copytree(ROOT / "profiles", folder / "profiles")
    return folder


def last_number_prompts() -> str:
    """Prompts of several lengths, where a response is right by its last number, which chance can find."""
    rows = [
        {"id": f"{one}{other}", "task": "gsm8k", "prompt": f"calc {one}{' + 0' * other} :", "answer": f"#### {one}"}
        for one in range(10)
        for other in range(1, 4)
    ]
    return "".join(json.dumps(row | {"final": row["answer"][-1]}) + "\n" for row in rows)


def copy(source: Path, target: Path, *paths: str) -> None:
    for path in paths:
        shutil.copytree(source / path, target / path)


def output(command: list[str]) -> str:
    """The folder that a stage's command makes."""
    return f"results/models/{'-'.join(command)}"


def start(folder: Path, way: str, command: list[str]) -> subprocess.Popen:
    """Starts a stage's command as a rule does, with so many GPUs to its job."""
    environment = os.environ | {
        "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}",
        "ORCHARD_PROCESSES": str(PROCESSES[way]),
        "CUDA_VISIBLE_DEVICES": "",
    }
    name, *arguments = command
    module = ["tests.fsdp_on_cpu", f"orchard.{name}"] if way == "fsdp" else [f"orchard.{name}"]
    return subprocess.Popen(
        [sys.executable, "-m", *module, *arguments],
        cwd=folder,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def run(folder: Path, way: str, command: list[str]) -> str:
    """Runs a stage's command to its end; returns what it printed."""
    process = start(folder, way, command)
    said = process.communicate()[0]
    assert process.returncode == 0, said
    return said


def curve(folder: Path) -> list[dict]:
    return stage.read_jsonl(folder / "curve.jsonl")


def assert_same_curve(found: Path, expected: Path) -> None:
    """Two curves tell the same of each step, up to the roundings of other sums."""
    for step, other in zip(curve(found), curve(expected), strict=True):
        assert step.keys() == other.keys()
        kept = [key for key in step if not key.startswith(MEANS_OF_HALVES)]
        assert {key: step[key] for key in kept} == {key: pytest.approx(other[key], rel=1e-5, abs=1e-6) for key in kept}


def distance(one: Path, other: Path) -> float:
    """The largest difference between two models' weights."""
    one, other = (models.load_model(folder).state_dict() for folder in (one, other))
    return max(float((one[key] - other[key]).abs().max()) for key in one)


@pytest.mark.parametrize("way", SHARED)
def test_sft_in_two_processes_has_the_loss_curve_and_the_weights_of_one(folders, way):
    one, two = folders["one"] / output(SFT), folders[way] / "own-sft"
    assert len(curve(one)) == 2
    assert curve(one) != curve(two)  # other roundings: there were two
    assert_same_curve(two, one)
    assert distance(two, one) < 1e-4  # AdamW divides by gradients near 0
    assert distance(one, folders["one"] / output(BASE)) > 1e-3


@pytest.mark.parametrize("way", SHARED)
def test_rl_in_two_processes_has_the_rollouts_the_loss_curve_and_the_weights_of_one(folders, way):
    one, two = (folders[name] / output(RL) for name in ("one", way))
    steps = curve(one)
    assert [step["step"] for step in steps] == [1, 2, 3]
    assert all(0 < step["reward"] < 1 and step["grad_norm"] > 0 for step in steps)
    assert steps != curve(two)
    assert_same_curve(two, one)
    assert distance(two, one) < 1e-4
    assert distance(one, folders["one"] / output(SFT)) > 1e-3


def test_pretraining_in_two_processes_has_the_weights_of_one(folders, tmp_path):
    folder = with_config(tmp_path, "data")
    copy(folders["one"], folder, "data")
    run(folder, "data", BASE)
    assert 0 < distance(folder / output(BASE), folders["one"] / output(BASE)) < 1e-4


def test_pretraining_in_shares_is_refused(folders, tmp_path):
    folder = with_config(tmp_path, "fsdp")
    copy(folders["one"], folder, "data")
    refused = start(folder, "fsdp", BASE)
    said = refused.communicate()[0]
    assert refused.returncode != 0
    assert said.count("Muon needs parallel: data") == 1
    assert "Traceback" not in said


@pytest.mark.parametrize("way", PROCESSES)
def test_what_was_killed_goes_on_to_the_same_bytes(folders, way, tmp_path):
    folder = with_config(tmp_path, way)
    copy(folders["one"], folder, "data", output(SFT))
    checkpoint = folder / ".scratch/resume" / output(RL) / "checkpoint-1/trainer_state.json"
    killed = start(folder, way, RL)
    while killed.poll() is None and not checkpoint.exists():
        time.sleep(0.01)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    assert killed.returncode == -signal.SIGKILL
    assert not (folder / output(RL)).exists()
    assert f"goes on from .scratch/resume/{output(RL)}/checkpoint-" in run(folder, way, RL)
    assert stage.content_hash(folder / output(RL)) == stage.content_hash(folders[way] / output(RL))


@pytest.mark.parametrize("way", SHARED)
def test_one_process_writes_and_nothing_is_left_behind(folders, way):
    for one, two in ((output(SFT), "own-sft"), (output(RL), output(RL))):
        one, two = folders["one"] / one, folders[way] / two
        assert {file.name for file in two.iterdir()} == {file.name for file in one.iterdir()}
        records = [json.loads((folder / "record.json").read_text()) for folder in (one, two)]
        assert records[0]["settings"] == records[1]["settings"]
    assert not [file for file in (folders[way] / ".scratch").rglob("*.safetensors")]


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
