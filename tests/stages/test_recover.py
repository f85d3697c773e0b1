"""Recovery: what it learns from within a budget, and that a killed run goes on to the same bytes."""

import importlib.util
import json
from pathlib import Path
from unittest import mock

import pytest
import torch

from orchard import jsonl, paths
from orchard.errors import UserError
from orchard.models import adapters, chosen_on, folders, prompts, record, training
from orchard.stages import recover
from orchard.stages.base.pretrain import make_tokenizer
from orchard.study.schema.common import Lora, MaxLength
from orchard.study.schema.recover import EqualSteps, RecoverRun
from tests.helpers import small_study as small
from tests.helpers.llama import random_llama
from tests.helpers.stages import killed_after, state_of


@pytest.fixture
def responses(small_study) -> list[dict]:
    """The recovery data of a model that is pruned."""
    small.pruned("block-influence")
    return small.responses_of("open")


def recovered(budget: str) -> Path:
    """Runs the stage; returns its output."""
    pruned = f"{small.MODEL}-block-influence-1"
    name = f"{pruned}-open-{budget}-1"
    run = RecoverRun(
        of=small.MODEL,
        method="block-influence",
        ratio=1,
        author="open",
        budget=budget,
        draw=1,
        pruned=f"prune-{pruned}",
        responses=f"{small.MODEL}-open",
    )
    recover.main(name, run)
    return paths.model(f"recover-{name}")


# Budgets


def answer_tokens(rows: list[dict]) -> int:
    return sum(len(prompts.completion_ids(row, make_tokenizer())) for row in rows)


def test_equal_tokens_take_every_row_once_before_any_twice(responses):
    tokenizer, amount = make_tokenizer(), small.AMOUNTS["tokens"]
    taken = recover.taken(responses, tokenizer, amount, seed=1)
    longest = max(answer_tokens([row]) for row in taken)
    assert 300 <= answer_tokens(taken) < 300 + longest
    first = [json.dumps(row) for row in taken[: len(responses)]]
    assert sorted(first) == sorted(map(json.dumps, responses))
    assert taken != recover.taken(responses, tokenizer, amount, seed=2)


def test_equal_steps_take_the_first_rows(responses):
    tokenizer = make_tokenizer()
    assert recover.taken(responses, tokenizer, small.AMOUNTS["steps"], seed=1) == responses
    assert recover.taken(responses, tokenizer, small.AMOUNTS["few"], seed=1) == responses[:5]


@pytest.mark.parametrize("budget", small.AMOUNTS)
def test_a_record_says_what_recovery_saw(budget, responses):
    folder, amount = recovered(budget), small.AMOUNTS[budget]
    facts, tokenizer = record.read(folder), make_tokenizer()
    lengths = [sum(n != -100 for n in prompts.example(row, tokenizer)["labels"]) for row in responses]
    if isinstance(amount, EqualSteps):
        rows, epochs = {"steps": (9, 2), "few": (5, 1)}[budget]
        assert (facts["rows"], facts["tokens"], facts["equal"]) == (rows, epochs * sum(lengths[:rows]), "steps")
    else:
        assert (facts["rows"], facts["equal"]) == (None, "tokens")
        assert facts["tokens"] >= 300
    assert facts["ratio"] == 0.25
    assert facts["cut"] == 0
    assert facts["steps"] == {"steps": 6, "few": 2}.get(budget, facts["steps"])
    assert f"{facts['steps']} steps, {facts['tokens']} answer tokens" in facts["history"][-1]
    assert chosen_on.read(folder) == chosen_on.read(paths.model(f"prune-{small.MODEL}-block-influence-1"))


@pytest.mark.parametrize("beyond", ["refuse", "drop"])
def test_a_response_that_is_too_long_is_refused_or_counted(beyond, responses):
    for row in responses[3:5]:
        row["response"] += row["response"]
    jsonl.write(paths.responses(f"{small.MODEL}-open"), responses)
    tokenizer = make_tokenizer()
    lengths = sorted(len(prompts.example(row, tokenizer)["input_ids"]) for row in responses)
    small.write(max_length=MaxLength(tokens=lengths[6], beyond=beyond))
    if beyond == "refuse":
        with pytest.raises(UserError, match=f"2 of 9 rows are longer .*, the longest {lengths[-1]}"):
            recovered("steps")
        return
    folder = recovered("steps")
    facts = record.read(folder)
    assert (facts["rows"], facts["too_long"]) == (7, 2)
    assert "2 responses left out as longer than max_length" in facts["history"][-1]


# QLoRA

QLORA = {"four_bit": True, "lora": Lora(rank=2, alpha=4.0)}


