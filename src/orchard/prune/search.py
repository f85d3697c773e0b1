"""Iterative greedy search for the layers to drop (arXiv 2602.01997, section 3).

Each round tries every remaining layer but layer 0, scores each candidate on selection items of several tasks, each
task's score divided by the unpruned model's, and drops the layer whose loss leaves the best mean (ties: the later one).

A round is exact or a race. Exact: a candidate is given up once it is proven that it cannot win, which is when its score
with every item to come answered perfectly is below a score that another has for certain. A race gives up, besides, who
is behind by a statistical test (see ``behind``): an approximation that is wrong in a stated share of rounds at most.
"""

import functools
import hashlib
import itertools
import json
import math
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy import stats

from orchard.errors import UserError
from orchard.prune.scoring import Generation, Likelihood

Tasks = dict[str, Likelihood | Generation]
Batch = tuple[str, list[int]]  # a task and the numbers of its items

TIE = 1e-6  # of means: ours; float32 rounds another batch shape otherwise by some 1e-7, and this must decide nothing


class Candidate(NamedTuple):
    """What a round found out about a layer.

    Attributes:
        score: the mean over tasks of the candidate's score relative to the unpruned model's, on the items scored.
        items: how many items of all tasks were scored before it won or was given up; the score of some is an estimate.
    """

    score: float
    items: int


class Search(NamedTuple):
    """The result of a search.

    Attributes:
        dropped: the layers in the order of their removal.
        unpruned: the unpruned model's score of each task.
        rounds: of each round, what it found out about each candidate, by layer.
    """

    dropped: list[int]
    unpruned: dict[str, float]
    rounds: list[dict[int, Candidate]]


def greedy(model, tasks: Tasks, count: int, settings: dict, state: Path, progress) -> Search:
    """Searches for the layers to drop.

    Args:
        model: a decoder model with ``model.layers``, in evaluation mode.
        tasks: the selection items, as scoring.load gives them.
        count: the number of layers to drop.
        settings: batch_size (sequences a forward pass); racing: null for an exact search, or confidence (the least
            chance that a round keeps the layer that the exact search would drop), first (items of each task before the
            first look at the scores; there are twice as many before each later look) and seed (of the items' order).
        state: folder of the resume state; a search that was killed goes on from the scores there.
        progress: told the number of items done; in all, ``count`` times the items of all tasks.

    Raises:
        UserError: too many layers are to go, an item does not fit into the model's positions, or the unpruned model
            scores nothing on a task.
    """
    check(model, tasks, count)
    bench = Bench(model, tasks, settings["batch_size"], memory(state, model, tasks, settings))
    unpruned = score_unpruned(bench)
    dropped, rounds, items = [], [], sum(map(len, tasks.values()))
    for number in range(count):
        found = Round(bench, dropped, unpruned, lambda done, before=number * items: progress.step(before + done))
        if settings["racing"]:
            race(found, settings["racing"])
        else:
            compare(found, rounds[-1] if rounds else {})
        found.tell(items)
        dropped = [*dropped, found.leader()]
        rounds.append(found.result())
    return Search(dropped, unpruned, rounds)


def check(model, tasks: Tasks, count: int) -> None:
    """Refuses what cannot be searched."""
    layers, room = model.config.num_hidden_layers, model.config.max_position_embeddings
    if not 0 < count < layers - 1:
        raise UserError(
            f"{count} layers to drop of {layers} by greedy search",
            f"it is 1 to {layers - 2}",
            "layer 0 always stays, and the last round needs a choice",
            "choose another ratio",
        )
    for name, task in tasks.items():
        if (longest := max(map(task.tokens, range(len(task))))) > room:
            raise UserError(
                f"an item of {longest} tokens in selection task {name!r}, where {room} fit",
                "prompt and answer fit into the model's positions",
                "a prompt that is cut is another task",
                "lower max_new_tokens or few_shot.count, or choose other items",
            )


