"""What PEAR's weights cost: the time and memory of a training step over those of plain NLL on the same batch.

    python benchmarks/pear_step.py --model tiny
    python benchmarks/pear_step.py --model results/models/base-tiny --write measured/step_times.csv

The report shows the second file's times beside claim P9 where they are of a base of its study. Two trainers of the SFT
stage, on copies of one model, take turns in one process, so that a busy machine slows both.
"""

import argparse
import copy
import csv
import multiprocessing
import platform
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from datasets import Dataset

from orchard import paths
from orchard.models.finetuning import sft_arguments
from orchard.stages.sft.trainer import BehaviorCollator, ObjectiveTrainer
from orchard.study.schema.sft import Objective, PearWeights, SftTrainer
from shapes import HELP, load

LEARNING_RATE = 1e-4
OBJECTIVES = {
    "nll": Objective(loss="nll", learning_rate=LEARNING_RATE),
    "pear": Objective(loss="nll", weights=PearWeights(kind="pear", form="token"), learning_rate=LEARNING_RATE),
}
TARGETS = {"tiny": 1.05, "smollm2-shape": 1.02}  # ours: P9 says that the step time is about that of SFT
WARM_UP = 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="tiny", help=HELP)
    parser.add_argument("--steps", type=int, default=30, help="measured steps of each objective")
    parser.add_argument("--batch", type=int, default=32, help="rows")
    parser.add_argument("--length", type=int, default=60, help="tokens of the longest row, a quarter of them prompt")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads; the stages use one")
    parser.add_argument("--write", type=Path, help=f"a CSV file; the report reads {paths.STEP_TIMES}")
    chosen = parser.parse_args()
    peaks = {name: peak_memory(chosen, name) for name in OBJECTIVES}
    taken = measure(steppers(chosen, list(OBJECTIVES)), chosen.steps)
    print_table(chosen.model, {name: statistics.median(seconds) for name, seconds in taken.items()}, peaks)
    if chosen.write:
        write(chosen.write, chosen, taken)


def steppers(chosen: argparse.Namespace, names: list[str]) -> dict[str, Callable[[], None]]:
    """The step functions of some objectives, on copies of one model and on the same rows."""
    torch.set_num_threads(chosen.threads)
    model, tokenizer = load(chosen.model)
    rows = random_rows(chosen.batch, chosen.length, model.config.vocab_size)
    return {name: stepper(copy.deepcopy(model), tokenizer, rows, OBJECTIVES[name]) for name in names}


def random_rows(count: int, length: int, vocabulary: int) -> list[dict]:
    """Rows as the SFT stage reads them, of three quarters to the whole of ``length``; log-probs are invented."""
    rng, rows = random.Random(0), []
    for _ in range(count):
        prompt, completion = length // 4, rng.randint(length // 2, length - length // 4)
        ids = [rng.randrange(vocabulary) for _ in range(prompt + completion)]
        logps = [0.0] * prompt + [-rng.random() for _ in range(completion)]
        rows.append({"input_ids": ids, "labels": [-100] * prompt + ids[prompt:], "behavior_logps": logps})
    return rows


def stepper(model, tokenizer, rows: list[dict], objective: Objective) -> Callable[[], None]:
    """A function that takes one training step of the SFT stage's trainer on the rows: loss, gradients, optimizer."""
    common = SftTrainer(batch_size=len(rows), schedule="constant", epochs=1)
    collator = BehaviorCollator(pad_token_id=tokenizer.pad_token_id)
    trainer = ObjectiveTrainer(
        model=model,
        objective=objective,
        args=sft_arguments(common, 1, LEARNING_RATE, 1, Path(tempfile.gettempdir()) / "pear_step"),
        train_dataset=Dataset.from_list(rows),
        data_collator=collator,
        processing_class=tokenizer,
    )
    trainer.create_optimizer()
    batch = collator(rows)
    tokens = (batch["labels"][:, 1:] != -100).sum().to(trainer.args.device)

    def step() -> None:
        trainer.training_step(trainer.model, dict(batch), tokens)
        trainer.optimizer.step()
        trainer.optimizer.zero_grad()
        trainer._metrics["train"].clear()  # as logging does at each step

    return step


def measure(steps: dict[str, Callable], count: int) -> dict[str, list[float]]:
    """The seconds of each kind of step; they take turns, and turns at being first."""
    taken = {name: [] for name in steps}
    for number in range(WARM_UP + count):
        for name in list(steps)[:: 1 if number % 2 else -1]:
            start = time.perf_counter()
            steps[name]()
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            if number >= WARM_UP:
                taken[name].append(time.perf_counter() - start)
    return taken


def write(file: Path, chosen: argparse.Namespace, taken: dict[str, list[float]]) -> None:
    """Writes a row per pair of steps: their seconds, and what was measured with which code on what."""
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True).stdout
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else f"{platform.machine()} CPU"
    facts = [Path(chosen.model).name, chosen.batch, chosen.threads, device, commit.strip()]
    with file.open("w", newline="") as lines:
        rows = csv.writer(lines, lineterminator="\n")
        rows.writerow(["step", *(f"{name}_seconds" for name in taken), "model", "batch", "threads", "device", "commit"])
        for number, seconds in enumerate(zip(*taken.values(), strict=True), start=1):
            rows.writerow([number, *(f"{value:.6f}" for value in seconds), *facts])


def peak_memory(chosen: argparse.Namespace, name: str) -> float:
    """The most MiB in use (CPU: by the process, GPU: by tensors) of one kind of steps, in a process of its own."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_peak_memory, (chosen, name))


def _peak_memory(chosen: argparse.Namespace, name: str) -> float:
    (step,) = steppers(chosen, [name]).values()
    for _ in range(WARM_UP):
        step()
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def print_table(model: str, seconds: dict[str, float], peaks: dict[str, float]) -> None:
    """Step times and memory, and PEAR's ratios to NLL."""
    print(f"{model}\n{'':12}{'ms a step':>12}{'peak MiB':>12}")
    for name in seconds:
        print(f"{name:12}{seconds[name] * 1e3:12.2f}{peaks[name]:12.1f}")
    print(f"{'ratio':12}{seconds['pear'] / seconds['nll']:12.3f}{peaks['pear'] / peaks['nll']:12.3f}")
    if model in TARGETS:
        print(f"target: time ratio ≤ {TARGETS[model]}")


if __name__ == "__main__":
    main()
