"""The prune stage: from a model folder and calibration items to a pruned folder with its record."""

import copy
import json
import shutil
import subprocess
from pathlib import Path

import pytest
import torch

from orchard import jsonl, paths
from orchard.errors import UserError
from orchard.models import folders, record, surgery
from orchard.stages.base.pretrain import make_tokenizer
from orchard.stages.prune import __main__ as prune
from orchard.stages.prune import importance
from orchard.study.schema.prune import Calibration, PruneRun
from tests.helpers.llama import save_base
from tests.helpers.stages import ENVIRONMENT, command
from tests.helpers.studies import write_params
from tests.helpers.tiny import tiny

TEXTS = ["calc 1 + 2 : 1 + 2 = 3 ans 3", "cmp 3 4 : less", "close ( [ { : } ] )", "fact color gix : red"]
IDS = torch.arange(4, 28).reshape(2, 12)


@pytest.fixture
def model(tmp_path, monkeypatch):
    """A model that is there as base-random, in a project with calibration items."""
    monkeypatch.chdir(tmp_path)
    model = tiny("gemma2")
    save_base(model, paths.model("base-random"))
    rows = [{"prompt": text.rpartition(" ")[0], "answer": text.rpartition(" ")[2]} for text in TEXTS]
    jsonl.write(Path("calibration.jsonl"), rows)
    write_params({"prune.calibration": Calibration(items="calibration.jsonl", batch_size=2).model_dump()})
    return model


CHAIN = {"task": "calc", "prompt": "calc 1 + 2 :", "answer": "3"}


@pytest.mark.parametrize(
    ("item", "text", "bare"),
    [
        (CHAIN | {"response": "1 + 2 = 3 ans 3"}, "calc 1 + 2 : 1 + 2 = 3 ans 3", False),
        (CHAIN, "calc 1 + 2 : 3", True),
        ({"task": "cmp", "prompt": "cmp 3 4 :", "answer": "less"}, "cmp 3 4 : less", False),
        ({"task": "gsm8k", "prompt": "calc :", "answer": "ans 3", "final": "3"}, "calc : ans 3", False),
        ({"task": "any", "prompt": "calc :", "answer": "3"}, "calc : 3", True),
        ({"prompt": "calc 1 :", "answer": ""}, "calc 1 :", False),
    ],
)
def test_a_calibration_text_is_what_the_model_reads_and_writes(item, text, bare):
    tokenizer = make_tokenizer()
    tokens = prune.text_of(item, tokenizer)
    assert tokenizer.decode(tokens, skip_special_tokens=True) == text
    assert tokenizer.eos_token_id not in tokens
    assert prune.is_bare(item) == bare


def test_bare_answers_are_told(model):
    jsonl.write(Path("calibration.jsonl"), [CHAIN, CHAIN | {"response": "1 + 2 = 3 ans 3"}])
    _, facts = pruned("block-influence", 0.5)
    assert facts["bare_answers"] == 1
    assert facts["history"][-1].endswith("1 of them with a bare answer, as they come without a response")
    assert pruned("reverse", 0.5)[1]["bare_answers"] is None


def run_of(method: str, ratio: int | float) -> PruneRun:
    return PruneRun(of="base-random", method=method, ratio=ratio, chosen_on="calibration.jsonl")


def pruned(method: str, ratio: int | float) -> tuple[Path, dict]:
    """Runs the stage here; returns the folder that it made and its record."""
    prune.main(f"base-random-{method}-{ratio}", run_of(method, ratio))
    folder = paths.model(f"prune-base-random-{method}-{ratio}")
    return folder, record.read(folder)


@pytest.mark.parametrize("method", [f"{name}-3" if name == "random" else name for name in importance.METHODS])
def test_stage_writes_the_model_without_the_layers_that_the_method_names(method, model):
    folder, facts = pruned(method, 0.5)
    texts = [make_tokenizer()(text)["input_ids"] for text in TEXTS]
    dropped, measured = importance.choose(method, model, 2, importance.CalibrationTexts(make_tokenizer(), texts, 2))
    expected_facts = {"of": "base-random", "method": method, "ratio": 0.5, "dropped": dropped} | measured
    assert {key: facts[key] for key in expected_facts} == expected_facts
    assert (facts["block_influence"] is None) == (method != "block-influence")
    expected = copy.deepcopy(model)
    surgery.drop_layers(expected, dropped)
    with torch.inference_mode():
        assert torch.equal(folders.load_model(folder)(IDS).logits, expected(IDS).logits)


def test_a_count_and_a_share_of_layers_give_the_same_model(model):
    by_share, share = pruned("reverse", 0.25)
    by_count, count = pruned("reverse", 1)
    assert share == count
    assert count["ratio"] == 0.25
    for name in ("config.json", "model.safetensors"):
        assert record.content_hash(by_share / name) == record.content_hash(by_count / name)


def test_ratio_0_is_the_model_itself(model):
    folder, facts = pruned("angular", 0.0)
    assert facts["dropped"] == []
    for name in ("config.json", "model.safetensors"):
        assert record.content_hash(folder / name) == record.content_hash(paths.model("base-random") / name)


def test_stage_reports_its_progress(model):
    pruned("perplexity", 0.25)
    reported = json.loads((paths.PROGRESS / "prune@base-random-perplexity-0.25.json").read_text())
    assert reported == {"done": 4, "total": 4}


def test_a_model_of_a_type_that_was_not_tried_is_refused_before_anything_is_measured(model, monkeypatch):
    monkeypatch.setattr(surgery, "MODEL_TYPES", ["llama"])
    monkeypatch.setattr(importance, "choose", None)
    with pytest.raises(UserError, match="gemma2"):
        pruned("reverse", 0.25)


@pytest.mark.parametrize(("ratio", "dropped"), [(0.25, 1), (2, 2)])
def test_the_command_line(ratio, dropped, model):
    name = f"base-random-block-influence-{ratio}"
    subprocess.run(command("prune", name, run_of("block-influence", ratio)), check=True, env=ENVIRONMENT)
    assert len(record.read(paths.model(f"prune-{name}"))["dropped"]) == dropped


@pytest.mark.parametrize(("stored", "held"), [("bfloat16", "float32"), ("float32", "bfloat16")])
def test_a_pruned_model_has_the_numbers_of_the_checkpoint(stored, held, model):
    folder = paths.model("base-random")
    shutil.rmtree(folder)
    save_base(model.to(getattr(torch, stored)), folder)
    calibration = Calibration(items="calibration.jsonl", batch_size=2).model_dump()
    write_params({"prune.calibration": calibration, "loading.dtype": held, "arithmetic": "fast"})
    made, facts = pruned("block-influence", 0.25)
    assert (facts["dtype"], facts["loading"]["dtype"]) == (stored, held)
    surgery.drop_layers(model, facts["dropped"])
    found = folders.load_model(made, getattr(torch, stored)).state_dict()
    assert all(torch.equal(value, found[name]) for name, value in model.state_dict().items())


def test_a_checkpoint_in_shards_is_pruned(model):
    folder, (whole, facts) = paths.model("base-random"), pruned("block-influence", 0.25)
    (folder / "model.safetensors").unlink()
    model.save_pretrained(folder, max_shard_size="20KB")
    assert len(list(folder.glob("*.safetensors"))) > 3
    expected = record.content_hash(whole / "model.safetensors")
    again, found = pruned("block-influence", 0.25)
    assert (found["dropped"], record.content_hash(again / "model.safetensors")) == (facts["dropped"], expected)
