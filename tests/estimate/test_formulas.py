"""Each formula against the bytes that torch holds, or writes to the disk; and the tables of docs/cluster.md."""

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import DynamicCache
from transformers.models.llama import LlamaConfig, LlamaForCausalLM

from orchard.estimate import formulas, paper_scale
from orchard.estimate.architectures import KNOWN, shape_of
from tests.helpers.project import ROOT
from tests.helpers.tiny import TYPES, settings, tiny

SIZES = {
    "model_type": "llama",
    "num_hidden_layers": 3,
    "hidden_size": 128,
    "intermediate_size": 352,
    "num_attention_heads": 8,
    "num_key_value_heads": 2,
    "vocab_size": 512,
    "max_position_embeddings": 256,
    "tie_word_embeddings": True,
}


@pytest.fixture(scope="module")
def model() -> LlamaForCausalLM:
    torch.manual_seed(0)
    return LlamaForCausalLM(LlamaConfig(**SIZES))


@pytest.mark.parametrize("model_type", TYPES)
def test_parameters_are_counted_for_every_type_that_can_be_pruned(model_type):
    shape = shape_of(settings(model_type).to_dict())
    assert shape.parameters == sum(each.numel() for each in tiny(model_type).parameters())
    deeper = tiny(model_type, num_hidden_layers=4)
    assert shape.deep(4).parameters == sum(each.numel() for each in deeper.parameters())


@pytest.mark.parametrize("name", KNOWN)
def test_known_models_have_the_parameters_that_their_names_say(name):
    said = {"SmolLM2-135M": 134.5e6, "Qwen3-1.7B": 1.72e9, "Qwen3-4B": 4.02e9, "Llama-3.1-8B": 8.03e9}
    assert shape_of(KNOWN[name]).parameters == pytest.approx(said[name], rel=0.005)


@pytest.mark.parametrize(("dtype", "size"), [(torch.float32, formulas.FLOAT), (torch.bfloat16, formulas.HALF)])
def test_a_checkpoint_has_the_bytes_of_its_weights(model, tmp_path, dtype, size):
    LlamaForCausalLM(LlamaConfig(**SIZES)).to(dtype).save_pretrained(tmp_path)
    written = (tmp_path / "model.safetensors").stat().st_size
    assert written == pytest.approx(formulas.weights(shape_of(SIZES), size), rel=0.01)


def test_an_adapter_has_the_bytes_of_its_two_matrices(tmp_path):
    lora = LoraConfig(r=8, target_modules="all-linear", task_type="CAUSAL_LM")
    adapted = get_peft_model(LlamaForCausalLM(LlamaConfig(**SIZES)), lora)
    trained = sum(each.numel() for each in adapted.parameters() if each.requires_grad)
    assert trained == formulas.adapter_parameters(shape_of(SIZES), 8)
    adapted.save_pretrained(tmp_path, save_embedding_layers=False)
    written = (tmp_path / "adapter_model.safetensors").stat().st_size
    assert written == pytest.approx(formulas.adapter(shape_of(SIZES), 8), rel=0.05)


def test_adamw_holds_weights_gradients_and_two_moments():
    trained = LlamaForCausalLM(LlamaConfig(**SIZES))
    optimizer = torch.optim.AdamW(trained.parameters())
    trained(torch.zeros(1, 4, dtype=torch.long), labels=torch.zeros(1, 4, dtype=torch.long)).loss.backward()
    optimizer.step()
    held = [each for one in trained.parameters() for each in (one, one.grad)]
    held += [each for state in optimizer.state.values() for each in state.values() if each.ndim]
    assert sum(each.nbytes for each in held) == formulas.adamw(shape_of(SIZES).parameters)


def test_a_cache_has_keys_and_values_of_each_token(model):
    cache = DynamicCache(config=model.config)
    model(torch.zeros(3, 20, dtype=torch.long), past_key_values=cache)
    held = sum(layer.keys.nbytes + layer.values.nbytes for layer in cache.layers)
    assert held == formulas.key_values(shape_of(SIZES), 3 * 20)


@pytest.mark.parametrize("checkpointing", [False, True])
def test_a_backward_pass_keeps_what_the_formula_says(checkpointing):
    """What autograd saves, without the weights, and each memory once."""
    trained = LlamaForCausalLM(LlamaConfig(**SIZES | {"num_hidden_layers": 24})).train()
    if checkpointing:
        trained.gradient_checkpointing_enable({"use_reentrant": False})
    ids, saved = torch.zeros(4, 64, dtype=torch.long), {}
    weights = {each.untyped_storage().data_ptr() for each in trained.parameters()}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            saved[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        kept = [trained.model(ids)]  # what is saved must not be freed, or its place is given to others
    assert kept
    shape, tokens = shape_of(SIZES | {"num_hidden_layers": 24}), ids.numel()
    told = formulas.activations(shape, tokens, checkpointing=checkpointing)
    if checkpointing:  # one layer's inside comes in the backward pass
        told -= formulas.FLOAT * tokens * formulas.inside(shape)
    assert sum(saved.values()) == pytest.approx(told, rel=0.15)


def test_the_page_on_clusters_shows_what_the_formulas_give():
    page = (ROOT / "docs/cluster.md").read_text()
    assert paper_scale.memory_table() in page
    assert paper_scale.disk_table() in page
