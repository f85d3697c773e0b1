"""Loading of a base model: from a GGUF file, and in a format."""

import json
from collections.abc import Callable
from pathlib import Path

import gguf
import numpy
import pytest
import torch
from transformers.models.llama import LlamaForCausalLM

from orchard import paths
from orchard.errors import UserError
from orchard.models import folders, formats, prompts, record
from orchard.stages.base import __main__ as base
from orchard.stages.base import load
from orchard.stages.base.pretrain import make_tokenizer
from orchard.study import runs
from orchard.study.schema.base import Depth, Loaded
from orchard.study.schema.format import Format
from tests.helpers.llama import random_llama
from tests.helpers.messages import assert_one_message
from tests.helpers.studies import write_params
from tests.helpers.tokenizers import CHAT, TURN, save_as_it_is, speller


def llama() -> LlamaForCausalLM:
    return random_llama(
        vocab_size=260,
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=3,
        rms_norm_eps=1e-5,
        bos_token_id=257,
        eos_token_id=258,
        pad_token_id=258,
    )


def write_gguf(model: LlamaForCausalLM, file: Path, change: Callable | None = None, **fields: float) -> None:
    """The model as a GGUF file of float32 tensors, with a byte-level tokenizer of 256 bytes and four special tokens.

    Args:
        model: any Llama.
        file: where it goes.
        change: from the name and the array of a tensor to those that are written.
        fields: more settings, by their names behind ``llama.``, with a double underscore for each dot.
    """
    config = model.config
    writer = gguf.GGUFWriter(str(file), "llama")
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(10000.0)
    writer.add_rope_dimension_count(config.hidden_size // config.num_attention_heads)
    writer.add_vocab_size(config.vocab_size)
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list([*byte_letters(), "<unk>", "<bos>", "<eos>", "zz"])
    writer.add_token_types([1] * 256 + [3, 3, 3, 1])
    writer.add_token_merges(["z z"])
    writer.add_unk_token_id(256)
    writer.add_bos_token_id(257)
    writer.add_eos_token_id(258)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, config.num_hidden_layers)
    for name, tensor in model.state_dict().items():
        if name == "lm_head.weight":  # tied
            continue
        heads = {"q": config.num_attention_heads, "k": config.num_key_value_heads}.get(name.split(".")[-2][0])
        if name.endswith(("q_proj.weight", "k_proj.weight")):  # GGUF keeps rotary pairs side by side
            tensor = tensor.reshape(heads, 2, -1, tensor.shape[1]).swapaxes(1, 2).reshape(tensor.shape)
        name, array = names.get_name(name, try_suffixes=(".weight",)), numpy.ascontiguousarray(tensor.numpy())
        for written in change(name, array) if change else [(name, array)]:
            writer.add_tensor(*written)
    for key, value in fields.items():
        writer.add_float32(f"llama.{key.replace('__', '.')}", value)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def byte_letters() -> list[str]:
    """The letters that stand for bytes in GPT-2's vocabulary."""
    shown = [*range(33, 127), *range(161, 173), *range(174, 256)]
    hidden = [byte for byte in range(256) if byte not in shown]
    return [chr(byte) for byte in shown] + [chr(256 + n) for n in range(len(hidden))]


def gguf_base(folder: Path, layers: int) -> Loaded:
    """The base of a folder with a GGUF file, as the config names it."""
    return Loaded(kind="gguf", source=str(folder), license="mit", model=Depth(layers=layers))


@torch.inference_mode()
def logits(model) -> torch.Tensor:
    return model(torch.arange(250)[:60].reshape(2, 30)).logits


