"""Loading of model folders: what is broken is refused in one message."""

import json

import pytest

from orchard.errors import UserError
from orchard.models import folders
from tests.helpers.checkpoints import damaged, with_files
from tests.helpers.messages import assert_one_message


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        ("no config", "has no config.json"),
        ("a tensor missing", "lacks 1 tensors, first model.layers.3.mlp.up_proj.weight"),
        ("a tensor of another shape", "model.layers.3.mlp.up_proj.weight is [3, 8]"),
        ("truncated weights", "cannot be loaded"),
        ("no tokenizer", "has no tokenizer.json"),
    ],
)
def test_bad_checkpoint(damage, expected, model, tmp_path):
    folder = damaged(model, tmp_path / "damaged", damage)
    with pytest.raises(UserError) as error:
        folders.load_tokenizer(folder) if damage == "no tokenizer" else folders.load_model(folder)
    assert_one_message(str(error.value), [expected])
    folders.load_model(model)


BAD_TOKENIZERS = {
    "no EOS and no padding": ({}, ["names no EOS token"]),
    "a padding token without a row": ({"eos_token": "<eos>", "pad_token": "[PAD]"}, ["pad_token '[PAD]'", "rows"]),
    "an EOS without a row": ({"eos_token": "<|im_end|>"}, ["eos_token '<|im_end|>'", "rows"]),
    "code": ({"eos_token": "<eos>", "auto_map": {"AutoTokenizer": ["code.Tokenizer", None]}}, ["auto_map"]),
}


@pytest.mark.parametrize("name", BAD_TOKENIZERS)
def test_bad_tokenizer(name, model, tmp_path):
    settings, expected = BAD_TOKENIZERS[name]
    folder = with_files(model, tmp_path / "given", {"tokenizer_config.json": json.dumps(settings)})
    with pytest.raises(UserError) as error:
        folders.load_tokenizer(folder)
    assert_one_message(str(error.value), expected)


def test_a_tokenizer_that_cannot_be_read(model, tmp_path):
    folder = with_files(model, tmp_path / "given", {"tokenizer.json": '{"model": {"type": "Abacus"}}'})
    with pytest.raises(UserError, match=r"tokenizer\.json cannot be loaded"):
        folders.load_tokenizer(folder)


def test_tokens_without_a_row(model, tmp_path):
    tokenizer = folders.load_tokenizer(model)
    tokenizer.add_tokens(["<mine>"])
    tokenizer.save_pretrained(with_files(model, tmp_path / "given", {}))
    with pytest.raises(UserError) as error:
        folders.load_tokenizer(tmp_path / "given")
    assert_one_message(str(error.value), ["1 tokens, first '<mine>'"])


def test_a_mark_without_a_row_is_cut_as_text(model, tmp_path):
    tokenizer = folders.load_tokenizer(model)
    tokenizer.add_special_tokens({"extra_special_tokens": ["<picture>"]})
    tokenizer.save_pretrained(with_files(model, tmp_path / "given", {}))
    again, rows = folders.load_tokenizer(tmp_path / "given"), folders.load_model(model).config.vocab_size
    assert max(again("calc <picture> 1")["input_ids"]) < rows
    assert again("calc 1 + 1 : <eos>") == folders.load_tokenizer(model)("calc 1 + 1 : <eos>")


def test_eos_pads_where_nothing_else_does(model, tmp_path):
    folder = with_files(model, tmp_path / "given", {"tokenizer_config.json": '{"eos_token": "<eos>"}'})
    assert folders.load_tokenizer(folder).pad_token == "<eos>"
