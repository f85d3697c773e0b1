"""Checkpoints that are not whole, or that bring more than numbers: each is refused in one message, by name."""

import json
import os
import pickle
import shutil
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file

from orchard.errors import UserError
from orchard.models import checkpoint, folders
from tests.helpers.checkpoints import NAME, changed, with_files
from tests.helpers.llama import random_llama
from tests.helpers.messages import assert_one_message

HEAD, EMBEDDING = "lm_head.weight", "model.embed_tokens.weight"


def few_bits(dtype: torch.dtype):
    """Makes the matrices of the layers ones of another type."""
    return lambda tensors: {key: each.to(dtype) if "proj" in key else each for key, each in tensors.items()}


def with_scales(tensors: dict) -> dict:
    """FP8 with a scale per block, as DeepSeek's are."""
    scales = {f"{key}_scale_inv": torch.full((1, 1), 3.0) for key in tensors if "proj" in key}
    return few_bits(torch.float8_e4m3fn)(tensors) | scales


BAD_WEIGHTS = {
    "one missing": (lambda w: w.__delitem__(NAME), ["lacks 1 tensors", NAME]),
    "one left over": (lambda w: w | {"spare": torch.zeros(3)}, ["holds 1 tensors", "spare"]),
    "one renamed": (lambda w: w | {NAME.replace("up", "uq"): w.pop(NAME)}, ["lacks 1 tensors", NAME]),
    "a bias that nothing adds": (
        lambda w: w | {NAME.replace("weight", "bias"): torch.ones(48)},
        ["holds 1 tensors", "up_proj.bias"],
    ),
    "another shape": (lambda w: w | {NAME: torch.zeros(3, 8)}, [f"{NAME} is [3, 8]", "[48, 32]"]),
    "a layer twice as wide": (lambda w: w | {NAME: torch.zeros(96, 32)}, [f"{NAME} is [96, 32]"]),
    "the last layer missing": (
        lambda w: {k: v for k, v in w.items() if ".layers.7." not in k},
        ["say 8 layers, its weights have 7"],
    ),
    "a layer missing in the middle": (
        lambda w: {k: v for k, v in w.items() if ".layers.2." not in k},
        ["no tensor of layer 2 of 8"],
    ),
    "one layer more": (
        lambda w: w | {k.replace(".7.", ".8."): v.clone() for k, v in w.items() if ".layers.7." in k},
        ["say 8 layers, its weights have 9"],
    ),
    "NaN": (lambda w: w[NAME].__setitem__((0, 0), torch.nan), [NAME, "1 of 1536 numbers are NaN"]),
    "infinity": (lambda w: w | {NAME: torch.full((48, 32), -torch.inf)}, [NAME, "1536 of 1536 numbers"]),
    "too large for 32 bits": (
        lambda w: w | {NAME: torch.full((48, 32), 1e300, dtype=torch.float64)},
        [NAME, "numbers"],
    ),
    "FP8 with block scales": (with_scales, ["quantized weights", "F8_E4M3"]),
    "FP8 without scales": (few_bits(torch.float8_e5m2), ["quantized weights", "F8_E5M2"]),
    "8 bits": (few_bits(torch.int8), ["quantized weights", "I8"]),
    "bits": (few_bits(torch.bool), ["quantized weights", "BOOL"]),
    "complex numbers": (few_bits(torch.complex64), ["quantized weights", "C64"]),
    "a head that is not the embedding": (lambda w: w | {HEAD: w[EMBEDDING] + 1}, ["the head differs"]),
    "a head of another shape": (lambda w: w | {HEAD: torch.zeros(3, 8)}, [f"{HEAD} is [3, 8]"]),
    "neither head nor embedding": (lambda w: w.__delitem__(EMBEDDING), ["lacks 2 tensors", HEAD]),
}


@pytest.mark.parametrize("name", BAD_WEIGHTS)
def test_bad_weights(name, model, tmp_path):
    change, expected = BAD_WEIGHTS[name]
    refused(changed(model, tmp_path / "given", weights=change), expected)


@pytest.mark.parametrize(
    "change",
    [
        lambda w: {key: each.half() for key, each in w.items()},
        lambda w: w | {HEAD: w[EMBEDDING].clone()},
        lambda w: w | {HEAD: w.pop(EMBEDDING)},
        lambda w: w | {"model.layers.0.self_attn.rotary_emb.inv_freq": torch.zeros(4)},
    ],
    ids=["16 bits", "head and embedding", "head alone", "frequencies of old versions"],
)
def test_weights_in_another_form_are_loaded(change, model, tmp_path):
    folders.load_model(changed(model, tmp_path / "given", weights=change))


