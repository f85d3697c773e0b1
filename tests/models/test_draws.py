"""Numbers drawn beforehand: each prompt has its own, whatever it is sampled with."""

import pytest
import torch
from scipy import stats

from orchard.engines.static import Static
from orchard.models import draws
from orchard.study.schema.common import Sampling
from tests.helpers.tokenizers import speller

PROMPTS = ["a", "2 + 5 =", "x y z", "b c", "7"] * 4
ASKED = Sampling(seed=1, temperature=1.0, max_new_tokens=24, batch_size=5)


def written(asked: Sampling, questions: list[str] = PROMPTS, first: int = 0) -> list[list[int]]:
    return [response.ids for response in Static(*speller()).sample(questions, asked, first=first)]


def test_a_prompts_numbers_follow_from_the_seed_and_its_place_alone():
    whole = draws.of_each(7, range(6), 9)
    assert torch.equal(draws.of_each(7, range(2, 4), 9), whole[:, 2:4])
    assert torch.equal(draws.of_each(7, range(6), 5), whole[:5]), "a lower limit draws the same first numbers"
    other = draws.of_each(8, range(6), 9)
    values = torch.cat([whole, other]).flatten()
    assert len(values.unique()) == len(values)
    assert values.min() >= 0
    assert values.max() < 1


@pytest.mark.parametrize("size", [1, 3, 20])
def test_neither_the_batch_nor_those_who_leave_it_change_a_response(size):
    expected = written(ASKED)
    assert len({len(ids) for ids in expected}) > 3, "rows end at different places"
    assert written(ASKED.model_copy(update={"batch_size": size})) == expected


def test_a_part_of_the_prompts_is_answered_as_in_the_whole():
    expected = written(ASKED)
    assert written(ASKED, PROMPTS[:10]) + written(ASKED, PROMPTS[10:], first=10) == expected
    assert written(ASKED, PROMPTS[10:]) != expected[10:]


def test_the_same_prompt_at_another_place_is_answered_by_other_numbers():
    assert len(set(map(tuple, written(ASKED, ["a"] * 20)))) > 10


@pytest.mark.parametrize(("temperature", "top_p"), [(1.0, 1.0), (0.5, 1.0), (2.0, 1.0), (1.0, 0.6), (1.5, 0.9)])
def test_first_tokens_come_as_often_as_temperature_and_top_p_say(temperature, top_p):
    model, tokenizer = speller()
    asked = ASKED.model_copy(
        update={"temperature": temperature, "top_p": top_p, "max_new_tokens": 1, "batch_size": 1000}
    )
    counted = torch.zeros(model.config.vocab_size)
    for response in Static(model, tokenizer).sample(["a"] * 4000, asked):
        counted[response.ids[0]] += 1
    expected = distribution(model, tokenizer, temperature, top_p)
    assert counted[expected == 0].sum() == 0
    often = expected * 4000 >= 5  # where chi-square holds
    rest = torch.tensor([counted[~often].sum(), expected[~often].sum() * 4000])
    observed, wanted = [*counted[often].tolist(), rest[0]], [*(expected[often] * 4000).tolist(), rest[1]]
    kept = [(one, other) for one, other in zip(observed, wanted, strict=True) if other > 0]
    assert stats.chisquare(*zip(*kept, strict=True), sum_check=False).pvalue > 0.001


@torch.no_grad()
def distribution(model, tokenizer, temperature: float, top_p: float) -> torch.Tensor:
    """That of the first token behind the prompt: the likeliest tokens that together reach top_p, scaled to 1."""
    ids = torch.tensor([tokenizer("a")["input_ids"]])
    probabilities = (model(ids).logits[0, -1].double() / temperature).softmax(-1)
    values, order = probabilities.sort(descending=True)
    left = order[values.cumsum(0) - values < top_p]
    found = torch.zeros_like(probabilities)
    found[left] = probabilities[left]
    return found / found.sum()
