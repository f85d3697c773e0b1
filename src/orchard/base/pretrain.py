"""Pretrains the tiny Llama-style base model, with its own word-level tokenizer, on generated text."""

from pathlib import Path

import torch
from datasets import Dataset
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from tokenizers.processors import TemplateProcessing
from transformers import DataCollatorForSeq2Seq, PreTrainedTokenizerFast, Trainer, TrainingArguments
from transformers.models.llama import LlamaConfig, LlamaForCausalLM

from orchard import models, stage, training
from orchard.base.muon import Muon
from orchard.tasks import calc, words

SPECIAL = ["<pad>", "<bos>", "<eos>", "<unk>"]


def pretrain(settings: dict, folder: Path, state: Path, progress: stage.Progress) -> None:
    """Trains from random weights and saves the model to ``folder``. The loss is on the responses alone.

    Prompts are random by construction: learning to predict them takes a third of the capacity and more of the steps.

    Args:
        settings: ``base.<name>`` of the config.
        folder: where the model goes.
        state: folder of the resume state; training goes on from the last checkpoint there.
        progress: told the number of steps done.
    """
    training.refuse_shares("Muon")
    tokenizer = make_tokenizer()
    torch.manual_seed(settings["seed"]["init"])
    model = LlamaForCausalLM(architecture(settings["model"], tokenizer))
    rows = [training.answer_example(row, tokenizer) for row in stage.read_jsonl(settings["source"])]
    arguments = TrainingArguments(
        output_dir=str(state),
        max_steps=settings["steps"],
        per_device_train_batch_size=training.own_share(settings["batch_size"]),
        warmup_steps=settings["warmup_steps"],
        lr_scheduler_type="linear",
        seed=settings["seed"]["order"],
        save_strategy="steps",
        save_steps=settings["save_steps"],
        save_total_limit=1,
        **training.cpu_arguments(),
    )
    rates = settings["learning_rate"]
    trainer = Trainer(
        model=model,
        args=arguments,
        train_dataset=Dataset.from_list(rows),
        data_collator=DataCollatorForSeq2Seq(tokenizer),
        optimizers=(Muon(model, rates["matrices"], rates["rest"], tuple(settings["adam_betas"])), None),
        callbacks=[training.ProgressCallback(progress)],
    )
    training.train(trainer, state)
    models.save(model, tokenizer, folder)


def make_tokenizer() -> PreTrainedTokenizerFast:
    """One token a word. BOS comes from the post-processor, so that every caller (lm-eval too) gets it."""
    vocabulary = {word: number for number, word in enumerate(dict.fromkeys(SPECIAL + calc.WORDS + words.WORDS))}
    tokenizer = Tokenizer(WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = WhitespaceSplit()
    tokenizer.post_processor = TemplateProcessing(
        single="<bos> $A", pair="<bos> $A $B", special_tokens=[("<bos>", vocabulary["<bos>"])]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", bos_token="<bos>", eos_token="<eos>", unk_token="<unk>"
    )


def architecture(settings: dict, tokenizer: PreTrainedTokenizerFast) -> LlamaConfig:
    """A Llama of the configured size over the tokenizer's vocabulary, with tied embeddings."""
    return LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=settings["hidden_size"],
        intermediate_size=settings["intermediate_size"],
        num_hidden_layers=settings["layers"],
        num_attention_heads=settings["heads"],
        num_key_value_heads=settings["heads"],
        max_position_embeddings=settings["positions"],
        initializer_range=settings["initializer_range"],
        tie_word_embeddings=True,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
