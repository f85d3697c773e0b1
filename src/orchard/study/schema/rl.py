"""The block ``rl``: GRPO recipes, each identical from all arms that are named for it."""

from typing import Annotated, Literal

from pydantic import Field

from orchard.study.schema.common import (
    Block,
    Length,
    ModelRun,
    Name,
    Natural,
    Optimizer,
    Rate,
    Samples,
    Schedule,
    Seed,
    Text,
)

ENOUGH_PROMPTS = "a recipe's prompts fill a step"
WHY_ENOUGH = "a step that cannot be filled is not taken, so RL would end where it started"


class Recipe(Block):
    """GRPO, identical from each start."""

    prompts: Text = Field(description="the set of prompts")
    seed: Seed = Field(description="of the recipe's random choices, with the replicate's own")
    steps: Natural = Field(description="optimizer steps")
    prompts_per_step: Natural = Field(description="prompts per step")
    samples_per_prompt: Annotated[Samples, Field(ge=2)] = Field(description="responses per prompt, which are compared")
    max_new_tokens: Length = Field(description="tokens per response at most")
    temperature: Rate = Field(1.0, description="of the samples")
    partial_credit: bool = Field(False, description="reward a task's score, 0 to 1, instead of right or wrong")
    kl_coefficient: Annotated[float, Field(ge=0)] = Field(0.0, description="weight of the KL from the start of RL")
    measure_kl: bool = Field(
        False, description="measure the KL from the start where it does not count; it takes a second model in memory"
    )
    loss: Literal["grpo", "bnpo", "dr_grpo", "dapo"] = Field(
        "dapo",
        description="what a token's loss is averaged over; dapo: all tokens of a step (arXiv 2503.14476), as in TRL",
    )
    clip: Annotated[list[Annotated[float, Field(gt=0)]], Field(min_length=2, max_length=2)] = Field(
        [0.2, 0.2], description="how far a token's ratio may fall below 1, and rise above it; PPO's and TRL's default"
    )
    ratio: Literal["token", "sequence"] = Field(
        "token", description="over what the ratio is taken; sequence: GSPO (arXiv 2507.18071); TRL's default: token"
    )
    scale_rewards: Literal["group", "batch", "none"] = Field(
        "group", description="over what the standard deviation is taken that advantages are divided by; GRPO: group"
    )
    iterations: Natural = Field(1, description="optimizer steps on the same responses; GRPO: 1")
    learn_cut: bool = Field(
        True, description="learn from responses that max_new_tokens cut off too, as TRL does by default"
    )
    learning_rate: Rate = Field(description="the largest of the schedule")
    optimizer: Optimizer = Field(default_factory=Optimizer, description="AdamW and gradient clipping")
    schedule: Schedule = Field("constant", description="of the learning rate")
    save_steps: Natural = Field(500, description="steps between two resume states")


class Rl(Block):
    """Reinforcement learning by one or more recipes."""

    recipes: dict[Name, Recipe] = Field(default_factory=dict, description="by name")
    arms: dict[Name, Literal["all"] | list[Name]] = Field(
        default_factory=dict, description="the arms of sft from which each recipe starts, or all"
    )


class RlRun(ModelRun):
    """One recipe from one SFT checkpoint."""

    recipe: str
    arm: str
    seed: int
    draw: int
    start: str
    prompts: str
