"""What every trainer here shares: arguments, progress, curves, the last checkpoint of an interrupted run."""

import json
import os
from pathlib import Path

import torch
from transformers import TrainerCallback
from transformers.models.auto.modeling_auto import AutoModelForCausalLM

from orchard import processes
from orchard.errors import UserError, refuse_none
from orchard.models.checkpoint import refuse_unfit_state
from orchard.study.schema.common import Optimizer

# Times, which differ from run to run, and what the config says already.
NOT_IN_CURVES = ("runtime", "step_time", "per_second", "flos", "num_tokens", "epoch")
OPTIMIZER_STATE = {False: "optimizer.pt", True: "optimizer.bin"}  # transformers' names; True: under FSDP


# What a trainer of transformers could do besides, and does not. It is named, so that a library which comes to do so by
# default changes no result.
NOT_DONE = {
    "lr_scheduler_kwargs": None,
    "optim_args": None,
    "optim_target_modules": None,
    "average_tokens_across_devices": True,
    "label_smoothing_factor": 0.0,
    "neftune_noise_alpha": None,
    "fp16": False,
    "tf32": None,
    "torch_compile": False,
    "torch_compile_backend": None,
    "torch_compile_mode": None,
    "use_liger_kernel": False,
    "liger_kernel_config": None,
    "auto_find_batch_size": False,
    "full_determinism": False,
    "data_seed": None,
    "train_sampling_strategy": "random",
    "dataloader_drop_last": False,
    "dataloader_num_workers": 0,
    "ignore_data_skip": False,
    "load_best_model_at_end": False,
}
# The same of every trainer of TRL.
NOT_DONE_BY_TRL = {
    "trust_remote_code": False,
    "router_aux_loss_coef": None,
    "pad_to_multiple_of": None,
}


def optimizer_arguments(optimizer: Optimizer) -> dict:
    """A trainer's arguments for AdamW and gradient clipping."""
    first, second = optimizer.betas
    return {
        "adam_beta1": first,
        "adam_beta2": second,
        "adam_epsilon": optimizer.epsilon,
        "weight_decay": optimizer.weight_decay,
        "max_grad_norm": optimizer.max_gradient_norm,
    }


def machine_arguments() -> dict:
    """Trainer arguments that do not belong to a method: where to compute, what not to report."""
    on_cpu = not torch.cuda.is_available()
    return {
        "use_cpu": on_cpu,
        "bf16": not on_cpu,
        "dataloader_pin_memory": not on_cpu,
        "optim": "adamw_torch_fused",
        **NOT_DONE,
        "report_to": [],
        "disable_tqdm": True,
        "logging_steps": 1,
    }


def per_process(batch_size: int) -> int:
    """The share of a batch that each of the stage's processes works on: the batch of a step is the same on any number.

    Raises:
        UserError: it cannot be split evenly.
    """
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    if batch_size % processes:
        raise UserError(
            found=f"{batch_size} rows at a time on {processes} GPUs",
            rule="each GPU takes an equal part",
            why="the batch of a step is the same on any number of GPUs, so that results can be compared",
            fix="give the job a number of GPUs that divides the batch size over the accumulation, or change these",
        )
    return batch_size // processes


def refuse_shards(needing: str) -> None:
    """Refuses a training for which each process needs the whole model, before it starts.

    Args:
        needing: what needs it.

    Raises:
        UserError: each process would have a shard of the weights (FSDP).
    """
    if processes.is_sharded():
        raise UserError(
            found=f"parallel: fsdp, and {needing}",
            rule=f"{needing} needs parallel: data, or a single GPU",
            why="it works on whole matrices, and each process would have a shard of them",
            fix="set parallel: data for this family of stages (no finished stage runs again), or give this stage one "
            "GPU in the profile",
        )


def train(trainer, state: Path) -> int:
    """Trains, going on from the last checkpoint; of several processes only the first comes back from here.

    Where each process held a shard of the weights (FSDP), the trainer's model is a whole one on the CPU afterwards,
    which can be saved.

    Args:
        trainer: one of transformers or TRL.
        state: folder of the resume state.

    Returns:
        The optimizer steps that were taken, before a kill and after it.

    Raises:
        UserError: none was taken, or the learning rate was 0 at each.
    """
    if (checkpoint := last_checkpoint(state)) and processes.is_first():
        print(f"goes on from {checkpoint}", flush=True)
    if checkpoint and not processes.is_sharded():
        refuse_unfit_state(Path(checkpoint), trainer.model)
    trainer.train(resume_from_checkpoint=checkpoint)
    is_sharded = processes.is_sharded()
    weights = trainer.accelerator.get_state_dict(trainer.model) if is_sharded else None  # all processes take part
    processes.leave_to_first()
    if is_sharded:
        trainer.model = whole_model(trainer.model, weights)
    return steps_with_a_rate(trainer)


def whole_model(model, weights: dict[str, torch.Tensor]):
    """A model to be saved, of the weights that were gathered; they are not copied.

    Args:
        model: of which this process has a shard.
        weights: all of them, by name.
    """
    with torch.device("meta"):
        whole = AutoModelForCausalLM.from_config(model.config, trust_remote_code=False)
    whole.generation_config = model.generation_config
    whole.load_state_dict(weights, assign=True)
    whole.tie_weights()
    return whole


def steps_with_a_rate(trainer) -> int:
    """The steps that a trainer took, if they could change anything."""
    steps = trainer.state.global_step
    refuse_none(steps, "the training took no optimizer step", "give it more rows, or take fewer of them a step")
    # A rate that rises in n steps is 0 at the first of them.
    moving = steps - (trainer.args.get_warmup_steps(steps) > 0)
    fix = "set warmup_steps: 0, or train for more steps"
    refuse_none(moving, "the training took one step, which warmup_steps gave a learning rate of 0", fix)
    return steps


def curve(history: list[dict], key: str) -> list[dict]:
    """What a trainer logged at each step that has ``key``; no times, which would differ from run to run.

    Names are in alphabetic order, as in a checkpoint's log, so that a resumed run writes the same bytes.
    """
    return [
        {name: row[name] for name in sorted(row) if not any(word in name for word in NOT_IN_CURVES)}
        for row in history
        if key in row
    ]


def last_checkpoint(state: Path) -> str | None:
    """The newest whole checkpoint of the resume state, or None at a fresh start.

    A kill may leave a checkpoint half written. The trainer writes trainer_state.json last, so one in which this file is
    missing or cut is passed over; the trainer writes it anew when it gets there. So is one that was written under the
    other setting of ``parallel``, whose optimizer state cannot be read.
    """
    optimizer = OPTIMIZER_STATE[processes.is_sharded()]
    whole = [
        folder
        for folder in state.glob("checkpoint-*")
        if _is_whole(folder / "trainer_state.json") and (folder / optimizer).is_file()
    ]
    return str(max(whole, key=lambda folder: int(folder.name.removeprefix("checkpoint-")))) if whole else None


def _is_whole(file: Path) -> bool:
    try:
        return bool(json.loads(file.read_text()))
    except (OSError, ValueError):
        return False


class ProgressCallback(TrainerCallback):
    """Reports a stage's progress after each step."""

    def __init__(self, progress: processes.Progress):
        self.progress = progress

    def on_step_end(self, args, state, control, **kwargs):
        self.progress.step(state.global_step)
