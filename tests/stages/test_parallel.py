"""Stages that train in several processes, started as a job with several GPUs starts them: on the CPU, by gloo."""

import contextlib
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from pydantic import TypeAdapter

from orchard import jsonl, paths, processes, yamls
from orchard.errors import UserError
from orchard.models import folders, record, training
from orchard.study import load, params
from orchard.study.schema import common
from orchard.study.schema.common import Run
from orchard.study.schema.rl import RlRun
from orchard.study.schema.sft import SftRun
from orchard.study.schema.study import Study
from orchard.tasks import registry
from tests.helpers.project import ROOT
from tests.helpers.stages import ENVIRONMENT, options
from tests.helpers.studies import edited

PROCESSES = {"one": 1, "data": 2, "fsdp": 2}
SHARED = ("data", "fsdp")
# A step's batch is split in two, and these are means over the halves: of the tokens' weights, and of their quantiles.
MEANS_OF_HALVES = ("pear/",)
SMALLER = {  # than the smoke study, but with more responses in RL, so that some are right
    "base.tiny.steps": 6,
    "base.tiny.warmup_steps": 2,
    "data.generate.sft.items": 64,  # two whole batches: accelerate fills one that is not whole
    "rl.recipes.grpo.steps": 3,
    "rl.recipes.grpo.save_steps": 1,
    "rl.recipes.grpo.samples_per_prompt": 32,
}


@dataclass(frozen=True)
class Trained:
    """A run of a stage that trains.

    Attributes:
        family: of the stage.
        name: of the run.
        run: what its command says besides.
    """

    family: str
    name: str
    run: Run | None = None

    @property
    def output(self) -> Path:
        """The folder of the model."""
        return paths.model(f"{self.family}-{self.name}")


BASE = Trained("base", "tiny-1")
SFT = Trained(
    "sft",
    "pear-token-1",
    SftRun(arm="pear-token", objective="pear-token", base="base-tiny-1", data="teacher", seed=1, draw=0),
)
RL = Trained(
    "rl",
    "grpo-pear-token-1",
    RlRun(recipe="grpo", arm="pear-token", seed=1, draw=0, start="sft-pear-token-1", prompts="data/prompts/rl.jsonl"),
)


@pytest.fixture(scope="module")
def projects(tmp_path_factory) -> dict[str, Path]:
    """SFT and RL in one process, and in two by each value of ``parallel``: the same data and the same start."""
    made = {}
    for way in PROCESSES:
        folder = made[way] = with_study(tmp_path_factory.mktemp(way), way)
        if way == "one":
            for name in ("mix", "sft"):
                run(folder, way, Trained("generate", name))
            jsonl.write(folder / paths.data_set("prompts", "rl"), registry.stamped(last_number_items()))
            run(folder, way, BASE)
            run(folder, way, Trained("behave", "teacher"))
            run(folder, way, SFT)
        else:
            copy(made["one"], folder, paths.DATA, BASE.output)
            run(folder, way, SFT)
            (folder / SFT.output).rename(folder / "own-sft")
            copy(made["one"], folder, SFT.output)
        run(folder, way, RL)
    return made


def with_study(folder: Path, way: str) -> Path:
    """A project with the study, as params.yaml has it."""
    with contextlib.chdir(ROOT):
        smoke = load.load(paths.STUDIES / "smoke.yaml").model_dump()
    # As on GPUs, for which shards are: numpy's products of a shard's weights would keep them from being freed.
    changes = {"arithmetic": "fast", "parallel": "data" if way == "one" else way}
    tree = edited(SMALLER | changes, smoke)
    (folder / paths.PARAMS).write_text(yamls.dumps(params.tree(Study.model_validate(tree))))
    shutil.copytree(ROOT / paths.PROFILES, folder / paths.PROFILES)
    return folder


def last_number_items() -> list[dict]:
    """Prompts of several lengths, where a response is right by its last number, which random samples can find."""
    return [
        {
            "id": f"{one}{other}",
            "task": "gsm8k",
            "prompt": f"calc {one}{' + 0' * other} :",
            "answer": f"#### {one}",
            "final": str(one),
        }
        for one in range(10)
        for other in range(1, 4)
    ]


def copy(source: Path, target: Path, *names: Path) -> None:
    for name in names:
        shutil.copytree(source / name, target / name)


