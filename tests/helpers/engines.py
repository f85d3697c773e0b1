"""Small models for all engines, one of which may not be there: vLLM's environment is made by `make vllm`."""

import os
from pathlib import Path

import pytest
import torch

from orchard.engines import vllm
from orchard.models import folders, formats, prompts
from orchard.study.schema.format import Format
from tests.helpers.llama import random_llama
from tests.helpers.tokenizers import SPECIAL, TURN, spelling

# The project's own environment counts too where a test works in another folder.
INSTALLED = Path(os.environ.get(vllm.ENVIRONMENT) or Path(__file__).parents[2] / vllm.DEFAULT).absolute()
needs_vllm = pytest.mark.skipif(not vllm.is_installed(INSTALLED), reason="vLLM's environment is not made (`make vllm`)")
ENGINES = ["static", "continuous", pytest.param("vllm", marks=needs_vllm)]
CHAT = (
    "{{ bos_token }}{% for m in messages %}{{ m['role'] }}:{{ m['content'] }}" + TURN + "{% endfor %}"
    "{% if add_generation_prompt %}assistant:{% endif %}"
)
# vLLM's attention on a CPU has heads of 32 and more.
SHAPE = {"hidden_size": 64, "num_attention_heads": 2, "num_key_value_heads": 1, "max_position_embeddings": 128}


def save_random(folder: Path, ends: list[int] | None = None) -> None:
    """Writes a random model over a tokenizer that spells."""
    model, tokenizer = _random("")
    model.generation_config.eos_token_id = ends or tokenizer.eos_token_id
    folders.save(model, tokenizer, folder)


def save_learnt(folder: Path, rows: list[dict], template: str) -> None:
    """Writes a model that has learnt some responses by heart, each with its end.

    Args:
        folder: where it goes.
        rows: of recovery data.
        template: of its format; empty: none.
    """
    model, tokenizer = _random(template)
    examples = [prompts.example(row, tokenizer) for row in rows]
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.003)
    for _ in range(400):
        loss = sum(_loss(model, example) for example in examples) / len(examples)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        if loss < 0.01:
            break
    assert loss < 0.05, "it has not learnt them"
    folders.save(model, tokenizer, folder)


def _loss(model, example: dict) -> torch.Tensor:
    return model(**{name: torch.tensor([ids]) for name, ids in example.items()}).loss


def _random(template: str):
    tokenizer = spelling()
    if template:
        tokenizer.chat_template = template
        formats.put(tokenizer, Format(template="own"))
    ids = {f"{role[:3]}_token_id": tokenizer.convert_tokens_to_ids(SPECIAL[role]) for role in SPECIAL}
    model = random_llama(vocab_size=len(tokenizer), initializer_range=0.3, **SHAPE | ids)
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    return model, tokenizer
