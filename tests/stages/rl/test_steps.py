"""Steps of RL whose rows need not fit in memory at once, with adapters, and several on the same responses."""

from pathlib import Path

import pytest
import torch
from transformers import TrainerCallback

from orchard import jsonl, paths
from orchard.models import card, folders, record, training
from orchard.stages.base.pretrain import make_tokenizer
from orchard.stages.rl import __main__ as rl
from orchard.study.schema.common import Lora
from orchard.study.schema.rl import Recipe, RlRun
from orchard.tasks import registry
from tests.helpers.llama import random_llama
from tests.helpers.stages import killed_after, state_of
from tests.helpers.studies import write_params

RECIPE = Recipe(
    prompts="prompts.jsonl",
    seed=1,
    steps=20,
    prompts_per_step=4,
    samples_per_prompt=4,
    max_new_tokens=6,
    learning_rate=1e-3,
    save_steps=4,
)
PARTS = {"accumulation": 8, "gradient_checkpointing": True, "rollout_batch_size": 3}
ADAPTER = Lora(rank=4, alpha=8.0)
# Sums of float32 in another order: a gradient differs in its last bits, 1e-7 of its largest number, and by the product
# of some tens of such roundings after 20 steps.
ROUNDING = 1e-4
# AdamW divides by the root of the squares: a gradient that is all rounding moves a weight by as much as any, up to the
# learning rate a step. So few numbers may be off by more than rounding, and none by more than some steps.
MOVED = 5e-4


@pytest.fixture(autouse=True)
def project(tmp_path, monkeypatch) -> None:
    """A working folder with prompts of several lengths, a start, and rewards that differ."""
    monkeypatch.chdir(tmp_path)
    prompts = [(f"calc {n}{' + 0' * (n % 3)} + 4 :", str((n + 4) % 10)) for n in range(8)]
    items = [{"id": str(n), "task": "calc", "prompt": text, "answer": last} for n, (text, last) in enumerate(prompts)]
    jsonl.write(Path("prompts.jsonl"), registry.stamped(items))
    folders.save(random_llama(), make_tokenizer(), paths.model("start"))
    facts = dict.fromkeys(("arm", "objective", "base", "data"), "x") | {"seed": 1, "draw": 0}
    card.finish(paths.model("start"), "start", "sft", {}, [], step="drawn at random", licence="mit", **facts)
    monkeypatch.setattr(rl, "right_or_wrong", by_length)


def by_length(completions: list[str], **_) -> list[float]:
    """Rewards that differ."""
    return [float(len(text) % 2) for text in completions]


class Watch(TrainerCallback):
    """Keeps the gradients of each step."""

    def __init__(self):
        self.gradients: list[dict[str, torch.Tensor]] = []

    def on_pre_optimizer_step(self, args, state, control, model, **kwargs):
        named = model.named_parameters()
        self.gradients.append({name: each.grad.clone() for name, each in named if each.grad is not None})


def learnt(name: str, **changes) -> tuple[list[dict], dict[str, torch.Tensor], list[dict]]:
    """The gradients of each step, the weights at the end, and what was logged."""
    start, tokenizer = (load(paths.model("start")) for load in (folders.load_model, folders.load_tokenizer))
    trainer = rl.make_trainer(RECIPE.model_copy(update=changes), 1, start, tokenizer, Path(name), "rl@test")
    watch = Watch()
    trainer.add_callback(watch)
    trainer.train()
    model = trainer.model.merge_and_unload() if trainer.model is not start else start
    return watch.gradients, model.state_dict(), training.curve(trainer.state.log_history, "loss")


def assert_same(found: tuple, expected: tuple) -> None:
    """Two trainings had the same responses, gradients and weights, up to rounding."""
    for step, other in zip(found[2], expected[2], strict=True):
        names = [name for name in step if name.startswith(("reward", "completions"))]
        assert {name: step[name] for name in names} == {name: other[name] for name in names}
    for gradient, other in zip(found[0], expected[0], strict=True):
        largest = max(float(each.abs().max()) for each in other.values())
        assert largest > 0
        assert all(float((gradient[name] - other[name]).abs().max()) <= ROUNDING * largest for name in other)
    differences = torch.cat([(found[1][name] - weight).abs().flatten() for name, weight in expected[1].items()])
    assert float(differences.max()) <= MOVED
    assert float((differences > 1e-5).float().mean()) <= 0.001


@pytest.mark.parametrize(
    "changes",
    [
        {"loss": "dapo"},
        {"loss": "grpo"},
        {"loss": "dr_grpo"},
        {"lora": ADAPTER},
        {"iterations": 2, "clip": [0.1, 0.3]},
        {"kl_coefficient": 0.1},
    ],
    ids=lambda changes: "-".join(changes),
)
def test_a_step_in_parts_is_the_same_step(changes):
    """20 steps of 16 responses in 8 parts, with activations computed anew and 3 responses sampled at a time."""
    whole = learnt("whole", **changes)
    assert len(whole[0]) == 20
    assert_same(learnt("parts", **changes, **PARTS), whole)