def test_gguf_model_and_tokenizer_survive_loading_saving_and_loading(tmp_path):
    original = llama()
    write_gguf(original, tmp_path / "tiny.gguf")
    load.load(gguf_base(tmp_path, layers=3), tmp_path / "model")
    model, tokenizer = folders.load_gguf(tmp_path / "tiny.gguf")
    torch.testing.assert_close(logits(model), logits(original), rtol=1e-5, atol=1e-5)
    saved = folders.load_model(tmp_path / "model")
    assert saved.dtype == torch.float32
    assert torch.equal(logits(saved), logits(model))
    again = folders.load_tokenizer(tmp_path / "model")
    for text in ("Jazz, pizzas!\n", "  12 + 3 =", "<bos>zzz<eos>", "Größe"):
        ids = tokenizer(text)["input_ids"]
        assert again(text)["input_ids"] == ids
        assert again.decode(ids) == tokenizer.decode(ids)
    assert again("zz", add_special_tokens=False)["input_ids"] == [259]
    assert (again.bos_token_id, again.eos_token_id) == (257, 258)
    assert str(tmp_path) not in "".join(file.read_text() for file in (tmp_path / "model").glob("*.json"))


def test_wrong_number_of_layers_in_the_config_is_refused(tmp_path):
    write_gguf(llama(), tmp_path / "tiny.gguf")
    with pytest.raises(UserError, match="has 3 layers, the config says 4"):
        load.load(gguf_base(tmp_path, layers=4), tmp_path / "model")


def test_a_broken_gguf_file_is_one_message(tmp_path):
    (tmp_path / "tiny.gguf").write_bytes(b"GGUF, but not whole")
    with pytest.raises(UserError, match=r"tiny\.gguf"):
        load.load(gguf_base(tmp_path, layers=3), tmp_path / "model")


GIVEN = "blk.1.ffn_up.weight"
BAD_GGUF = {
    "missing": (lambda n, x: [] if n == GIVEN else [(n, x)], ["lacks 1 tensors", "model.layers.1.mlp.up_proj.weight"]),
    "renamed": (lambda n, x: [(n.replace("ffn_up", "ffn_uq"), x)], ["lacks 3 tensors"]),
    "left over": (lambda n, x: [(n, x), *([("spare", x)] if n == GIVEN else [])], ["holds 1 tensors", "spare"]),
    "a bias that nothing adds": (
        lambda n, x: [(n, x), *([("blk.1.ffn_up.bias", x[:, 0].copy())] if n == GIVEN else [])],
        ["holds 1 tensors", "blk.1.ffn_up.bias"],
    ),
    "frequencies of positions": (
        lambda n, x: [(n, x), *([("rope_freqs.weight", x[0, :8].copy())] if n == GIVEN else [])],
        ["holds 1 tensors", "rope_freqs.weight"],
    ),
    "one layer more": (
        lambda n, x: [(n, x), *([(n.replace("blk.2", "blk.3"), x)] if "blk.2" in n else [])],
        ["say 3 layers, its weights have 4"],
    ),
    "one layer less": (lambda n, x: [] if "blk.2" in n else [(n, x)], ["say 3 layers, its weights have 2"]),
    "NaN": (lambda n, x: [(n, x * numpy.float32("nan") if n == GIVEN else x)], ["up_proj.weight", "NaN"]),
    "another shape": (lambda n, x: [(n, x[:50].copy() if n == GIVEN else x)], ["another shape"]),
    "no norm": (lambda n, x: [] if n == "output_norm.weight" else [(n, x)], ["lacks 1 tensors", "model.norm.weight"]),
}


@pytest.mark.parametrize("name", BAD_GGUF)
def test_a_gguf_file_of_other_tensors_is_refused(name, tmp_path):
    change, expected = BAD_GGUF[name]
    write_gguf(llama(), tmp_path / "tiny.gguf", change)
    with pytest.raises(UserError) as error:
        load.load(gguf_base(tmp_path, layers=3), tmp_path / "model")
    assert_one_message(str(error.value), ["tiny.gguf", *expected])
    assert not (tmp_path / "model").exists()


def test_a_setting_of_positions_that_is_passed_over_is_refused(tmp_path):
    write_gguf(llama(), tmp_path / "tiny.gguf", rope__scaling__factor=4.0)
    with pytest.raises(UserError, match=r"llama\.rope\.scaling\.factor"):
        load.load(gguf_base(tmp_path, layers=3), tmp_path / "model")


