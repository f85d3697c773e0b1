"""Recovery of a pruned model: finetuning on one author's responses; all authors get the same prompts and steps.

python -m orchard.recover MODEL METHOD RATIO AUTHOR SEED
"""

import json
import sys
from pathlib import Path

from orchard import stage


def main() -> None:
    of, method, ratio, author, seed = sys.argv[1:6]
    name = f"{of}-{method}-{ratio}"
    settings = stage.params("recover", "trainer")
    stage.set_threads(1)
    pruned, responses = f"results/models/prune-{name}", f"data/responses/{of}-{author}.jsonl"
    target = f"results/models/recover-{name}-{author}-{seed}"
    with stage.output(target) as scratch, stage.resumable(target) as state:
        tokens = finetune(settings, int(seed), pruned, responses, scratch, state, f"recover@{name}-{author}-{seed}")
        facts = {"of": of, "method": method, "author": author, "seed": int(seed), "tokens": tokens}
        before = json.loads(Path(pruned, "record.json").read_text())
        facts |= {key: before[key] for key in ("ratio", "dropped")}
        stage.write_record(scratch, "recover", settings, [pruned, responses], **facts)


def finetune(settings: dict, seed: int, pruned: str, responses: str, scratch: Path, state: Path, name: str) -> int:
    """Trains on the answers only and saves the model; returns the number of answer tokens seen."""
    from datasets import Dataset
    from trl import SFTTrainer
    from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

    from orchard import models
    from orchard.training import (
        ProgressCallback,
        adapter,
        answer_example,
        finish,
        last_checkpoint,
        sft_arguments,
        steps_of,
    )

    tokenizer = models.load_tokenizer(pruned)
    rows = [answer_example(row, tokenizer) for row in stage.read_jsonl(responses)]
    trainer = SFTTrainer(
        model=models.load_model(pruned),
        args=sft_arguments(settings, settings["learning_rate"], seed, state),
        train_dataset=Dataset.from_list(rows),
        data_collator=DataCollatorForLanguageModeling(pad_token_id=tokenizer.pad_token_id),
        processing_class=tokenizer,
        peft_config=adapter(settings["lora"]),
        callbacks=[ProgressCallback(stage.Progress(name, steps_of(settings, len(rows))))],
    )
    trainer.train(resume_from_checkpoint=last_checkpoint(state))
    models.save(finish(trainer.model), tokenizer, scratch)
    return settings["epochs"] * sum(label != -100 for row in rows for label in row["labels"])


if __name__ == "__main__":
    stage.run(main)