@dataclass(frozen=True)
class Bench:
    """What all rounds share.

    Attributes:
        model: the unpruned model.
        tasks: the selection items.
        batch_size: sequences a forward pass.
        remember: gives what was worked out before a kill, or works it out.
    """

    model: object
    tasks: Tasks
    batch_size: int
    remember: Callable[[list, Callable[[], dict]], dict]

    def values(self, gone: list[int], candidates: list, batch: Batch) -> dict[int | None, list[float]]:
        """The values of a batch of items under some candidates, which all lack the layers ``gone``."""
        (name, numbers), found = batch, {}
        for group in self.tasks[name].groups(candidates, numbers, self.batch_size):
            work_out = functools.partial(self.tasks[name].values, self.model, gone, group, numbers)
            found |= self.remember([name, numbers, gone, group], work_out)
        return found

    def batches(self, name: str, numbers: Iterable[int]) -> list[Batch]:
        """Some items of a task in batches of like length, so that little is padding."""
        task, found, room, longest = self.tasks[name], [], 0, 0.0
        for length, number in sorted((task.length(number), number) for number in numbers):
            if task.texts(number) > room or length > longest:
                found.append((name, []))
                room, longest = self.batch_size, task.stretch * length
            found[-1][1].append(number)
            room -= task.texts(number)
        return found

    def in_turn(self, names: list[str]) -> list[Batch]:
        """All batches of some tasks, a batch of each task in turn."""
        every = [self.batches(name, range(len(self.tasks[name]))) for name in names]
        return [batch for turn in itertools.zip_longest(*every) for batch in turn if batch]


def score_unpruned(bench: Bench) -> dict[str, float]:
    """The unpruned model's score of each task."""
    scores = {}
    for name in bench.tasks:
        values = [bench.values([], [None], batch)[None] for batch in bench.in_turn([name])]
        scores[name] = math.fsum(itertools.chain(*values)) / len(bench.tasks[name])
        if scores[name] == 0:
            raise UserError(
                f"the unpruned model scores 0 on all {len(bench.tasks[name])} items of selection task {name!r}",
                "it scores something on each",
                "candidates are measured by how much of the unpruned model's score they keep",
                "choose a task that the model can do",
            )
    return scores


class Round:
    """The candidates of a round and the values of the items that each was scored on so far.

    Args:
        bench: model and tasks.
        gone: the layers dropped by earlier rounds.
        unpruned: the unpruned model's score of each task.
        tell: told the number of items done.

    Attributes:
        alive: the candidates that may still win: at first, all layers that remain but layer 0.
        values: of each candidate and task, an array of each item's value; NaN until it is scored.
    """

    def __init__(self, bench: Bench, gone: list[int], unpruned: dict[str, float], tell: Callable[[int], None]):
        self.bench, self.gone, self.unpruned, self.tell = bench, gone, unpruned, tell
        self.alive = [layer for layer in range(1, bench.model.config.num_hidden_layers) if layer not in gone]
        self.values = {
            layer: {name: np.full(len(task), np.nan) for name, task in bench.tasks.items()} for layer in self.alive
        }

    def score(self, layers: list[int], batches: list[Batch]) -> None:
        """Scores candidates on batches of items."""
        for batch in batches if layers else []:
            for layer, values in self.bench.values(self.gone, layers, batch).items():
                # A candidate whose numbers overflow has no right answers.
                self.values[layer][batch[0]][batch[1]] = np.nan_to_num(values)

    def bound(self, layer: int, fill: float) -> float:
        """A candidate's relative score if all items to come had the value ``fill``: 0 or 1 for its bounds."""
        # fsum rounds once, whatever the order, so a bound never falls below what it bounds.
        shares = [
            math.fsum(np.nan_to_num(values, nan=fill)) / len(values) / self.unpruned[name]
            for name, values in self.values[layer].items()
        ]
        return math.fsum(shares) / len(shares)

    def leader(self) -> int:
        """The candidate of the best score so far; of those within TIE of it the latest layer."""
        scores = {layer: self.bound(layer, 0) for layer in self.alive}
        return max(layer for layer in self.alive if scores[layer] >= max(scores.values()) - TIE)

    def drop_hopeless(self) -> None:
        """Gives up the candidates that cannot win, with proof: their best score is below one that is certain.

        Below by more than TIE, so that nobody is given up who may tie with the best and be the later layer.
        """
        certain = max(self.bound(layer, 0) for layer in self.alive)
        self.alive = [layer for layer in self.alive if self.bound(layer, 1) >= certain - TIE]

    def result(self) -> dict[int, Candidate]:
        """What was found out about each candidate."""
        found = {}
        for layer, tasks in self.values.items():
            scored = {name: values[~np.isnan(values)] for name, values in tasks.items()}
            shares = [math.fsum(part) / len(part) / self.unpruned[name] for name, part in scored.items() if len(part)]
            found[layer] = Candidate(math.fsum(shares) / len(shares), sum(map(len, scored.values())))
        return found


