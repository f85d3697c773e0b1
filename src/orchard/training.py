"""What every trainer here shares: arguments for a CPU run, progress, the last checkpoint of an interrupted run."""

from pathlib import Path

import torch
from transformers import TrainerCallback
from transformers.trainer_utils import get_last_checkpoint

from orchard import stage


def cpu_arguments() -> dict:
    """Trainer arguments that do not belong to a method: where to compute, what not to report."""
    on_cpu = not torch.cuda.is_available()
    return {
        "use_cpu": on_cpu,
        "bf16": not on_cpu,
        "dataloader_pin_memory": not on_cpu,
        "optim": "adamw_torch_fused",
        "report_to": [],
        "disable_tqdm": True,
        "logging_steps": 20,
    }


def last_checkpoint(state: Path) -> str | None:
    """The newest checkpoint of the resume state, or None at a fresh start."""
    return get_last_checkpoint(str(state))


def answer_example(row: dict, tokenizer) -> dict:
    """Token ids of prompt, response and EOS; labels are −100 on the prompt, which does not count in the loss."""
    prompt = tokenizer(row["prompt"])["input_ids"]
    response = tokenizer(f" {row['response']}" + tokenizer.eos_token, add_special_tokens=False)["input_ids"]
    return {"input_ids": prompt + response, "labels": [-100] * len(prompt) + response}


class ProgressCallback(TrainerCallback):
    """Tells a stage's progress after each step."""

    def __init__(self, progress: stage.Progress):
        self.progress = progress

    def on_step_end(self, args, state, control, **kwargs):
        self.progress.step(state.global_step)