BAD_SETTINGS = {
    "an untied head that is not there": ({"tie_word_embeddings": False}, ["lacks 1 tensors", HEAD]),
    "fewer layers": ({"num_hidden_layers": 7}, ["say 7 layers, its weights have 8"]),
    "a thousand million layers": ({"num_hidden_layers": 10**9}, ["say 1000000000 layers"]),
    "a width of a thousand million": ({"hidden_size": 10**9}, [f"{EMBEDDING} is [", "1000000000"]),
    "a larger vocabulary": ({"vocab_size": 10**12}, [EMBEDDING]),
    "no heads": ({"num_attention_heads": 0}, ["cannot be loaded"]),
    "text for a number": ({"num_hidden_layers": "8"}, ["cannot be loaded"]),
    "NaN for a number": ({"rms_norm_eps": float("nan")}, ["NaN for a number"]),
    "an unknown type": ({"model_type": "abacus"}, ["cannot be loaded", "abacus"]),
    "a classifier": ({"architectures": ["LlamaForSequenceClassification"]}, ["LlamaForSequenceClassification"]),
    "a model of pictures": ({"vision_config": {"model_type": "siglip_vision_model"}}, ["parts: vision_config"]),
    "a part for text": ({"text_config": {"model_type": "llama"}}, ["parts: text_config"]),
    "other weights": ({"transformers_weights": "adapter_model.bin"}, ["under other names"]),
    **{
        f"quantized by {method}": ({"quantization_config": {"quant_method": method}}, ["quantized weights", method])
        for method in ("fp8", "gptq", "awq", "bitsandbytes", "compressed-tensors", "mxfp4", "hqq")
    },
    "quantized by an older compressed-tensors": ({"compression_config": {"format": "pack"}}, ["compression_config"]),
    "its own code": ({"auto_map": {"AutoModelForCausalLM": "code.Model"}}, ["auto_map", "code.Model"]),
    "code deep in it": ({"more": [{"auto_map": {"AutoConfig": "code.Config"}}]}, ["auto_map"]),
    "a kernel": ({"attn_implementation": "someone/attention"}, ["attn_implementation", "someone/attention"]),
    "a hidden kernel": ({"_attn_implementation": "someone/attention:forward"}, ["names code"]),
    "a kernel of a part": ({"attn_implementation": {"": "sdpa", "text": "someone/attention"}}, ["names code"]),
}


@pytest.mark.parametrize("name", BAD_SETTINGS)
def test_bad_settings(name, model, tmp_path):
    changes, expected = BAD_SETTINGS[name]
    refused(changed(model, tmp_path / "given", config=lambda settings: settings | changes), expected)


