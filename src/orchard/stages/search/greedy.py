"""Iterative greedy search for the layers to drop (arXiv 2602.01997, section 3).

Each round tries every remaining layer but layer 0, scores each candidate on selection items of several tasks, each
task's score divided by the unpruned model's, and drops the layer whose loss leaves the best mean (ties: the later one).

A round is exact or a race. Exact: a candidate is eliminated once it is proven that it cannot win, which is when its
score with every item to come answered perfectly is below a score that another has for certain. Racing also drops
candidates that a paired t-test says are behind (see ``is_behind``): an approximation that is wrong in a stated share of
rounds at most.
"""

import functools
import itertools
import math
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy import stats

from orchard.errors import UserError
from orchard.processes import Progress
from orchard.stages import kept
from orchard.stages.search.candidates import Generation, Likelihood
from orchard.study.schema.prune import Racing, Selection

Tasks = dict[str, Likelihood | Generation]
Batch = tuple[str, list[int]]  # a task and the numbers of its items

TIE = 1e-6  # of means: ours; float32 rounds another batch shape otherwise by some 1e-7, and this must decide nothing


class Candidate(NamedTuple):
    """What a round found out about a layer.

    Attributes:
        score: the mean over tasks of the candidate's score relative to the unpruned model's, on the items scored.
        items: of all tasks, how many were scored before it won or was eliminated; if not all, the score is an estimate.
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

    def plain_rounds(self) -> list[dict[str, dict]]:
        """The rounds as a record has them."""
        return [{str(layer): candidate._asdict() for layer, candidate in found.items()} for found in self.rounds]


def search(model, tasks: Tasks, count: int, selection: Selection, state: Path, progress: Progress) -> Search:
    """Searches for the layers to drop.

    Args:
        model: a decoder model with ``model.layers``, in evaluation mode.
        tasks: the selection items, as candidates.load gives them.
        count: the number of layers to drop.
        selection: the batch size, and how to race.
        state: folder of the resume state; a search that was killed goes on from the scores there.
        progress: gets the number of items done; in all, ``count`` times the items of all tasks.

    Raises:
        UserError: too many layers are to go, an item does not fit into the model's positions, or the unpruned model
            scores nothing on a task.
    """
    check(model, tasks, count)
    context = Context(model, tasks, selection.batch_size, kept.memory(state))
    unpruned = score_unpruned(context)
    dropped, rounds, items = [], [], sum(map(len, tasks.values()))
    for number in range(count):
        found = Round(context, dropped, unpruned, lambda done, before=number * items: progress.step(before + done))
        if selection.racing:
            racing_round(found, selection.racing)
        else:
            exact_round(found, rounds[-1] if rounds else {})
        found.report(items)
        dropped = [*dropped, found.leader()]
        rounds.append(found.result())
    return Search(dropped, unpruned, rounds)


def check(model, tasks: Tasks, count: int) -> None:
    """Refuses what cannot be searched."""
    layers, room = model.config.num_hidden_layers, model.config.max_position_embeddings
    if not 0 < count < layers - 1:
        raise UserError(
            found=f"{count} layers to drop of {layers} by greedy search",
            rule=f"it is 1 to {layers - 2}",
            why="layer 0 always stays, and the last round needs a choice",
            fix="choose another ratio",
        )
    for name, task in tasks.items():
        if (longest := max(map(task.tokens, range(len(task))))) > room:
            raise UserError(
                found=f"an item of {longest} tokens in selection task {name!r}, where {room} fit",
                rule="prompt and answer fit into the model's positions",
                why="a prompt that is cut is another task",
                fix="lower max_new_tokens or few_shot.count, or choose other items",
            )


@dataclass(frozen=True)
class Context:
    """What all rounds share.

    Attributes:
        model: the unpruned model.
        tasks: the selection items.
        batch_size: sequences per forward pass.
        remember: gives what was worked out before a kill, or works it out.
    """

    model: object
    tasks: Tasks
    batch_size: int
    remember: kept.Remember

    def values(self, gone: list[int], candidates: list, batch: Batch) -> dict[int | None, list[float]]:
        """The values of a batch of items under some candidates, which all lack the layers ``gone``."""
        (name, numbers), found = batch, {}
        for group in self.tasks[name].groups(candidates, numbers, self.batch_size):
            work_out = functools.partial(self.tasks[name].values, self.model, gone, group, numbers)
            found |= dict(self.remember([name, numbers, gone, group], lambda do=work_out: list(do().items())))
        return found

    def batches(self, name: str, numbers: Iterable[int]) -> list[Batch]:
        """Some items of a task in batches of like length, so that little is padding."""
        task, found, room, longest = self.tasks[name], [], 0, 0.0
        for length, number in sorted((task.length(number), number) for number in numbers):
            if task.texts(number) > room or length > longest:
                found.append((name, []))
                room, longest = self.batch_size, task.max_length_ratio * length
            found[-1][1].append(number)
            room -= task.texts(number)
        return found

    def in_turn(self, names: list[str]) -> list[Batch]:
        """All batches of some tasks, a batch of each task in turn."""
        every = [self.batches(name, range(len(self.tasks[name]))) for name in names]
        return [batch for turn in itertools.zip_longest(*every) for batch in turn if batch]


def score_unpruned(context: Context) -> dict[str, float]:
    """The unpruned model's score of each task."""
    scores = {}
    for name in context.tasks:
        values = [context.values([], [None], batch)[None] for batch in context.in_turn([name])]
        scores[name] = math.fsum(itertools.chain(*values)) / len(context.tasks[name])
        if scores[name] == 0:
            raise UserError(
                found=f"the unpruned model scores 0 on all {len(context.tasks[name])} items of selection task {name!r}",
                rule="it scores something on each",
                why="candidates are measured by how much of the unpruned model's score they keep",
                fix="choose a task that the model can do",
            )
    return scores


