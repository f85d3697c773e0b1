"""The block ``loading``: how models are held in memory where they are not trained, and what may run them."""

from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from orchard.study.schema.common import Block, Dtype, Length, Mistake, Share


class Loading(Block):
    """How models are held in memory. Weights that are trained are float32, whatever stands here."""

    dtype: Dtype = Field(
        "float32",
        description="of weights that no stage trains, and of what is computed with them: in sampling, scoring, search, "
        "pruning and evaluation, and below adapters (lora)",
    )
    attention: Literal["eager", "sdpa", "flash_attention_2"] | None = Field(
        None, description="transformers' code for attention; null: the one that it takes for the architecture"
    )

    max_length: Length | None = Field(
        None,
        description="the longest text that an engine makes room for, prompt and response together; a longer one is "
        "refused; null: what the model's positions allow",
    )
    memory: Share | None = Field(
        None,
        description="share of the memory that an engine takes (continuous: of what is free, for keys and values; vllm: "
        "of the whole); null: its own choice",
    )

    def mistakes(self) -> Iterator[Mistake]:
        if self.attention == "flash_attention_2" and self.dtype == "float32":
            yield Mistake(
                ": attention flash_attention_2, dtype float32",
                "FlashAttention computes in 16 bits",
                "it has no code for float32, so no model could be sampled from",
                "set dtype: bfloat16, or attention: null",
            )
