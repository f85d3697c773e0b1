"""A training that did nothing fails."""

from types import SimpleNamespace

import pytest
from transformers import TrainingArguments

from orchard.errors import UserError
from orchard.models import training


def trainer(steps: int, warmup_steps: int = 0) -> SimpleNamespace:
    """What is read of a trainer that took some steps."""
    arguments = TrainingArguments(warmup_steps=warmup_steps, use_cpu=True)
    return SimpleNamespace(state=SimpleNamespace(global_step=steps), args=arguments)


def test_no_step_is_refused():
    with pytest.raises(UserError, match="took no optimizer step"):
        training.steps_with_a_rate(trainer(0))


def test_a_single_step_at_a_rate_of_zero_is_refused():
    with pytest.raises(UserError, match="learning rate of 0"):
        training.steps_with_a_rate(trainer(1, warmup_steps=1))
    assert training.steps_with_a_rate(trainer(1)) == 1
    assert training.steps_with_a_rate(trainer(2, warmup_steps=5)) == 2
