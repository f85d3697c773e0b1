"""The block ``recover``: which pruned models are finetuned, on whose responses, and how much."""

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from orchard.study.schema.common import (
    Block,
    Method,
    Mistake,
    ModelRun,
    Name,
    Natural,
    Rate,
    Ratios,
    Run,
    RunRatio,
    SampleRun,
    Sampling,
    Seed,
    Shards,
    Text,
    Trainer,
    Unique,
)


class StyleAuthor(Block):
    """Right responses in one style."""

    kind: Literal["style"] = Field(description="another author's right responses, in one style")
    style: Text = Field(description="the style")


class GivenAuthor(Block):
    """The responses that come with the prompts."""

    kind: Literal["given"] = Field(description="the data set's own responses")


class ModelAuthor(Sampling):
    """Responses sampled from the unpruned model."""

    kind: Literal["model"] = Field(description="the unpruned model's own responses (SGR, arXiv 2602.01997, section 4)")
    keep_correct_only: bool = Field(False, description="leave out what the verifier refuses; the paper does not")
    shards: Shards = 1

    def shard(self, name: str, model: str, prompts: str, number: int = 1, of: int = 1) -> SampleRun:
        """One shard of what the author's run of a name writes, or all of it."""
        own = Sampling.model_validate(self.model_dump(include=Sampling.model_fields.keys() - {"keep_cut"}))
        chosen = {"model": model, "prompts": prompts, "sampling": own}
        return SampleRun(family="respond", of=name, shard=number, shards=of, **chosen)


class MixedAuthors(Block):
    """For each prompt the response of one of two authors, drawn with equal probability."""

    kind: Literal["mixed"] = Field(description="half from each of two other authors")
    of: Annotated[list[Name], Field(min_length=2, max_length=2)] = Field(description="the two authors")
    seed: Seed = Field(description="of the draw")


Author = Annotated[StyleAuthor | GivenAuthor | ModelAuthor | MixedAuthors, Field(discriminator="kind")]


class EqualSteps(Block):
    """Equal prompts and equal steps: the first rows, so many times."""

    kind: Literal["equal-steps"] = Field(description="the same prompts and steps for each author")
    rows: Natural | None = Field(None, description="the first rows; null: all")
    epochs: Natural = Field(1, description="passes over them")


class EqualTokens(Block):
    """Equal tokens: rows in turn until the answers' tokens are this many."""

    kind: Literal["equal-tokens"] = Field(description="the same number of answer tokens for each author")
    tokens: Natural = Field(description="answer tokens")


Amount = Annotated[EqualSteps | EqualTokens, Field(discriminator="kind")]


class Budget(Block):
    """How much is learnt, and of whose responses."""

    of: Annotated[list[Name], Field(min_length=1), Unique] = Field(description="authors, of recover.responses")
    amount: Amount = Field(description="what is equal for all of them")


class RecoveryTrainer(Trainer):
    """How recovery trains."""

    learning_rate: Rate = Field(description="the largest of the schedule")
    four_bit: bool = Field(False, description="hold the weights below the adapters in 4 bits while these learn (QLoRA)")

    def mistakes(self) -> Iterator[Mistake]:
        yield from super().mistakes()
        if self.four_bit and not self.lora:
            yield Mistake(
                ": four_bit true, lora null",
                "weights held in 4 bits are not trained: adapters are",
                "a step would be smaller than the spacing of 4-bit numbers",
                "fill recover.trainer.lora, or set four_bit: false",
            )


class Recover(Block):
    """Which pruned models are finetuned, within which budgets."""

    of: Annotated[list[Text], Unique] = Field(default_factory=list, description="the unpruned models")
    methods: Annotated[list[Method], Unique] = Field(default_factory=list, description="of those in prune.methods")
    ratios: Ratios = Field(
        default_factory=list,
        description="of those in prune.ratios: a list for all models, or one for each name in `of`",
    )
    responses: dict[Name, Author] = Field(default_factory=dict, description="who answers the prompts, by name")
    budgets: dict[Name, Budget] = Field(default_factory=dict, description="how much is learnt of whom, by name")
    draws: Natural = Field(
        1, description="recoveries of each pruned model, with rows in another order; a replicate is the mean of its own"
    )
    prompts: Text | None = Field(None, description="a set of prompts, or data/recovery for all sets of that role")
    trainer: RecoveryTrainer | None = Field(None, description="how recovery trains")


class RespondRun(ModelRun):
    """One author's responses, for one unpruned model."""

    of: str
    author: str


class MixRun(Run):
    """A mixture of two authors' responses, each by the name of its file."""

    of: str
    author: str
    first: str
    second: str


class RecoverRun(Run):
    """One recovered model: an author within a budget, once or several times."""

    of: str
    method: str
    ratio: RunRatio
    author: str
    budget: str
    draw: int
    pruned: str
    responses: str
