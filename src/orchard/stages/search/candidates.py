"""Scores of selection items under the candidates of a layer search: one model that lacks, in turn, one more layer.

An item's value is between 0 and 1, higher is better, and a task's score is the mean value of its items. The value is
- of a multiple-choice item, whether the right choice has the largest summed log-likelihood (lm-eval's ``acc``);
- of an item with a reference answer, the geometric mean of its tokens' probabilities, exp(mean log-prob): unlike a
  log-likelihood it rises with quality and has a natural zero, so its ratio to the unpruned model's means something;
- of a generative item, whether the verifier takes the response, or how like the reference a summary is (ROUGE-L).

Nothing is copied: a candidate is a view of the model. The layers below the dropped one are run once for all candidates,
and the layers above it for several side by side. What the choices of an item begin with is read once: they are one row,
in which each choice sees that beginning and itself. Rows are padded on the right, where causal attention never sees the
padding.
"""

import contextlib
import functools
import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from transformers import LogitsProcessor

from orchard.engines import static
from orchard.engines.engine import Way
from orchard.models import prompts, sampling, surgery
from orchard.study.schema.common import count
from orchard.study.schema.prune import SelectionGeneration, SelectionTask
from orchard.tasks import registry
from orchard.tasks.items import NEEDED
from orchard.tasks.rouge import rouge_l

LAYER_TOKENS = 2048  # of one pass of a layer: ours; of 512 to 8,192 the fastest on a CPU core
HEAD_POSITIONS = 512  # of one pass of the head: ours; their logits over 150,000 words are 0.3 GB


@dataclass(frozen=True)
class Likelihood:
    """A task scored by the log-likelihood of given texts.

    Attributes:
        items: the choices of each item, each as token ids (prompt, continuation); a reference answer is the only one.
        labels: the index of the right choice of each item; none: the items have reference answers.
    """

    items: list[list[tuple[list[int], list[int]]]]
    labels: list[int] | None
    is_generative = False  # candidates share layers, and an item is one forward pass
    max_length_ratio = 1.25  # ours: of the rows of a batch, so that little is padding

    def __len__(self) -> int:
        return len(self.items)

    @property
    def is_graded(self) -> bool:
        """Whether values lie between right and wrong."""
        return self.labels is None

    def tokens(self, number: int) -> int:
        """The most positions that an item takes; the last token is only predicted."""
        return max(len(prompt) + len(continuation) - 1 for prompt, continuation in self.items[number])

    def length(self, number: int) -> int:
        """The tokens of an item's row."""
        return len(one_row(self.items[number]).ids)

    def texts(self, number: int) -> int:
        """How many texts an item is."""
        return len(self.items[number])

    def groups(self, candidates: list, numbers: list[int], batch_size: int) -> list[list]:
        """The candidates to score together: all of them, because they share the layers below the dropped one."""
        return [candidates]

    @torch.inference_mode()
    def values(self, model, gone: list[int], candidates: list, numbers: list[int]) -> dict[int | None, list[float]]:
        """The values of some items under some candidates.

        Args:
            model: the unpruned decoder model, in evaluation mode.
            gone: the layers that every candidate lacks.
            candidates: the layer that each candidate lacks besides; None: no other.
            numbers: the items, which are run as one batch.
        """
        rows = [one_row(self.items[number]) for number in numbers]
        logps = target_logps(model, gone, candidates, rows)
        return {candidate: list(self.values_of_logps(numbers, iter(logps[candidate]))) for candidate in candidates}

    def values_of_logps(self, numbers: list[int], logps: Iterator[float]) -> Iterator[float]:
        """The values of some items from the log-probs of all tokens of their continuations."""
        for number in numbers:
            parts = [[next(logps) for _ in continuation] for _, continuation in self.items[number]]
            if self.labels is None:
                yield math.exp(math.fsum(parts[0]) / len(parts[0]))
            else:
                sums = [math.fsum(part) for part in parts]
                yield float(sums.index(max(sums)) == self.labels[number])


class Row(NamedTuple):
    """The choices of an item as one row of tokens: what all begin with, and then the rest of each.

    Attributes:
        ids: the tokens.
        positions: the place of each in its own text.
        branches: which rest each token is of; 0: it is of the beginning.
        wanted: for each token of each continuation, where in the row it is predicted, and the token.
    """

    ids: list[int]
    positions: list[int]
    branches: list[int]
    wanted: list[tuple[int, int]]


