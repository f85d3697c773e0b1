"""Small random models of every type that can be pruned, whose sliding windows are shorter than any test's text."""

import torch
from transformers import AutoConfig, AutoModelForCausalLM

from orchard.stages.base.pretrain import make_tokenizer

# What makes the four layers of a type differ, and what each attends to by that: all tokens (f) or the last 3 (s).
SLIDES = {"sliding_window": 3}
TYPES = {
    "llama": ({}, "ffff"),
    "qwen2": (SLIDES | {"use_sliding_window": True, "max_window_layers": 2}, "ffss"),
    "qwen3": (
        SLIDES | {"use_sliding_window": True, "layer_types": ["sliding_attention", "full_attention"] * 2},
        "sfsf",
    ),
    "mistral": (SLIDES, "ssss"),
    "gemma": ({}, "ffff"),
    "gemma2": (SLIDES, "sfsf"),
    "gemma3_text": (SLIDES | {"sliding_window_pattern": 3}, "ssfs"),
}
NAMES = {"f": "full_attention", "s": "sliding_attention"}


def settings(model_type: str, **changes):
    """The config of a four-layer model; ``changes`` go into it."""
    tokenizer = make_tokenizer()
    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_attention_heads": 4, "num_key_value_heads": 2}
    shape = {"num_hidden_layers": 4, "head_dim": 8, "max_position_embeddings": 64, "initializer_range": 0.2}
    words = {f"{name}_token_id": getattr(tokenizer, f"{name}_token_id") for name in ("bos", "eos", "pad")}
    common = sizes | shape | words | {"vocab_size": len(tokenizer), "tie_word_embeddings": True}
    return AutoConfig.for_model(model_type, **common | TYPES[model_type][0] | changes)


def tiny(model_type: str, seed: int = 3, **changes):
    """A model of random weights over orchard's own tokenizer, in evaluation mode."""
    torch.manual_seed(seed)
    return AutoModelForCausalLM.from_config(settings(model_type, **changes)).eval()
