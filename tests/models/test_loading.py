"""How models are held in memory, and in which numbers they are written."""

import pytest
import torch

from orchard import paths
from orchard.errors import UserError
from orchard.models import card, checkpoint, folders, record
from orchard.stages.base.pretrain import make_tokenizer
from tests.helpers.llama import random_llama, save_base
from tests.helpers.studies import write_params
from tests.helpers.tiny import tiny

WHOLE, HALF = paths.model("base-whole"), paths.model("base-half")


@pytest.fixture(autouse=True)
def project(tmp_path, monkeypatch) -> None:
    """A working folder with a model in 32 bits, and one in 16."""
    monkeypatch.chdir(tmp_path)
    save_base(random_llama(), WHOLE)
    save_base(random_llama().to(torch.bfloat16), HALF)


def test_models_are_float32_unless_the_study_says_otherwise():
    assert folders.load_model(HALF).dtype == folders.load_frozen(HALF).dtype == torch.float32
    write_params({"loading.dtype": "bfloat16"})
    assert folders.load_model(HALF).dtype == torch.float32, "what is trained"
    assert folders.load_frozen(HALF).dtype == folders.load_frozen(WHOLE).dtype == torch.bfloat16


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_attention_is_the_studys(attention):
    write_params({"loading.attention": attention})
    assert folders.load_model(WHOLE).config._attn_implementation == attention


def test_attention_that_an_architecture_has_not_is_refused():
    save_base(tiny("gemma2"), paths.model("base-gemma"))
    assert folders.load_model(paths.model("base-gemma")).config._attn_implementation == "eager"
    write_params({"loading.attention": "sdpa"})
    with pytest.raises(UserError, match=r"cannot be loaded.*attention"):
        folders.load_model(paths.model("base-gemma"))


@pytest.mark.parametrize(("start", "dtype"), [(WHOLE, "float32"), (HALF, "bfloat16")])
def test_a_model_is_written_in_the_numbers_of_what_it_was_made_from(start, dtype):
    folder = paths.model("sft-nll-1")
    folders.save(folders.load_model(start), make_tokenizer(), folder, start)
    card.finish(folder, folder.name, "sft", {}, [start], step="left alone", start=start)
    assert {header.dtype for header in checkpoint.read_headers(folder).values()} == {
        {"float32": "F32", "bfloat16": "BF16"}[dtype]
    }
    assert record.read(folder)["dtype"] == record.read(start)["dtype"] == dtype
    assert folders.drift(start, folder)["absolute"] == 0
