"""What finetuning shares, by SFT and by recovery: TRL's arguments, the longest row, and adapters of low rank.

RL trains the same adapters.
"""

from collections.abc import Callable
from pathlib import Path

import torch
from peft import LoraConfig
from trl import SFTConfig

from orchard.errors import UserError, refuse_none
from orchard.models import folders
from orchard.models.training import (
    NOT_DONE_BY_TRL,
    machine_arguments,
    optimizer_arguments,
    per_process,
    refuse_shards,
)
from orchard.study.schema.common import Lora, MaxLength, Trainer

# What TRL's SFT trainer could do besides, and does not (as `orchard.models.training.NOT_DONE`). Rows come as tokens,
# with labels on the answer alone; packing is the collator's (`orchard.models.packing`).
NOT_DONE = NOT_DONE_BY_TRL | {
    "model_init_kwargs": None,
    "chat_template_path": None,
    "eos_token": None,
    "pad_token": None,
    "truncation_mode": "keep_start",
    "shuffle_dataset": False,
    "packing": False,
    "packing_strategy": "bfd",
    "padding_free": False,
    "completion_only_loss": None,
    "assistant_only_loss": False,
    "activation_offloading": False,
}


def sft_arguments(common: Trainer, epochs: int, learning_rate: float, seed: int, state: Path, loss: str = "nll"):
    """TRL's arguments for finetuning on rows that are tokenized already, none cut (`within`).

    Args:
        common: what all runs of the stage share.
        epochs: passes over the rows.
        learning_rate: the largest of the schedule.
        seed: of the order of the rows.
        state: folder of the resume state.
        loss: dft is TRL's own; any other is the trainer's business.
    """
    return SFTConfig(
        output_dir=str(state),
        loss_type="dft" if loss == "dft" else "nll",
        learning_rate=learning_rate,
        num_train_epochs=epochs,
        max_steps=-1,
        per_device_train_batch_size=per_process(common.batch_size // common.accumulation),
        gradient_accumulation_steps=common.accumulation,
        lr_scheduler_type=common.schedule,
        warmup_steps=common.warmup_steps,
        seed=seed,
        max_length=None,
        gradient_checkpointing=common.gradient_checkpointing,
        remove_unused_columns=False,
        dataset_kwargs={"skip_prepare_dataset": True},
        save_steps=common.save_steps,
        save_total_limit=1,
        **optimizer_arguments(common.optimizer),
        **machine_arguments(),
        **NOT_DONE,
    )


def within(
    rows: list[dict], limit: MaxLength | None, length: Callable[[dict], int], source: Path
) -> tuple[list[dict], int | None]:
    """The rows that are not longer than the longest allowed, and how many were left out; None where there is no limit.

    Args:
        rows: to learn from.
        limit: tokens of a row at most, and what becomes of longer rows.
        length: the tokens of a row.
        source: where the rows come from.

    Raises:
        UserError: a row is longer, and the limit says that this is refused; or no row is left.
    """
    if limit is None:
        return rows, None
    lengths = [length(row) for row in rows]
    kept = [row for row, tokens in zip(rows, lengths, strict=True) if tokens <= limit.tokens]
    if len(kept) < len(rows) and limit.beyond == "refuse":
        raise UserError(
            found=f"{source}: {len(rows) - len(kept)} of {len(rows)} rows are longer than max_length "
            f"({limit.tokens} tokens), the longest {max(lengths)}",
            rule="with beyond: refuse, no row is longer",
            why="what is left out, or cut, is not learnt: that is a choice",
            fix=f"set max_length.tokens to {max(lengths)} or more, or beyond: drop, which leaves such rows out and "
            "counts them",
        )
    refuse_none(len(kept), f"{source}: each of {len(rows)} rows is longer than max_length ({limit.tokens} tokens)",
                "set max_length.tokens to more")  # fmt: skip
    return kept, len(rows) - len(kept)


def adapter(lora: Lora | None) -> LoraConfig | None:
    """PEFT's settings for LoRA on every linear map, or None for full finetuning.

    Raises:
        UserError: each process would have a shard of the weights, into which no adapter can be merged.
    """
    if lora is None:
        return None
    refuse_shards("an adapter (lora)")
    return LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules="all-linear",
        task_type="CAUSAL_LM",
    )


def load_to_train(folder: Path, lora: Lora | None):
    """A model to finetune: in float32, since 16 bits lose small steps; below adapters in the type of its checkpoint."""
    return folders.load_model(folder, folders.dtype_of(folder) if lora else torch.float32)


def steps_of(rows: int, batch_size: int, epochs: int) -> int:
    """Optimizer steps of finetuning on so many rows."""
    return -(-rows // batch_size) * epochs
