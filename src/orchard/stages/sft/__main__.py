"""Supervised finetuning of a replicate of a base on a behaviour policy's data, with one objective.

    python -m orchard.stages.sft NAME --arm ARM --objective OBJECTIVE --base MODEL --data POLICY --seed SEED --draw DRAW

The objective `none` is the control without SFT: its checkpoint is the base itself.
"""

import math
import shutil
from pathlib import Path

from orchard import jsonl, paths
from orchard.models import card, folders, likelihood, loading, packing, prompts, record
from orchard.models.finetuning import adapter, load_to_train, sft_arguments, steps_of, within
from orchard.models.seeds import seed_of
from orchard.models.training import ProgressCallback, curve, train
from orchard.processes import Progress
from orchard.stages import kept, stage
from orchard.stages.sft import dataset
from orchard.stages.sft.trainer import BehaviorCollator, ObjectiveTrainer
from orchard.stages.sft.weights import PARTS
from orchard.study.schema.sft import Objective, PearWeights, Select, SelectLikely, SftRun, SftTrainer

SCORED = 500  # rows that measure how far the data are from the base: ours, a mean log-ratio within some .01 nats
ENDS = 0.1  # the share of the steps that stands for the beginning of training, and for its end


def main(name: str, run: SftRun) -> None:
    common = stage.params(SftTrainer, "sft", "trainer")
    objective = stage.params(Objective, "sft", "objectives", run.objective)
    base, data, target = paths.model(run.base), paths.behaviour(run.data), paths.model(f"sft-{name}")
    facts = run.model_dump()
    begun = (target, __spec__.name, [base, data], run, common, objective, loading.settings())
    with stage.output(target) as scratch, kept.resumable(*begun) as state:
        if objective.loss == "none":
            left_out = shutil.ignore_patterns(record.FILE, card.FILE, record.NOT_CONTENT)
            shutil.copytree(base, scratch, ignore=left_out)
        else:
            seed = seed_of("sft", run.seed, run.draw)
            facts["learnt"] = finetune(common, objective, seed, base, data, scratch, state, f"sft@{name}")
        settings, step = {"trainer": common, "objective": objective}, made(run, facts.get("learnt"))
        card.finish(scratch, f"sft-{name}", "sft", settings, [base, data], step=step, start=base, **facts)


def made(run: SftRun, learnt: dict | None) -> str:
    """What SFT did, for the card."""
    if learnt is None:
        return "left as it is: the control without SFT"
    amount = f"{learnt['steps']} steps on {learnt['rows']} of {learnt['of_rows']} rows of {run.data}"
    cut = f", {learnt['cut']} of them cut off by max_new_tokens and without an end" if learnt["cut"] else ""
    mapped = f", {learnt['ends_mapped']} ends of its policy made this model's" if learnt["ends_mapped"] else ""
    long = f", {learnt['too_long']} more left out as longer than max_length" if learnt["too_long"] else ""
    return f"finetuned with objective {run.objective}, seed {run.seed}: {amount}{cut}{mapped}{long}"


def finetune(
    common: SftTrainer, objective: Objective, seed: int, base: Path, data: Path, scratch: Path, state: Path, name: str
) -> dict:
    """Trains with the objective, saves the model or adapter and its curve; returns facts of what it learnt from."""
    model, tokenizer = load_to_train(base, common.lora), folders.load_tokenizer(base)
    source = data / "rows.parquet"
    written = dataset.read_rows(source, tokenizer)
    rows, mapped = dataset.in_format(written, tokenizer, prompts.ends(model, tokenizer), objective.loss)
    rows, too_long = within(rows, common.max_length, dataset.length, source)
    kept, learnt = choose_rows(rows, model, tokenizer, objective.select)
    learnt["too_long"] = too_long
    steps = steps_of(len(kept), common.batch_size, common.epochs)
    trainer = ObjectiveTrainer(
        model=model,
        objective=objective,
        behavior_model=behavior_model(data / "policy") if objective.loss == "kl-live" else None,
        args=sft_arguments(common, common.epochs, objective.learning_rate, seed, state, objective.loss),
        train_dataset=dataset.examples(kept, with_top=objective.loss == "kl-stored"),
        data_collator=packing.collator(BehaviorCollator(pad_token_id=tokenizer.pad_token_id), common.packing, model),
        processing_class=tokenizer,
        peft_config=adapter(common.lora),
        callbacks=[ProgressCallback(Progress(name, steps))],
    )
    learnt |= mapped | {"steps": train(trainer, state)}
    folders.save_trained(trainer.model, tokenizer, scratch, base)
    logged = curve(trainer.state.log_history, "loss")
    jsonl.write(scratch / "curve.jsonl", logged)
    is_pear = isinstance(objective.weights, PearWeights)
    return learnt | ({"weights": course_of_weights(logged)} if is_pear else {})


def behavior_model(folder: Path):
    """pi_beta itself, which is not trained: in the numbers that it lies in on the disk."""
    return folders.load_model(folder, folders.dtype_of(folder))


def choose_rows(rows: list[dict], model, tokenizer, rule: Select | None) -> tuple[list[dict], dict]:
    """The rows that an objective learns from, and facts of how far the data are from the model that starts on them."""
    scored = rows if isinstance(rule, SelectLikely) else rows[:: -(-len(rows) // SCORED)]
    start_logps = likelihood.completion_logps(model, scored, tokenizer.pad_token_id)
    kept = dataset.select(rows, rule, start_logps)
    cut = sum(bool(row["cut"]) for row in kept)
    return kept, {"rows": len(kept), "of_rows": len(rows), "cut": cut, **likelihood.summary(scored, start_logps)}


def course_of_weights(steps: list[dict]) -> dict[str, dict]:
    """PEAR's weights at the beginning of training and at its end, each the mean over a tenth of the steps.

    Args:
        steps: what the trainer logged at each step: ``pear/<name>``.

    Returns:
        For ``early`` and ``late``: mean, ess_share, floor_share and cap_share (see `orchard.stages.sft.pear`), and
        ``parts``, the mean weight in each tenth of the completion, first to last; null where none had a token.
    """
    count = math.ceil(len(steps) * ENDS)
    return {"early": mean_weights(steps[:count]), "late": mean_weights(steps[-count:])}


def mean_weights(steps: list[dict]) -> dict:
    """The means over some steps; see `course_of_weights`."""

    def mean(name: str) -> float | None:
        values = [step[f"pear/{name}"] for step in steps if not math.isnan(step[f"pear/{name}"])]
        return math.fsum(values) / len(values) if values else None

    found = {name: mean(name) for name in ("mean", "ess_share", "floor_share", "cap_share")}
    return found | {"parts": [mean(f"weight_part_{number}") for number in range(PARTS)]}


if __name__ == "__main__":
    stage.run(main, SftRun, parallel=True)
