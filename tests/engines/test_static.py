"""The static engine: the bits of lm-eval's own model and of whole logits, for less memory."""

import random

import pytest
import torch
from lm_eval.models.huggingface import HFLM

from orchard.engines import static
from orchard.engines.engine import Way
from orchard.engines.static import Static
from orchard.models import cache, decoding, prompts
from orchard.study.schema.common import Sampling
from tests.helpers.llama import random_llama
from tests.helpers.tokenizers import speller

TEXTS = ["a", "2 + 5 =", "x y z", "what is it ?", "a b c d e f g", "2 + 5 = 7"] * 3


def pairs(count: int, seed: int = 0) -> list[tuple[list[int], list[int]]]:
    """Texts with continuations; some differ in their last token alone.

    None is another that is cut elsewhere: of two such, lm-eval scores the shorter continuation by other places.
    """
    rng = random.Random(seed)
    found = []
    for _ in range(count):
        before, after = ([rng.randrange(4, 260) for _ in range(rng.randrange(1, most))] for most in (30, 20))
        found += [(before, after), (before, [*after[:-1], rng.randrange(4, 260)])]
    return found


@pytest.mark.parametrize("batch_size", [1, 5, 64])
def test_scores_are_lm_evals_to_the_bit(batch_size):
    model, tokenizer = speller()
    asked = pairs(40)
    reference = HFLM(pretrained=model, tokenizer=tokenizer, batch_size=batch_size, softmax_dtype="float32")
    expected = reference._loglikelihood_tokens([(None, *pair) for pair in asked], disable_tqdm=True)
    found = Static(model, tokenizer).score(asked, batch_size)
    assert [(float(torch.tensor(one.logps).sum()), one.is_likeliest) for one in found] == expected


def test_long_texts_are_scored_in_parts_to_the_same_bits(monkeypatch):
    model, tokenizer = speller()
    whole = Static(model, tokenizer).score(pairs(10), 4)
    monkeypatch.setattr(static, "POSITIONS", 3)
    assert Static(model, tokenizer).score(pairs(10), 4) == whole


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_samples_and_log_probs_are_those_of_kept_logits_to_the_bit(temperature):
    """As the engine did it before: all logits of all places are kept, and read at the end."""
    model, tokenizer = speller()
    asked = Sampling(seed=8, temperature=temperature, top_p=0.95, max_new_tokens=30, batch_size=5)
    found = list(Static(model, tokenizer).sample(TEXTS, asked, top_k=4))
    way = Way(30, frozenset(), asked.seed, asked.batch_size, temperature, asked.top_p)
    expected = []
    for start in range(0, len(TEXTS), asked.batch_size):
        rows = [prompts.prompt_ids(tokenizer, text) for text in TEXTS[start : start + asked.batch_size]]
        batch = prompts.padded(tokenizer, rows, "left", "cpu")
        kept = Keeps()
        ids = model.generate(
            **batch,
            max_new_tokens=30,
            do_sample=False,  # temperature, top-p and the drawing are processors
            logits_processor=static.choices(way, range(start, start + len(rows))),
            past_key_values=cache.roomy(model.config),
            custom_generate=lambda *args, kept=kept, **options: decoding.leaving(*args, notes=kept, **options),
        )
        expected += kept.responses(ids[:, batch["input_ids"].shape[1] :])
    assert len({len(response.ids) for response in found}) > 1
    for response, (ids, logps, top_ids, top_logps) in zip(found, expected, strict=True):
        count = len(response.ids)
        assert response.ids == ids[:count]
        assert (response.logps, response.top_ids) == (logps[:count], top_ids[:count])
        assert response.top_logps == top_logps[:count]


class Keeps(decoding.Notes):
    """Keeps all logits of a batch."""

    def __init__(self):
        super().__init__()
        self.kept: list[torch.Tensor] = []

    def add(self, numbers, count, logits, tokens):
        self.kept.append(logits.new_zeros((count, logits.shape[-1])).index_copy(0, numbers, logits))

    def responses(self, ids: torch.Tensor) -> list[tuple]:
        log_probs = torch.stack(self.kept, dim=1).float().log_softmax(-1)
        logps, best = log_probs.gather(-1, ids[:, :, None]).squeeze(-1), log_probs.topk(4, dim=-1)
        return list(zip(*(part.tolist() for part in (ids, logps, best.indices, best.values)), strict=True))


def test_no_logits_are_kept(monkeypatch):
    """The largest tensor that is alive after a step is not of the size of the logits of all steps."""
    model, tokenizer = speller()
    kept = []
    monkeypatch.setattr(decoding.Notes, "by_row", lambda self: kept.append(self._places) or ([], [], []))
    asked = Sampling(seed=4, temperature=1.0, max_new_tokens=16, batch_size=9)
    list(Static(model, tokenizer).sample(TEXTS[:9], asked, top_k=2))
    numbers = sum(part.numel() for place in kept[0] for part in place)
    assert numbers <= 16 * 9 * (1 + 2 + 2)


@pytest.mark.parametrize(
    ("written", "ended"), [("abxyz", True), ("abxyzc", True), ("xyz", True), ("abxy", False), ("ab zyx", False)]
)
def test_a_stop_text_ends_a_row_when_it_is_there_and_not_in_the_prompt(written, ended):
    _, tokenizer = speller()
    prompt = tokenizer("xyz", add_special_tokens=False)["input_ids"]
    stops = static.StopTexts(tokenizer, ["", "xyz", "no such text"], len(prompt))
    ids = tokenizer(written, add_special_tokens=False)["input_ids"]
    assert stops(torch.tensor([prompt + ids, prompt + [9] * len(ids)]), None).tolist() == [ended, False]


def test_rows_leave_at_stop_texts_with_the_responses_that_they_had():
    model, tokenizer = speller()
    engine, rows = Static(model, tokenizer), [prompts.prompt_ids(tokenizer, text) for text in TEXTS]
    way = Way(24, engine.ends, 1, 7)
    whole = [one for one, _ in engine.write(rows, way)]
    stop = whole[0].text[4:6]
    cut = list(engine.write(rows, way._replace(stop=[stop])))
    assert [one.text for one, _ in cut] == [one.text.split(stop)[0] for one in whole]
    assert any(stop in one.text for one in whole)


def test_positions_are_the_models():
    model, tokenizer = random_llama(max_position_embeddings=77), speller()[1]
    assert Static(model, tokenizer).positions == 77
