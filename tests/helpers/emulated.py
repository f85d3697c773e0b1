"""A study of a few steps with each kind of stage that computes, run in one process: here, or on a CPU that qemu plays.

An emulated CPU imports the libraries for a minute, so one process runs all stages, one after the other.

    python -m tests.helpers.emulated [SETTING...]

is that process, in a folder with the study. Each SETTING of portable arithmetic is left out.
"""

import contextlib
import hashlib
import json
import os
import runpy
import shlex
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from orchard import processes
from orchard.arithmetic import SETTINGS
from orchard.lineage import gate, graph
from orchard.study import load, params
from tests.helpers.project import ROOT

COMMANDS = "commands.json"
STUDY = """
extends: smoke
name: emulated
data:
  generate:
    mix: {items: 32, mix: {calc: null, brackets: null, fact: null, cmp: 1.0}}
    sft: {items: 8}
    rl: {items: 4, mix: {calc: null, cmp: 1.0}, steps: [1, 1]} # a guess is right now and then, so that RL learns
    held-in: {items: 8}
    calc: {items: 4}
    fact: {items: 4}
base:
  tiny: {seeds: [1], steps: 4, batch_size: 8, warmup_steps: 0, learning_rate: {rest: 3.0e-2}, model: {layers: 4}}
sft: {arms: {nll: null}, trainer: {batch_size: 4}}
rl: {recipes: {grpo: {steps: 1, prompts_per_step: 4, samples_per_prompt: 8, max_new_tokens: 1}}}
prune: {methods: [block-influence], calibration: {batch_size: 8}, selection: null}
recover:
  responses: {mixed: null, self: {max_new_tokens: 4, batch_size: 4}}
  budgets: {tokens: null, steps: {of: [self], amount: {epochs: 1}}}
  trainer: {batch_size: 8}
evaluate: {tasks: {calc: {samples: 2, max_new_tokens: 4}}}
report: {pear: null}
artifacts: {base: null, sft: null, rl: null, pruned: null}
"""
# What a machine's own settings would change, or this process has set for itself.
OWN = {*SETTINGS, "CUDA_VISIBLE_DEVICES", processes.COUNT}


class Run(NamedTuple):
    """The bits of a study's outputs.

    Attributes:
        folder: where they lie.
        hashes: SHA-256 of each file that its stages wrote, by path.
    """

    folder: Path
    hashes: dict[str, str]

    def differences(self, other: "Run") -> list[str]:
        """The files that one of two runs has with other bits, or alone."""
        both = {**self.hashes, **other.hashes}
        return sorted(name for name in both if self.hashes.get(name) != other.hashes.get(name))

    def has_learnt(self) -> bool:
        """Whether RL had rewards that differ, in some step of each of its runs."""
        records = [json.loads(file.read_text()) for file in self.folder.glob("results/models/rl-*/record.json")]
        return bool(records) and all(record["informative_steps"] for record in records)


def run(folder: Path, on: str | None = None, left_out: Iterable[str] = ()) -> Run:
    """Runs the study in a folder where it was made.

    Args:
        folder: where it works.
        on: qemu's name of a CPU; None: this machine's own.
        left_out: settings of portable arithmetic that are not made.
    """
    command = [*cpu(on), sys.executable if on is None else Path(sys.executable).resolve(), "-m", __name__, *left_out]
    log = folder / "log"
    with log.open("w") as stream:
        done = subprocess.run(command, cwd=folder, env=surroundings(), stdout=stream, stderr=stream)
    assert done.returncode == 0, log.read_text()[-3000:]
    wrote = [file for top in ("data", "results") for file in sorted((folder / top).rglob("*")) if file.is_file()]
    return Run(folder, {str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest() for file in wrote})


def make(folder: Path) -> Path:
    """Writes params.yaml, the stages' commands, and a link to the files from outside that they read."""
    config = folder / "config.yaml"
    config.write_text(STUDY)
    with contextlib.chdir(ROOT):
        study = load.load(config)
        with gate.repository({"no_scm": True}) as repo:
            stages = graph.fill_in(repo, graph.read(), params.tree(study))
    (folder / "params.yaml").write_text(params.text(study))
    (folder / COMMANDS).write_text(json.dumps([shlex.split(each.command)[2:] for each in stages.stages.values()]))
    (folder / "measured").symlink_to(ROOT / "measured")
    return folder


def cpu(name: str | None) -> list[str]:
    """How a command begins that runs on an emulated CPU."""
    return ["qemu-x86_64", "-cpu", name] if name else []


def surroundings(**changes: str) -> dict[str, str]:
    """The environment of a process that has none of this one's settings; qemu knows no virtual environment."""
    kept = {name: value for name, value in os.environ.items() if name not in OWN}
    return kept | {"PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT), *sys.path[1:]])} | changes


def main(left_out: list[str]) -> None:
    """Runs the commands one after the other in this process."""
    for name in left_out:
        del SETTINGS[name]
    for module, *arguments in json.loads(Path(COMMANDS).read_text()):
        start = time.process_time()
        sys.argv[:] = [module, *arguments]
        runpy.run_module(module, run_name="__main__")
        print(f"{time.process_time() - start:.1f} CPU s: {module} {arguments[:1]}", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
