"""Recovery of a pruned model: finetuning on one author's responses (arXiv 2602.01997, section 4).

    python -m orchard.stages.recover NAME --of MODEL --method METHOD --ratio RATIO --author AUTHOR --budget BUDGET \
        --draw DRAW --pruned MODEL --responses RESPONSES

A budget makes authors comparable: equal prompts and steps, or, since self-generated responses differ in length, equal
tokens of answers.
"""

import importlib.util
import random
from pathlib import Path

import torch
from datasets import Dataset
from transformers import BitsAndBytesConfig
from trl import SFTTrainer
from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

from orchard import arithmetic, jsonl, paths
from orchard.errors import UserError
from orchard.models import card, chosen_on, folders, loading, packing, prompts, record
from orchard.models.finetuning import adapter, load_to_train, sft_arguments, steps_of, within
from orchard.models.seeds import seed_of
from orchard.models.training import ProgressCallback, train
from orchard.processes import Progress
from orchard.stages import kept, stage
from orchard.study.schema.recover import Amount, EqualSteps, EqualTokens, RecoverRun, RecoveryTrainer

BITSANDBYTES = "bitsandbytes==0.50.2"  # tried


def main(name: str, run: RecoverRun) -> None:
    trainer = stage.params(RecoveryTrainer, "recover", "trainer")
    amount = stage.params(Amount, "recover", "budgets", run.budget, "amount")
    pruned, responses = paths.model(run.pruned), paths.responses(run.responses)
    tokenizer = folders.load_tokenizer(pruned)
    seed = seed_of("recovery", record.read(pruned)["seed"], run.draw)
    fitting, too_long = within(
        jsonl.read(responses),
        trainer.max_length,
        lambda row: len(prompts.example(row, tokenizer)["input_ids"]),
        responses,
    )
    rows = taken(fitting, tokenizer, amount, seed)
    target = paths.model(f"recover-{name}")
    begun = (target, __spec__.name, [pruned, responses], run, trainer, amount, loading.settings())
    with stage.output(target) as scratch, kept.resumable(*begun) as state:
        examples = [prompts.example(row, tokenizer) for row in rows]
        steps = finetune(trainer, epochs_of(amount), seed, pruned, examples, scratch, state, f"recover@{name}")
        chosen_on.write(scratch, chosen_on.read(pruned))
        before, seen = record.read(pruned), amounts(rows, tokenizer, amount) | {"too_long": too_long}
        card.finish(
            scratch,
            f"recover-{name}",
            "recover",
            {"trainer": trainer, "budget": amount},
            [pruned, responses],
            step=made(run, steps, seen),
            start=pruned,
            **run.model_dump(include={"of", "method", "author", "budget", "draw"}),
            steps=steps,
            **seen,
            **{key: before[key] for key in ("base", "seed", "ratio", "dropped")},
        )


def epochs_of(amount: Amount) -> int:
    """Passes over the rows: rows for a budget of tokens are laid out as often as they are seen."""
    return amount.epochs if isinstance(amount, EqualSteps) else 1


def made(run: RecoverRun, steps: int, seen: dict) -> str:
    """What recovery did, for the card."""
    amount = f"{steps} steps, {seen['tokens']} answer tokens"
    cut = f", {seen['cut']} responses cut off by max_new_tokens and without an end" if seen["cut"] else ""
    long = f", {seen['too_long']} responses left out as longer than max_length" if seen["too_long"] else ""
    return f"finetuned on {run.author}'s responses within budget {run.budget}, draw {run.draw}: {amount}{cut}{long}"


def taken(responses: list[dict], tokenizer, amount: Amount, seed: int) -> list[dict]:
    """The rows of one epoch: the first of them, or as many, in turns, as make up a number of answer tokens.

    Args:
        responses: rows with prompt and response, and completion_ids where a model wrote them.
        tokenizer: the model's.
        amount: how much is learnt.
        seed: of the order in which a budget of tokens takes them; each is taken once before any is taken twice.
    """
    if isinstance(amount, EqualSteps):
        return responses[: amount.rows]
    rng, found, tokens = random.Random(seed), [], 0
    order = [(row, len(prompts.completion_ids(row, tokenizer))) for row in responses]
    while True:
        rng.shuffle(order)
        for row, length in order:
            found.append(row)
            tokens += length
            if tokens >= amount.tokens:
                return found


def amounts(rows: list[dict], tokenizer, amount: Amount) -> dict:
    """What a recovery saw: different rows (a budget of tokens has no such number), answer tokens, what was equal.

    ``cut`` is the number of the rows that max_new_tokens cut off.
    """
    tokens = sum(len(prompts.completion_ids(row, tokenizer)) for row in rows)
    cut = sum(row.get("cut", False) for row in rows)
    if isinstance(amount, EqualTokens):
        return {"rows": None, "tokens": tokens, "equal": "tokens", "cut": cut}
    return {"rows": len(rows), "tokens": amount.epochs * tokens, "equal": "steps", "cut": cut}


def finetune(
    common: RecoveryTrainer,
    epochs: int,
    seed: int,
    pruned: Path,
    rows: list[dict],
    scratch: Path,
    state: Path,
    name: str,
) -> int:
    """Trains on the answers only and saves the model, or the adapter; returns the steps that were taken."""
    tokenizer = folders.load_tokenizer(pruned)
    model = four_bit_model(pruned) if common.four_bit else load_to_train(pruned, common.lora)
    collate = DataCollatorForLanguageModeling(pad_token_id=tokenizer.pad_token_id)
    trainer = SFTTrainer(
        model=model,
        args=sft_arguments(common, epochs, common.learning_rate, seed, state),
        train_dataset=Dataset.from_list(rows),
        data_collator=packing.collator(collate, common.packing, model),
        processing_class=tokenizer,
        peft_config=adapter(common.lora),
        callbacks=[ProgressCallback(Progress(name, steps_of(len(rows), common.batch_size, epochs)))],
    )
    steps = train(trainer, state)
    folders.save_trained(trainer.model, tokenizer, scratch, pruned)
    return steps


def four_bit_model(folder: Path):
    """A model whose weights are held in 4 bits, for QLoRA (arXiv 2305.14314: NF4, double quantization).

    On a CPU, by bitsandbytes' own code for one, it computes in float32: slow, and to try it out.

    Raises:
        UserError: bitsandbytes is not installed, or the study has portable arithmetic, which its kernels have not.
    """
    if not importlib.util.find_spec("bitsandbytes"):
        raise UserError(
            found="recover.trainer.four_bit: true, without bitsandbytes",
            rule="QLoRA needs bitsandbytes",
            why="it has the kernels for weights of 4 bits",
            fix=f"set four_bit: false (LoRA), or `pip install {BITSANDBYTES}`",
        )
    has_gpu = torch.cuda.is_available()
    if not has_gpu and arithmetic.kind() == arithmetic.PORTABLE:
        raise UserError(
            found="recover.trainer.four_bit: true without a GPU, while the study has arithmetic: portable",
            rule="weights of 4 bits are computed with under arithmetic: fast",
            why="bitsandbytes chooses its code by the CPU, which rounds otherwise from one to another",
            fix="set arithmetic: fast, or four_bit: false (LoRA)",
        )
    held = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16 if has_gpu else torch.float32,
    )
    return folders.load_model(folder, quantization_config=held, device_map=0 if has_gpu else "cpu")


if __name__ == "__main__":
    stage.run(main, RecoverRun, parallel=True)
