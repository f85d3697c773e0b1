"""A training that did nothing fails; what several processes trained is saved whole."""

from types import SimpleNamespace

import pytest
import torch
from transformers import TrainingArguments

from orchard.errors import UserError
from orchard.models import folders, training
from orchard.stages.base.pretrain import make_tokenizer
from tests.helpers.llama import random_llama


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


@pytest.mark.parametrize("tied", [True, False])
def test_a_gathered_model_is_saved_without_a_copy_of_its_weights(tied, tmp_path):
    model = random_llama(tie_word_embeddings=tied)
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    found = training.whole_model(model, weights)
    places = {value.data_ptr() for value in weights.values()}
    assert {value.data_ptr() for value in found.parameters()} <= places
    folders.save(found, make_tokenizer(), tmp_path / "saved")
    loaded = folders.load_model(tmp_path / "saved").state_dict()
    assert all(torch.equal(value, loaded[name]) for name, value in model.state_dict().items())
