"""What a round of the greedy layer search costs: exact and as a race, over writing and reading a model per candidate.

    python benchmarks/greedy_search.py --model tiny
    python benchmarks/greedy_search.py --model smollm2-shape --layers 12 --candidates 4 --items 12
    python benchmarks/greedy_search.py --model results/models/base-tiny --searches 50

The paper's authors merge each candidate to a model on disk by mergekit and load it; then items are scored one by one,
with the logits of all places. mergekit is no dependency: `pip install --no-deps mergekit==0.1.5` adds its rows. Without
it the same work is done with save_pretrained and from_pretrained. Levers of the exact search are switched off one by
one. Times are CPU seconds, so that other work on a shared machine does not count (with a GPU: seconds by the clock).
Every way starts from the unpruned scores, which are not timed.
"""

import argparse
import atexit
import contextlib
import copy
import dataclasses
import functools
import importlib.util
import itertools
import random
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import numpy as np
import torch

from orchard.models import folders, surgery
from orchard.stages.base.pretrain import make_tokenizer
from orchard.stages.search import candidates, greedy
from orchard.study.schema.prune import Racing, Selection, SelectionChoice, SelectionGeneration
from orchard.tasks import generated
from shapes import HELP, load

RACING = Racing(confidence=0.99, first=16, seed=1)
TARGETS = {"tiny": 5, "smollm2-shape": 3}  # ours: exact over reloading
RACE_TARGET = 10  # ours
# As long as those of the default study
RESPONSES = SelectionGeneration(kind="generation", items="unread.jsonl", seed=1, max_new_tokens=56)
clock = time.perf_counter if torch.cuda.is_available() else time.process_time


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="tiny", help=HELP)
    parser.add_argument("--items", type=int, default=100, help="of each task; the paper's 100")
    parser.add_argument("--batch", type=int, default=64, help="sequences per forward pass")
    parser.add_argument("--layers", type=int, help="layers of the model to keep, for an end in minutes")
    parser.add_argument("--candidates", type=int, help="layers to try, spread over the model; all if not given")
    parser.add_argument("--generation", action="store_true", help="chains of steps too; the model must be able to")
    parser.add_argument("--searches", type=int, help="instead: whole searches, exact and as races, on other items each")
    parser.add_argument("--count", type=int, default=2, help="layers that each of these searches drops")
    parser.add_argument("--repeat", type=int, default=1, help="times each round; the least time counts")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads; the stages use one")
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    model, tokenizer = load(chosen.model)
    model.eval()
    if chosen.layers:
        surgery.drop_layers(model, list(range(chosen.layers, len(model.model.layers))))
    if chosen.searches:
        compare_searches(chosen, model)
    else:
        time_round(chosen, model, tokenizer)


# Items


def make_tasks(chosen: argparse.Namespace, seed: int) -> dict[str, candidates.Likelihood | candidates.Generation]:
    """Selection items of orchard's own tasks, or, for SmolLM2's vocabulary, of random words."""
    rng, tokenizer, count = random.Random(seed), make_tokenizer(), chosen.items
    if chosen.model == "smollm2-shape":
        return {"choices": random_choices(rng, count), "answers": random_answers(rng, count)}
    tasks = {}
    for name in ("fact", "cmp"):
        rows = generated.sample_items(rng, "calibration", count, {name: 1.0}, [1, 1])
        pairs = [[encode(tokenizer, row, choice) for choice in row["choices"]] for row in rows]
        tasks[name] = candidates.Likelihood(pairs, [row["label"] for row in rows])
    rows = generated.sample_items(rng, "calibration", 2 * count, {"calc": 1.0}, [1, 5])
    responses = [[encode(tokenizer, row, generated.TASKS["calc"].respond(row, "A"))] for row in rows[count:]]
    tasks["work"] = candidates.Likelihood(responses, None)
    if chosen.generation:
        prompts = [tokenizer.encode(row["prompt"]) for row in rows[:count]]
        tasks["calc"] = candidates.Generation(prompts, rows[:count], RESPONSES, tokenizer)
    return tasks


def encode(tokenizer, row: dict, continuation: str) -> tuple[list[int], list[int]]:
    return candidates.encode_pair(tokenizer, row["prompt"], f" {continuation}")


def words(rng: random.Random, least: int, most: int) -> list[int]:
    return [rng.randrange(1000, 49152) for _ in range(rng.randint(least, most))]


def random_choices(rng: random.Random, count: int) -> candidates.Likelihood:
    """Prompts and choices about as long as those of HellaSwag."""
    prompts = [words(rng, 20, 80) for _ in range(count)]
    choices = [[(prompt, words(rng, 5, 30)) for _ in range(4)] for prompt in prompts]
    return candidates.Likelihood(choices, [rng.randrange(4) for _ in range(count)])


