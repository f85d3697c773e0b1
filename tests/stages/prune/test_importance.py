"""The methods that choose layers, against brute force in float64 and against models with planted idle layers."""

import collections
import copy
import itertools

import pytest
import torch

from orchard.errors import UserError
from orchard.models import likelihood, surgery
from orchard.stages.base.pretrain import make_tokenizer
from orchard.stages.prune import importance
from tests.helpers.tiny import tiny

TEXTS = [
    "calc 1 + 2 : 1 + 2 = 3 ans 3",
    "cmp 3 4 : less",
    "close ( [ { : } ] )",
    "fact color gix : red",
    "cmp 40 7 : more",
]
KINDS = ["llama", "qwen2", "gemma3_text"]
MEASURES = {
    "block influence": importance.block_influence,
    "angular": lambda model, calibration: importance.angular_distances(model, 2, calibration),
    "perplexity": importance.losses_without,
}


def calibration(
    texts=TEXTS, batch_size: int = 2, padding_side: str = "right", **settings
) -> importance.CalibrationTexts:
    tokenizer = make_tokenizer()
    tokenizer.padding_side = padding_side
    return importance.CalibrationTexts(
        tokenizer, [tokenizer(text)["input_ids"] for text in texts], batch_size, **settings
    )


def doing_nothing(model, layers: list[int]):
    """The model with layers that add nothing to what they are given."""
    with torch.no_grad():
        for n in layers:
            model.model.layers[n].self_attn.o_proj.weight.zero_()
            model.model.layers[n].mlp.down_proj.weight.zero_()
    return model


@torch.inference_mode()
def states_of(model, text: str) -> list[torch.Tensor]:
    """The input of layer 0 and the output of each layer, of shape (tokens, hidden size), of one text without padding.

    The last of a model's own hidden states has gone through the final norm, so it is caught before that.
    """
    caught = []
    handle = model.model.norm.register_forward_pre_hook(lambda _, args: caught.append(args[0].clone()))
    states = model(**make_tokenizer()(text, return_tensors="pt"), output_hidden_states=True).hidden_states
    handle.remove()
    return [state[0] for state in [*states[:-1], caught[0]]]


