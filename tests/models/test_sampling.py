"""Sampled responses are the model's own, whatever a checkpoint asks for besides, and end where they end."""

import json

import pytest
import torch

from orchard.engines.static import Static
from orchard.models import folders, prompts
from orchard.study.schema.common import Sampling
from tests.helpers.tokenizers import TURN, load, save_as_it_is, speller

PROMPTS = ["a", "2 + 5 =", "x y z"] * 2
GREEDY = Sampling(seed=1, temperature=0.0, max_new_tokens=12, batch_size=5)
SAMPLED = GREEDY.model_copy(update={"temperature": 1.0, "max_new_tokens": 24})

# What checkpoints bring along; each alone would change what is written, or how.
UNASKED = [
    {"repetition_penalty": 1.1},
    {"no_repeat_ngram_size": 2},
    {"suppress_tokens": list(range(4, 200))},
    {"begin_suppress_tokens": list(range(4, 200))},
    {"forced_bos_token_id": 9, "forced_eos_token_id": 2, "sequence_bias": [[[7], 9.0]]},
    {"min_length": 40, "min_new_tokens": 12, "exponential_decay_length_penalty": [1, 3.0]},
    {"bad_words_ids": [[token] for token in range(4, 150)]},
    {"num_beams": 3, "do_sample": True, "temperature": 0.2},
    {"top_k": 2, "top_p": 0.3, "min_p": 0.9, "typical_p": 0.2, "epsilon_cutoff": 0.1, "eta_cutoff": 0.1},
    {"max_length": 3, "max_time": 1e-9, "use_cache": False, "stop_strings": ["a"], "guidance_scale": 3.0},
]


@pytest.fixture
def given(request, tmp_path):
    """A model that is loaded from a folder with one setting, and its tokenizer."""
    model, tokenizer = speller()
    model.generation_config._from_model_config = False
    folder = save_as_it_is(model, tokenizer, tmp_path / "model")
    file = folder / "generation_config.json"
    settings = json.loads(file.read_text()) | request.param
    file.write_text(json.dumps(settings))
    return load(folder)


@torch.no_grad()
def plain_logps(model, tokenizer, prompt: str, ids: list[int]) -> torch.Tensor:
    """The log-probs of every token at each place of a response, by a forward pass."""
    start = prompts.prompt_ids(tokenizer, prompt)
    return model(torch.tensor([start + ids])).logits[0, len(start) - 1 : -1].log_softmax(-1)


@pytest.mark.parametrize("given", UNASKED, indirect=True, ids=lambda settings: next(iter(settings)))
def test_nothing_of_a_checkpoints_settings_is_inherited(given):
    model, tokenizer = given
    for prompt, response in zip(PROMPTS, Static(model, tokenizer).sample(PROMPTS, GREEDY), strict=True):
        assert response.ids == plain_logps(model, tokenizer, prompt, response.ids).argmax(-1).tolist()
        assert len(response.ids) == 12 or not response.cut
    for prompt, response in zip(PROMPTS, Static(model, tokenizer).sample(PROMPTS, SAMPLED, top_k=0), strict=True):
        own = plain_logps(model, tokenizer, prompt, response.ids)[range(len(response.ids)), response.ids]
        assert response.logps == pytest.approx(own.tolist(), abs=1e-4)


def test_sampled_tokens_do_not_depend_on_a_checkpoints_settings():
    plain = list(Static(*speller()).sample(PROMPTS, SAMPLED, top_k=0))
    for settings in ({"top_k": 2, "top_p": 0.5, "temperature": 0.1, "do_sample": True}, {"repetition_penalty": 2.0}):
        assert list(Static(*speller(**settings)).sample(PROMPTS, SAMPLED, top_k=0)) == plain


def test_a_saved_model_asks_for_nothing_but_its_ends(tmp_path):
    model, tokenizer = speller(ends=[2, 3], temperature=0.6, top_p=0.9, repetition_penalty=1.3)  # no do_sample: refused
    folders.save(model, tokenizer, tmp_path / "model")
    found, _ = load(tmp_path / "model")
    assert found.generation_config.eos_token_id == [2, 3]
    assert found.generation_config.repetition_penalty in (None, 1.0)
    assert found.generation_config.temperature in (None, 1.0)


def test_a_turns_end_ends_a_response_and_nothing_behind_it_is_kept():
    model, tokenizer = speller(ends=[2, 3])
    assert tokenizer.convert_tokens_to_ids(TURN) == 3
    asked = SAMPLED.model_copy(update={"max_new_tokens": 100, "batch_size": 40})
    responses = list(Static(model, tokenizer).sample(PROMPTS * 10, asked, top_k=0))
    last = {response.ids[-1] for response in responses if not response.cut}
    assert last == {2, 3}
    for response in responses:
        assert not {2, 3} & set(response.ids[:-1])
        assert len(response.logps) == len(response.ids)
        assert response.cut == (response.ids[-1] not in (2, 3))
        assert TURN not in response.text
