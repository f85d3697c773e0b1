"""Recovery: what it learns from within a budget, and that a killed run goes on to the same bytes."""

import json
from pathlib import Path

import pytest
import torch

from orchard import paths
from orchard.errors import UserError
from orchard.models import chosen_on, prompts, record, training
from orchard.stages import recover
from orchard.stages.base.pretrain import make_tokenizer
from orchard.study.schema.common import Lora
from orchard.study.schema.recover import EqualSteps, RecoverRun
from tests.helpers import small_study as small
from tests.helpers.stages import killed_after


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


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_four_bits_without_a_gpu_are_refused(responses):
    small.write(four_bit=True, lora=Lora(rank=2, alpha=4.0))
    with pytest.raises(UserError, match="without a GPU"):
        recovered("steps")


# Killed and started again


def test_a_killed_recovery_goes_on_to_the_same_bytes(responses):
    folder = recovered("tokens")
    undisturbed = folder.rename("undisturbed")
    with killed_after(3):
        recovered("tokens")
    assert not folder.exists()
    assert training.last_checkpoint(paths.RESUME / folder).endswith("checkpoint-2")
    recovered("tokens")
    assert record.content_hash(folder) == record.content_hash(undisturbed)
