"""All engines do the same: one distribution, the same greedy tokens, the same scores, the same ends."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy
import pytest
import torch
from scipy import stats

from orchard.engines import vllm
from orchard.engines.engine import Engine, Way
from orchard.engines.opening import opened
from orchard.errors import UserError
from orchard.models import folders, prompts
from orchard.study.schema.common import Sampling
from tests.helpers.engines import CHAT, ENGINES, INSTALLED, save_learnt, save_random
from tests.helpers.studies import write_params

TEXTS = ["a", "2 + 5 =", "x y z", "what is it ?", "a b c d e f g", "2 + 5 = 7"]
GREEDY = Sampling(seed=1, temperature=0.0, max_new_tokens=12, batch_size=4)
SAMPLED = GREEDY.model_copy(update={"temperature": 1.0, "max_new_tokens": 20})
DRAWS = 2000
ROWS = [
    {"prompt": "one ?", "response": "1."},
    {"prompt": "the second ?", "response": "It is 2."},
    {"prompt": "and the third of them ?", "response": "three"},
]


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> Path:
    """A folder of a study with a random model, and two that have learnt to end their turns."""
    folder = tmp_path_factory.mktemp("models")
    # vLLM would take 9 tenths of the memory.
    write_params({"loading.memory": 0.2}, folder)
    save_random(folder / "random")
    for name, template in (("plain", ""), ("chat", CHAT)):
        save_learnt(folder / name, ROWS, template)
    return folder


@pytest.fixture(scope="module", params=ENGINES)
def kind(request) -> str:
    return request.param


@pytest.fixture(scope="module")
def patched(models) -> Iterator[pytest.MonkeyPatch]:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(models)
        patch.setenv(vllm.ENVIRONMENT, str(INSTALLED))
        yield patch


@pytest.fixture(scope="module")
def engine(kind, models, patched) -> Iterator[Engine]:
    with opened(kind, models / "random", f"test@{kind}") as found:
        yield found


@pytest.fixture(scope="module")
def model(models, patched):
    """The random model itself, and its tokenizer."""
    return folders.load_model(models / "random"), folders.load_tokenizer(models / "random")


@torch.no_grad()
def plain_logps(model, before: list[int], after: list[int]) -> torch.Tensor:
    """The log-probs of every token at each place, by a forward pass over one text."""
    return model(torch.tensor([before + after])).logits[0, len(before) - 1 : -1].log_softmax(-1)


def test_log_probs_are_those_of_a_forward_pass(engine, model):
    responses = list(engine.sample(TEXTS, SAMPLED, top_k=0))
    assert len({response.text for response in responses}) > 1
    for text, response in zip(TEXTS, responses, strict=True):
        assert len(response.logps) == len(response.ids) > 0
        expected = plain_logps(model[0], prompts.prompt_ids(model[1], text), response.ids)
        own = expected[range(len(response.ids)), response.ids]
        assert response.logps == pytest.approx(own.tolist(), abs=1e-3)


def test_the_likeliest_tokens_are_told_where_an_engine_can(engine, kind, model):
    if kind == "continuous":
        with pytest.raises(ValueError, match="sampled tokens alone"):
            list(engine.sample(TEXTS, SAMPLED, top_k=3))
        return
    for text, response in zip(TEXTS, engine.sample(TEXTS, SAMPLED, top_k=3), strict=True):
        best = plain_logps(model[0], prompts.prompt_ids(model[1], text), response.ids).topk(3)
        assert response.top_ids == best.indices.tolist()
        torch.testing.assert_close(torch.tensor(response.top_logps), best.values, atol=1e-3, rtol=0)


@pytest.mark.parametrize(("temperature", "top_p"), [(1.0, 1.0), (0.7, 1.0), (1.0, 0.8)])
def test_tokens_come_as_often_as_the_model_says(engine, model, temperature, top_p):
    """By chi-square: the first token, and the second one behind the most frequent first one."""
    asked = SAMPLED.model_copy(update={"temperature": temperature, "top_p": top_p, "max_new_tokens": 2})
    asked = asked.model_copy(update={"batch_size": 500})
    drawn = [response.ids for response in engine.sample([TEXTS[1]] * DRAWS, asked)]
    start = prompts.prompt_ids(model[1], TEXTS[1])
    check_counts([ids[0] for ids in drawn], plain_logps(model[0], start, [0])[0], temperature, top_p)
    first = Counter(ids[0] for ids in drawn if len(ids) > 1).most_common(1)[0][0]
    seconds = [ids[1] for ids in drawn if len(ids) > 1 and ids[0] == first]
    check_counts(seconds, plain_logps(model[0], [*start, first], [0])[0], temperature, top_p)


def check_counts(tokens: list[int], logps: torch.Tensor, temperature: float, top_p: float) -> None:
    probabilities = (logps.double() / temperature).softmax(-1).numpy()
    order = numpy.argsort(-probabilities)
    kept = order[: int(numpy.searchsorted(probabilities[order].cumsum(), top_p)) + 1]
    expected = numpy.zeros_like(probabilities)
    expected[kept] = probabilities[kept] / probabilities[kept].sum() * len(tokens)
    counted = numpy.bincount(tokens, minlength=len(expected))
    assert not counted[expected == 0].any()
    often = expected >= 5
    rest = expected[~often].sum()
    groups = [numpy.append(each[often], each[~often].sum()) if rest else each[often] for each in (counted, expected)]
    assert stats.chisquare(*groups).pvalue > 0.001


def test_greedy_tokens_are_those_of_the_model(engine, model):
    for text, response in zip(TEXTS, engine.sample(TEXTS, GREEDY), strict=True):
        start = prompts.prompt_ids(model[1], text)
        assert response.ids == plain_logps(model[0], start, response.ids).argmax(-1).tolist()
        assert len(response.ids) == 12 or not response.cut


def test_given_texts_are_scored_as_by_a_forward_pass(engine, model):
    greedy = [response.ids for response in engine.sample(TEXTS, GREEDY)]
    starts = [prompts.prompt_ids(model[1], text) for text in TEXTS]
    pairs = [*zip(starts, greedy, strict=True), *((start, [9, 30, 11]) for start in starts)]
    pairs += [(starts[0], [9, 30, 12]), ([*starts[0], 9], [30, 11])]  # another last token; the same text cut elsewhere
    for size in (None, 3):
        found = engine.score(pairs, size)
        for (before, after), one in zip(pairs, found, strict=True):
            expected = plain_logps(model[0], before, after)
            own = expected[range(len(after)), after]
            assert one.logps == pytest.approx(own.tolist(), abs=1e-3)
            assert one.is_likeliest == (expected.argmax(-1).tolist() == after)
        assert {one.is_likeliest for one in found} == {True, False}


def test_a_stop_text_ends_a_response(engine, model):
    rows = [prompts.prompt_ids(model[1], text) for text in TEXTS]
    way = Way(12, engine.ends, 1, 4)
    whole = [one for one, _ in engine.write(rows, way)]
    stop = next(letter for one in whole for letter in one.text[2:] if letter.isascii() and letter.isprintable())
    for before, (one, _) in zip(whole, engine.write(rows, way._replace(stop=[stop])), strict=True):
        assert one.text == before.text.split(stop)[0]
        assert one.ended == (before.ended or stop in before.text)


def test_a_text_without_room_is_refused(engine):
    with pytest.raises(UserError, match="128 positions"):
        list(engine.sample(["a" * 120], GREEDY))
    with pytest.raises(UserError, match="128 positions"):
        engine.score([([5] * 100, [6] * 30)])


@pytest.mark.parametrize("learnt", ["plain", "chat"])
def test_a_model_that_ends_its_turn_ends_it(kind, models, patched, learnt):
    questions = [row["prompt"] for row in ROWS]
    with opened(kind, models / learnt, f"test@{kind}-{learnt}") as engine:
        found = list(engine.sample(questions, GREEDY.model_copy(update={"max_new_tokens": 20})))
    for row, response in zip(ROWS, found, strict=True):
        assert response.text.strip() == row["response"]
        assert response.ids[-1] == engine.tokenizer.eos_token_id
        assert not response.cut


@pytest.mark.parametrize("engine", ["static", "continuous"])
def test_a_maximal_length_bounds_texts(engine, models, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_params({"loading.max_length": 20})
    with opened(engine, models / "random", "test@short") as short, pytest.raises(UserError, match="20 positions"):
        list(short.sample(["a" * 12], GREEDY))
