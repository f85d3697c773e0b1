"""The static engine: batches of a fixed size, in this process. On a CPU it gives the same bits each time."""

import functools
from collections.abc import Callable, Collection, Iterator

import torch
from transformers import LogitsProcessor, StoppingCriteria, StoppingCriteriaList
from transformers.generation import TemperatureLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

from orchard.engines.engine import Engine, Generated, Pair, Scored, Way
from orchard.models import cache, decoding, draws, likelihood, prompts, sampling

POSITIONS = 512  # whose log-probs are worked out at once: ours; over 150,000 words they are 0.3 GB


class Static(Engine):
    """A model in this process.

    Args:
        model: a causal language model in evaluation mode, whose generation_config is replaced.
        tokenizer: its tokenizer.
    """

    def __init__(self, model, tokenizer):
        self.model = model
        ends = sampling.plain_settings(model, tokenizer)
        super().__init__(tokenizer, ends, model.config.get_text_config().max_position_embeddings)

    @torch.inference_mode()
    def _generate(self, rows: list[list[int]], way: Way) -> Iterator[Generated]:
        first = way.first
        for part in batches(rows, way.batch_size):
            notes = None if way.told is None else decoding.Notes(way.told)
            loop = decoding.leaving if notes is None else functools.partial(decoding.leaving, notes=notes)
            chosen = choices(way, range(first, first + len(part)))
            ids = generated(self.model, self.tokenizer, part, way._replace(temperature=0), loop, chosen)
            yield from map(Generated, ids, *(notes.by_row() if notes else ()))
            first += len(part)

    @torch.inference_mode()
    def _score(self, pairs: list[Pair], batch_size: int | None) -> list[Scored]:
        """Texts that differ in the last token alone are one row; the longest rows go first, as lm-eval has them."""
        texts: dict[tuple[int, ...], list[int]] = {}
        for number, (before, after) in enumerate(pairs):
            texts.setdefault((*before, *after[:-1]), []).append(number)
        found: dict[int, Scored] = {}
        for part in by_length(sorted(texts, key=lambda ids: (-len(ids), ids)), batch_size):
            rows = [torch.tensor(ids) for ids in part]
            padded = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True).to(self.model.device)
            # Padding stands on the right, where causal attention never sees it.
            for ids, logits in zip(part, self.model(input_ids=padded).logits, strict=True):
                for number in texts[ids]:
                    after = pairs[number][1]
                    found[number] = scored(logits[len(ids) - len(after) : len(ids)], after)
        return [found[number] for number in range(len(pairs))]


def choices(way: Way, places: range) -> list[LogitsProcessor]:
    """How the tokens of a batch are chosen, by the places of its prompts in the whole list; empty: the most likely."""
    if way.temperature == 0:
        return []
    likely = [TopKLogitsWarper(way.top_k)] if way.top_k else []
    nucleus = [TopPLogitsWarper(way.top_p)] if way.top_p < 1 else []
    chosen = draws.ByNumbers(draws.of_each(way.seed, places, way.max_new_tokens))
    return [TemperatureLogitsWarper(way.temperature), *likely, *nucleus, chosen]


def batches(rows: list, size: int) -> Iterator[list]:
    """Rows in their order, so many at a time."""
    return (rows[start : start + size] for start in range(0, len(rows), size))


def by_length(texts: list, size: int | None) -> Iterator[list]:
    """Texts, the longest first, in batches: of a size, or of as many tokens with padding as `likelihood.TOKENS`."""
    start = 0
    while start < len(texts):
        count = size or max(1, likelihood.TOKENS // len(texts[start]))
        yield texts[start : start + count]
        start += count


def scored(logits: torch.Tensor, tokens: list[int]) -> Scored:
    """What a model thinks of some tokens, from its logits of shape (tokens, vocabulary), in any type of numbers."""
    logps, is_likeliest, expected = [], True, torch.tensor(tokens, device=logits.device)
    for part, wanted in zip(logits.split(POSITIONS), expected.split(POSITIONS), strict=True):
        log_probs = part.log_softmax(-1, dtype=torch.float32)
        logps += log_probs.gather(-1, wanted[:, None]).squeeze(-1).tolist()
        is_likeliest &= bool((log_probs.argmax(-1) == wanted).all())
    return Scored(logps, is_likeliest)


def generated(
    model, tokenizer, rows: list[list[int]], way: Way, loop: Callable | None, processors: Collection = ()
) -> list[list[int]]:
    """The tokens behind the prompts of one batch, filled up behind the ends.

    Args:
        model: whose settings are plain (`sampling.plain_settings`).
        tokenizer: its tokenizer; prompts are padded on the left.
        rows: the prompts.
        way: how to write.
        loop: of decoding, in the place of transformers' own; None: that.
        processors: of the logits, before temperature and top-p.
    """
    batch = prompts.padded(tokenizer, rows, "left", model.device)
    start = batch["input_ids"].shape[1]
    options = {"do_sample": False}
    if way.temperature > 0:
        options = {"do_sample": True, "temperature": way.temperature, "top_p": way.top_p, "top_k": way.top_k}
    stops = [StopTexts(tokenizer, way.stop, start)] if any(way.stop) else []
    ids = model.generate(
        **batch,
        max_new_tokens=way.max_new_tokens,
        eos_token_id=sorted(way.ends),
        past_key_values=cache.roomy(model.config),
        custom_generate=loop,
        logits_processor=list(processors),
        stopping_criteria=StoppingCriteriaList(stops),
        **options,
    )
    return ids[:, start:].tolist()


class StopTexts(StoppingCriteria):
    """Ends a row when it has one of some texts, each row by itself.

    Args:
        tokenizer: the model's.
        texts: that end a response.
        start: the number of tokens before the responses.
    """

    def __init__(self, tokenizer, texts: Collection[str], start: int):
        self.decode = functools.partial(tokenizer.batch_decode, skip_special_tokens=True)
        self.texts, self.start = [text for text in texts if text], start
        # A token is one byte at least; one more, since the first of the last ones may hold the text's beginning.
        self.last = max(len(text.encode()) for text in self.texts) + 1

    def __call__(self, input_ids: torch.Tensor, scores, **_) -> torch.Tensor:
        written = self.decode(input_ids[:, max(self.start, input_ids.shape[1] - self.last) :])
        ended = [any(text in each for text in self.texts) for each in written]
        return torch.tensor(ended, device=input_ids.device)