@pytest.mark.skipif(importlib.util.find_spec("bitsandbytes") is not None, reason="bitsandbytes is installed")
def test_four_bits_without_bitsandbytes_are_refused(responses):
    small.write(**QLORA)
    with pytest.raises(UserError, match="without bitsandbytes"):
        recovered("steps")


# Adapters and numbers


def test_lora_is_kept_as_an_adapter_and_merged_when_it_is_loaded(responses):
    small.write(lora=Lora(rank=2, alpha=4.0))
    with mock.patch.object(folders, "save_trained", wraps=folders.save_trained) as saved:
        folder = recovered("few")
    merged = saved.call_args.args[0].merge_and_unload()
    assert adapters.is_kept(folder)
    assert adapters.start_of(folder) == paths.model(f"prune-{small.MODEL}-block-influence-1")
    found = folders.load_model(folder).state_dict()
    assert all(torch.equal(value, found[name]) for name, value in merged.state_dict().items())
    facts = record.read(folder)
    assert (facts["stage"], facts["dtype"], facts["ratio"]) == ("recover", "float32", 0.25)
    first = record.content_hash(folder)
    assert record.content_hash(recovered("few")) == first


@pytest.mark.parametrize("lora", [None, Lora(rank=2, alpha=4.0)])
def test_what_is_recovered_of_16_bits_has_16_bits(lora, small_study):
    folders.save(random_llama().to(torch.bfloat16), make_tokenizer(), paths.model(small.MODEL))
    small.write(lora=lora)
    small.pruned("block-influence")
    small.responses_of("open")
    folder = recovered("few")
    assert record.read(folder)["dtype"] == "bfloat16"
    assert folders.dtype_of(folder) == torch.bfloat16
    assert folders.drift(paths.model(f"prune-{small.MODEL}-block-influence-1"), folder)["absolute"] > 0


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_four_bits_on_a_cpu_are_not_portable(responses, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: True)
    small.write(**QLORA)
    with pytest.raises(UserError, match="without a GPU, while the study has arithmetic: portable"):
        recovered("steps")


def test_four_bits_learn_and_are_merged_into_the_whole_weights(responses):
    """On a CPU, by bitsandbytes' own code for one: what the adapters learnt is all that changes."""
    pytest.importorskip("bitsandbytes", reason="bitsandbytes is installed by `make test`")
    small.write(**QLORA, learning_rate=1e-2, save_steps=2)
    params = paths.PARAMS.read_text()
    paths.PARAMS.write_text(params.replace("arithmetic: portable", "arithmetic: fast"))
    folder, pruned = recovered("steps"), paths.model(f"prune-{small.MODEL}-block-influence-1")
    moved = folders.drift(pruned, folder)["parts"]
    assert moved["embedding"] == moved["other"] == 0
    assert all(moved[str(layer)] > 0 for layer in range(3))
    before, after = (folders.load_model(each) for each in (pruned, folder))
    losses = [mean_loss(model, responses) for model in (before, after)]
    assert losses[1] < losses[0] - 0.01
    assert all(
        torch.linalg.matrix_rank(after.get_parameter(name) - weight, atol=1e-5) <= 2
        for name, weight in before.named_parameters()
        if "proj" in name
    )


def mean_loss(model, rows: list[dict]) -> float:
    """The mean loss of the answers' tokens."""
    examples = [prompts.example(row, make_tokenizer()) for row in rows]
    with torch.inference_mode():
        tensors = [{name: torch.tensor([values]) for name, values in each.items()} for each in examples]
        return float(torch.stack([model(**each).loss for each in tensors]).mean())


# Killed and started again


@pytest.mark.parametrize(("budget", "kill", "checkpoint"), [("tokens", 3, 2), ("steps", 5, 4)])
def test_a_killed_recovery_goes_on_to_the_same_bytes(budget, kill, checkpoint, responses):
    """In the first pass over its rows, and in the second."""
    folder = recovered(budget)
    undisturbed = folder.rename("undisturbed")
    with killed_after(kill):
        recovered(budget)
    assert not folder.exists()
    assert training.last_checkpoint(state_of(folder)).endswith(f"checkpoint-{checkpoint}")
    recovered(budget)
    assert record.content_hash(folder) == record.content_hash(undisturbed)


def test_a_training_does_not_go_on_from_steps_at_another_rate(responses):
    small.write(learning_rate=5e-3)
    undisturbed = recovered("steps").rename("undisturbed")
    small.write()
    with killed_after(5):
        recovered("steps")
    small.write(learning_rate=5e-3)
    assert record.content_hash(recovered("steps")) == record.content_hash(undisturbed)
