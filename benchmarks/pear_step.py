"""What PEAR's weights cost: the time and memory of a training step over those of plain NLL on the same batch.

    python benchmarks/pear_step.py --model tiny
    python benchmarks/pear_step.py --model smollm2-shape --batch 4 --threads 2 --write docs/pear/step_times.csv

The report reads the second file for claim P9. Two trainers of the SFT stage, on copies of one model, take turns in one
process, so that a busy machine slows both.
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
from transformers.models.llama import LlamaConfig, LlamaForCausalLM

from orchard.models import folders as models
from orchard.stages.base.pretrain import make_tokenizer
from orchard.stages.sft.trainer import BehaviorCollator, ObjectiveTrainer
from orchard.models.training import sft_arguments

TINY = {"num_hidden_layers": 8, "hidden_size": 64, "intermediate_size": 160, "num_attention_heads": 4}  # default study
SMOLLM2 = {"num_hidden_layers": 30, "hidden_size": 576, "intermediate_size": 1536, "num_attention_heads": 9,
           "num_key_value_heads": 3, "vocab_size": 49152}  # fmt: skip  # SmolLM2-135M's config.json
PEAR = {"kind": "pear", "form": "token", "block": None, "gamma": 0.999, "clip": [-0.08, 0.3],
        "log_weight_clip": [-10.0, 5.0], "shuffle": None, "normalize": False}  # fmt: skip
WEIGHTS = {"nll": None, "pear": PEAR}
TARGETS = {"tiny": 1.05, "smollm2-shape": 1.02}  # ours: P9 says that the step time is about that of SFT
WARM_UP = 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="tiny", help="tiny, smollm2-shape (random weights), or a model folder")
    parser.add_argument("--steps", type=int, default=30, help="measured steps of each objective")
    parser.add_argument("--batch", type=int, default=32, help="rows")
    parser.add_argument("--length", type=int, default=60, help="tokens of the longest row, a quarter of them prompt")
    parser.add_argument("--threads", type=int, default=1, help="CPU threads; the stages use one")
    parser.add_argument("--write", type=Path, help="CSV file for the seconds of each step")
    chosen = parser.parse_args()
    peaks = {name: peak_memory(chosen, name) for name in WEIGHTS}
    taken = measure(steppers(chosen, list(WEIGHTS)), chosen.steps)
    print_table(chosen.model, {name: statistics.median(seconds) for name, seconds in taken.items()}, peaks)
    if chosen.write:
        write(chosen.write, chosen, taken)


def steppers(chosen: argparse.Namespace, names: list[str]) -> dict[str, Callable[[], None]]:
    """The step functions of some objectives, on copies of one model and on the same rows."""
    torch.set_num_threads(chosen.threads)
    model, tokenizer = load(chosen.model)
    rows = random_rows(chosen.batch, chosen.length, model.config.vocab_size)
    return {name: stepper(copy.deepcopy(model), tokenizer, rows, WEIGHTS[name]) for name in names}


def load(name: str):
    """A model and a tokenizer (which only names the padding here); random weights for the two sizes that are known."""
    if name not in ("tiny", "smollm2-shape"):
        return models.load_model(name), models.load_tokenizer(name)
    tokenizer = make_tokenizer()
    shape = {"vocab_size": len(tokenizer), "tie_word_embeddings": True} | (TINY if name == "tiny" else SMOLLM2)
    torch.manual_seed(0)
    model = LlamaForCausalLM(LlamaConfig(**shape, pad_token_id=tokenizer.pad_token_id))
    return model.to("cuda" if torch.cuda.is_available() else "cpu"), tokenizer


def random_rows(count: int, length: int, vocabulary: int) -> list[dict]:
    """Rows as orchard.sft.dataset gives them, of three quarters to the whole of ``length``; log-probs are invented."""
    rng, rows = random.Random(0), []
    for _ in range(count):
        prompt, completion = length // 4, rng.randint(length // 2, length - length // 4)
        ids = [rng.randrange(vocabulary) for _ in range(prompt + completion)]
        logps = [0.0] * prompt + [-rng.random() for _ in range(completion)]
        rows.append({"input_ids": ids, "labels": [-100] * prompt + ids[prompt:], "behavior_logps": logps})
    return rows


def stepper(model, tokenizer, rows: list[dict], weights: dict | None) -> Callable[[], None]:
    """A function that takes one training step of the SFT stage's trainer on the rows: loss, gradients, optimizer."""
    settings = {"batch_size": len(rows), "accumulation": 1, "gradient_checkpointing": False, "epochs": 1,
                "schedule": "constant", "warmup_steps": 0, "save_steps": 500}  # fmt: skip
    collator = BehaviorCollator(pad_token_id=tokenizer.pad_token_id)
    trainer = ObjectiveTrainer(
        model=model,
        objective={"loss": "nll", "weights": weights},
        args=sft_arguments(settings, 1e-4, 1, Path(tempfile.gettempdir()) / "pear_step"),
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
    """Writes a row a pair of steps: their seconds, and what was measured with which code on what."""
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True).stdout
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else f"{platform.machine()} CPU"
    facts = [chosen.model, chosen.batch, chosen.threads, device, commit.strip()]
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
