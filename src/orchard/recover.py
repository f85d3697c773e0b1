"""Recovery of a pruned model: finetuning on one author's responses (arXiv 2602.01997, section 4).

    python -m orchard.recover MODEL METHOD RATIO AUTHOR BUDGET SEED

A budget makes authors comparable: equal prompts and steps, or, since self-generated responses differ in length, equal
tokens of answers.
"""

import json
import random
import sys
from pathlib import Path

from orchard import stage
from orchard.errors import UserError


def main() -> None:
    of, method, ratio, author, budget, seed = sys.argv[1:7]
    settings = stage.params("recover", "trainer") | {"budget": stage.params("recover", "budgets", budget)}
    stage.set_threads(1)
    from orchard import card, models
    from orchard.prune import chosen

    pruned, responses = f"results/models/prune-{of}-{method}-{ratio}", f"data/responses/{of}-{author}.jsonl"
    name = f"{of}-{method}-{ratio}-{author}-{budget}-{seed}"
    target = f"results/models/recover-{name}"
    rows = examples(stage.read_jsonl(responses), models.load_tokenizer(pruned), settings["budget"], int(seed))
    with stage.output(target) as scratch, stage.resumable(target) as state:
        finetune(settings, int(seed), pruned, rows, scratch, state, f"recover@{name}")
        chosen.write(scratch, chosen.read(Path(pruned)))
        facts = {"of": of, "method": method, "author": author, "budget": budget, "seed": int(seed)}
        facts |= amounts(rows, settings["budget"])
        before = json.loads(Path(pruned, "record.json").read_text())
        facts |= {key: before[key] for key in ("ratio", "dropped")}
        facts |= card.lineage(f"finetuned on {author}'s responses within budget {budget}, seed {seed}", pruned)
        stage.write_record(scratch, "recover", settings, [pruned, responses], **facts)
        card.write(scratch, f"recover-{name}")


def examples(responses: list[dict], tokenizer, budget: dict, seed: int) -> list[dict]:
    """The rows of one epoch, tokenized: the first of them, or as many, in turns, as make up a number of answer tokens.

    Args:
        responses: rows with prompt and response.
        tokenizer: the model's.
        budget: kind equal-steps (rows) or equal-tokens (tokens).
        seed: of the order in which a budget of tokens takes them; each is taken once before any is taken twice.
    """
    from orchard.training import answer_example

    rows = [answer_example(row, tokenizer) for row in responses]
    if budget["kind"] == "equal-steps":
        return rows[: budget["rows"]]
    rng, taken, tokens = random.Random(seed), [], 0
    while True:
        rng.shuffle(rows)
        for row in rows:
            taken.append(row)
            tokens += answer_tokens([row])
            if tokens >= budget["tokens"]:
                return taken


def answer_tokens(rows: list[dict]) -> int:
    """The number of tokens that count in the loss."""
    return sum(label != -100 for row in rows for label in row["labels"])


def amounts(rows: list[dict], budget: dict) -> dict:
    """What a recovery saw: different rows (a budget of tokens has no such number), answer tokens, what was equal."""
    if budget["kind"] == "equal-tokens":
        return {"rows": None, "tokens": answer_tokens(rows), "equal": "tokens"}
    return {"rows": len(rows), "tokens": budget["epochs"] * answer_tokens(rows), "equal": "steps"}


def finetune(settings: dict, seed: int, pruned: str, rows: list[dict], scratch: Path, state: Path, name: str) -> None:
    """Trains on the answers only and saves the model, adapters merged."""
    from datasets import Dataset
    from trl import SFTTrainer
    from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

    from orchard import models
    from orchard.training import (
        ProgressCallback,
        adapter,
        finish,
        sft_arguments,
        steps_of,
        train,
    )

    tokenizer = models.load_tokenizer(pruned)
    settings = settings | {"epochs": settings["budget"].get("epochs", 1)}
    trainer = SFTTrainer(
        model=four_bit_model(pruned) if settings["four_bit"] else models.load_model(pruned),
        args=sft_arguments(settings, settings["learning_rate"], seed, state),
        train_dataset=Dataset.from_list(rows),
        data_collator=DataCollatorForLanguageModeling(pad_token_id=tokenizer.pad_token_id),
        processing_class=tokenizer,
        peft_config=adapter(settings["lora"]),
        callbacks=[ProgressCallback(stage.Progress(name, steps_of(settings, len(rows))))],
    )
    train(trainer, state)
    merged = merge_into(pruned, trainer.model, state) if settings["four_bit"] else finish(trainer.model)
    models.save(merged, tokenizer, scratch)


def four_bit_model(folder: str):
    """A model whose weights are held in 4 bits, for QLoRA (arXiv 2305.14314: NF4, double quantization).

    Raises:
        UserError: there is no GPU, or bitsandbytes is not installed.
    """
    import importlib.util

    import torch
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    needed = {"a GPU": torch.cuda.is_available(), "bitsandbytes": importlib.util.find_spec("bitsandbytes")}
    lacking = [name for name, there in needed.items() if not there]
    if lacking:
        raise UserError(
            f"recover.trainer.four_bit: true, without {' and '.join(lacking)}",
            "QLoRA needs a GPU and bitsandbytes",
            "its 4-bit kernels are written for one",
            "set four_bit: false (LoRA), or `pip install bitsandbytes` on a machine with a GPU",
        )
    held = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
    )
    return AutoModelForCausalLM.from_pretrained(folder, quantization_config=held, device_map=0)


def merge_into(folder: str, trained, state: Path):
    """The adapters of a QLoRA run merged into the unquantized model: merging into 4 bits would round them away."""
    from peft import PeftModel

    from orchard import models

    trained.save_pretrained(state / "adapter")
    return PeftModel.from_pretrained(models.load_model(folder), state / "adapter").merge_and_unload()


if __name__ == "__main__":
    stage.run(main, parallel=True)
