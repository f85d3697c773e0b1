"""The draws of RL's rollouts: the distribution that was asked for, and the same numbers on any number of GPUs."""

import pytest
import torch

from orchard.stages.rl import rollouts
from orchard.stages.rl.rollouts import Draws
from tests.helpers.llama import random_llama

ROWS, PLACES, VOCABULARY = 6, 5, 40


def chosen(draws: Draws, scores: torch.Tensor) -> torch.Tensor:
    """The one token that is left in each row."""
    left = draws(torch.zeros(len(scores), 1, dtype=torch.long), scores)
    assert left.shape == scores.shape
    assert ((left == 0).sum(1) == 1).all()
    assert (left.isinf().sum(1) == scores.shape[1] - 1).all()
    return left.argmax(1)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_tokens_come_as_often_as_the_distribution_says(temperature):
    count, scores = 200_000, torch.tensor([1.0, -torch.inf, 0.3, -2.0, 1.7])
    draws = Draws((1, 2), 1, count, slice(count), temperature)
    shares = torch.bincount(chosen(draws, scores.expand(count, -1)), minlength=5) / count
    expected = (scores / temperature).softmax(0)
    errors = (expected * (1 - expected) / count).sqrt()
    assert ((shares - expected).abs() <= 5 * errors).all()


@pytest.mark.parametrize("processes", [1, 2, 3, 6])
def test_each_part_of_a_batch_has_the_tokens_that_it_has_in_the_whole(processes):
    scores = torch.randn(PLACES, ROWS, VOCABULARY, generator=torch.Generator().manual_seed(3))
    whole = Draws((7, 0), PLACES, ROWS, slice(ROWS), 1.0)
    share = ROWS // processes
    parts = [slice(share * number, share * (number + 1)) for number in range(processes)]
    own = [Draws((7, 0), PLACES, ROWS, part, 1.0) for part in parts]
    for place in scores:
        together = torch.cat([chosen(draws, place[part]) for draws, part in zip(own, parts, strict=True)])
        assert torch.equal(together, chosen(whole, place))


def test_another_step_or_another_seed_draws_other_numbers():
    numbers = [Draws(seed, PLACES, ROWS, slice(ROWS), 1.0).numbers for seed in ((1, 0), (1, 1), (2, 0), (2**32 - 1, 0))]
    values = torch.cat([each.flatten() for each in numbers])
    assert len(values.unique()) == len(values)


def test_a_number_at_either_end_leaves_a_token_that_can_come():
    scores = torch.tensor([[-torch.inf, 0.0, 1.0, -torch.inf]]).expand(2, -1)
    draws = Draws((1,), 1, 2, slice(2), 1.0)
    draws.numbers = torch.tensor([[0.0, 1 - 2.0**-53]], dtype=torch.float64)
    assert chosen(draws, scores).tolist() == [1, 2]


def test_parts_of_a_batch_are_joined_at_the_length_of_the_longest():
    parts = [torch.tensor([[5, 6]]), torch.tensor([[7, 8, 9], [1, 2, 3]])]
    assert rollouts.joined(parts, 0).tolist() == [[5, 6, 0], [7, 8, 9], [1, 2, 3]]


def test_weights_are_read_in_another_type_and_stay_as_they_are():
    model = random_llama()
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    with rollouts.weights_as(model, torch.bfloat16):
        assert {weight.dtype for weight in model.parameters()} == {torch.bfloat16}
        assert model.get_output_embeddings().weight is model.get_input_embeddings().weight
    assert all(torch.equal(weight, before[name]) for name, weight in model.state_dict().items())


def test_a_response_that_continuous_batching_lost_is_no_response():
    class Loses:
        def parameters(self):
            return []

        def train(self):
            pass

        def generate_batch(self, prompts, **_):
            return {}

    with pytest.raises(RuntimeError, match="gave 0 of 2 responses"):
        rollouts.continuous(Loses(), [[1], [2]], None, {}, torch.float32)
