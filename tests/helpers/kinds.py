"""Tiny models of kinds that keep keys and values in other ways."""

from transformers import LlamaConfig, LlamaForCausalLM, MistralConfig, MistralForCausalLM

SHAPE = {"vocab_size": 40, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3, "num_attention_heads": 4}
KINDS = {
    "as many heads of keys": (LlamaForCausalLM, LlamaConfig(**SHAPE)),
    "fewer heads of keys": (LlamaForCausalLM, LlamaConfig(**SHAPE, num_key_value_heads=2)),
    "a window of 8 tokens": (MistralForCausalLM, MistralConfig(**SHAPE, num_key_value_heads=2, sliding_window=8)),
}
