"""A model that is handed out is whole, also where the study keeps an adapter of it."""

import shutil

import pandas
import torch
from peft import get_peft_model

from orchard import paths
from orchard.models import adapters, card, folders, record
from orchard.models.finetuning import adapter
from orchard.stages import artifact
from orchard.stages.base.pretrain import make_tokenizer
from orchard.study.schema.artifacts import ArtifactRun
from orchard.study.schema.common import Lora
from tests.helpers.llama import random_llama, save_base

START, FOLDER = paths.model("base-random"), paths.model("sft-nll-1")


def hand_out(name: str) -> None:
    scores = pandas.DataFrame([{"task": "calc", "kind": "generation", "item": "a", "metric": "pass@1", "value": 0.5}])
    paths.evaluation(name).mkdir(parents=True)
    scores.to_parquet(paths.evaluation(name) / "scores.parquet")
    artifact.main("sft", ArtifactRun(model=name))


def test_an_adapter_is_handed_out_merged(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_base(random_llama(), START)
    model = get_peft_model(folders.load_model(START), adapter(Lora(rank=2, alpha=4.0)))
    next(value for name, value in model.named_parameters() if "lora_B" in name).data.fill_(0.3)
    folders.save_trained(model, make_tokenizer(), FOLDER, START)
    card.finish(FOLDER, FOLDER.name, "sft", {}, [START], step="finetuned", start=START, base=START.name, seed=None)
    expected = folders.load_model(FOLDER).state_dict()
    hand_out(FOLDER.name)
    shutil.rmtree("results/models")
    given = paths.artifact("sft")
    found = folders.load_model(given).state_dict()
    assert all(torch.equal(value, found[name]) for name, value in expected.items())
    assert not list(given.glob("adapter*"))
    assert record.read(given)["stage"] == "sft"
    assert "PeftModel" not in (given / card.FILE).read_text()
    assert "| calc | pass@1 | 0.500" in (given / card.FILE).read_text()


def test_a_whole_model_is_handed_out_as_it_is(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    save_base(random_llama(), START)
    hand_out(START.name)
    assert not adapters.is_kept(START)
    for name in ("model.safetensors", "config.json", record.FILE):
        assert record.content_hash(paths.artifact("sft") / name) == record.content_hash(START / name)