def start(folder: Path, way: str, trained: Trained) -> subprocess.Popen:
    """Starts a stage's command as a job does that has so many GPUs."""
    module = ["tests.helpers.fsdp_on_cpu"] if way == "fsdp" else []
    return subprocess.Popen(
        [sys.executable, "-m", *module, f"orchard.stages.{trained.family}", trained.name, *options(trained.run)],
        cwd=folder,
        env=ENVIRONMENT | {processes.COUNT: str(PROCESSES[way]), "CUDA_VISIBLE_DEVICES": ""},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def run(folder: Path, way: str, trained: Trained) -> str:
    """Runs a stage's command to its end; returns what it printed."""
    process = start(folder, way, trained)
    printed = process.communicate()[0]
    assert process.returncode == 0, printed
    return printed


def curve(folder: Path) -> list[dict]:
    return jsonl.read(folder / "curve.jsonl")


def assert_same_curve(found: Path, expected: Path) -> None:
    """Two curves are the same at each step, up to the roundings of other sums."""
    for step, other in zip(curve(found), curve(expected), strict=True):
        assert step.keys() == other.keys()
        kept = [key for key in step if not key.startswith(MEANS_OF_HALVES)]
        assert {key: step[key] for key in kept} == {key: pytest.approx(other[key], rel=1e-5, abs=1e-6) for key in kept}


def distance(one: Path, other: Path) -> float:
    """The largest difference between two models' weights."""
    one, other = (folders.load_model(folder).state_dict() for folder in (one, other))
    return max(float((one[key] - other[key]).abs().max()) for key in one)


@pytest.mark.parametrize("way", SHARED)
def test_sft_in_two_processes_has_the_loss_curve_and_the_weights_of_one(projects, way):
    one, two = projects["one"] / SFT.output, projects[way] / "own-sft"
    assert len(curve(one)) == 2
    assert curve(one) != curve(two)  # other roundings: there were two
    assert_same_curve(two, one)
    assert distance(two, one) < 1e-4  # AdamW divides by gradients near 0
    assert distance(one, projects["one"] / BASE.output) > 1e-3


@pytest.mark.parametrize("way", SHARED)
def test_rl_in_two_processes_has_the_rollouts_the_loss_curve_and_the_weights_of_one(projects, way):
    one, two = (projects[name] / RL.output for name in ("one", way))
    steps = curve(one)
    assert [step["step"] for step in steps] == [1, 2, 3]
    assert all(0 < step["reward"] < 1 and step["grad_norm"] > 0 for step in steps)
    assert steps != curve(two)
    assert_same_curve(two, one)
    assert distance(two, one) < 1e-4
    assert distance(one, projects["one"] / SFT.output) > 1e-3


def test_pretraining_in_two_processes_has_the_weights_of_one(projects, tmp_path):
    folder = with_study(tmp_path, "data")
    copy(projects["one"], folder, paths.DATA)
    run(folder, "data", BASE)
    assert 0 < distance(folder / BASE.output, projects["one"] / BASE.output) < 1e-4


def test_pretraining_in_shards_is_refused(projects, tmp_path):
    folder = with_study(tmp_path, "fsdp")
    copy(projects["one"], folder, paths.DATA)
    refused = start(folder, "fsdp", BASE)
    printed = refused.communicate()[0]
    assert refused.returncode != 0
    assert printed.count("Muon needs parallel: data") == 1
    assert "Traceback" not in printed


@pytest.mark.parametrize("way", SHARED)
def test_what_was_killed_goes_on_to_the_same_bytes(projects, way, tmp_path):
    folder = with_study(tmp_path, way)
    copy(projects["one"], folder, paths.DATA, SFT.output)
    state = folder / paths.RESUME / RL.output
    killed = start(folder, way, RL)
    while killed.poll() is None and not list(state.glob("*/checkpoint-1/trainer_state.json")):
        time.sleep(0.01)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    assert killed.returncode == -signal.SIGKILL
    assert not (folder / RL.output).exists()
    assert f"goes on from {paths.RESUME / RL.output / next(state.iterdir()).name}/checkpoint-" in run(folder, way, RL)
    assert record.content_hash(folder / RL.output) == record.content_hash(projects[way] / RL.output)


@pytest.mark.parametrize("way", SHARED)
def test_one_process_writes_and_nothing_is_left_behind(projects, way):
    for one, two in ((SFT.output, "own-sft"), (RL.output, RL.output)):
        one, two = projects["one"] / one, projects[way] / two
        assert {file.name for file in two.iterdir()} == {file.name for file in one.iterdir()}
        assert record.read(one)["settings"] == record.read(two)["settings"]
    assert not [file for file in (projects[way] / paths.SCRATCH).rglob("*.safetensors")]


@pytest.mark.parametrize(
    ("parallel", "family", "expected"),
    [
        ("fsdp", "rl", "fsdp"),
        ({"rl": "fsdp"}, "rl", "fsdp"),
        ({"rl": "fsdp"}, "recover", "data"),
    ],
)
def test_a_family_of_stages_shares_its_work_in_its_own_way(parallel, family, expected):
    study = Study.model_validate(edited({"parallel": parallel}))
    assert common.way(study.parallel, family) == expected
    assert common.way(TypeAdapter(common.Parallel).validate_python(params.tree(study)["parallel"]), family) == expected


def test_a_batch_that_cannot_be_split_evenly_is_refused(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "3")
    assert training.per_process(9) == 3
    with pytest.raises(UserError, match="32 rows at a time on 3 GPUs"):
        training.per_process(32)