def cosine(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    return (a * b).sum(-1) / (a.norm(dim=-1) * b.norm(dim=-1))


def block_influence_by_hand(model) -> list[float]:
    cosines = [[cosine(a, b) for a, b in itertools.pairwise(states_of(model, text))] for text in TEXTS]
    return [1 - float(torch.cat(of_layer).mean()) for of_layer in zip(*cosines, strict=True)]


def angular_by_hand(model, count: int) -> list[float]:
    found = []
    for start in range(4 - count + 1):
        states = [states_of(model, text) for text in TEXTS]
        ends = [cosine(own[start][-1], own[start + count][-1]).clamp(-1, 1) for own in states]
        found.append(float(torch.stack(ends).acos().mean() / torch.pi))
    return found


@torch.inference_mode()
def loss_by_hand(model) -> float:
    """The mean over all texts' tokens but the first of each, one text at a time."""
    losses = []
    for text in TEXTS:
        ids = make_tokenizer()(text, return_tensors="pt")["input_ids"]
        logps = model(ids, use_cache=False).logits[0, :-1].log_softmax(-1)
        losses += (-logps.gather(-1, ids[0, 1:, None])).flatten().tolist()
    return sum(losses) / len(losses)


def cut(model, layer: int):
    """A deep copy without one layer; its config names the kinds of the others."""
    model = copy.deepcopy(model)
    del model.model.layers[layer]
    model.config.num_hidden_layers -= 1
    if hasattr(model.config, "layer_types"):
        model.config.layer_types = [kind for n, kind in enumerate(model.config.layer_types) if n != layer]
    return model


@pytest.mark.parametrize("model_type", KINDS)
def test_block_influence_equals_brute_force(model_type):
    model = tiny(model_type).double()
    assert importance.block_influence(model, calibration()) == pytest.approx(block_influence_by_hand(model), abs=1e-9)


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("model_type", KINDS)
def test_angular_distance_equals_brute_force(model_type, count):
    model = tiny(model_type).double()
    expected = angular_by_hand(model, count)
    assert importance.angular_distances(model, count, calibration()) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("model_type", KINDS)
def test_perplexity_equals_that_of_deep_copies_without_a_layer(model_type):
    model = tiny(model_type).double()
    expected = [loss_by_hand(cut(model, layer)) for layer in range(4)]
    assert importance.losses_without(model, calibration()) == pytest.approx(expected, abs=1e-6)
    assert max(expected) - min(expected) > 0.01


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("model_type", KINDS)
def test_padding_and_batches_change_nothing(model_type, measure, monkeypatch):
    model = tiny(model_type)
    expected = MEASURES[measure](model, calibration(batch_size=1))
    for batch_size, padding_side, tokens in [(2, "left", 30), (5, "left", 4096), (5, "right", 1), (9, "right", 4096)]:
        monkeypatch.setattr(likelihood, "TOKENS", tokens)
        found = MEASURES[measure](model, calibration(TEXTS[::-1], batch_size, padding_side))
        assert found == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("measure", MEASURES)
def test_every_text_counts(measure):
    model = tiny("llama")
    whole, part = (MEASURES[measure](model, calibration(texts)) for texts in (TEXTS, TEXTS[1:]))
    assert whole != pytest.approx(part, abs=1e-5)


@pytest.mark.parametrize("measure", MEASURES)
def test_a_measurement_leaves_the_model_as_it_was(measure):
    model = tiny("gemma3_text")
    ids, before = torch.arange(4, 16)[None], copy.deepcopy(vars(model.config))
    with torch.inference_mode():
        logits = model(ids).logits
        MEASURES[measure](model, calibration())
        assert torch.equal(model(ids).logits, logits)
    assert not any(layer._forward_hooks for layer in model.model.layers)
    assert vars(model.config) == before


def test_hooks_are_gone_after_an_error():
    model = tiny("llama")

    def see(*_):
        raise RuntimeError("in the hook")

    with pytest.raises(RuntimeError, match="in the hook"):
        importance.watch(model, calibration(), see)
    assert not any(layer._forward_hooks for layer in model.model.layers)


@pytest.mark.parametrize(
    ("measure", "expected"),
    [
        ("block influence", [(2, 5), (4, 5), (5, 5)]),
        ("angular", [(2, 5), (4, 5), (5, 5)]),
        ("perplexity", [(1, 4), (2, 4), (3, 4), (4, 4)]),
    ],
)
def test_progress_goes_up_to_the_whole(measure, expected):
    reported = []
    MEASURES[measure](tiny("llama"), calibration(report=lambda *numbers: reported.append(numbers)))
    assert reported == expected


# What is chosen


@pytest.mark.parametrize("method", ["block-influence", "angular"])
def test_a_layer_that_does_nothing_goes_first(method):
    model = doing_nothing(tiny("llama"), [1])
    dropped, measured = importance.choose(method, model, 1, calibration())
    [values] = measured.values()
    assert dropped == [1]
    assert values[1] == pytest.approx(0, abs=1e-7)
    assert min(values[n] for n in (0, 2, 3)) > 0.01
    ids = torch.arange(4, 16)[None]
    with torch.inference_mode():
        whole = model(ids).logits
        with surgery.without(model, dropped):
            torch.testing.assert_close(model(ids).logits, whole)


def test_perplexity_drops_the_layers_without_which_the_texts_are_likeliest():
    model = doing_nothing(tiny("llama"), [1])
    losses = [loss_by_hand(cut(model, layer)) for layer in range(4)]
    assert losses[1] == pytest.approx(loss_by_hand(model), abs=1e-6)
    dropped, measured = importance.choose("perplexity", model, 2, calibration())
    assert dropped == sorted(sorted(range(4), key=losses.__getitem__)[:2])
    assert measured["log_perplexity_without"] == pytest.approx(losses, abs=1e-5)


def test_block_influence_drops_layers_apart_and_angular_a_block():
    model = doing_nothing(tiny("llama"), [0, 3])
    assert importance.choose("block-influence", model, 2, calibration())[0] == [0, 3]
    dropped, _ = importance.choose("angular", model, 2, calibration())
    distances = angular_by_hand(model.double(), 2)
    assert dropped == [start := distances.index(min(distances)), start + 1]
    assert importance.choose("angular", doing_nothing(tiny("llama"), [0, 1]), 2, calibration())[0] == [0, 1]


def test_an_angle_is_exact_where_arccos_is_not():
    angles = torch.tensor([1e-12, 1e-9, 1e-3, 1.0, 3.0], dtype=torch.float64)
    turned = torch.stack([angles.cos(), angles.sin()], dim=-1) * 7
    straight = torch.tensor([[2.0, 0.0]], dtype=torch.float64).expand(5, 2)
    torch.testing.assert_close(importance.angle(straight, turned), angles / torch.pi, rtol=1e-12, atol=0)
    assert float(importance.angle(straight, -straight)[0]) == pytest.approx(1)


def test_reverse_picks_the_last_layers():
    assert importance.choose("reverse", tiny("llama"), 2, calibration()) == ([2, 3], {})


def test_random_draws_each_set_without_layer_0_equally_often():
    model = tiny("llama")
    drawn = [tuple(importance.choose(f"random-{seed}", model, 2, calibration())[0]) for seed in range(1, 601)]
    counts = collections.Counter(drawn)
    assert sorted(counts) == [(1, 2), (1, 3), (2, 3)]
    assert all(150 < number < 250 for number in counts.values())  # 200 expected, 4 standard deviations are 46


def test_random_is_the_same_for_a_seed_and_grows_with_the_ratio():
    for seed in range(1, 20):
        chosen = [set(importance.choose(f"random-{seed}", tiny("llama"), n, calibration())[0]) for n in range(4)]
        assert chosen == [
            set(importance.choose(f"random-{seed}", tiny("qwen3", 8), n, calibration())[0]) for n in range(4)
        ]
        assert [len(layers) for layers in chosen] == [0, 1, 2, 3]
        assert all(fewer < more for fewer, more in itertools.pairwise(chosen))


@pytest.mark.parametrize("method", [f"{name}-7" if name == "random" else name for name in importance.METHODS])
def test_every_method_drops_as_many_layers_as_asked(method):
    model = tiny("llama")
    for count in range(4):
        dropped, _ = importance.choose(method, model, count, calibration())
        assert dropped == sorted(set(dropped) & set(range(4)))
        assert len(dropped) == count


def test_ties_drop_the_later_layer():
    assert importance.lowest([0.5, 0.1, 0.1, 0.2], 1) == [2]
    assert importance.lowest([0.5, 0.1, 0.1, 0.2], 3) == [1, 2, 3]


@pytest.mark.parametrize("method", ["greedily", "random", "reverse-1", "random-", ""])
def test_an_unknown_method_is_refused(method):
    with pytest.raises(UserError, match="one of reverse, random, block-influence, angular, perplexity"):
        importance.choose(method, tiny("llama"), 1, calibration())