def one_row(choices: list[tuple[list[int], list[int]]]) -> Row:
    """What a model has to read to score the choices of an item. A last token is only predicted; equal rests are one."""
    inputs = [(*prompt, *continuation[:-1]) for prompt, continuation in choices]
    begin = beginning(inputs)
    rests = dict.fromkeys(ids[len(begin) :] for ids in inputs)
    ids, positions, branches, shifts = list(begin), list(range(len(begin))), [0] * len(begin), {}
    for number, rest in enumerate(rests, start=1):
        shifts[rest] = len(ids) - len(begin)
        ids += rest
        positions += range(len(begin), len(begin) + len(rest))
        branches += [number] * len(rest)
    wanted = []
    for (prompt, continuation), own in zip(choices, inputs, strict=True):
        for place, token in enumerate(continuation, start=len(prompt) - 1):
            wanted.append((place if place < len(begin) else place + shifts[own[len(begin) :]], token))
    return Row(ids, positions, branches, wanted)


def beginning(texts: list[tuple[int, ...]]) -> tuple[int, ...]:
    """What all texts begin with."""
    same = itertools.takewhile(lambda tokens: len(set(tokens)) == 1, zip(*texts, strict=False))
    return tuple(tokens[0] for tokens in same)


def target_logps(model, gone: list[int], candidates: list, rows: list[Row]) -> dict:
    """The log-probs of the wanted tokens of all rows under each candidate, in nats, as lists.

    The state at a layer's input is the same for every candidate that lacks this layer or a later one. So one walk up
    the layers serves all: at each candidate's layer its path branches off. All paths pass a layer together.

    Args:
        model: the unpruned decoder model.
        gone: the layers that every candidate lacks.
        candidates: the layer that each candidate lacks besides; None: no other.
        rows: what to read, as one batch.
    """
    ids, positions, branches = (_padded(part, model.device) for part in zip(*(row[:3] for row in rows), strict=True))
    wanted = [(number, place, token) for number, row in enumerate(rows) for place, token in row.wanted]
    wanted = torch.tensor(wanted, device=model.device).unbind(1)
    masks = Masks(positions, branches, model.dtype) if branches.any() else None
    numbers = [n for n in range(len(model.model.layers)) if n not in gone]
    with surgery.without(model, gone), idle(model.model.layers, masks) as calls:
        model.model(input_ids=ids, position_ids=positions, use_cache=False)
        states = climb(dict(zip(numbers, calls, strict=True)), candidates)
        return {candidate: _head(model, states[candidate], *wanted) for candidate in candidates}


def climb(calls: dict[int, "Call"], candidates: list[int | None]) -> dict[int | None, torch.Tensor]:
    """The last hidden states of each candidate.

    Args:
        calls: how to run each layer, from the lowest to the highest.
        candidates: the layer that each lacks; None: no layer.
    """
    paths = {None: next(iter(calls.values())).state}  # None: the path that the others branch off from
    for number, call in calls.items():
        branch = {number: paths[None]} if number in candidates else {}
        if set(candidates) <= {*paths, *branch} - {None}:
            paths.pop(None, None)
        paths = dict(zip(paths, call.run_all(list(paths.values())), strict=True)) | branch
    return paths


def _padded(rows: tuple[list[int], ...], device: torch.device) -> torch.Tensor:
    return torch.nn.utils.rnn.pad_sequence([torch.tensor(row) for row in rows], batch_first=True).to(device)


class Masks:
    """What each token of a batch of rows may see: what stands before it in its own text.

    Args:
        positions: the place of each token in its text, of shape (rows, tokens).
        branches: which rest it is of; 0: the beginning.
        dtype: of the hidden states.
    """

    def __init__(self, positions: torch.Tensor, branches: torch.Tensor, dtype: torch.dtype):
        self.distances = positions[:, :, None] - positions[:, None, :]
        same = branches[:, :, None] == branches[:, None, :]
        before = torch.ones_like(same).tril()
        self.visible = before & (same | (branches[:, None, :] == 0))
        self.dtype = dtype
        self.made: dict[int | None, torch.Tensor] = {}

    def of(self, layer) -> torch.Tensor:
        """A layer's mask, added to its attention scores, of shape (rows, 1, tokens, tokens)."""
        window = _window(layer.self_attn)
        if window not in self.made:
            visible = self.visible if window is None else self.visible & (self.distances < window)
            hidden = torch.zeros_like(visible, dtype=self.dtype).masked_fill(~visible, torch.finfo(self.dtype).min)
            self.made[window] = hidden[:, None]
        return self.made[window]


def _window(attention) -> int | None:
    """How far back a layer sees; none: all the way. Where layers differ, each knows; Mistral's config is for all."""
    if attention.config.model_type == "mistral":
        return attention.config.sliding_window
    return getattr(attention, "sliding_window", None)