def compare(found: Round, before: dict[int, Candidate]) -> None:
    """An exact round: batch by batch, giving up who cannot win.

    Tasks scored by likelihood come first, for all candidates batch by batch: they are cheap, and who fails there never
    gets to write a response. Responses, where nothing is shared, are written by the most promising candidates first,
    because a score that is certain early gives up others early.

    Args:
        found: the round.
        before: what the round before found out about each candidate; empty in the first round.
    """
    bench, done = found.bench, 0
    cheap = [name for name, task in bench.tasks.items() if task.cheap]
    for batch in bench.in_turn(cheap):
        found.score(found.alive, [batch])
        found.drop_hopeless()
        found.tell(done := done + len(batch[1]))
    dear = bench.in_turn([name for name in bench.tasks if name not in cheap])
    # Ours: in the first round the later layers, which the paper's searches drop more often than the early ones.
    hopes = {layer: (found.bound(layer, 0), before[layer].score if before else layer) for layer in found.alive}
    order = sorted(hopes, key=hopes.get, reverse=True)
    width = max(1, bench.batch_size // max((len(numbers) for _, numbers in dear), default=1))
    for start in range(0, len(order), width):
        for batch in dear:
            found.drop_hopeless()
            found.score([layer for layer in order[start : start + width] if layer in found.alive], [batch])
        found.tell(done + (start + width) * sum(len(numbers) for _, numbers in dear) // len(order))


def race(found: Round, settings: dict) -> None:
    """A race: looks at ever more items in random order, giving up who cannot win or is behind by the test."""
    tasks, rng, order = found.bench.tasks, random.Random(settings["seed"]), {}
    for name, task in tasks.items():
        order[name] = rng.sample(range(len(task)), len(task))
    ends = [0, settings["first"]]
    while ends[-1] < max(map(len, tasks.values())):
        ends.append(2 * ends[-1])
    chance = (1 - settings["confidence"]) / (len(ends) - 1) / (len(found.alive) - 1)
    for start, end in itertools.pairwise(ends):
        for name in tasks:
            found.score(found.alive, found.bench.batches(name, order[name][start:end]))
        found.drop_hopeless()
        leader = found.leader()
        found.alive = [layer for layer in found.alive if not behind(found, layer, leader, chance)]
        found.tell(sum(min(end, len(task)) for task in tasks.values()))
        if len(found.alive) == 1:
            break


def behind(found: Round, layer: int, leader: int, chance: float) -> bool:
    """Whether a candidate is behind the leader by a paired t-test on the items that both were scored on.

    The test is one-sided at level ``chance``: 1 − confidence over the number of looks and of rivals (Bonferroni). So
    the one that would win on all items is given up with a chance of 1 − confidence at most, as far as differences are
    normal. A bound that holds without this (empirical Bernstein) would need several times the items of a usual task.
    Items are drawn without replacement, so the error shrinks to zero when all are scored. So that luck in few items
    does not look like certainty, a task of right and wrong has one imagined item more, which the candidate alone has
    right.
    """
    mean, variance, freedom = 0.0, 0.0, 0
    for name, task in found.bench.tasks.items():
        gaps = found.values[leader][name] - found.values[layer][name]
        gaps = gaps[~np.isnan(gaps)]
        rest = 1 - len(gaps) / len(task)
        if rest and not task.graded:
            gaps = np.append(gaps, -1.0)
        mean += gaps.mean() / found.unpruned[name]
        variance += rest * gaps.var(ddof=1) / len(gaps) / found.unpruned[name] ** 2
        freedom += len(gaps) - 1
    return variance > 0 and mean > stats.t.isf(chance, freedom) * math.sqrt(variance)


def memory(state: Path, model, tasks: Tasks, settings: dict) -> Callable[[list, Callable[[], dict]], dict]:
    """A function that gives what a killed search of the same model, tasks and settings worked out, or works it out.

    Each result is a file, written whole or not at all. JSON keeps every bit of a float.
    """
    weights = sum(float(parameter.detach().sum()) for parameter in model.parameters())
    folder = state / _digest(repr((model.config.to_dict(), weights, tasks, settings)))
    folder.mkdir(parents=True, exist_ok=True)
    if known := len(list(folder.glob("*.json"))):
        print(f"goes on from {known} results in {folder}", flush=True)

    def remember(what: list, work_out: Callable[[], dict]) -> dict:
        file = folder / f"{_digest(json.dumps(what))}.json"
        if not file.exists():
            scratch = file.with_suffix(".new")
            scratch.write_text(json.dumps(list(work_out().items())))
            scratch.rename(file)
        return dict(json.loads(file.read_text()))

    return remember


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
