"""The objectives, through the trainer that the SFT stage uses, against TRL's own and against the definitions."""

import itertools
import math
import subprocess
import sys

import pytest
import torch
from pydantic import ValidationError
from trl import SFTTrainer

from orchard.models import finetuning, likelihood, training
from orchard.stages.base.pretrain import make_tokenizer
from orchard.stages.sft import dataset, distillation
from orchard.study.schema.common import MISTAKES, Lora
from orchard.study.schema.sft import LastTokens
from tests.helpers.llama import random_llama
from tests.helpers.objectives import (
    PEAR,
    PEAR_OF_ONE,
    TRAINER,
    assert_same,
    make_trainer,
    objective,
    pear_weights,
    teacher_rows,
    train,
)
from tests.helpers.references import log_weights_by_definition, logps_of_row
from tests.helpers.stages import ENVIRONMENT
from tests.helpers.two_processes import GOALS

PAD = make_tokenizer().pad_token_id


@pytest.fixture(scope="module")
def rows() -> list[dict]:
    return teacher_rows(32)


def with_own_logps(rows: list[dict], model) -> list[dict]:
    """The rows as if the model itself were the policy that wrote them."""
    found = likelihood.completion_logps(model, rows, PAD)
    return [row | {"behavior_logps": logps} for row, logps in zip(rows, found, strict=True)]


# What needs no weights is TRL's own


@pytest.mark.parametrize("loss", ["nll", "dft"])
def test_a_loss_of_trl_is_trls(loss, rows, tmp_path):
    plain = dataset.examples(rows, with_top=False).remove_columns("behavior_logps")
    arguments = finetuning.sft_arguments(TRAINER, 1, 1e-3, 5, tmp_path / "trl", loss)
    theirs = SFTTrainer(model=random_llama(), args=arguments, train_dataset=plain, processing_class=make_tokenizer())
    ours = make_trainer(tmp_path / "ours", rows, objective(loss))
    assert_same(train(ours), train(theirs))
    assert [row.get("entropy") for row in ours.state.log_history] == [
        row.get("entropy") for row in theirs.state.log_history
    ]


# PEAR


@pytest.mark.parametrize("form", ["token", "sequence", "block"])
def test_pear_of_a_policys_own_data_is_nll(form, rows, tmp_path):
    rows = with_own_logps(rows, random_llama())
    goal = objective("nll", pear_weights(form, 2, gamma=1.0))
    ours = train(make_trainer(tmp_path / "pear", rows, goal, learning_rate=0.0))
    assert_same(ours, train(make_trainer(tmp_path / "nll", rows, objective("nll"), learning_rate=0.0)), 1e-5)


def test_weights_of_one_train_as_without_weights(rows, tmp_path):
    ours = train(make_trainer(tmp_path / "pear", rows, objective("nll", PEAR_OF_ONE)))
    assert_same(ours, train(make_trainer(tmp_path / "plain", rows, objective("nll"))))


def test_dft_which_has_weights_of_its_own_takes_no_others():
    with pytest.raises(ValidationError) as error:
        objective("dft", PEAR)
    (mistake,) = error.value.errors()[0]["ctx"][MISTAKES]
    assert mistake.found == ": loss dft with weights"


@pytest.mark.parametrize("form", ["token", "sequence", "block"])
def test_the_loss_of_pear_is_that_of_the_definition(form, rows, tmp_path):
    found, _ = train(make_trainer(tmp_path, rows[:8], objective("nll", pear_weights(form, 3))))
    model, total, tokens = random_llama().double(), 0.0, 0
    for row in rows[:8]:
        logps = logps_of_row(model, row)
        weights = log_weights_by_definition(form, logps, row["behavior_logps"], 3, 0.999)
        total -= sum(math.exp(weight) * logp for weight, logp in zip(weights, logps, strict=True))
        tokens += len(logps)
    assert found == [pytest.approx(total / tokens, rel=1e-5)]


def test_diagnostics_are_logged_and_those_of_trl_too(rows, tmp_path):
    trainer = make_trainer(tmp_path, rows[:16], objective("nll", PEAR))
    train(trainer)
    first, last = training.curve(trainer.state.log_history, "loss")
    assert set(first) == set(last)
    assert {"pear/mean", "pear/quantile_50", "pear/ess_share", "pear/weight_part_0", "pear/weight_part_9"} <= set(first)
    assert 0 < first["pear/ess_share"] <= 1
    assert first["pear/quantile_10"] <= first["pear/quantile_50"] <= first["pear/quantile_90"]