class Round:
    """The candidates of a round and the values of the items that each was scored on so far.

    Args:
        context: model and tasks.
        gone: the layers dropped by earlier rounds.
        unpruned: the unpruned model's score of each task.
        report: called with the number of items done.

    Attributes:
        alive: the candidates that may still win: at first, all layers that remain but layer 0.
        values: of each candidate and task, an array of each item's value; NaN until it is scored.
    """

    def __init__(self, context: Context, gone: list[int], unpruned: dict[str, float], report: Callable[[int], None]):
        self.context, self.gone, self.unpruned, self.report = context, gone, unpruned, report
        self.alive = [layer for layer in range(1, context.model.config.num_hidden_layers) if layer not in gone]
        self.values = {
            layer: {name: np.full(len(task), np.nan) for name, task in context.tasks.items()} for layer in self.alive
        }

    def score(self, layers: list[int], batches: list[Batch]) -> None:
        """Scores candidates on batches of items."""
        for batch in batches if layers else []:
            for layer, values in self.context.values(self.gone, layers, batch).items():
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

    def eliminate(self) -> None:
        """Eliminates the candidates that cannot win, with proof: their best score is below one that is certain.

        Below by more than TIE, so that none is eliminated that may tie with the best and be the later layer.
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


def exact_round(found: Round, before: dict[int, Candidate]) -> None:
    """Scores batch by batch, and eliminates the candidates that cannot win.

    Tasks scored by likelihood come first, for all candidates batch by batch: they are cheap, so candidates eliminated
    there skip generation. Responses, where nothing is shared, are written by the most promising candidates first,
    because a score that is certain early eliminates others early.

    Args:
        found: the round.
        before: what the round before found out about each candidate; empty in the first round.
    """
    context, done = found.context, 0
    scored = [name for name, task in context.tasks.items() if not task.is_generative]
    for batch in context.in_turn(scored):
        found.score(found.alive, [batch])
        found.eliminate()
        found.report(done := done + len(batch[1]))
    written = context.in_turn([name for name in context.tasks if name not in scored])
    # Ours: in the first round the later layers, which the paper's searches drop more often than the early ones.
    hopes = {layer: (found.bound(layer, 0), before[layer].score if before else layer) for layer in found.alive}
    order = sorted(hopes, key=hopes.get, reverse=True)
    width = max(1, context.batch_size // max((len(numbers) for _, numbers in written), default=1))
    for start in range(0, len(order), width):
        for batch in written:
            found.eliminate()
            found.score([layer for layer in order[start : start + width] if layer in found.alive], [batch])
        found.report(done + (start + width) * sum(len(numbers) for _, numbers in written) // len(order))


def racing_round(found: Round, racing: Racing) -> None:
    """Looks at ever more items in random order, and eliminates candidates that cannot win or are behind by the test."""
    tasks, rng, order = found.context.tasks, random.Random(racing.seed), {}
    for name, task in tasks.items():
        order[name] = rng.sample(range(len(task)), len(task))
    ends = [0, racing.first]
    while ends[-1] < max(map(len, tasks.values())):
        ends.append(2 * ends[-1])
    alpha = (1 - racing.confidence) / (len(ends) - 1) / (len(found.alive) - 1)
    for start, end in itertools.pairwise(ends):
        for name in tasks:
            found.score(found.alive, found.context.batches(name, order[name][start:end]))
        found.eliminate()
        leader = found.leader()
        found.alive = [layer for layer in found.alive if not is_behind(found, layer, leader, alpha)]
        found.report(sum(min(end, len(task)) for task in tasks.values()))
        if len(found.alive) == 1:
            break


def is_behind(found: Round, layer: int, leader: int, alpha: float) -> bool:
    """Whether a candidate is behind the leader by a paired t-test on the items that both were scored on.

    The test is one-sided at level ``alpha``: 1 − confidence over the number of looks and of rivals (Bonferroni). So the
    one that would win on all items is eliminated with a probability of 1 − confidence at most, as far as differences
    are normal. A bound that holds without this (empirical Bernstein) would need several times the items of a usual
    task. Items are drawn without replacement, so the error shrinks to zero when all are scored. So that luck in few
    items does not look like certainty, a task of right and wrong has one imagined item more, which the candidate alone
    has right.
    """
    mean, variance, freedom = 0.0, 0.0, 0
    for name, task in found.context.tasks.items():
        gaps = found.values[leader][name] - found.values[layer][name]
        gaps = gaps[~np.isnan(gaps)]
        rest = 1 - len(gaps) / len(task)
        if rest and not task.is_graded:
            gaps = np.append(gaps, -1.0)
        mean += gaps.mean() / found.unpruned[name]
        variance += rest * gaps.var(ddof=1) / len(gaps) / found.unpruned[name] ** 2
        freedom += len(gaps) - 1
    return variance > 0 and mean > stats.t.isf(alpha, freedom) * math.sqrt(variance)
