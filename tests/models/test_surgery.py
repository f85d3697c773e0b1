"""Layer surgery on a small random model of every type that can be pruned, against models that are built by hand."""

import copy
import itertools
import json

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import GPT2Config, GPT2LMHeadModel, PhiConfig, PhiForCausalLM, T5Config, T5ForConditionalGeneration

from orchard.errors import UserError
from orchard.models import folders, surgery
from orchard.stages.base.pretrain import make_tokenizer
from tests.helpers.tiny import NAMES, TYPES, settings, tiny

SUBSETS = [list(subset) for size in range(4) for subset in itertools.combinations(range(4), size)]
TOKENS = torch.arange(4, 28).reshape(2, 12)


@torch.inference_mode()
def logits(model) -> torch.Tensor:
    return model(TOKENS).logits


def generated(model, use_cache: bool) -> torch.Tensor:
    return model.generate(
        TOKENS, max_new_tokens=12, do_sample=False, use_cache=use_cache, eos_token_id=None, pad_token_id=0
    )


def built_by_hand(model, dropped: list[int]):
    """A fresh model with fewer layers, of the kinds that tests.helpers.tiny names; weights are copied by name."""
    model_type = model.config.model_type
    kept = [n for n in range(4) if n not in dropped]
    changes = {"num_hidden_layers": len(kept), "tie_word_embeddings": model.config.tie_word_embeddings}
    if hasattr(model.config, "layer_types"):
        changes["layer_types"] = [NAMES[TYPES[model_type][1][n]] for n in kept]
    small = tiny(model_type, seed=99, **changes)
    weights = {key: value for key, value in model.state_dict().items() if ".layers." not in key}
    for new, old in enumerate(kept):
        prefix = f"model.layers.{old}."
        own = {key: value for key, value in model.state_dict().items() if key.startswith(prefix)}
        weights |= {key.replace(prefix, f"model.layers.{new}."): value for key, value in own.items()}
    small.load_state_dict(weights)
    return small


def saved_and_loaded(model, folder):
    folders.save(model, make_tokenizer(), folder)
    return folders.load_model(folder)


@pytest.mark.parametrize("model_type", TYPES)
def test_the_models_are_what_the_tests_need(model_type):
    assert sorted(TYPES) == sorted(surgery.MODEL_TYPES)
    model, kinds = tiny(model_type), TYPES[model_type][1]
    if hasattr(model.config, "layer_types"):
        assert model.config.layer_types == [NAMES[kind] for kind in kinds]
    if "s" in kinds:  # the window matters: it changes the logits of the last token
        wide = tiny(model_type, sliding_window=64)
        assert not torch.allclose(logits(model)[:, -1], logits(wide)[:, -1], atol=1e-2)


@pytest.mark.parametrize("dropped", SUBSETS, ids=str)
@pytest.mark.parametrize("model_type", TYPES)
def test_view_and_saved_folder_equal_a_model_built_by_hand(model_type, dropped, tmp_path):
    model = tiny(model_type)
    by_hand = built_by_hand(model, dropped)
    expected, text = logits(by_hand), generated(by_hand, True)
    with surgery.without(model, dropped):
        assert torch.equal(logits(model), expected)
        assert torch.equal(generated(model, True), text)
        assert torch.equal(generated(model, False), text)
        viewed = model.config.to_dict()
    surgery.drop_layers(model, dropped)
    assert torch.equal(logits(model), expected)
    assert model.config.to_dict() == viewed
    loaded = saved_and_loaded(model, tmp_path)
    assert torch.equal(logits(loaded), expected)
    assert torch.equal(generated(loaded, True), text)
    assert torch.equal(generated(loaded, False), text)


@pytest.mark.parametrize("model_type", TYPES)
def test_the_saved_config_is_the_one_in_memory_and_says_the_kind_of_every_layer(model_type, tmp_path):
    model = tiny(model_type)
    surgery.drop_layers(model, [1, 3])
    loaded = saved_and_loaded(model, tmp_path)
    changed_by_loading = {"_name_or_path", "dtype", "architectures"}
    of_memory, of_file = (
        {key: value for key, value in each.config.to_dict().items() if key not in changed_by_loading}
        for each in (model, loaded)
    )
    assert of_memory == of_file
    written = json.loads((tmp_path / "config.json").read_text())
    assert written["num_hidden_layers"] == 2
    if hasattr(model.config, "layer_types"):
        kinds = TYPES[model_type][1]
        assert written["layer_types"] == [NAMES[kinds[0]], NAMES[kinds[2]]]