# Batches


@pytest.mark.parametrize("goal", GOALS.values(), ids=GOALS)
def test_accumulation_is_the_whole_batch(goal, tmp_path):
    rows = teacher_rows(160)
    whole = train(make_trainer(tmp_path / "whole", rows, goal))
    parts = train(make_trainer(tmp_path / "parts", rows, goal, accumulation=8))
    assert len(whole[0]) == 20
    assert_same(parts, whole, 1e-4)  # AdamW divides by gradients that are almost 0: the weights moved by 2e-2


PACKED = GOALS | {
    "dft": objective("dft"),
    "sequence": objective("nll", pear_weights("sequence")),
    "block": objective("nll", pear_weights("block", 3)),
    "normalized": objective("nll", pear_weights(normalize=True)),
    "last-tokens": objective("nll", LastTokens(kind="last-tokens", share=0.5)),
    "kl-live": objective("kl-live"),
}


@pytest.mark.parametrize("goal", PACKED.values(), ids=PACKED)
def test_rows_laid_end_to_end_train_as_rows_apart(goal, tmp_path):
    rows, policy = teacher_rows(80), random_llama(seed=9) if goal.loss == "kl-live" else None
    apart = train(make_trainer(tmp_path / "apart", rows, goal, behavior_model=policy))
    packed = train(make_trainer(tmp_path / "packed", rows, goal, behavior_model=policy, packing=True))
    assert len(packed[0]) == 10
    assert_same(packed, apart, 1e-4)  # AdamW divides by gradients that are almost 0


def test_two_processes_train_as_one(tmp_path):
    """Each takes half of each batch; the loss is divided by the tokens of both."""
    commands = {"one": [], "two": ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]}
    environment = ENVIRONMENT | {"CUDA_VISIBLE_DEVICES": ""}
    for name, launcher in commands.items():
        (tmp_path / name).mkdir()
        command = [sys.executable, *launcher, "-m", "tests.helpers.two_processes", str(tmp_path / name)]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    for goal in GOALS:
        one, two = (torch.load(tmp_path / name / f"{goal}.pt") for name in commands)
        assert len(one[0]) == 10
        assert_same(two, one, 1e-5)


# LoRA and gradient checkpointing


@pytest.mark.parametrize("goal", GOALS.values(), ids=GOALS)
def test_gradient_checkpointing_changes_nothing(goal, rows, tmp_path):
    off = train(make_trainer(tmp_path / "off", rows, goal))
    on = train(make_trainer(tmp_path / "on", rows, goal, gradient_checkpointing=True))
    assert_same(on, off, 1e-6)


@pytest.mark.parametrize("goal", GOALS.values(), ids=GOALS)
@pytest.mark.parametrize("checkpointing", [False, True])
def test_lora_trains_the_adapter_alone_and_is_merged(goal, checkpointing, rows, tmp_path):
    start, lora = random_llama(), Lora(rank=4, alpha=8.0)
    trainer = make_trainer(tmp_path / "state", rows, goal, lora=lora, gradient_checkpointing=checkpointing)
    _, found = train(trainer)
    before = start.state_dict()
    kept = {name.removeprefix("base_model.model.").replace(".base_layer", ""): value for name, value in found.items()}
    assert all(torch.equal(kept[name], value) for name, value in before.items())
    assert any(float(value.abs().max()) > 0 for name, value in found.items() if "lora_B" in name)
    merged = trainer.model.merge_and_unload().state_dict()
    assert merged.keys() == before.keys()
    changed = {name for name, value in merged.items() if not torch.equal(value, before[name])}
    assert changed == {name for name in before if name.endswith("_proj.weight")}


# Distillation


def distributions(seed: int, vocabulary: int = 11) -> tuple[torch.Tensor, torch.Tensor]:
    """log pi_theta, which carries a gradient, and log pi_beta, of shape (2, 3, vocabulary)."""
    generator = torch.Generator().manual_seed(seed)
    policy, behavior = (torch.randn(2, 3, vocabulary, generator=generator) * 2 for _ in range(2))
    return policy.log_softmax(-1).requires_grad_(), behavior.log_softmax(-1)


