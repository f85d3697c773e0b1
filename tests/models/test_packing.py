"""Packed rows: the same losses and gradients as rows apart, for every kind of model that this is done with."""

import random

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM
from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

from orchard.errors import UserError
from orchard.models import packing
from orchard.stages.sft.completions import Completions
from tests.helpers.llama import random_llama

SMALL = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 4, "num_attention_heads": 4}
SMALL |= {"num_key_value_heads": 2, "head_dim": 8, "vocab_size": 200}
FAMILIES = {
    "llama": SMALL,
    "mistral": SMALL | {"sliding_window": 6},
    "qwen2": SMALL,
    "qwen3": SMALL,
    "gemma2": SMALL | {"sliding_window": 6},
    "gemma3_text": SMALL | {"sliding_window": 6},
    "phi3": SMALL | {"pad_token_id": 0},
    "gpt_neox": {name: value for name, value in SMALL.items() if name not in ("num_key_value_heads", "head_dim")},
}


def random_rows(count: int, seed: int) -> list[dict]:
    """Rows of 2 to 30 tokens, some of which have a prompt of one token alone."""
    rng, rows = random.Random(seed), []
    for _ in range(count):
        ids = [rng.randrange(4, 90) for _ in range(rng.randint(2, 30))]
        prompt = rng.randint(1, len(ids) - 1)
        rows.append({"input_ids": ids, "labels": [-100] * prompt + ids[prompt:]})
    return rows


def loss_and_gradient(model, parts: list[dict], tokens: int) -> tuple[float, torch.Tensor]:
    """Of some batches together."""
    model.zero_grad()
    loss = sum(model(**part, use_cache=False, num_items_in_batch=torch.tensor(tokens)).loss for part in parts)
    loss.backward()
    return float(loss.detach()), torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])


@pytest.mark.parametrize("family", FAMILIES)
def test_packed_rows_have_the_loss_and_the_gradient_of_rows_apart(family):
    torch.manual_seed(3)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(family, **FAMILIES[family])).double().eval()
    packing.refuse_unfit(model)
    collate = DataCollatorForLanguageModeling(pad_token_id=0)
    rows = random_rows(12, seed=4)
    tokens = sum(label != -100 for row in rows for label in row["labels"])
    padded, packed = collate([dict(row) for row in rows]), packing.Packing(collate)(rows)
    assert packed["input_ids"].numel() < 0.8 * padded["input_ids"].numel()
    alone = [dict(collate([dict(row)])) for row in rows]  # without padding, for which some families give NaN
    (loss, gradient), (packed_loss, packed_gradient) = (
        loss_and_gradient(model, parts, tokens) for parts in (alone, [packed])
    )
    # Rotations, norms and losses are float32 in some families, whatever the weights.
    assert packed_loss == pytest.approx(loss, rel=1e-6)
    assert torch.allclose(packed_gradient, gradient, rtol=1e-3, atol=1e-6 * float(gradient.abs().max()))


def test_a_model_that_takes_packed_rows_for_one_is_refused():
    model = random_llama(num_hidden_layers=2)
    forward = model.forward
    model.forward = lambda ids, position_ids=None, **options: forward(ids, **options)
    with pytest.raises(UserError, match="set packing: false"):
        packing.refuse_unfit(model)


def test_every_row_lies_in_one_bin_and_none_is_longer_than_the_longest():
    for seed in range(50):
        rng = random.Random(seed)
        lengths = [rng.randint(1, 40) for _ in range(rng.randint(1, 60))]
        bins = packing.bins_of(lengths)
        assert sorted(number for numbers in bins for number in numbers) == list(range(len(lengths)))
        assert all(sum(lengths[number] for number in numbers) <= max(lengths) for numbers in bins)
        fewest = -(-sum(lengths) // max(lengths))
        assert len(bins) <= 11 / 9 * fewest + 2


def test_completions_of_a_packed_row_are_told_apart():
    rows = random_rows(9, seed=5)
    collate = DataCollatorForLanguageModeling(pad_token_id=0)
    masks = [
        batch["labels"][:, 1:] != -100
        for batch in (collate([dict(row) for row in rows]), packing.Packing(collate)(rows))
    ]
    apart, packed = (sorted(Completions(mask).lengths.tolist()) for mask in masks)
    assert packed == apart == sorted(sum(label != -100 for label in row["labels"]) for row in rows)
