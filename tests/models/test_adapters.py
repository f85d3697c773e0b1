"""Models that are kept as an adapter: loaded, they are the merged model to the bit; what does not fit is refused."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file

from orchard import paths
from orchard.errors import UserError
from orchard.models import adapters, card, folders, record, whole
from orchard.stages.base.pretrain import make_tokenizer
from tests.helpers.llama import random_llama, save_base
from tests.helpers.messages import assert_one_message

START, FOLDER = paths.model("base-random"), paths.model("sft-nll-1")


def trained(model, seed: int = 5):
    """The model with an adapter whose matrices are all random, as after training."""
    torch.manual_seed(seed)
    adapted = get_peft_model(model, LoraConfig(r=2, lora_alpha=4, target_modules="all-linear", task_type="CAUSAL_LM"))
    for name, value in adapted.named_parameters():
        if "lora_" in name:
            torch.nn.init.normal_(value, std=0.1)
    return adapted


def finish(folder: Path = FOLDER, start: Path = START) -> None:
    card.finish(folder, folder.name, "sft", {}, [start], step="finetuned", start=start, base=START.name, seed=None)


@pytest.fixture(params=["float32", "bfloat16"])
def merged(request, tmp_path, monkeypatch):
    """A base and an adapter of it as stages write them; gives the model that they make together."""
    monkeypatch.chdir(tmp_path)
    save_base(random_llama().to(getattr(torch, request.param)), START)
    model = trained(folders.load_model(START, folders.dtype_of(START)))
    folders.save_trained(model, make_tokenizer(), FOLDER, START)
    finish()
    return model.merge_and_unload()


def weights_of(model) -> dict:
    return {name: value.detach() for name, value in model.named_parameters()}


def assert_equal(one, other) -> None:
    one, other = weights_of(one), weights_of(other)
    assert one.keys() == other.keys()
    assert all(torch.equal(value, other[name]) for name, value in one.items())


def test_an_adapter_takes_the_place_of_weights_and_is_merged_when_it_is_loaded(merged):
    assert not (FOLDER / "model.safetensors").exists()
    kept = sum(value.numel() for value in load_file(FOLDER / adapters.WEIGHTS).values())
    assert kept < card.parameters(START) / 4
    dtype = folders.dtype_of(FOLDER)
    assert dtype == folders.dtype_of(START) == merged.dtype
    assert_equal(folders.load_model(FOLDER, dtype), merged)
    assert folders.load_tokenizer(FOLDER)("calc 1 + 1 :") == make_tokenizer()("calc 1 + 1 :")
    drift = folders.drift(START, FOLDER)
    moved = sum((value.double() - weights_of(folders.load_model(START))[name].double()).square().sum().item()
                for name, value in weights_of(merged).items()) ** 0.5  # fmt: skip
    assert drift["absolute"] == pytest.approx(moved, rel=1e-9)


def test_record_and_card_say_what_the_folder_holds(merged):
    assert record.read(FOLDER)["dtype"] == str(merged.dtype).removeprefix("torch.")
    text = (FOLDER / card.FILE).read_text()
    assert f"{card.parameters(START):,} parameters" in text
    assert "PeftModel" in text
    assert str(START) in text
    assert "PeftModel" not in (START / card.FILE).read_text()


def test_an_adapter_has_the_same_bytes_each_time(merged):
    names = json.loads((FOLDER / adapters.CONFIG).read_text())["target_modules"]
    assert names == sorted(names)
    assert len(names) == 7


def test_a_whole_folder_can_be_written_of_it(merged):
    target = Path("whole")
    whole.write(FOLDER, target)
    assert not (target / adapters.CONFIG).exists()
    assert record.read(target) == record.read(FOLDER)
    assert_equal(folders.load_model(target, merged.dtype), merged)
    whole.write(FOLDER, Path("pruned"), dropped=[1])
    assert folders.load_model("pruned").config.num_hidden_layers == 3


def test_what_is_trained_of_an_adapter_is_merged_and_written_whole(merged):
    again, folder = trained(folders.load_model(FOLDER), seed=6), paths.model("rl-grpo-nll-1")
    folders.save_trained(again, make_tokenizer(), folder, FOLDER)
    assert (folder / "model.safetensors").is_file()
    assert not adapters.is_kept(folder)
    assert folders.dtype_of(folder) == merged.dtype
    assert folders.drift(FOLDER, folder)["absolute"] > 0


def edit_weights(change) -> None:
    tensors = load_file(FOLDER / adapters.WEIGHTS)
    save_file(change(tensors) or tensors, FOLDER / adapters.WEIGHTS, {"format": "pt"})


def edit_config(**changes) -> None:
    file = FOLDER / adapters.CONFIG
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def another_base() -> None:
    shutil.rmtree(START)
    save_base(random_llama(seed=9), START)


DAMAGES = {
    "its model is not here": (lambda: shutil.rmtree(START), ["which is not here"]),
    "its model is another by now": (another_base, ["was trained on another", str(START)]),
    "a model of the hub": (
        lambda: edit_config(base_model_name_or_path="some/model"),
        ["an adapter of some/model"],
    ),
    "a folder elsewhere": (lambda: edit_config(base_model_name_or_path="/tmp"), ["an adapter of /tmp"]),
    "itself": (lambda: edit_config(base_model_name_or_path=str(FOLDER)), ["holds weights"]),
    "no weights": (lambda: (FOLDER / adapters.WEIGHTS).unlink(), ["has no adapter_model.safetensors"]),
    "weights of another shape": (lambda: edit_config(r=3), ["cannot be loaded"]),
    "a tensor too few": (lambda: edit_weights(lambda found: found.pop(min(found)) is None), ["is missing"]),
    "a tensor too many": (lambda: edit_weights(lambda found: found | {"more": torch.ones(2)}), ["more is missing"]),
    "no number": (lambda: edit_weights(lambda found: found | {min(found): found[min(found)] * torch.nan}), ["NaN"]),
}


@pytest.mark.parametrize("merged", ["float32"], indirect=True)
@pytest.mark.parametrize("name", DAMAGES)
def test_an_adapter_that_does_not_fit_is_refused(name, merged):
    damage, expected = DAMAGES[name]
    damage()
    with pytest.raises(UserError) as error:
        folders.load_model(FOLDER)
    assert_one_message(str(error.value), expected)


@pytest.mark.parametrize("merged", ["float32"], indirect=True)
def test_an_adapter_outside_the_study_is_refused(merged):
    shutil.copytree(FOLDER, "given")
    with pytest.raises(UserError, match="holds an adapter"):
        folders.load_model("given")


@pytest.mark.parametrize("merged", ["float32"], indirect=True)
def test_an_adapter_that_diverged_is_not_written(merged):
    model = trained(folders.load_model(START))
    with torch.no_grad():
        next(value for name, value in model.named_parameters() if "lora_B" in name)[0, 0] = torch.inf
    with pytest.raises(UserError, match="learning rate"):
        folders.save_trained(model, make_tokenizer(), paths.model("sft-nll-2"), START)