def test_stored_kl_of_the_whole_vocabulary_is_the_live_kl_and_the_definition():
    policy, behavior = distributions(1)
    expected = (behavior.exp().double() * (behavior.double() - policy.double())).sum(-1).float()
    whole = behavior.topk(11, dim=-1)
    live, stored = distillation.live_kl(policy, behavior), distillation.stored_kl(policy, whole.indices, whole.values)
    torch.testing.assert_close(live, expected)
    torch.testing.assert_close(stored, expected)
    gradients = [torch.autograd.grad(value.sum(), policy)[0] for value in (live, stored)]
    torch.testing.assert_close(gradients[0], -behavior.exp())
    torch.testing.assert_close(gradients[1], -behavior.exp())


def test_stored_kl_grows_to_the_kl_with_what_is_stored():
    policy, behavior = distributions(2)
    values = []
    for k in range(12):
        top = behavior.topk(k, dim=-1)
        values.append(distillation.stored_kl(policy, top.indices, top.values))
    assert all((more >= fewer - 1e-6).all() for fewer, more in itertools.pairwise(values))
    torch.testing.assert_close(values[0], torch.zeros(2, 3))


def test_stored_kl_of_a_sure_policy_is_the_nll():
    policy, _ = distributions(3)
    ids = torch.randint(11, (2, 3))
    top_ids = torch.stack([ids, torch.zeros_like(ids)], dim=-1)  # filled up as the scripted teacher does
    top_logps = torch.tensor([0.0, -math.inf]).expand(2, 3, 2)
    nll = -policy.gather(-1, ids.unsqueeze(-1)).squeeze(-1)
    found = distillation.stored_kl(policy, top_ids, top_logps)
    torch.testing.assert_close(found, nll)
    torch.testing.assert_close(torch.autograd.grad(found.sum(), policy)[0], torch.autograd.grad(nll.sum(), policy)[0])


@pytest.mark.parametrize("sharp", [30.0, 200.0])
def test_stored_kl_of_extreme_policies_is_finite_and_so_is_its_gradient(sharp):
    policy, behavior = distributions(4)
    scores = (policy.detach() * sharp).requires_grad_()
    for part in (behavior, (behavior * sharp).log_softmax(-1)):
        top = part.topk(3, dim=-1)
        value = distillation.stored_kl(scores.log_softmax(-1), top.indices, top.values)
        gradient = torch.autograd.grad(value.sum(), scores)[0]
        assert value.isfinite().all()
        assert gradient.isfinite().all()
        assert (value >= -1e-5).all()


def test_distillation_of_a_sure_teacher_trains_as_nll(tmp_path):
    rows = teacher_rows(16, styles={"D": 1.0})
    found = train(make_trainer(tmp_path / "kl", rows, objective("kl-stored")))
    assert_same(found, train(make_trainer(tmp_path / "nll", rows, objective())), 1e-5)


def test_stored_and_live_distillation_train_alike(rows, tmp_path):
    teacher = random_llama(seed=4)
    stored = [row | top_of(teacher, row) for row in rows]
    found = train(make_trainer(tmp_path / "stored", stored, objective("kl-stored")))
    live = train(make_trainer(tmp_path / "live", rows, objective("kl-live"), behavior_model=teacher))
    assert_same(found, live, 2e-4)
    own = make_trainer(tmp_path / "own", rows, objective("kl-live"), behavior_model=random_llama(), learning_rate=0.0)
    assert train(own)[0] == [pytest.approx(0.0, abs=1e-6)] * 4


@torch.no_grad()
def top_of(model, row: dict) -> dict:
    """A model's whole distribution at each token of a row."""
    ids, first = torch.tensor([row["prompt_ids"] + row["completion_ids"]]), len(row["prompt_ids"])
    logps = model(ids).logits[0, first - 1 : -1].log_softmax(-1)
    top = logps.topk(logps.shape[-1], dim=-1)
    return {"top_ids": top.indices.tolist(), "top_logps": top.values.tolist()}


@pytest.mark.parametrize("loss", ["kl-stored", "kl-live"])
def test_weighted_distillation(loss, rows, tmp_path):
    plain, weighted, of_one = (
        train(make_trainer(tmp_path / f"{number}", rows, objective(loss, weights), behavior_model=random_llama(4)))
        for number, weights in enumerate([None, PEAR, PEAR_OF_ONE])
    )
    assert_same(of_one, plain)
    assert all(math.isfinite(loss) for loss in weighted[0])
    assert weighted[0] != plain[0]