SHARDS = {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}
BAD_FILES = {
    "no weights": ({"model.safetensors": None}, ["has no model.safetensors"]),
    "no shards": (
        {"model.safetensors": None, checkpoint.INDEX: json.dumps({"weight_map": SHARDS})},
        ["no shard 'model-00001-of-00002.safetensors'"],
    ),
    "a shard elsewhere": (
        {"model.safetensors": None, checkpoint.INDEX: json.dumps({"weight_map": {"a": "../tiny/model.safetensors"}})},
        ["no shard '../tiny/model.safetensors'"],
    ),
    "an index of nothing": ({"model.safetensors": None, checkpoint.INDEX: "{}"}, ["names no shard"]),
    "an index that is a list": ({"model.safetensors": None, checkpoint.INDEX: "[]"}, ["not an object"]),
    "weights that are text": ({"model.safetensors": "no weights"}, ["model.safetensors cannot be loaded"]),
    "an adapter": ({"adapter_config.json": '{"base_model_name_or_path": "/elsewhere"}'}, ["adapter_config.json"]),
    "GPTQ's notes": ({"quantize_config.json": '{"bits": 4}'}, ["quantized weights", "quantize_config.json"]),
    "ModelOpt's notes": ({"hf_quant_config.json": "{}"}, ["quantized weights", "hf_quant_config.json"]),
    "a tokenizer's own code": (
        {"tokenizer_config.json": '{"auto_map": {"AutoTokenizer": ["code.Tokenizer", null]}}'},
        ["tokenizer_config.json: auto_map"],
    ),
    "a cut config": ({"config.json": '{"model_type": "lla'}, ["config.json"]),
    "a config that is null": ({"config.json": "null"}, ["config.json: not an object"]),
    "a deep config": ({"config.json": '{"a":' + "[" * 100_000}, ["config.json", "recursion"]),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_bad_files(name, model, tmp_path):
    files, expected = BAD_FILES[name]
    refused(with_files(model, tmp_path / "given", files), expected)


def test_folders_of_nothing(tmp_path):
    refused(tmp_path, ["has no config.json"])
    refused(tmp_path / "nowhere", ["no folder"])


def refused(folder: Path, expected: list[str]) -> None:
    """A folder is refused when it is loaded."""
    with pytest.raises(UserError) as error:
        folders.load_model(folder)
    assert_one_message(str(error.value), expected)


def test_shards_that_hold_a_tensor_twice(model, tmp_path):
    folder = sharded(model, tmp_path / "given")
    folders.load_model(folder)
    shutil.copyfile(folder / SHARDS["a"], folder / SHARDS["b"])
    refused(folder, ["stands in another shard too"])
    (folder / SHARDS["b"]).unlink()
    refused(folder, [f"no shard '{SHARDS['b']}'"])


def sharded(model: Path, folder: Path) -> Path:
    """A copy of a model folder whose weights lie in two files."""
    with_files(model, folder, {"model.safetensors": None})
    tensors = load_file(model / "model.safetensors")
    place = {name: SHARDS["a" if ".layers." in name else "b"] for name in tensors}
    for shard in SHARDS.values():
        part = {name: tensor for name, tensor in tensors.items() if place[name] == shard}
        save_file(part, folder / shard, {"format": "pt"})
    (folder / checkpoint.INDEX).write_text(json.dumps({"metadata": {}, "weight_map": place}))
    return folder


# Nothing of a folder is executed


def test_no_code_of_a_folder_runs(model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code = "open('marker', 'w')\nfrom transformers import LlamaConfig as C, LlamaForCausalLM as M\n"
    known = {"auto_map": {"AutoConfig": "evil.C", "AutoModelForCausalLM": "evil.M", "AutoTokenizer": "evil.M"}}
    for kind in ("llama", "evil"):
        folder = changed(model, tmp_path / kind, config=lambda settings: settings | known | {"model_type": kind})  # noqa: B023
        (folder / "evil.py").write_text(code)
        (folder / "custom_generate").mkdir()
        (folder / "custom_generate/generate.py").write_text(code)
        refused(folder, ["auto_map"])
        with pytest.raises(UserError, match="auto_map"):
            folders.load_tokenizer(folder)
    assert not Path("marker").exists()


class Program:
    """What a pickle may do."""

    def __reduce__(self):
        return os.system, ("touch marker",)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "model.pt", "model.ckpt"])
def test_no_pickle_is_read(name, model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = with_files(model, tmp_path / "given", {"model.safetensors": None})
    (folder / name).write_bytes(pickle.dumps({NAME: Program()}))
    refused(folder, [f"pickles ({name})"])
    assert not Path("marker").exists()


# What is saved, and what a training goes on from


def test_a_model_with_nan_is_not_saved(tmp_path):
    model = random_llama()
    model.model.layers[1].mlp.up_proj.weight.data[0, 0] = torch.nan
    with pytest.raises(UserError, match=r"layers\.1\.mlp\.up_proj\.weight: 1 of 1536 numbers"):
        folders.save(model, None, tmp_path / "saved")
    assert not (tmp_path / "saved").exists()


BAD_STATES = {
    "one missing": lambda w: w.__delitem__(next(iter(w))),
    "one left over": lambda w: w | {"spare": torch.zeros(3)},
    "one of another shape": lambda w: w | {next(iter(w)): torch.zeros(3)},
    "NaN": lambda w: next(iter(w.values())).fill_(torch.nan),
}


@pytest.mark.parametrize("lora", [False, True], ids=["all parameters", "adapters"])
@pytest.mark.parametrize("name", BAD_STATES)
def test_a_resume_state_that_is_not_whole_is_refused(name, lora, tmp_path):
    model = random_llama()
    model = get_peft_model(model, LoraConfig(r=2, target_modules="all-linear")) if lora else model
    model.save_pretrained(tmp_path)
    checkpoint.refuse_unfit_state(tmp_path, model)
    (file,) = tmp_path.glob("*.safetensors")
    tensors = load_file(file)
    change = BAD_STATES[name](tensors)
    save_file(change if isinstance(change, dict) else tensors, file, {"format": "pt"})
    with pytest.raises(UserError) as error:
        checkpoint.refuse_unfit_state(tmp_path, model)
    assert_one_message(str(error.value), [f"remove {tmp_path}"])
