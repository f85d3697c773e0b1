"""Pretrains the tiny Llama-style base model, with its own word-level tokenizer, on generated text."""

from pathlib import Path

import torch
from datasets import Dataset
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from tokenizers.processors import TemplateProcessing
from transformers import PreTrainedTokenizerFast, Trainer, TrainingArguments
from transformers.models.llama import LlamaConfig, LlamaForCausalLM
from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

from orchard import jsonl
from orchard.models import folders, packing, prompts, training
from orchard.models.seeds import seed_of
from orchard.processes import Progress
from orchard.stages.base.muon import Muon
from orchard.study.schema.base import Architecture, Pretraining
from orchard.tasks import lexicon

SPECIAL = ["<pad>", "<bos>", "<eos>", "<unk>"]


def pretrain(base: Pretraining, seed: int, folder: Path, state: Path, progress: Progress) -> int:
    """Trains from random weights and saves the model to ``folder``. The loss is on the responses alone.

    Prompts are random by construction: learning to predict them takes a third of the capacity and more of the steps.
    The first weights and the order of the rows have a stream each, drawn from the replicate's seed (`seeds`).

    Args:
        base: the block of the config.
        seed: the replicate's.
        folder: where the model goes.
        state: folder of the resume state; training goes on from the last checkpoint there.
        progress: gets the number of steps done.

    Returns:
        The steps that were taken.
    """
    training.refuse_shards("Muon")
    tokenizer = make_tokenizer()
    torch.manual_seed(seed_of("first weights", seed))
    model = LlamaForCausalLM(architecture(base.model, tokenizer))
    rows = [prompts.example(row, tokenizer) for row in jsonl.read(base.source, ("prompt", "response"))]
    rates = base.learning_rate
    trainer = Trainer(
        model=model,
        args=arguments(base, seed, state),
        train_dataset=Dataset.from_list(rows),
        data_collator=packing.Packing(DataCollatorForLanguageModeling(pad_token_id=tokenizer.pad_token_id)),
        optimizers=(Muon(model, rates.matrices, rates.rest, tuple(base.adam_betas)), None),
        callbacks=[training.ProgressCallback(progress)],
    )
    steps = training.train(trainer, state)
    folders.save(model, tokenizer, folder)
    return steps


def arguments(base: Pretraining, seed: int, state: Path) -> TrainingArguments:
    """The trainer's arguments: all that results rest on is named, so that no library chooses it."""
    return TrainingArguments(
        output_dir=str(state),
        max_steps=base.steps,
        per_device_train_batch_size=training.per_process(base.batch_size),
        gradient_accumulation_steps=1,
        warmup_steps=base.warmup_steps,
        lr_scheduler_type="linear",
        max_grad_norm=1.0,
        seed=seed_of("order of pretraining", seed),
        gradient_checkpointing=False,
        remove_unused_columns=True,
        save_strategy="steps",
        save_steps=base.save_steps,
        save_total_limit=1,
        **training.machine_arguments(),
    )


def make_tokenizer() -> PreTrainedTokenizerFast:
    """One token per word. BOS comes from the post-processor, so that every caller (lm-eval too) gets it."""
    vocabulary = {word: number for number, word in enumerate(dict.fromkeys(SPECIAL + lexicon.WORDS))}
    tokenizer = Tokenizer(WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = WhitespaceSplit()
    tokenizer.post_processor = TemplateProcessing(
        single="<bos> $A", pair="<bos> $A $B", special_tokens=[("<bos>", vocabulary["<bos>"])]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", bos_token="<bos>", eos_token="<eos>", unk_token="<unk>"
    )


def architecture(size: Architecture, tokenizer: PreTrainedTokenizerFast) -> LlamaConfig:
    """A Llama of the configured size over the tokenizer's vocabulary, with tied embeddings."""
    return LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=size.hidden_size,
        intermediate_size=size.intermediate_size,
        num_hidden_layers=size.layers,
        num_attention_heads=size.heads,
        num_key_value_heads=size.heads,
        max_position_embeddings=size.positions,
        initializer_range=size.initializer_range,
        tie_word_embeddings=True,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
