"""What every trainer here shares: arguments, adapters, progress, curves, the last checkpoint of an interrupted run."""

import json
import os
from pathlib import Path

import torch
from transformers import TrainerCallback
from transformers.models.auto.modeling_auto import AutoModelForCausalLM

from orchard import stage
from orchard.errors import UserError

# Times, which differ from run to run, and what the config says already.
NOT_IN_CURVES = ("runtime", "step_time", "per_second", "flos", "num_tokens", "epoch")
OPTIMIZER_STATE = {False: "optimizer.pt", True: "optimizer.bin"}  # transformers' names; True: under FSDP


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
        "logging_steps": 1,
    }


def sft_arguments(settings: dict, learning_rate: float, seed: int, state: Path, loss: str = "nll"):
    """TRL's arguments for finetuning on rows that are tokenized already, none cut, none packed.

    Args:
        settings: batch_size (of an optimizer step), accumulation (parts that it is computed in), epochs, schedule,
            warmup_steps, save_steps, gradient_checkpointing.
        learning_rate: the largest of the schedule.
        seed: of the order of the rows.
        state: folder of the resume state.
        loss: dft is TRL's own; any other is the trainer's business.
    """
    from trl import SFTConfig

    return SFTConfig(
        output_dir=str(state),
        loss_type="dft" if loss == "dft" else "nll",
        learning_rate=learning_rate,
        num_train_epochs=settings["epochs"],
        per_device_train_batch_size=own_share(settings["batch_size"] // settings["accumulation"]),
        gradient_accumulation_steps=settings["accumulation"],
        lr_scheduler_type=settings["schedule"],
        warmup_steps=settings["warmup_steps"],
        seed=seed,
        max_length=None,
        gradient_checkpointing=settings["gradient_checkpointing"],
        remove_unused_columns=False,
        dataset_kwargs={"skip_prepare_dataset": True},
        save_steps=settings["save_steps"],
        save_total_limit=1,
        **cpu_arguments(),
    )


def own_share(batch_size: int) -> int:
    """The part of a batch that each of the stage's processes works on: the batch of a step is that of one process.

    Raises:
        UserError: it cannot be split evenly.
    """
    processes = int(os.environ.get("WORLD_SIZE", "1"))
    if batch_size % processes:
        raise UserError(
            f"{batch_size} rows at a time on {processes} GPUs",
            "each GPU takes an equal part",
            "the batch of a step is the same on any number of GPUs, so that results can be compared",
            "give the job a number of GPUs that divides the batch size over the accumulation, or change these",
        )
    return batch_size // processes


def adapter(settings: dict | None):
    """PEFT's settings for LoRA on every linear map, or None for full finetuning.

    Raises:
        UserError: each process would have a share of the weights, into which no adapter can be merged.
    """
    if settings is None:
        return None
    refuse_shares("an adapter (lora)")
    from peft import LoraConfig

    return LoraConfig(
        r=settings["rank"],
        lora_alpha=settings["alpha"],
        lora_dropout=settings["dropout"],
        target_modules="all-linear",
        task_type="CAUSAL_LM",
    )


def finish(model):
    """The trained model with its adapter merged into its weights, if it has one."""
    return model.merge_and_unload() if hasattr(model, "merge_and_unload") else model


def refuse_shares(who: str) -> None:
    """Refuses a training for which each process needs the whole model, before it starts.

    Args:
        who: needs it.

    Raises:
        UserError: each process would have a share of the weights (FSDP).
    """
    if stage.holds_shares():
        raise UserError(
            f"parallel: fsdp, and {who}",
            f"{who} needs parallel: data, or a single GPU",
            "it works on whole matrices, and each process would have a share of them",
            "give this stage one GPU in the profile, or set parallel: data (no stage that is done runs again for it)",
        )


def train(trainer, state: Path) -> None:
    """Trains, going on from the last checkpoint; of several processes only the first comes back from here.

    Where each process held a share of the weights (FSDP), the trainer's model is a whole one on the CPU afterwards.

    Args:
        trainer: one of transformers or TRL.
        state: folder of the resume state.
    """
    if (checkpoint := last_checkpoint(state)) and stage.is_first():
        print(f"goes on from {checkpoint}", flush=True)
    trainer.train(resume_from_checkpoint=checkpoint)
    in_shares = stage.holds_shares()
    weights = trainer.accelerator.get_state_dict(trainer.model) if in_shares else None  # all processes take part
    stage.leave_to_first()
    if in_shares:
        trainer.model = AutoModelForCausalLM.from_config(trainer.model.config)
        trainer.model.load_state_dict(weights)


def steps_of(settings: dict, rows: int) -> int:
    """Optimizer steps of finetuning on so many rows."""
    return -(-rows // settings["batch_size"]) * settings["epochs"]


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
    optimizer = OPTIMIZER_STATE[stage.holds_shares()]
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
