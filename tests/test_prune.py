"""The prune stage: from a model folder and calibration items to a pruned folder with its record."""

import copy
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml

from orchard.models import folders as models

from orchard.stages import stage
from orchard.stages.base.pretrain import make_tokenizer
from orchard.errors import UserError
from orchard.stages.prune import __main__ as prune
from orchard.stages.prune import importance
from orchard.models import surgery
from tests.llama import save_base
from tests.tiny import tiny

TEXTS = ["calc 1 + 2 : 1 + 2 = 3 ans 3", "cmp 3 4 : less", "close ( [ { : } ] )", "fact color gix : red"]
IDS = torch.arange(4, 28).reshape(2, 12)


@pytest.fixture
def model(tmp_path, monkeypatch):
    """A model that is there as base-random, in a project with calibration items."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(stage, "set_threads", lambda count: None)  # torch is loaded already
    Path("results/models").mkdir(parents=True)
    model = tiny("gemma2")
    save_base(model, "results/models/base-random")
    rows = [{"prompt": text.rpartition(" ")[0], "answer": text.rpartition(" ")[2]} for text in TEXTS]
    stage.write_jsonl(Path("calibration.jsonl"), rows)
    config = {"prune": {"calibration": {"items": "calibration.jsonl", "batch_size": 2}}}
    Path("config.yaml").write_text(yaml.safe_dump(config))
    return model


def pruned(monkeypatch, method: str, ratio: str) -> tuple[Path, dict]:
    """Runs the stage here; returns the folder that it made and its record."""
    monkeypatch.setattr(sys, "argv", ["prune", "base-random", method, ratio])
    prune.main()
    folder = Path(f"results/models/prune-base-random-{method}-{ratio}")
    return folder, json.loads((folder / "record.json").read_text())


@pytest.mark.parametrize("method", [f"{name}-3" if name == "random" else name for name in importance.METHODS])
def test_stage_writes_the_model_without_the_layers_that_the_method_names(method, model, monkeypatch):
    folder, record = pruned(monkeypatch, method, "0.5")
    dropped, measured = importance.choose(method, model, 2, importance.Calibration(make_tokenizer(), TEXTS, 2))
    assert {key: record[key] for key in ("of", "method", "ratio", "dropped")} == {
        "of": "base-random", "method": method, "ratio": 0.5, "dropped": dropped
    }  # fmt: skip
    assert {key: record[key] for key in measured} == measured
    assert (record["block_influence"] is None) == (method != "block-influence")
    expected = copy.deepcopy(model)
    surgery.drop_layers(expected, dropped)
    with torch.inference_mode():
        assert torch.equal(models.load_model(folder)(IDS).logits, expected(IDS).logits)


def test_a_count_and_a_share_of_layers_give_the_same_model(model, monkeypatch):
    by_share, share = pruned(monkeypatch, "reverse", "0.25")
    by_count, count = pruned(monkeypatch, "reverse", "1")
    assert share == count
    assert count["ratio"] == 0.25
    for name in ("config.json", "model.safetensors"):
        assert stage.content_hash(by_share / name) == stage.content_hash(by_count / name)


def test_ratio_0_is_the_model_itself(model, monkeypatch):
    folder, record = pruned(monkeypatch, "angular", "0.0")
    assert record["dropped"] == []
    for name in ("config.json", "model.safetensors"):
        assert stage.content_hash(folder / name) == stage.content_hash(Path("results/models/base-random") / name)


def test_stage_tells_its_progress(model, monkeypatch):
    pruned(monkeypatch, "perplexity", "0.25")
    told = json.loads(Path("logs/progress/prune@base-random-perplexity-0.25.json").read_text())
    assert told == {"done": 4, "total": 4}


def test_a_model_of_a_type_that_was_not_tried_is_refused_before_anything_is_measured(model, monkeypatch):
    monkeypatch.setattr(surgery, "MODEL_TYPES", ["llama"])
    monkeypatch.setattr(importance, "choose", None)
    with pytest.raises(UserError, match="gemma2"):
        pruned(monkeypatch, "reverse", "0.25")


def test_the_command_line(model):
    subprocess.run([sys.executable, "-m", "orchard.prune", "base-random", "block-influence", "0.25"], check=True)
    assert Path("results/models/prune-base-random-block-influence-0.25/record.json").is_file()