def random_answers(rng: random.Random, count: int) -> candidates.Likelihood:
    """Prompts and answers about as long as those of GSM8K."""
    return candidates.Likelihood([[(words(rng, 30, 100), words(rng, 40, 160))] for _ in range(count)], None)


# The authors' way


def reloaded(model, tokenizer, layer: int):
    """A candidate as a whole model, written and read."""
    pruned = copy.deepcopy(model)
    surgery.drop_layers(pruned, [layer])
    with tempfile.TemporaryDirectory() as folder:
        folders.save(pruned, tokenizer, Path(folder))
        return folders.load_model(folder)


def merged(model, tokenizer, layer: int):
    """A candidate as mergekit makes it: slices of the model in a folder, passed through to another one, and read."""
    from mergekit.config import MergeConfiguration
    from mergekit.merge import run_merge
    from mergekit.options import MergeOptions

    source, layers = source_folder(model, tokenizer), len(model.model.layers)
    ranges = [each for each in ([0, layer], [layer + 1, layers]) if each[0] < each[1]]
    slices = [{"sources": [{"model": str(source), "layer_range": each}]} for each in ranges]
    plan = {"merge_method": "passthrough", "dtype": "float32", "slices": slices}
    with tempfile.TemporaryDirectory() as folder:
        run_merge(MergeConfiguration.model_validate(plan), folder, MergeOptions(quiet=True))
        return folders.load_model(folder)


@functools.cache
def source_folder(model, tokenizer) -> Path:
    """The unpruned model as a folder, which stays until the process ends."""
    folder = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, folder)
    folders.save(model, tokenizer, folder)
    return folder


def reload_candidates(found: greedy.Round, tokenizer, values_of: Callable, candidate_of: Callable = reloaded) -> None:
    """A round in which each candidate is written, read and scored on all items."""
    for layer in found.alive:
        candidate = candidate_of(found.context.model, tokenizer, layer)
        for name in found.context.tasks:
            found.values[layer][name][:] = values_of(found.context, candidate, name)


@torch.inference_mode()
def plain_values(context: greedy.Context, model, name: str) -> list[float]:
    """The values of a task's items in their order; likelihoods from the logits of all places of padded texts."""
    task, found = context.tasks[name], []
    for _, numbers in in_given_order(context, name, range(len(task))):
        if isinstance(task, candidates.Generation):
            found += task.values(model, [], [None], numbers)[None]
            continue
        texts = [choice for number in numbers for choice in task.items[number]]
        rows = [torch.tensor([*prompt, *continuation]) for prompt, continuation in texts]
        ids = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True).to(model.device)
        mask = torch.nn.utils.rnn.pad_sequence([torch.ones_like(row) for row in rows], batch_first=True)
        logps = model(input_ids=ids, attention_mask=mask.to(model.device)).logits[:, :-1].float().log_softmax(-1)
        logps = logps.gather(-1, ids[:, 1:, None]).squeeze(-1).tolist()
        parts = [row[len(a) - 1 : len(a) + len(b) - 1] for (a, b), row in zip(texts, logps, strict=True)]
        found += task.values_of_logps(numbers, itertools.chain(*parts))
    return found


def batched_values(context: greedy.Context, model, name: str) -> np.ndarray:
    """The values of a task's items as the search scores them."""
    task = context.tasks[name]
    values = np.zeros(len(task))
    for _, numbers in context.batches(name, range(len(task))):
        values[numbers] = task.values(model, [], [None], numbers)[None]
    return values


def one_by_one(context: greedy.Context) -> greedy.Context:
    """The same with batches of one item."""
    return dataclasses.replace(context, batch_size=1)


# Levers, off


def head_at_all_places(model, state, rows, places, targets):
    logits = model(inputs_embeds=state, use_cache=False).logits.float().log_softmax(-1)
    return logits[rows, places, targets].tolist()


