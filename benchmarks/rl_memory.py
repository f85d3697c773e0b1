"""The memory that a step of RL takes, by the parts that its rows are computed in.

    python benchmarks/rl_memory.py
    python benchmarks/rl_memory.py --model smollm2-shape --prompts 2 --tokens 128

Each line is a process of its own that takes two steps of the RL stage, with random prompts and rewards. It prints the
most memory over what the process had before the first step, which is weights and libraries. On a CPU that is the
process's memory, and on a GPU that of tensors.
"""

import argparse
import multiprocessing
import os
import random
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import torch
from transformers import TrainerCallback

from orchard import jsonl
from orchard.stages.rl import __main__ as rl
from orchard.study.schema.rl import Recipe
from orchard.tasks import generated, registry
from shapes import HELP, load

SAMPLES = 8


class Way(NamedTuple):
    """How a step is computed."""

    name: str
    settings: dict


class Peaks(NamedTuple):
    """What a process took.

    Attributes:
        at_rest: MiB before the first step.
        step: MiB more at the peak of the steps.
        seconds: of the second step.
    """

    at_rest: float
    step: float
    seconds: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="tiny", help=HELP)
    parser.add_argument("--prompts", type=int, default=16, help=f"prompts of a step, each with {SAMPLES} responses")
    parser.add_argument("--tokens", type=int, default=128, help="tokens of each response; none ends before")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads; the stage uses one")
    chosen = parser.parse_args()
    print(f"{chosen.model}, {chosen.prompts * SAMPLES} responses of {chosen.tokens} tokens a step")
    print(f"{'':44}{'at rest':>10}{'step, MiB more':>16}{'s a step':>10}")
    for way in ways(chosen.prompts * SAMPLES):
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            found = pool.apply(measure, (chosen, way.settings))
        print(f"{way.name:44}{found.at_rest:10.0f}{found.step:16.0f}{found.seconds:10.1f}", flush=True)


def ways(rows: int) -> list[Way]:
    """All rows at once, and in smaller and smaller parts, down to two rows."""
    few = {"rollout_batch_size": max(2, rows // 16)}
    smallest = {"accumulation": rows // 2}
    return [
        Way("all rows at once", {}),
        Way("all rows at once, gradient_checkpointing", {"gradient_checkpointing": True}),
        Way("accumulation 4", {"accumulation": 4}),
        Way("accumulation 16", {"accumulation": 16}),
        Way("accumulation 16, 1/16 sampled at a time", {"accumulation": 16} | few),
        Way("2 rows a part, 1/16 sampled at a time", smallest | few),
        Way("the same, with gradient_checkpointing", smallest | few | {"gradient_checkpointing": True}),
    ]


def measure(chosen: argparse.Namespace, settings: dict) -> Peaks:
    """Takes two steps in this process."""
    torch.set_num_threads(chosen.threads)
    model, tokenizer = load(chosen.model)
    recipe = Recipe(
        prompts="prompts.jsonl",
        seed=1,
        steps=2,
        prompts_per_step=chosen.prompts,
        samples_per_prompt=SAMPLES,
        max_new_tokens=chosen.tokens,
        learning_rate=1e-6,
        save_steps=10**6,
        **settings,
    )
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        items = generated.sample_items(random.Random(1), "prompts", chosen.prompts, {"calc": 1}, [3, 6])
        jsonl.write(Path(recipe.prompts), registry.stamped(items))
        trainer = rl.make_trainer(recipe, 1, model, tokenizer, Path("state"), "rl_memory")
        trainer.generation_config.eos_token_id = trainer.eos_token_ids = []  # so that each response has all its tokens
        trainer.reward_funcs = [lambda completions, **_: [float(hash(text) % 2) for text in completions]]
        watch = Watch()
        trainer.add_callback(watch)
        trainer.train()
    return Peaks(watch.at_rest, peak() - watch.at_rest, watch.seconds)


class Watch(TrainerCallback):
    """Notes the memory before the first step, and the time that the last one takes."""

    def on_train_begin(self, args, state, control, **kwargs):
        self.at_rest = peak()

    def on_step_begin(self, args, state, control, **kwargs):
        self.began = time.perf_counter()

    def on_step_end(self, args, state, control, **kwargs):
        self.seconds = time.perf_counter() - self.began


def peak() -> float:
    """The most MiB in use so far."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


if __name__ == "__main__":
    main()
