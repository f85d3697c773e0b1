"""The block ``sft``: objectives, and the arms that join one with a base and a policy's data."""

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from orchard.study.schema.common import (
    Block,
    Count,
    Mistake,
    Name,
    Natural,
    Probability,
    Run,
    Seed,
    Share,
    Text,
    Trainer,
    Unique,
)

Bounds = Annotated[list[float], Field(min_length=2, max_length=2)]


class SftTrainer(Trainer):
    """What all arms share."""

    epochs: Natural = Field(description="passes over the rows")


class PearWeights(Block):
    """PEAR's weights in one of its forms, and what the controls do to them."""

    kind: Literal["pear"] = Field(description="importance weights (PEAR, arXiv 2602.01058, section 3)")
    form: Literal["sequence", "block", "token"] = Field(description="over what the ratio is taken")
    block: Natural | None = Field(None, description="tokens per block of form block (PEAR's figure: 4); else null")
    gamma: Probability = Field(0.999, description="discount per token that follows; PEAR, section 3")
    clip: Bounds = Field([-0.08, 0.3], description="bounds of delta_t, the log-ratio of a token; PEAR, section 3")
    log_weight_clip: Bounds = Field([-10.0, 5.0], description="bounds of log G_t; PEAR, section 3")
    shuffle: Literal["tokens", "sequences"] | None = Field(
        None, description="a control: deal the batch's weights at random over its tokens, or its sequences"
    )
    normalize: bool = Field(
        False, description="divide the weights by their mean over the batch; no source of PEAR does"
    )

    def mistakes(self) -> Iterator[Mistake]:
        if (self.form == "block") != (self.block is not None):
            yield Mistake(
                f": form {self.form}, block {self.block}",
                "the block form, and no other, has a block length",
                "a length that is not read misleads",
                "set block: 4 (the paper's figure) for form block, else null",
            )


class LastTokens(Block):
    """Weight 1 on the last tokens of each completion, 0 on the others."""

    kind: Literal["last-tokens"] = Field(description="a control: the last tokens alone")
    share: Share = Field(description="of each completion's tokens")


class SelectStyles(Block):
    """Learn from the rows of some styles of a scripted policy only."""

    kind: Literal["style"] = Field(description="the oracle, who knows what can be followed")
    styles: Annotated[list[Text], Field(min_length=1)] = Field(description="those to learn from")


class SelectLikely(Block):
    """Learn from the share of rows that the base finds most likely, measured against the policy."""

    kind: Literal["likelihood"] = Field(description="a filter by the base's likelihood")
    keep: Share = Field(description="of the rows")


Weights = Annotated[PearWeights | LastTokens, Field(discriminator="kind")]
Select = Annotated[SelectStyles | SelectLikely, Field(discriminator="kind")]


class Objective(Block):
    """An SFT objective: a loss, a weight of each token, and the rows to learn from."""

    loss: Literal["none", "nll", "dft", "kl-stored", "kl-live"] = Field(
        description="none: the control without SFT; dft: arXiv 2508.05629; kl-…: distillation from the policy"
    )
    weights: Weights | None = Field(None, description="of each token; null: 1")
    select: Select | None = Field(None, description="rows to learn from; null: all")
    learning_rate: Annotated[float, Field(ge=0)] = Field(
        0.0, description="the largest of the schedule; 0 for loss none"
    )

    def mistakes(self) -> Iterator[Mistake]:
        if self.loss != "none" and self.learning_rate == 0:
            yield Mistake(
                ".learning_rate: 0",
                "an objective with a loss has a learning rate above 0",
                "nothing would be learnt",
                "set one, or loss: none",
            )
        if self.weights and self.loss in ("none", "dft"):
            yield Mistake(
                f": loss {self.loss} with weights",
                "weights multiply nll or a distillation loss",
                "DFT is a rival that has weights of its own",
                "set weights: null, or loss: nll",
            )


class Arm(Block):
    """One objective, from one base, on one policy's data."""

    objective: Name = Field(description="one of sft.objectives")
    base: Text = Field(description="a base model: base-<name>")
    data: Text = Field(description="one of behave")
    draw: Count = Field(0, description="another number, other random choices in SFT and RL: for an arm's twin")


class Sft(Block):
    """Which arms run, each from each replicate of its base."""

    arms: dict[Name, Arm] = Field(default_factory=dict, description="by name")
    seeds: Annotated[list[Seed], Unique] = Field(
        default_factory=list,
        description="of SFT and RL, where the base is loaded: seeds of one pretrained model; pretrained bases have own",
    )
    trainer: SftTrainer | None = Field(None, description="what all arms share")
    objectives: dict[Name, Objective] = Field(default_factory=dict, description="what arms name")


class SftRun(Run):
    """One arm from one replicate of its base: the model that it starts from, and the replicate's seed."""

    arm: str
    objective: str
    base: str
    data: str
    seed: int
    draw: int
