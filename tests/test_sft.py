"""The SFT stage as a whole: the same bytes each time, also after a kill; what each arm's record and curve say."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pandas
import pytest
import torch
import yaml

from orchard.models import folders as models, training

from orchard.stages import stage
from orchard.stages.base.pretrain import make_tokenizer
from orchard.stages.sft import __main__ as sft
from tests.llama import random_llama, save_base
from tests.objectives import PEAR, TRAINER, objective, teacher_rows

LORA = {"rank": 2, "alpha": 4.0, "dropout": 0.1}
OBJECTIVES = {
    "none": objective("none") | {"learning_rate": 0.0},
    "nll": objective(),
    "dft": objective("dft"),
    "likely": objective() | {"select": {"kind": "likelihood", "keep": 0.5}},
    "pear": objective("nll", PEAR),
    "shuffled": objective("nll", PEAR | {"shuffle": "tokens"}),
    "last": objective("nll", {"kind": "last-tokens", "share": 0.25}),
    "kl-stored": objective("kl-stored"),
    "kl-live": objective("kl-live", PEAR),
}


@pytest.fixture
def project(tmp_path, monkeypatch) -> Path:
    """A working folder with a base, a policy's data and an arm of each objective; runs are in this process."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(stage, "set_threads", lambda count: torch.set_num_threads(count))
    save_base(random_llama(), "results/models/base-random")
    data = Path("data/behave/teacher")
    models.save(random_llama(seed=4), make_tokenizer(), data / "policy")
    pandas.DataFrame(teacher_rows(32)).to_parquet(data / "rows.parquet")
    arms = {name: {"objective": name, "base": "base-random", "data": "teacher"} for name in OBJECTIVES}
    configure({"sft": {"arms": arms, "seeds": [1], "trainer": TRAINER | {"save_steps": 2}, "objectives": OBJECTIVES}})
    return tmp_path


def configure(tree: dict) -> None:
    Path("config.yaml").write_text(yaml.safe_dump(tree))


def use_lora() -> None:
    """Sets LoRA, with dropout, in the working folder's config."""
    tree = stage.params()
    tree["sft"]["trainer"]["lora"] = LORA
    configure(tree)


def run(arm: str, monkeypatch) -> Path:
    """Runs the stage for an arm; returns its output."""
    monkeypatch.setattr(sys, "argv", ["orchard.sft", arm, "1"])
    sft.main()
    return Path(f"results/models/sft-{arm}-1")


@pytest.mark.parametrize("arm", OBJECTIVES)
def test_two_runs_are_the_same_bytes(arm, project, monkeypatch):
    folder = run(arm, monkeypatch)
    first = stage.content_hash(folder)
    shutil.rmtree(folder)
    assert stage.content_hash(run(arm, monkeypatch)) == first
    record = json.loads((folder / "record.json").read_text())
    assert record["settings"] == {"objective": OBJECTIVES[arm], "trainer": TRAINER | {"save_steps": 2}}
    if arm != "none":
        rows = 16 if arm == "likely" else 32
        assert (record["learnt"]["rows"], record["learnt"]["of_rows"]) == (rows, 32)
        assert len((folder / "curve.jsonl").read_text().splitlines()) == rows // 8
        assert models.drift("results/models/base-random", folder)["absolute"] > 0
    else:
        assert models.drift("results/models/base-random", folder)["absolute"] == 0


@pytest.mark.parametrize("arm", ["nll", "pear", "shuffled", "kl-stored", "pear with lora"])
def test_a_killed_run_goes_on_to_the_same_bytes(arm, project, monkeypatch):
    if "lora" in arm:
        use_lora()
    arm = arm.split()[0]
    undisturbed = run(arm, monkeypatch)
    kept = undisturbed.rename("undisturbed")
    with monkeypatch.context() as patch:
        patch.setattr(training.ProgressCallback, "on_step_end", killed_after_three)
        with pytest.raises(KeyboardInterrupt):
            run(arm, monkeypatch)
    assert not undisturbed.exists()
    assert training.last_checkpoint(Path(f".scratch/resume/results/models/sft-{arm}-1")).endswith("checkpoint-2")
    assert stage.content_hash(run(arm, monkeypatch)) == stage.content_hash(kept)
    assert not Path(f".scratch/resume/results/models/sft-{arm}-1").exists()


def killed_after_three(self, args, state, control, **kwargs):
    if state.global_step == 3:
        raise KeyboardInterrupt


def test_the_command(project):
    command = [sys.executable, "-m", "orchard.sft", "pear", "1"]
    paths = {"PYTHONPATH": str(Path(__file__).parents[1] / "src")}
    subprocess.run(command, check=True, capture_output=True, env=os.environ | paths)
    assert json.loads(Path("results/models/sft-pear-1/record.json").read_text())["objective"] == "pear"
    assert json.loads(Path("logs/progress/sft@pear-1.json").read_text()) == {"done": 4, "total": 4}