def in_given_order(self, name: str, numbers) -> list:
    sizes = max(1, self.batch_size // self.tasks[name].texts(0))
    numbers = list(numbers)
    return [(name, numbers[n : n + sizes]) for n in range(0, len(numbers), sizes)]


LEVERS_OFF = {
    "shared lower layers": (candidates.Likelihood, "groups", lambda self, candidates, *_: [[c] for c in candidates]),
    "candidates side by side": (candidates, "LAYER_TOKENS", 1),
    "head at scored places": (candidates, "_head", head_at_all_places),
    "batches of like length": (greedy.Context, "batches", in_given_order),
    "beginnings of choices read once": (candidates, "beginning", lambda texts: ()),
    "early stop": (greedy.Round, "eliminate", lambda self: None),
}


def selection(chosen: argparse.Namespace, racing: Racing | None = None) -> Selection:
    """How to search; the tasks that a config names are given as items here."""
    named = {"any": SelectionChoice(kind="choice", items="unread.jsonl")}
    return Selection(batch_size=chosen.batch, racing=racing, tasks=named)


# One round


def time_round(chosen: argparse.Namespace, model, tokenizer) -> None:
    """Times one round each way and prints a table."""
    tasks = make_tasks(chosen, 1)
    unpruned = greedy.score_unpruned(greedy.Context(model, tasks, chosen.batch, lambda what, work_out: work_out()))
    print(f"{chosen.model}: unpruned", {name: round(score, 3) for name, score in unpruned.items()})

    def exact(found: greedy.Round) -> None:
        greedy.exact_round(found, {})

    def item_by_item(context: greedy.Context, candidate, name: str) -> list[float]:
        return plain_values(one_by_one(context), candidate, name)

    def reload(values_of: Callable, candidate_of: Callable = reloaded) -> tuple[Callable, None]:
        return lambda found: reload_candidates(found, tokenizer, values_of, candidate_of), None

    ways = {
        "warm-up": (exact, None),
        "exact": (exact, None),
        "race": (lambda found: greedy.racing_round(found, RACING), None),
        "exact, but reloaded": reload(batched_values),
        **{f"exact, no {lever}": (exact, change) for lever, change in LEVERS_OFF.items()},
        "reload, same batches": reload(plain_values),
        "reload, item by item": reload(item_by_item),
    }
    if importlib.util.find_spec("mergekit"):
        ways["mergekit, same batches"] = reload(plain_values, merged)
        ways["mergekit, item by item"] = reload(item_by_item, merged)
    print(f"{'':44}{'CPU s':>10}{'exact = 1':>11}{'drops':>7}{'score':>9}")
    exact_seconds = None
    for name, (run, change) in ways.items():
        timed = [time_way(chosen, model, tasks, unpruned, run, change) for _ in range(chosen.repeat)]
        found, seconds = min(timed, key=lambda each: each[1])
        exact_seconds = seconds if name in ("warm-up", "exact") else exact_seconds
        best = found.leader()
        print(f"{name:44}{seconds:10.2f}{seconds / exact_seconds:11.2f}{best:7}{found.bound(best, 0):9.5f}", flush=True)
    if chosen.model in TARGETS:
        print(
            f"target: reloading item by item at least {TARGETS[chosen.model]} times exact, {RACE_TARGET} times a race"
        )


def time_way(chosen, model, tasks: dict, unpruned: dict, run: Callable, change: tuple | None):
    """A round that was run, and its seconds; the search's own writing of scores to disk is counted."""
    with tempfile.TemporaryDirectory() as folder:
        remember = greedy.memory(Path(folder), model, tasks, selection(chosen))
        found = greedy.Round(greedy.Context(model, tasks, chosen.batch, remember), [], unpruned, lambda done: None)
        if chosen.candidates:
            found.alive = spread(found.alive, chosen.candidates)
            found.values = {layer: found.values[layer] for layer in found.alive}
        with mock.patch.object(*change) if change else contextlib.nullcontext():
            start = clock()
            run(found)
            return found, clock() - start


def spread(layers: list[int], count: int) -> list[int]:
    """Some layers, from the first to the last."""
    return [layers[round(n * (len(layers) - 1) / (count - 1))] for n in range(count)]


# Whole searches


def compare_searches(chosen: argparse.Namespace, model) -> None:
    """Counts the searches that drop the same layers, exact and as races, each pair on items of its own."""
    same, scored, seconds = 0, {}, {"exact": 0.0, "race": 0.0}
    for seed in range(1, chosen.searches + 1):
        tasks, dropped = make_tasks(chosen, seed), {}
        for name, racing in (("exact", None), ("race", RACING.model_copy(update={"seed": seed}))):
            with tempfile.TemporaryDirectory() as folder:
                start = clock()
                found = greedy.search(model, tasks, chosen.count, selection(chosen, racing), Path(folder), Silent())
                seconds[name] += clock() - start
            dropped[name] = found.dropped
            scored[name] = scored.get(name, 0) + sum(each.items for round in found.rounds for each in round.values())
        same += dropped["exact"] == dropped["race"]
        print(seed, dropped, flush=True)
    print(f"{same} of {chosen.searches} races drop what the exact search drops")
    print(
        f"a race scores {scored['race'] / scored['exact']:.2f} of its items "
        f"and takes {seconds['race'] / seconds['exact']:.2f} of its time"
    )


class Silent:
    """A progress that nobody reads."""

    def step(self, done: int) -> None:
        pass


if __name__ == "__main__":
    main()
