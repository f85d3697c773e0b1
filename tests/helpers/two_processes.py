"""Trains with several objectives on the CPU, alone or as one of several processes, and saves what came out.

python -m tests.helpers.two_processes FOLDER
"""

import sys
from pathlib import Path

import torch

from tests.helpers.objectives import PEAR, make_trainer, objective, teacher_rows, train

GOALS = {"nll": objective(), "pear": objective("nll", PEAR), "kl-stored": objective("kl-stored")}

if __name__ == "__main__":
    folder = Path(sys.argv[1])
    torch.set_num_threads(1)
    for name, goal in GOALS.items():
        trainer = make_trainer(folder / "state", teacher_rows(80), goal, batch_size=8)
        found = train(trainer)
        if trainer.is_world_process_zero():
            torch.save(found, folder / f"{name}.pt")
