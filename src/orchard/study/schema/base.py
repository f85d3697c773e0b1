"""The block ``base``: base models that are pretrained here or exist already."""

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from orchard.study.schema.common import (
    Betas,
    Block,
    Count,
    Dtype,
    Layers,
    Length,
    License,
    Mistake,
    Natural,
    Place,
    Rate,
    Run,
    Seed,
    Threads,
    Unique,
    Width,
)
from orchard.study.schema.format import Format


class Architecture(Block):
    """The size of a Llama that is pretrained here."""

    layers: Layers = Field(description="decoder layers")
    hidden_size: Width = Field(description="width; a multiple of 2 × heads")
    intermediate_size: Width = Field(description="width of the feed-forward part")
    heads: Width = Field(description="attention heads")
    positions: Length = Field(description="longest text in tokens")
    initializer_range: Rate = Field(0.02, description="standard deviation of the first weights; transformers' default")

    def mistakes(self) -> Iterator[Mistake]:
        if self.hidden_size % (2 * self.heads):
            nearest = max(1, round(self.hidden_size / (2 * self.heads))) * 2 * self.heads
            yield Mistake(
                f": hidden_size {self.hidden_size}, heads {self.heads}",
                "hidden_size is a multiple of 2 × heads",
                "each head gets an equal part, which rotary positions turn in pairs",
                f"set hidden_size to {nearest}",
            )


class MatrixAndRest(Block):
    """Learning rates of a pretraining."""

    matrices: Rate = Field(description="of the layers' matrices, by Muon")
    rest: Rate = Field(description="of all other parameters, by Adam")


class Pretraining(Block):
    """How base models are pretrained: what all seeds have in common."""

    kind: Literal["pretrain"] = Field(description="from random weights")
    source: Place = Field(description="the set of role pretrain that it learns")
    license: License = Field(description="of the model, as an SPDX name in small letters")
    threads: Threads = Field(1, description="CPU threads; another number gives other bits")
    model: Architecture = Field(description="its size")
    steps: Natural = Field(description="optimizer steps")
    batch_size: Natural = Field(description="rows per step")
    learning_rate: MatrixAndRest = Field(description="the largest of the schedule, which falls in a line to 0")
    adam_betas: Betas = Field(description="Adam's moments")
    warmup_steps: Count = Field(0, description="steps in which the learning rates rise from 0")
    save_steps: Natural = Field(500, description="steps between two resume states")


class Pretrained(Pretraining):
    """Base models that the study pretrains, one for each seed: base-<name>-<seed>."""

    seeds: Annotated[list[Seed], Field(min_length=1), Unique] = Field(
        description="a replicate each: all random choices of its chain follow it, from the first weights to recovery"
    )


class Depth(Block):
    """What must be known of a loaded model before it is there."""

    layers: Layers = Field(description="decoder layers: ratios are checked against them before the model is fetched")


class Loaded(Block):
    """A base model that exists already: base-<name>. It is one pretrained model, whatever is trained from it."""

    kind: Literal["local", "hub", "gguf"] = Field(
        description="local: a Hugging Face folder; hub: one that data.fetch brings; gguf: a GGUF file"
    )
    source: Place = Field(description="the folder or file")
    license: License = Field(description="of the model, as an SPDX name in small letters")
    threads: Threads = Field(1, description="CPU threads while it is loaded")
    dtype: Dtype = Field(
        "float32",
        description="of its checkpoint, and of those of all models that are made from it; bfloat16 is half as large, "
        "and what training changes is rounded to it when a model is saved",
    )
    model: Depth = Field(description="its depth")
    format: Format = Field(default_factory=Format, description="how it is asked, and how its answers begin and end")


Base = Annotated[Pretrained | Loaded, Field(discriminator="kind")]
Settings = Annotated[Pretraining | Loaded, Field(discriminator="kind")]


class BaseRun(Run):
    """One base model: its own settings alone, so that no other model's seed makes it stale.

    Without a seed it is loaded.

    Attributes:
        seed: of the replicate.
        template: the SHA-256 of the file that its chat template comes from, if it comes from one: by it a changed file
            makes the model anew.
        settings: its own.
    """

    seed: int | None = None
    template: str | None = None
    settings: Settings
