"""The block ``rl``: GRPO recipes, each identical from all arms that are named for it."""

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from orchard.study.schema.common import (
    Block,
    Length,
    Mistake,
    ModelRun,
    Name,
    Natural,
    Rate,
    Samples,
    Schedule,
    Seed,
    Text,
    Training,
)

ENOUGH_PROMPTS = "a recipe's prompts fill a step"
WHY_ENOUGH = "a step that cannot be filled is not taken, so RL would end where it started"


class Recipe(Training):
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
    loss: Literal["grpo", "dr_grpo", "dapo"] = Field(
        "dapo",
        description="what a token's loss is averaged over; dapo: all tokens of a step (arXiv 2503.14476), as in TRL; "
        "TRL's bnpo is that within each part of a step, so it would follow accumulation and the number of GPUs",
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
    rollouts: Literal["static", "continuous", "vllm"] = Field(
        "static",
        description="what samples the responses; static: batches that rows leave when they end, the same samples on "
        "any number of GPUs and after a kill; continuous: transformers' continuous batching, vllm: TRL's vLLM on the "
        "same GPUs, both faster for long responses, and other samples each time",
    )
    rollout_batch_size: Natural | None = Field(
        None, description="responses that static rollouts sample at a time on each GPU; null: all of a step"
    )
    learning_rate: Rate = Field(description="the largest of the schedule")
    schedule: Schedule = Field("constant", description="of the learning rate")

    def rows(self) -> tuple[str, int]:
        said = f"prompts_per_step {self.prompts_per_step} × samples_per_prompt {self.samples_per_prompt}"
        return said, self.prompts_per_step * self.samples_per_prompt

    def mistakes(self) -> Iterator[Mistake]:
        yield from super().mistakes()
        if self.save_steps % self.iterations:
            yield Mistake(
                f": save_steps {self.save_steps}, iterations {self.iterations}",
                "save_steps is a multiple of iterations",
                "a resume state holds no responses, so one between two steps on the same responses would go on with "
                "others",
                f"set save_steps to {-(-self.save_steps // self.iterations) * self.iterations}",
            )
        if self.lora and self.lora.dropout:
            yield Mistake(
                f".lora.dropout: {self.lora.dropout:g}",
                "RL trains adapters without dropout",
                "responses come from the policy itself, and the ratio compares its log-probs before and after a step: "
                "with other dropout each time it would be noise",
                "set dropout: 0.0",
            )
        if self.rollout_batch_size and self.rollouts != "static":
            yield Mistake(
                f": rollout_batch_size {self.rollout_batch_size}, rollouts {self.rollouts}",
                "rollout_batch_size belongs to static rollouts",
                "the other two size their batches by the memory that is free",
                "set rollout_batch_size: null, or rollouts: static",
            )


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
