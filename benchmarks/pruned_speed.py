"""How much faster a model runs without some of its layers: prefill of prompts, and decoding token by token.

    python benchmarks/pruned_speed.py --model tiny --name base-tiny --dropped 1 2 3 4 --write measured/speed.csv
    python benchmarks/pruned_speed.py --model smollm2-shape --name base-smollm2 --dropped 1 3 6 9 --write ...

The report reads the file for its figure of what is lost for which speed-up. Which layers are dropped makes no
difference to the time, so the last ones are. All depths take turns in one process, so that a busy machine slows all.
"""

import argparse
import csv
import platform
import statistics
import subprocess
import time
from pathlib import Path

import torch

from orchard import paths
from orchard.models import surgery
from shapes import HELP, load

COLUMNS = "base layers dropped phase round seconds batch prompt_tokens new_tokens threads device commit".split()
WARM_UP = 2  # rounds that are not counted


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="tiny", help=HELP)
    parser.add_argument("--name", required=True, help="the base model of a study whose shape it is: base-tiny")
    parser.add_argument("--dropped", type=int, nargs="+", required=True, help="numbers of layers to go without")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--prompt", type=int, default=64, help="tokens of a prompt")
    parser.add_argument("--new", type=int, default=32, help="tokens to decode")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=1, help="CPU threads")
    parser.add_argument(
        "--write", type=Path, help=f"replaces the rows of this base in a CSV file; the report reads {paths.SPEEDS}"
    )
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    model, _ = load(chosen.model)
    rows = measure(model.eval(), chosen)
    print_table(rows)
    if chosen.write:
        write(chosen, rows, len(model.model.layers))


@torch.inference_mode()
def measure(model, chosen: argparse.Namespace) -> list[tuple[int, str, int, float]]:
    """Rows of layers dropped, phase, round and seconds."""
    layers, rows = len(model.model.layers), []
    prompts = torch.randint(4, model.config.vocab_size, (chosen.batch, chosen.prompt), device=model.device)
    for number in range(WARM_UP + chosen.rounds):
        for dropped in [0, *chosen.dropped][:: 1 if number % 2 else -1]:
            with surgery.without(model, range(layers - dropped, layers)):
                for phase, seconds in zip(("prefill", "decode"), timed(model, prompts, chosen.new), strict=True):
                    rows.append((dropped, phase, number - WARM_UP + 1, seconds))
    return [row for row in rows if row[2] > 0]


def timed(model, prompts: torch.Tensor, new: int) -> tuple[float, float]:
    """The seconds of reading the prompts, and of decoding so many tokens after them with a KV cache."""
    start = now()
    out = model(prompts, use_cache=True, logits_to_keep=1)
    middle = now()
    for _ in range(new):
        token = out.logits[:, -1:].argmax(-1)
        out = model(token, past_key_values=out.past_key_values, use_cache=True)
    return middle - start, now() - middle


def now() -> float:
    """The time, once the device has done all its work."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


def print_table(rows: list[tuple]) -> None:
    """Median milliseconds and the speed-up, by layers dropped and phase."""
    print(f"{'dropped':>8}{'phase':>9}{'ms':>10}{'speed-up':>10}")
    for dropped, phase in dict.fromkeys((row[0], row[1]) for row in sorted(rows)):
        middle, whole = (
            statistics.median(row[3] for row in rows if row[:2] == (count, phase)) for count in (dropped, 0)
        )
        print(f"{dropped:8}{phase:>9}{1e3 * middle:10.2f}{whole / middle:10.2f}")


def write(chosen: argparse.Namespace, rows: list[tuple], layers: int) -> None:
    """Replaces the rows of a base; those of other bases stay."""
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True).stdout
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else f"{platform.machine()} CPU"
    facts = [chosen.batch, chosen.prompt, chosen.new, chosen.threads, device, commit.strip()]
    others = []
    if chosen.write.is_file():
        with chosen.write.open(newline="") as lines:
            others = [row for row in list(csv.reader(lines))[1:] if row[0] != chosen.name]
    with chosen.write.open("w", newline="") as lines:
        table = csv.writer(lines, lineterminator="\n")
        table.writerow(COLUMNS)
        table.writerows(others)
        for dropped, phase, number, seconds in rows:
            table.writerow([chosen.name, layers, dropped, phase, number, f"{seconds:.6f}", *facts])


if __name__ == "__main__":
    main()