@pytest.mark.parametrize(("clip", "side"), [([1e-3, 9.0], "low"), ([0.9, 1e-3], "high")], ids=["low", "high"])
def test_several_steps_on_the_same_responses_are_held_by_each_side_of_the_clip(clip, side):
    """The first step on responses has ratios of 1; at the next, the narrow side of a clip holds some."""
    steps = learnt("held", iterations=2, steps=4, clip=clip)[2]
    assert [("reward" in row) for row in steps] == [True, False, True, False]
    held = [{name: row[f"clip_ratio/{name}_mean"] for name in ("low", "high")} for row in steps]
    other = {"low": "high", "high": "low"}[side]
    assert held[0] == held[2] == {"low": 0, "high": 0}
    assert held[1][side] > 0
    assert held[1][other] == 0


def test_the_learning_rate_rises():
    steps = learnt("warm", steps=5, schedule="constant_with_warmup", warmup_steps=4)[2]
    assert [row["learning_rate"] for row in steps] == pytest.approx([0, 2.5e-4, 5e-4, 7.5e-4, 1e-3])


def test_responses_come_from_the_policy_without_dropout():
    """A checkpoint may ask for dropout in training; with it, the ratio at the first step would not be 1."""
    model = random_llama(attention_dropout=0.5)
    trainer = rl.make_trainer(RECIPE, 1, model, make_tokenizer(), Path("state"), "rl@test")
    assert {layer.p for layer in trainer.model.modules() if isinstance(layer, torch.nn.Dropout)} <= {0.0}
    assert all(layer.self_attn.attention_dropout == 0 for layer in trainer.model.model.layers)


def stage(name: str, **changes) -> Path:
    """Runs the stage; returns its output."""
    write_params({"rl.recipes.grpo": RECIPE.model_copy(update=changes).model_dump()})
    rl.main(name, RlRun(recipe="grpo", arm="nll", seed=1, draw=0, start="start", prompts=RECIPE.prompts))
    return paths.model(f"rl-{name}")


def test_adapters_are_merged_into_a_model_that_every_stage_loads():
    folder = stage("lora", steps=4, lora=ADAPTER, measure_kl=True)
    model = folders.load_model(folder)
    assert set(model.state_dict()) == set(folders.load_model(paths.model("start")).state_dict())
    moved = folders.drift(paths.model("start"), folder)["parts"]
    assert moved["embedding"] == 0
    assert all(moved[str(layer)] > 0 for layer in range(4))
    facts = record.read(folder)
    assert facts["settings"]["lora"]["rank"] == 4
    assert facts["curve"][0]["kl"] == pytest.approx(0, abs=1e-6)
    assert facts["curve"][-1]["kl"] > 1e-7


def test_the_kl_is_measured_from_the_model_without_its_adapters():
    """No second model is held in memory for it, and measuring changes no weight."""
    start = folders.load_model(paths.model("start"))
    recipe = RECIPE.model_copy(update={"lora": ADAPTER, "measure_kl": True})
    trainer = rl.make_trainer(recipe, 1, start, make_tokenizer(), Path("state"), "rl@test")
    assert trainer.ref_model is None
    measured, other = (learnt(str(kl), steps=3, lora=ADAPTER, measure_kl=kl)[1] for kl in (True, False))
    assert all(torch.equal(measured[name], weight) for name, weight in other.items())


@pytest.mark.parametrize(
    "changes", [{}, {"lora": ADAPTER} | PARTS, {"iterations": 2}], ids=["plain", "adapters in parts", "several steps"]
)
def test_a_killed_run_goes_on_to_the_same_bytes(changes):
    """Also in a later epoch, whose prompts come in an order of their own: there are two rollouts in each."""
    folder = stage("whole", steps=8, **changes)
    undisturbed = folder.rename("undisturbed")
    with killed_after(6):
        stage("whole", steps=8, **changes)
    assert not folder.exists()
    assert training.last_checkpoint(state_of(folder)).endswith("checkpoint-4")
    assert record.content_hash(stage("whole", steps=8, **changes)) == record.content_hash(undisturbed)


def test_continuous_rollouts_learn_and_leave_the_weights_in_their_type(monkeypatch):
    seen = []

    def by_sum(completion_ids, **_) -> list[float]:
        seen.extend(completion_ids)
        return [float(sum(ids) % 2) for ids in completion_ids]

    monkeypatch.setattr(rl, "right_or_wrong", by_sum)
    _, weights, steps = learnt("continuous", steps=2, rollouts="continuous", accumulation=4)
    assert len(seen) == 32
    assert {weight.dtype for weight in weights.values()} == {torch.float32}
    assert all(step["grad_norm"] > 0 for step in steps)
    assert max(map(len, seen)) == RECIPE.max_new_tokens