def _head(model, state: torch.Tensor, rows: torch.Tensor, places: torch.Tensor, targets: torch.Tensor) -> list[float]:
    """The log-probs of the targets alone: an idle model is its last norm and its head."""
    found = []
    chosen = state[rows, places].unsqueeze(1)
    for part, target in zip(chosen.split(HEAD_POSITIONS), targets.split(HEAD_POSITIONS), strict=True):
        logits = model(inputs_embeds=part, use_cache=False).logits[:, 0].float()
        found += (-torch.nn.functional.cross_entropy(logits, target, reduction="none")).tolist()
    return found


@dataclass(frozen=True)
class Call:
    """What a decoder layer was asked.

    Attributes:
        state: the hidden states, of shape (rows, tokens, width).
        forward: the layer.
        args: what the layer is given besides: the masks and positions that its model prepared.
    """

    state: torch.Tensor
    forward: Callable
    args: dict

    def run_all(self, states: list[torch.Tensor]) -> list[torch.Tensor]:
        """What the layer makes of several states like the noted one, as many at once as LAYER_TOKENS lets."""
        rows, tokens, _ = self.state.shape
        width, found = max(1, LAYER_TOKENS // (rows * tokens)), []
        for start in range(0, len(states), width):
            part = states[start : start + width]
            found += self.forward(torch.cat(part), **_repeated(self.args, rows, len(part))).split(rows)
        return found


def _repeated(value, rows: int, times: int):
    """A layer's arguments for so many copies of its rows: what has a row for each of them has it for each copy."""
    if isinstance(value, dict):
        return {key: _repeated(each, rows, times) for key, each in value.items()}
    if isinstance(value, tuple):
        return tuple(_repeated(each, rows, times) for each in value)
    if isinstance(value, torch.Tensor) and value.dim() > 1 and value.shape[0] == rows:
        return value.repeat(times, *[1] * (value.dim() - 1))
    return value


@contextlib.contextmanager
def idle(layers: torch.nn.ModuleList, masks: Masks | None) -> Iterator[list[Call]]:
    """Layers that only hand their input on and note how they were called, until the block ends.

    So a model's own forward pass shows how to run each of its layers, whatever the architecture; of masks, those given
    count. The first call of each layer is noted.
    """
    calls = []

    def note(layer, forward: Callable, state: torch.Tensor, **kwargs) -> torch.Tensor:
        if len(calls) < len(layers):
            kwargs |= {"attention_mask": masks.of(layer)} if masks else {}
            calls.append(Call(state, forward, kwargs))
        return state

    try:
        for layer in layers:
            layer.forward = functools.partial(note, layer, layer.forward)
        yield calls
    finally:
        for layer in layers:
            vars(layer).pop("forward", None)


def is_right(item: dict, response: str) -> float:
    """Whether the verifier of an item's task takes a response: 1 or 0."""
    return float(registry.load(item["task"]).judge(item, response).right)


def likeness(item: dict, response: str) -> float:
    """How like an item's reference a response is, 0 to 1."""
    return rouge_l(item["answer"], response)


@dataclass(frozen=True)
class Generation:
    """A task scored by what the model writes.

    Attributes:
        prompts: the token ids that each item's response goes on from.
        items: what was asked, with the references.
        asked: how responses are written.
        tokenizer: the model's.
        verify: how right a response (text) to an item is, 0 to 1.
        is_graded: whether values lie between right and wrong.
    """

    prompts: list[list[int]]
    items: list[dict]
    asked: SelectionGeneration
    tokenizer: object = field(repr=False)
    verify: Callable[[dict, str], float] = field(repr=False, default=is_right)
    is_graded: bool = False
    is_generative = True  # a forward pass per token
    max_length_ratio = math.inf  # few rows cost like many, so all lengths share a batch

    def __len__(self) -> int:
        return len(self.prompts)

    def tokens(self, number: int) -> int:
        """The most positions that an item takes."""
        return len(self.prompts[number]) + self.asked.max_new_tokens

    length = tokens

    def texts(self, number: int) -> int:
        """How many sequences an item is."""
        return 1

    def groups(self, candidates: list, numbers: list[int], batch_size: int) -> list[list]:
        """The candidates to score together: as many as fill a batch: few rows cost like many."""
        size = max(1, batch_size // len(numbers))
        return [candidates[start : start + size] for start in range(0, len(candidates), size)]

    def values(self, model, gone: list[int], candidates: list, numbers: list[int]) -> dict[int | None, list[float]]:
        """The values of some items under some candidates, as of Likelihood.values."""
        owners = [candidate for candidate in candidates for _ in numbers]
        if len(candidates) == 1:  # no other row needs its layer
            gone = [*gone, *(layer for layer in candidates if layer is not None)]
        with surgery.without(model, gone), side_by_side(model, gone, owners):
            texts = self.responses(model, numbers * len(candidates))
        found = {candidate: [] for candidate in candidates}
        for candidate, number, text in zip(owners, numbers * len(candidates), texts, strict=True):
            found[candidate].append(float(self.verify(self.items[number], text)))
        return found

    @torch.inference_mode()
    def responses(self, model, numbers: list[int]) -> list[str]:
        """The texts with which a model goes on from some items' prompts, padded on the left to one batch."""
        rows = [self.prompts[number] for number in numbers]
        noise = [ItemNoise(self.asked, numbers, model.device)] if self.asked.temperature > 0 else []
        ends = sampling.plain_settings(model, self.tokenizer)
        # Decoded greedily, as the noise samples; rows stay in the batch, as each has a place in the noise.
        way = Way(self.asked.max_new_tokens, ends, self.asked.seed, len(rows), stop=self.asked.stop)
        generated = static.generated(model, self.tokenizer, rows, way, None, noise)
        return [prompts.written(row, ends, self.tokenizer, way.stop).text for row in generated]


@contextlib.contextmanager
def side_by_side(model, gone: list[int], owners: list[int | None]) -> Iterator[None]:
    """Lets each row of a batch pass by its candidate's layer until the block ends, so that candidates share a batch.

    Args:
        model: the model without the layers ``gone``.
        gone: the layers that every candidate lacks.
        owners: the layer that the candidate of each row lacks besides; None: no other.
    """
    numbers = [n for n in range(len(model.model.layers) + len(gone)) if n not in gone]

    def run(forward: Callable, passing: torch.Tensor, state: torch.Tensor, *args, **kwargs) -> torch.Tensor:
        return torch.where(passing, state, forward(state, *args, **kwargs))

    layers = [(n, layer) for n, layer in zip(numbers, model.model.layers, strict=True) if n in owners]
    try:
        for number, layer in layers:
            passing = torch.tensor([owner == number for owner in owners], device=model.device)[:, None, None]
            layer.forward = functools.partial(run, layer.forward, passing)
        yield
    finally:
        for _, layer in layers:
            vars(layer).pop("forward", None)


class ItemNoise(LogitsProcessor):
    """Makes arg-max decoding sample at a temperature: logits / temperature plus Gumbel noise, of each item's own.

    So a response depends on its item and seed, not on its batch, and all candidates are compared on the same noise.
    """

    def __init__(self, asked: SelectionGeneration, numbers: list[int], device: torch.device):
        self.temperature = asked.temperature
        self.generators = [torch.Generator(device).manual_seed(asked.seed + number) for number in numbers]

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        waits = [torch.empty_like(scores[0]).exponential_(generator=generator) for generator in self.generators]
        return scores / self.temperature - torch.stack(waits).log()


# Tasks as the config has them


def load(tasks: dict[str, SelectionTask], tokenizer) -> dict[str, Likelihood | Generation]:
    """The tasks of a search.

    Args:
        tasks: as the config has them.
        tokenizer: the model's.

    Raises:
        UserError: a file is missing or no JSONL.
    """
    return {name: _load(task, tokenizer) for name, task in tasks.items()}


def _load(task: SelectionTask, tokenizer) -> Likelihood | Generation:
    needed, shots = NEEDED[task.kind], task.few_shot
    rows = registry.read(task.items, needed)
    rows = rows[: count(task.limit, len(rows))]
    examples = registry.read(shots.items, needed)[: shots.count] if shots.count else []
    is_pair = task.kind == "minimal-pair"  # of sentences, which nobody asks for
    starts = [prompts.with_examples(tokenizer, examples, row, task.plain or is_pair) for row in rows]
    if isinstance(task, SelectionGeneration):
        asked = [prompts.text_ids(tokenizer, text) for text in starts]
        is_summary = task.kind == "summary"
        return Generation(asked, rows, task, tokenizer, likeness if is_summary else is_right, is_graded=is_summary)
    space = "" if is_pair else " "
    texts = [[row["answer"]] if task.kind == "likelihood" else row["choices"] for row in rows]
    pairs = [
        [encode_pair(tokenizer, start, space + text) for text in choices]
        for start, choices in zip(starts, texts, strict=True)
    ]
    return Likelihood(pairs, None if task.kind == "likelihood" else [row["label"] for row in rows])


def encode_pair(tokenizer, prompt: str, continuation: str) -> tuple[list[int], list[int]]:
    """The token ids of a prompt and of what follows it, split as lm-eval does: the whole is cut after the prompt.

    An empty prompt is the token that texts begin with.
    """
    if not prompt:
        start = tokenizer.eos_token_id if tokenizer.bos_token_id is None else tokenizer.bos_token_id
        return [start], tokenizer.encode(continuation, add_special_tokens=False)
    return prompts.pair_ids(tokenizer, prompt, continuation)
