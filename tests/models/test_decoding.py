"""Rows leave a batch when they end: the responses are those of transformers' own loop, for less work."""

import functools

import numpy
import pytest
import torch
from scipy import stats
from transformers import LlamaForCausalLM, LogitsProcessorList

from orchard.models import cache, decoding
from orchard.stages.rl.rollouts import Draws
from tests.helpers.kinds import KINDS

LIMIT, ROWS = 24, 12
ENDS = [1, 2]


def make(kind: str):
    build, config = KINDS[kind]
    torch.manual_seed(1)
    return build(config).eval()


def prompts() -> dict:
    ids = torch.randint(3, 40, (ROWS, 9), generator=torch.Generator().manual_seed(3))
    mask = torch.ones_like(ids)
    mask[0, :4] = mask[3, :2] = 0
    return {"input_ids": ids, "attention_mask": mask}


def asked(model, **more) -> dict:
    options = {"max_new_tokens": LIMIT, "eos_token_id": ENDS, "pad_token_id": 0, "top_k": 0}
    return prompts() | options | {"past_key_values": cache.roomy(model.config)} | more


def draws() -> LogitsProcessorList:
    return LogitsProcessorList([Draws((7, 1), LIMIT, ROWS, slice(0, ROWS), 1.0)])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("drawn", [False, True])
def test_the_tokens_and_log_probs_are_those_of_transformers_own_loop(kind, drawn):
    model = make(kind)
    more, notes = {"do_sample": drawn}, decoding.Notes(top_k=3)
    told = {"output_logits": True, "return_dict_in_generate": True}
    expected = model.generate(**asked(model, logits_processor=draws() if drawn else None, **more, **told))
    loop = functools.partial(decoding.leaving, notes=notes)
    found = model.generate(**asked(model, logits_processor=draws() if drawn else None, **more, custom_generate=loop))
    assert torch.equal(found, expected.sequences)
    logps, top_ids, top_logps = map(torch.tensor, notes.by_row())
    ended = torch.zeros(ROWS, dtype=torch.bool)
    for place, logits in enumerate(expected.logits):
        log_probs, tokens = logits.log_softmax(-1)[~ended], found[~ended, 9 + place, None]
        torch.testing.assert_close(logps[~ended, place, None], log_probs.gather(-1, tokens), rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(top_logps[~ended, place], log_probs.topk(3).values, rtol=1e-4, atol=1e-5)
        assert torch.equal(top_ids[~ended, place], log_probs.topk(3).indices)
        ended |= torch.isin(found[:, 9 + place], torch.tensor(ENDS))
    lengths = (found[:, 9:] != 0).sum(1)
    assert not drawn or lengths.min() < LIMIT / 2 < lengths.max(), "no row left the batch long before others"


def test_rows_that_ended_cost_nothing(monkeypatch):
    model, sizes = make("fewer heads of keys"), []
    forward = LlamaForCausalLM.forward

    def counted(self, input_ids, **options):
        sizes.append(len(input_ids))
        return forward(self, input_ids, **options)

    monkeypatch.setattr(LlamaForCausalLM, "forward", counted)
    options = {"do_sample": True, "logits_processor": draws(), "custom_generate": decoding.leaving}
    written = model.generate(**asked(model, **options))[:, 9:]
    tokens = int((written != 0).sum())
    assert sizes[0] == ROWS
    assert sizes == sorted(sizes, reverse=True)
    assert tokens <= sum(sizes) <= tokens / decoding.WORTH_IT + ROWS


def test_tokens_are_sampled_from_the_models_distribution():
    model = make("as many heads of keys")
    rows = 4000
    ids = torch.full((rows, 3), 5)
    options = {"do_sample": True, "temperature": 0.7, "top_k": 0, "eos_token_id": ENDS, "pad_token_id": 0}
    torch.manual_seed(5)
    written = model.generate(
        ids,
        attention_mask=torch.ones_like(ids),
        max_new_tokens=3,
        past_key_values=cache.roomy(model.config),
        custom_generate=decoding.leaving,
        **options,
    )[:, 3:]
    with torch.no_grad():
        probabilities = (model(ids[:1]).logits[0, -1].double() / 0.7).softmax(-1).numpy()
    counted = numpy.bincount(written[:, 0], minlength=40)
    assert stats.chisquare(counted, probabilities * rows).pvalue > 0.001
    first = int(counted[3:].argmax()) + 3  # the second token behind the most frequent first one
    with torch.no_grad():
        after = (model(torch.tensor([[5, 5, 5, first]])).logits[0, -1].double() / 0.7).softmax(-1).numpy()
    second = numpy.bincount(written[written[:, 0] == first, 1], minlength=40)
    assert stats.chisquare(second, after * second.sum()).pvalue > 0.001