@pytest.mark.parametrize("model_type", TYPES)
def test_dropping_nothing_is_the_identity(model_type):
    model, whole = tiny(model_type), tiny(model_type)
    layers = model.model.layers
    surgery.drop_layers(model, [])
    assert model.model.layers is layers
    assert model.config.to_dict() == whole.config.to_dict()
    assert torch.equal(logits(model), logits(whole))


@pytest.mark.parametrize("model_type", TYPES)
def test_dropping_any_one_layer_changes_the_logits(model_type):
    model = tiny(model_type)
    whole = logits(model)
    for n in range(4):
        with surgery.without(model, [n]):
            assert not torch.allclose(logits(model), whole, atol=1e-3)


def state(model) -> tuple:
    """All of a model that surgery might leave behind: module objects, numbers, weights' places and every setting."""
    numbers = [getattr(part, "layer_idx", None) for part in model.modules()]
    places = {name: weight.data_ptr() for name, weight in model.state_dict().items()}
    return [id(part) for part in model.modules()], numbers, places, copy.deepcopy(vars(model.config))


@pytest.mark.parametrize("dropped", [[], [0], [3], [1, 2], [0, 2, 3]], ids=str)
@pytest.mark.parametrize("model_type", TYPES)
def test_after_the_block_the_model_is_what_it_was(model_type, dropped):
    model = tiny(model_type)
    before, whole, text = state(model), logits(model), generated(model, True)
    with surgery.without(model, dropped) as view:
        assert view is model
        assert len(model.model.layers) == model.config.num_hidden_layers == 4 - len(dropped)
        generated(model, True)
    assert state(model) == before
    assert torch.equal(logits(model), whole)
    assert torch.equal(generated(model, True), text)


@pytest.mark.parametrize("model_type", TYPES)
def test_after_an_error_the_model_is_what_it_was(model_type):
    model = tiny(model_type)
    before = state(model)
    with pytest.raises(RuntimeError, match="inside"), surgery.without(model, [0, 2]):
        raise RuntimeError("inside")
    assert state(model) == before
    with pytest.raises(UserError), surgery.without(model, [0, 4]):
        raise AssertionError("the block must not begin")
    assert state(model) == before


def test_a_view_copies_no_weight():
    model = tiny("llama")
    places = {weight.data_ptr() for weight in model.parameters()}
    with surgery.without(model, [1]):
        assert {weight.data_ptr() for weight in model.parameters()} < places


def test_a_view_of_a_view_counts_in_the_views_layers():
    model = tiny("gemma2")
    before = state(model)
    with surgery.without(model, [0]), surgery.without(model, [1]):
        inner = logits(model)
    assert state(model) == before
    with surgery.without(model, [0, 2]):
        assert torch.equal(inner, logits(model))


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("model_type", TYPES)
def test_embeddings_stay_tied_or_apart(model_type, tied, tmp_path):
    model = tiny(model_type, tie_word_embeddings=tied)
    surgery.drop_layers(model, [0, 3])
    loaded = saved_and_loaded(model, tmp_path)
    for each in (model, loaded):
        assert (each.lm_head.weight.data_ptr() == each.model.embed_tokens.weight.data_ptr()) == tied
    assert torch.equal(logits(model), logits(loaded))


@pytest.mark.parametrize(
    ("first", "dropped", "expected"), [(2, [0], 1), (2, [3], 2), (2, [0, 1, 2], 0), (4, [1], 3), (28, [1, 2], 26)]
)
def test_the_first_layer_with_a_window_keeps_its_place_among_the_rest(first, dropped, expected):
    model = tiny("qwen2", max_window_layers=first)
    surgery.drop_layers(model, dropped)
    assert model.config.max_window_layers == expected
    implied = settings("qwen2", num_hidden_layers=4 - len(dropped), max_window_layers=expected)
    assert implied.layer_types == model.config.layer_types


