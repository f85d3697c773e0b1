"""Small random Llamas for tests."""

from pathlib import Path

import torch
from transformers.models.llama import LlamaConfig, LlamaForCausalLM

from orchard.models import card, folders
from orchard.stages.base.pretrain import make_tokenizer


def random_llama(seed: int = 3, **changes) -> LlamaForCausalLM:
    """A model of random weights over orchard's own tokenizer, in evaluation mode; ``changes`` go into its config."""
    torch.manual_seed(seed)
    tokenizer = make_tokenizer()
    settings = {
        "vocab_size": len(tokenizer),
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 64,
        "initializer_range": 0.2,
        "tie_word_embeddings": True,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    return LlamaForCausalLM(LlamaConfig(**settings | changes)).eval()


def save_base(model, folder: Path) -> None:
    """Writes a model with orchard's tokenizer, a record and a card, as the base stage does."""
    folders.save(model, make_tokenizer(), folder)
    card.finish(folder, folder.name, "base", {}, [], step="drawn at random", licence="mit", base=folder.name, seed=None)
