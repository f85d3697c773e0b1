"""Layer surgery and Block Influence, against hand-made references on small random models."""

import copy
import itertools
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import yaml

from orchard import models, prune
from orchard.base.pretrain import make_tokenizer
from orchard.errors import UserError
from tests.llama import random_llama

TEXTS = [
    "calc 1 + 2 : 1 + 2 = 3 ans 3",
    "cmp 3 4 : less",
    "close ( [ { : } ] )",
    "fact color gix : red",
    "cmp 40 7 : more",
]


def batch() -> dict:
    encoded = make_tokenizer()(TEXTS, return_tensors="pt", padding=True)
    return {"input_ids": encoded["input_ids"], "attention_mask": encoded["attention_mask"]}


@torch.inference_mode()
def logits(model) -> torch.Tensor:
    return model(**batch()).logits[batch()["attention_mask"].bool()]


@torch.inference_mode()
def run_layers_by_hand(model, kept: list[int]) -> torch.Tensor:
    """The logits of one unpadded text when only some layers are called, one after the other."""
    ids = make_tokenizer()(TEXTS[0], return_tensors="pt")["input_ids"]
    hidden = model.model.embed_tokens(ids)
    positions = torch.arange(ids.shape[1])[None]
    rotary = model.model.rotary_emb(hidden, positions)
    for n in kept:
        out = model.model.layers[n](hidden, attention_mask=None, position_ids=positions, position_embeddings=rotary)
        hidden = out[0] if isinstance(out, tuple) else out
    return model.lm_head(model.model.norm(hidden))


def test_dropping_no_layer_changes_nothing():
    model = random_llama()
    before = logits(model)
    prune.drop_layers(model, [])
    assert torch.equal(before, logits(model))


@pytest.mark.parametrize("dropped", [list(s) for r in range(4) for s in itertools.combinations(range(4), r)], ids=str)
def test_every_subset_of_layers_equals_calling_the_rest_by_hand(dropped):
    model = random_llama()
    expected = run_layers_by_hand(model, [n for n in range(4) if n not in dropped])
    prune.drop_layers(model, dropped)
    ids = make_tokenizer()(TEXTS[0], return_tensors="pt")["input_ids"]
    with torch.inference_mode():
        torch.testing.assert_close(model(ids).logits, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("dropped", [[3], [0], [1, 2], [0, 2], [0, 1, 2]], ids=str)
def test_saved_model_is_the_one_in_memory_and_its_cache_is_sound(dropped, tmp_path):
    model = random_llama()
    prune.drop_layers(model, dropped)
    models.save(model, make_tokenizer(), tmp_path)
    loaded = models.load_model(tmp_path)
    assert torch.equal(logits(model), logits(loaded))
    for pruned in (model, loaded):
        texts = [
            pruned.generate(**batch(), max_new_tokens=20, do_sample=False, use_cache=cache, eos_token_id=None)
            for cache in (True, False)
        ]
        assert torch.equal(*texts)


def test_dropping_a_layer_changes_the_logits():
    model = random_llama()
    before = logits(model)
    prune.drop_layers(model, [3])
    assert not torch.allclose(before, logits(model), atol=1e-3)


def test_block_influence_equals_brute_force_whatever_the_batch_size():
    model, tokenizer = random_llama().to(torch.float64), make_tokenizer()
    sums, tokens = [0.0] * 4, 0
    for text in TEXTS:  # one text at a time: no padding at all
        with torch.inference_mode():
            states = model(**tokenizer(text, return_tensors="pt"), output_hidden_states=True).hidden_states
        # The last state has gone through the final norm, so the last layer's output is recomputed without it.
        last = last_output(model, tokenizer, text)
        for n, (before, after) in enumerate(itertools.pairwise([*states[:-1], last])):
            cosine = (before * after).sum(-1) / (before.norm(dim=-1) * after.norm(dim=-1))
            sums[n] += float(cosine.sum())
        tokens += states[0].shape[1]
    expected = [1 - value / tokens for value in sums]
    for batch_size in (1, 2, 5):
        assert prune.block_influence(model, tokenizer, TEXTS, batch_size) == pytest.approx(expected, abs=1e-11)


def last_output(model, tokenizer, text: str) -> torch.Tensor:
    found = []
    handle = model.model.norm.register_forward_pre_hook(lambda _, args: found.append(args[0].clone()))
    with torch.inference_mode():
        model(**tokenizer(text, return_tensors="pt"))
    handle.remove()
    return found[0]


def test_a_layer_that_does_nothing_has_no_influence_and_goes_first():
    model = random_llama()
    with torch.no_grad():
        model.model.layers[1].self_attn.o_proj.weight.zero_()
        model.model.layers[1].mlp.down_proj.weight.zero_()
    before = logits(model)
    influence = prune.block_influence(model, make_tokenizer(), TEXTS, 2)
    assert influence[1] == pytest.approx(0, abs=1e-7)
    assert min(influence[n] for n in (0, 2, 3)) > 0.01
    dropped = prune.least_influential(influence, 1)
    assert dropped == [1]
    prune.drop_layers(model, dropped)
    torch.testing.assert_close(logits(model), before)


def test_hooks_are_gone_after_the_measurement():
    model = random_llama()
    prune.block_influence(model, make_tokenizer(), TEXTS, 2)
    assert all(not layer._forward_hooks and not layer._forward_pre_hooks for layer in model.model.layers)


def test_reverse_picks_the_last_layers():
    assert prune.last_layers(30, 3) == [27, 28, 29]
    assert prune.last_layers(8, 0) == []


def test_ties_drop_the_later_layer():
    assert prune.least_influential([0.5, 0.1, 0.1, 0.2], 1) == [2]
    assert prune.least_influential([0.5, 0.1, 0.1, 0.2], 3) == [1, 2, 3]


@pytest.mark.parametrize(("ratio", "layers", "count"), [(0.1, 30, 3), (0.25, 8, 2), (0.375, 8, 3), (0.0, 8, 0)])
def test_a_ratio_is_a_number_of_layers(ratio, layers, count):
    assert prune.layers_to_drop(layers, ratio) == count


@pytest.mark.parametrize(("ratio", "layers"), [(0.3, 8), (1.0, 8), (0.1, 8)])
def test_a_ratio_between_two_layers_or_of_all_layers_is_refused(ratio, layers):
    with pytest.raises(UserError, match="whole number"):
        prune.layers_to_drop(layers, ratio)


def test_stage_writes_a_model_and_says_what_it_dropped(tmp_path):
    model = random_llama()
    whole = copy.deepcopy(model)
    (tmp_path / "results/models").mkdir(parents=True)
    models.save(whole, make_tokenizer(), tmp_path / "results/models/base-random")
    (tmp_path / "calibration.jsonl").write_text("".join(json.dumps({"prompt": t, "answer": ""}) + "\n" for t in TEXTS))
    config = {"prune": {"calibration": {"items": "calibration.jsonl", "batch_size": 2}}}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    chosen = {
        "reverse": [2, 3],
        "block-influence": prune.least_influential(prune.block_influence(model, make_tokenizer(), TEXTS, 2), 2),
    }
    for method, dropped in chosen.items():
        subprocess.run([sys.executable, "-m", "orchard.prune", "base-random", method, "0.5"], cwd=tmp_path, check=True)
        folder = tmp_path / f"results/models/prune-base-random-{method}-0.5"
        record = json.loads(Path(folder, "record.json").read_text())
        assert record["dropped"] == dropped
        expected = copy.deepcopy(model)
        prune.drop_layers(expected, dropped)
        assert torch.equal(logits(models.load_model(folder)), logits(expected))
