"""The models to measure on: model folders, or random weights in the shape of the default study's model or SmolLM2's."""

from pathlib import Path

import torch
from transformers.models.llama import LlamaConfig, LlamaForCausalLM

from orchard.models import folders
from orchard.stages.base.pretrain import make_tokenizer

HELP = "tiny, smollm2-shape (random weights), or a model folder"
SHAPES = {
    "tiny": {"num_hidden_layers": 8, "hidden_size": 64, "intermediate_size": 160, "num_attention_heads": 4},
    "smollm2-shape": {  # SmolLM2-135M's config.json
        "num_hidden_layers": 30,
        "hidden_size": 576,
        "intermediate_size": 1536,
        "num_attention_heads": 9,
        "num_key_value_heads": 3,
        "vocab_size": 49152,
    },
}


def load(name: str):
    """A model and its tokenizer, which only names the padding where the weights are random."""
    if name not in SHAPES:
        return folders.load_model(Path(name)), folders.load_tokenizer(Path(name))
    tokenizer = make_tokenizer()
    shape = {"vocab_size": len(tokenizer), "tie_word_embeddings": True} | SHAPES[name]
    torch.manual_seed(0)
    model = LlamaForCausalLM(LlamaConfig(**shape, pad_token_id=tokenizer.pad_token_id))
    return model.to("cuda" if torch.cuda.is_available() else "cpu"), tokenizer
