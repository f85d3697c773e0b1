"""What every engine can do: write responses to prompts with their log-probs, and score given texts.

Prompts and texts are token ids, so every engine reads the same. How a prompt becomes tokens, and where a response ends,
is said in one place for all of them (`orchard.models.prompts`).
"""

import abc
from collections.abc import Collection, Iterator
from typing import NamedTuple

from orchard.errors import UserError
from orchard.models import loading, prompts
from orchard.models.prompts import Asked, Written
from orchard.processes import Progress
from orchard.study.schema.common import Sampling

Pair = tuple[list[int], list[int]]  # what a model goes on from, and what follows


class Way(NamedTuple):
    """How responses are written.

    Attributes:
        max_new_tokens: of a response at most.
        ends: the tokens at the first of which a response ends.
        seed: of the random numbers.
        batch_size: prompts per forward pass, where the engine does not choose it by itself.
        temperature: 0 is greedy decoding.
        top_p: nucleus sampling; 1 is off.
        stop: texts that end a response too.
        top_k: sampling from the most likely tokens alone; 0 is off.
        told: how many of the most likely tokens to tell at each place, beside the log-probs; None: neither is told.
        first: the place of the first prompt in the whole list, where these are a part of one: a prompt's random numbers
            follow from the seed and its place.
    """

    max_new_tokens: int
    ends: frozenset[int]
    seed: int
    batch_size: int
    temperature: float = 0.0
    top_p: float = 1.0
    stop: Collection[str] = ()
    top_k: int = 0
    told: int | None = None
    first: int = 0


class Generated(NamedTuple):
    """What an engine wrote behind a prompt.

    Attributes:
        ids: tokens, perhaps with others behind the end.
        logps: the log-prob of each, in nats, before temperature and top-p; empty where they were not asked for.
        top_ids: the most likely tokens at each place.
        top_logps: their log-probs.
    """

    ids: list[int]
    logps: list[float] = []  # noqa: RUF012  (never changed)
    top_ids: list[list[int]] = []  # noqa: RUF012
    top_logps: list[list[float]] = []  # noqa: RUF012


class Response(NamedTuple):
    """One sampled response.

    Attributes:
        text: without special tokens.
        ids: token ids, with the one that ended it if that came.
        logps: the log-prob of each id, in nats, before temperature and top-p.
        top_ids: the most likely tokens at each place.
        top_logps: their log-probs.
        cut: whether max_new_tokens cut it off.
    """

    text: str
    ids: list[int]
    logps: list[float]
    top_ids: list[list[int]]
    top_logps: list[list[float]]
    cut: bool


class Scored(NamedTuple):
    """What a model thinks of a given text.

    Attributes:
        logps: the log-prob of each of its tokens, in nats.
        is_likeliest: whether each of them is the likeliest at its place.
    """

    logps: list[float]
    is_likeliest: bool


class Engine(abc.ABC):
    """A model that is ready to write and to score.

    Attributes:
        tokenizer: the model's.
        ends: the tokens that end its responses.
        positions: the longest text that it reads, prompt and response together.
        version: of what runs it, for records; None: a library that every record names.
    """

    version: str | None = None

    def __init__(self, tokenizer, ends: frozenset[int], positions: int):
        self.tokenizer, self.ends = tokenizer, ends
        self.positions = min(positions, loading.settings().max_length or positions)

    @abc.abstractmethod
    def _generate(self, rows: list[list[int]], way: Way) -> Iterator[Generated]:
        """What the model writes behind each of some prompts, in their order."""

    @abc.abstractmethod
    def _score(self, pairs: list[Pair], batch_size: int | None) -> list[Scored]:
        """What the model thinks of what follows in each pair."""

    def write(self, rows: list[list[int]], way: Way) -> Iterator[tuple[Written, Generated]]:
        """The responses to some prompts, in their order: each cut at its end, and as it was generated.

        Raises:
            UserError: a prompt leaves no room for the response.
        """
        self._check_fit(max(map(len, rows), default=0), self.positions - way.max_new_tokens)
        for one in self._generate(rows, way):
            yield prompts.written(one.ids, way.ends, self.tokenizer, way.stop), one

    def sample(
        self,
        questions: list[Asked],
        asked: Sampling,
        progress: Progress | None = None,
        top_k: int | None = None,
        first: int = 0,
    ) -> Iterator[Response]:
        """One response per prompt, in order.

        Args:
            questions: what is asked.
            asked: how to sample.
            progress: gets the number of prompts done, if given.
            top_k: how many of the most likely tokens to give at each place, beside the log-probs; None: neither.
            first: the place of the first prompt in the whole list, where these are a part of one.

        Raises:
            UserError: a prompt leaves no room for the response.
        """
        way = Way(asked.max_new_tokens, self.ends, asked.seed, asked.batch_size, asked.temperature, asked.top_p)
        rows = [prompts.prompt_ids(self.tokenizer, each) for each in questions]
        for found, one in self.write(rows, way._replace(told=top_k, first=first)):
            ids = found.ids + found.end
            scores = (part[: len(ids)] for part in (one.logps, one.top_ids, one.top_logps))
            yield Response(found.text, ids, *scores, cut=not found.ended)
            if progress:
                progress.step()

    def score(self, pairs: list[Pair], batch_size: int | None = None) -> list[Scored]:
        """What the model thinks of what follows in each pair: choices, references, given responses.

        Args:
            pairs: what the model goes on from, and what follows, at least one token each.
            batch_size: texts per forward pass, where the engine does not choose it by itself; None: by their length.

        Raises:
            UserError: a text is longer than the model reads.
        """
        longest = max((len(before) + len(after) for before, after in pairs), default=1)
        self._check_fit(longest - 1, self.positions)  # the last token is only predicted
        return self._score(pairs, batch_size)

    def _check_fit(self, tokens: int, room: int) -> None:
        """Refuses a text that would be cut: it would lose BOS or its few-shot examples, or run beyond the positions."""
        if tokens > room:
            raise UserError(
                found=f"a text of {tokens} tokens where {room} fit ({self.positions} positions)",
                rule="prompt and answer fit into the model's positions, and into loading.max_length",
                why="a prompt that is cut is another task",
                fix="lower max_new_tokens or few_shot.count, raise loading.max_length, or use a model with more "
                "positions",
            )
