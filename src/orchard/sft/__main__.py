"""Supervised finetuning of a base on a behaviour policy's data, with one objective and one seed.

    python -m orchard.sft ARM SEED

An arm is an objective, a base and a policy's data. The objective `none` is the control without SFT: its checkpoint is
the base itself.
"""

import math
import shutil
import sys
from pathlib import Path

from orchard import stage

SCORED = (
    500  # rows that tell how far the data are from the base: ours, a mean log-ratio within a few hundredths of a nat
)

ENDS = 0.1  # the share of the steps that stands for the beginning of training, and for its end


def main() -> None:
    arm, seed = sys.argv[1], int(sys.argv[2])
    settings = stage.params("sft")
    facts = {"arm": arm, "seed": seed} | settings["arms"][arm]
    settings = {"trainer": settings["trainer"], "objective": settings["objectives"][facts["objective"]]}
    stage.set_threads(1)
    from orchard import card

    base, data = f"results/models/{facts['base']}", f"data/behave/{facts['data']}"
    target = f"results/models/sft-{arm}-{seed}"
    with stage.output(target) as scratch, stage.resumable(target) as state:
        if settings["objective"]["loss"] == "none":
            left_out = shutil.ignore_patterns("record.json", card.FILE, ".snakemake_timestamp")
            shutil.copytree(base, scratch, ignore=left_out)
        else:
            facts["learnt"] = finetune(settings, seed, base, data, scratch, state, f"sft@{arm}-{seed}")
        facts |= card.lineage(made(facts), base)
        stage.write_record(scratch, "sft", settings, [base, data], **facts)
        card.write(scratch, f"sft-{arm}-{seed}")


def made(facts: dict) -> str:
    """What SFT did, for the card."""
    if facts["objective"] == "none":
        return "left as it is: the control without SFT"
    return f"finetuned with objective {facts['objective']} on the data of {facts['data']}, seed {facts['seed']}"


def finetune(settings: dict, seed: int, base: str, data: str, scratch: Path, state: Path, name: str) -> dict:
    """Trains with the objective, saves the model and its curve to ``scratch``; returns facts of what it learnt from."""
    from orchard import models
    from orchard.sft import dataset
    from orchard.sft.trainer import BehaviorCollator, ObjectiveTrainer
    from orchard.training import ProgressCallback, adapter, curve, finish, sft_arguments, steps_of, train

    objective, common = settings["objective"], settings["trainer"]
    model, tokenizer = models.load_model(base), models.load_tokenizer(base)
    rows = dataset.read_rows(f"{data}/rows.parquet", tokenizer)
    kept, learnt = choose_rows(rows, model, tokenizer, objective["select"])
    trainer = ObjectiveTrainer(
        model=model,
        objective=objective,
        behavior_model=models.load_model(f"{data}/policy") if objective["loss"] == "kl-live" else None,
        args=sft_arguments(common, objective["learning_rate"], seed, state, objective["loss"]),
        train_dataset=dataset.examples(kept, with_top=objective["loss"] == "kl-stored"),
        data_collator=BehaviorCollator(pad_token_id=tokenizer.pad_token_id),
        processing_class=tokenizer,
        peft_config=adapter(common["lora"]),
        callbacks=[ProgressCallback(stage.Progress(name, steps_of(common, len(kept))))],
    )
    train(trainer, state)
    models.save(finish(trainer.model), tokenizer, scratch)
    steps = curve(trainer.state.log_history, "loss")
    stage.write_jsonl(scratch / "curve.jsonl", steps)
    is_pear = objective["weights"] and objective["weights"]["kind"] == "pear"
    return learnt | ({"weights": course_of_weights(steps)} if is_pear else {})


def choose_rows(rows: list[dict], model, tokenizer, rule: dict | None) -> tuple[list[dict], dict]:
    """The rows that an objective learns from, and facts of how far the data are from the model that starts on them."""
    from orchard import likelihood
    from orchard.sft import dataset

    by_likelihood = rule is not None and rule["kind"] == "likelihood"
    scored = rows if by_likelihood else rows[:: -(-len(rows) // SCORED)]
    start_logps = likelihood.completion_logps(model, scored, tokenizer.pad_token_id)
    kept = dataset.select(rows, rule, start_logps)
    return kept, {"rows": len(kept), "of_rows": len(rows), **likelihood.summary(scored, start_logps)}


def course_of_weights(steps: list[dict]) -> dict[str, dict]:
    """PEAR's weights at the beginning of training and at its end, each the mean over a tenth of the steps.

    Args:
        steps: what the trainer logged at each step: ``pear/<name>``.

    Returns:
        For ``early`` and ``late``: mean, ess_share, floor_share and cap_share (see `orchard.sft.pear.Diagnostics`),
        and ``parts``, the mean weight in each tenth of the completion, first to last; null where none had a token.
    """
    count = math.ceil(len(steps) * ENDS)
    return {"early": mean_weights(steps[:count]), "late": mean_weights(steps[-count:])}


def mean_weights(steps: list[dict]) -> dict:
    """The means over some steps; see `course_of_weights`."""
    from orchard.sft.weights import PARTS

    def mean(name: str) -> float | None:
        values = [step[f"pear/{name}"] for step in steps if not math.isnan(step[f"pear/{name}"])]
        return math.fsum(values) / len(values) if values else None

    told = {name: mean(name) for name in ("mean", "ess_share", "floor_share", "cap_share")}
    return told | {"parts": [mean(f"weight_part_{number}") for number in range(PARTS)]}


if __name__ == "__main__":
    stage.run(main, parallel=True)