def test_kinds_of_layers_are_saved_even_where_they_are_those_of_a_qwen2_by_default(tmp_path):
    model = tiny("qwen2", num_hidden_layers=33, max_window_layers=32)
    surgery.drop_layers(model, [32])
    folders.save(model, make_tokenizer(), tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["layer_types"] == [NAMES["f"]] * 32


def test_a_window_pattern_that_no_longer_holds_is_not_saved(tmp_path):
    model = tiny("gemma3_text")
    surgery.drop_layers(model, [0])
    folders.save(model, make_tokenizer(), tmp_path)
    assert "sliding_window_pattern" not in json.loads((tmp_path / "config.json").read_text())


def test_every_list_with_an_entry_a_layer_is_cut_and_no_other():
    model = tiny("llama", eos_token_id=[2, 3, 4, 5], a_number_each=[10, 11, 12, 13], three_numbers=[7, 8, 9])
    surgery.drop_layers(model, [1, 2])
    assert model.config.a_number_each == [10, 13]
    assert model.config.three_numbers == [7, 8, 9]
    assert model.config.eos_token_id == [2, 3, 4, 5]


@pytest.mark.parametrize(
    ("dropped", "message"),
    [
        ([0, 1, 2, 3], "all layers"),
        ([4], r"\[4\] outside"),
        ([-1], r"\[-1\] outside"),
        ([1, 1], r"\[1\] twice"),
        ([0, 0, 1, 2], r"\[0\] twice"),
    ],
    ids=str,
)
def test_a_bad_list_of_layers_is_refused_and_changes_nothing(dropped, message):
    model = tiny("llama")
    before = state(model)
    with pytest.raises(UserError, match=message):
        surgery.drop_layers(model, dropped)
    with pytest.raises(UserError, match=message), surgery.without(model, dropped):
        pass
    assert state(model) == before


SMALL = {"vocab_size": 64, "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}


def with_adapter():
    return get_peft_model(tiny("llama"), LoraConfig(r=2, target_modules="all-linear", task_type="CAUSAL_LM"))


def with_loaded_adapter():
    model = tiny("llama")
    model.add_adapter(LoraConfig(r=2, target_modules="all-linear"))
    return model


REFUSED = {
    "an encoder and a decoder": lambda: T5ForConditionalGeneration(
        T5Config(vocab_size=64, d_model=16, d_kv=8, d_ff=16, num_layers=2, num_heads=2)
    ),
    "adapters that are not merged": with_adapter,
    "has adapters": with_loaded_adapter,
    "no list model.layers": lambda: GPT2LMHeadModel(GPT2Config(vocab_size=64, n_embd=16, n_layer=2, n_head=2)),
    "not tried": lambda: PhiForCausalLM(PhiConfig(**SMALL)),
}


@pytest.mark.parametrize("what", REFUSED)
def test_a_model_that_cannot_be_pruned_is_refused(what):
    with pytest.raises(UserError, match=what):
        surgery.check(REFUSED[what]())


@pytest.mark.parametrize("model_type", TYPES)
def test_models_that_can_be_pruned_pass(model_type):
    surgery.check(tiny(model_type))


def test_a_model_with_merged_adapters_passes():
    surgery.check(with_adapter().merge_and_unload())


@pytest.mark.parametrize(
    ("ratio", "layers", "count"),
    [(0.1, 30, 3), (0.25, 8, 2), (0.375, 8, 3), (0.0, 8, 0), (1, 8, 1), (7, 8, 7), (0, 8, 0)],
)
def test_a_ratio_is_a_number_of_layers(ratio, layers, count):
    assert surgery.layers_to_drop(layers, ratio) == count


@pytest.mark.parametrize(("ratio", "layers"), [(0.3, 8), (1.0, 8), (0.1, 8), (8, 8), (9, 8), (1, 1)])
def test_a_ratio_between_two_layers_or_of_all_layers_is_refused(ratio, layers):
    with pytest.raises(UserError, match="whole number"):
        surgery.layers_to_drop(layers, ratio)
