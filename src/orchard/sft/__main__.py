"""Supervised finetuning of the base on the behaviour policy's data, with one objective and one seed.

    python -m orchard.sft OBJECTIVE SEED

The objective `none` is the control without SFT: its checkpoint is the base itself.
"""

import shutil
import sys

from orchard import stage


def main() -> None:
    objective, seed = sys.argv[1], int(sys.argv[2])
    settings = stage.params("sft")
    settings = {key: settings[key] for key in ("base", "data", "trainer")} | {
        "objective": settings["objectives"][objective]
    }
    stage.set_threads(1)
    base, data = f"results/models/{settings['base']}", f"data/behave/{settings['data']}.parquet"
    target = f"results/models/sft-{objective}-{seed}"
    with stage.output(target) as scratch, stage.resumable(target) as state:
        if settings["objective"]["loss"] == "none":
            shutil.copytree(base, scratch, ignore=shutil.ignore_patterns("record.json", ".snakemake_timestamp"))
        else:
            finetune(settings, seed, base, data, scratch, state, f"sft@{objective}-{seed}")
        stage.write_record(
            scratch, "sft", settings, [base, data], objective=objective, seed=seed, base=settings["base"]
        )


def finetune(settings: dict, seed: int, base: str, data: str, scratch, state, name: str) -> None:
    """Trains with the objective's trainer and saves the model to ``scratch``."""
    from orchard import models
    from orchard.sft.dataset import training_rows
    from orchard.sft.trainer import TRAINERS, BehaviorCollator
    from orchard.training import ProgressCallback, last_checkpoint, sft_arguments, steps_of

    tokenizer = models.load_tokenizer(base)
    rows = training_rows(data, tokenizer)
    common, objective = settings["trainer"], settings["objective"]
    trainer = TRAINERS[objective["loss"]](
        model=models.load_model(base),
        args=sft_arguments(common, objective["learning_rate"], seed, state),
        train_dataset=rows,
        data_collator=BehaviorCollator(pad_token_id=tokenizer.pad_token_id),
        processing_class=tokenizer,
        callbacks=[ProgressCallback(stage.Progress(name, steps_of(common, len(rows))))],
    )
    trainer.train(resume_from_checkpoint=last_checkpoint(state))
    models.save(trainer.model, tokenizer, scratch)


if __name__ == "__main__":
    stage.run(main)