ROUNDED = [("float32", torch.float32, ""), ("float32", torch.bfloat16, ""), ("bfloat16", torch.bfloat16, ""),
           ("bfloat16", torch.float32, ", rounded from F32"), ("float32", torch.float64, ", rounded from F64"),
           ("bfloat16", torch.float16, ", rounded from F16")]  # fmt: skip


@pytest.mark.parametrize(("wanted", "given", "note"), ROUNDED)
def test_a_base_has_the_numbers_that_the_study_says(wanted, given, note, tmp_path):
    folders.save(random_llama().to(given), make_tokenizer(), tmp_path / "given")
    base = Loaded(kind="local", source=str(tmp_path / "given"), license="mit", model=Depth(layers=4), dtype=wanted)
    made, _ = load.load(base, tmp_path / "made")
    assert made == f"loaded from {tmp_path / 'given'} (local) as {wanted}{note}"
    dtype = getattr(torch, wanted)
    assert folders.dtype_of(tmp_path / "made") == dtype
    found, expected = folders.load_model(tmp_path / "made", dtype).state_dict(), random_llama().to(given).state_dict()
    assert all(torch.equal(value.to(dtype), found[name]) for name, value in expected.items())


def test_a_gguf_file_can_be_kept_in_16_bits(tmp_path):
    write_gguf(llama(), tmp_path / "model.gguf")
    source = str(tmp_path / "model.gguf")
    base = Loaded(kind="gguf", source=source, license="mit", model=Depth(layers=3), dtype="bfloat16")
    made, _ = load.load(base, tmp_path / "made")
    assert made.endswith("as bfloat16, rounded from F32")
    assert folders.dtype_of(tmp_path / "made") == torch.bfloat16


# In a format

THEIRS = {"do_sample": True, "temperature": 0.7, "repetition_penalty": 1.05}


def loaded(settings: Format, ends: list[int] | None = None) -> dict:
    """The record of a stranger's model that the stage loaded, in a format."""
    model, tokenizer = speller(ends=ends, **THEIRS)
    tokenizer.chat_template = CHAT
    save_as_it_is(model, tokenizer, Path("theirs"))
    asked = Loaded(kind="local", source="theirs", license="mit", model=Depth(layers=4), format=settings)
    write_params({"runs.base.mine": runs.base({"mine": asked})["mine"].model_dump()})
    base.main("mine")
    return record.read(paths.model("base-mine"))


@pytest.mark.parametrize(
    ("settings", "ends", "named", "written"),
    [
        (Format(), None, ["<eos>"], 2),  # one end is a number, as it always was
        (Format(), [2, 3], ["<eos>", TURN], [2, 3]),
        (Format(template="own"), None, ["<eos>", TURN], [2, 3]),
        (Format(template="own"), [3, 2], ["<eos>", TURN], [2, 3]),
        (Format(template="own", end="<eos>"), None, ["<eos>"], 2),
    ],
)
def test_the_record_says_how_a_base_is_asked_and_what_is_not_kept(
    settings, ends, named, written, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    facts, folder = loaded(settings, ends), paths.model("base-mine")
    assert (facts["ends"], facts["begins_with_bos"], facts["reset_settings"]) == (named, True, THEIRS)
    assert facts["format"] == formats.facts(folders.load_tokenizer(folder))
    kept = json.loads((folder / "generation_config.json").read_text())
    assert kept["eos_token_id"] == written
    assert not kept.keys() & THEIRS.keys()
    model, tokenizer = folders.load_model(folder), folders.load_tokenizer(folder)
    assert prompts.ends(model, tokenizer) == set(tokenizer.convert_tokens_to_ids(named))


def test_a_template_of_a_file_is_an_input_of_the_base(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("chat.jinja").write_text(CHAT.replace("<assistant>", "<model>"))
    facts = loaded(Format(template="chat.jinja"))
    assert facts["inputs"]["chat.jinja"] == record.content_hash(Path("chat.jinja"))
    assert prompts.start(folders.load_tokenizer(paths.model("base-mine")), "a") == "<bos><user>a<model>"
