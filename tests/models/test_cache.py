"""The cache of keys and values with room for more: what transformers' own cache gives, bit for bit."""

import pytest
import torch
from transformers import DynamicCache, LlamaConfig
from transformers.cache_utils import DynamicLayer

from orchard.models import cache
from tests.helpers.kinds import KINDS, SHAPE

MANY = cache.SPARE + 20  # tokens: the room is made larger on the way


@pytest.mark.parametrize("kind", KINDS)
def test_samples_and_logits_are_those_of_transformers_own_cache(kind):
    build, config = KINDS[kind]
    torch.manual_seed(1)
    model = build(config).eval()
    prompts = torch.randint(3, 40, (5, 9))
    mask = torch.ones_like(prompts)
    mask[0, :4] = mask[3, :2] = 0
    asked = {"max_new_tokens": MANY, "do_sample": True, "top_k": 0, "eos_token_id": None, "pad_token_id": 0}
    asked |= {"output_logits": True, "return_dict_in_generate": True}
    torch.manual_seed(2)
    expected = model.generate(prompts, attention_mask=mask, **asked)
    torch.manual_seed(2)
    found = model.generate(prompts, attention_mask=mask, past_key_values=cache.roomy(config), **asked)
    assert found.sequences.shape == (5, 9 + MANY)
    assert torch.equal(found.sequences, expected.sequences)
    assert all(map(torch.equal, found.logits, expected.logits))


CHANGES = {
    "crop": [-2],
    "batch_repeat_interleave": [2],
    "batch_select_indices": [torch.tensor([1, 0])],
    "reset": [],
}


@pytest.mark.parametrize("change", CHANGES)
def test_what_was_cut_or_chosen_meanwhile_counts(change):
    own, plain = cache.roomy(LlamaConfig(**SHAPE)), DynamicCache(config=LlamaConfig(**SHAPE))
    found = [_updated(each, change) for each in (own, plain)]
    assert all(torch.equal(*pair) for pair in zip(*found, strict=True))


def _updated(tried: DynamicCache, change: str) -> tuple[torch.Tensor, torch.Tensor]:
    states = torch.randn(2, 4, 6, 8, generator=torch.Generator().manual_seed(4))
    tried.update(states, states + 1, 0)
    getattr(tried.layers[0], change)(*CHANGES[change])
    rows = 4 if change == "batch_repeat_interleave" else 2
    new = torch.randn(rows, 4, 1, 8, generator=torch.Generator().manual_seed(5))
    return tried.update(new, new + 1, 0)


def test_no_token_is_copied_as_long_as_there_is_room():
    roomy = cache.roomy(LlamaConfig(**SHAPE))
    states = torch.zeros(2, 4, 6, 8)
    first, _ = roomy.update(states, states, 0)
    places = {roomy.update(states[:, :, :1], states[:, :, :1], 0)[0].data_ptr() for _ in range(cache.SPARE)}
    assert places == {first.data_ptr()}
    assert not any(type(layer) is DynamicLayer for layer in roomy.layers)
