"""The block ``behave``: behaviour policies pi_beta, which write the offline data that SFT learns from."""

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from orchard.study.schema.common import (
    ENGINE,
    Block,
    Count,
    EngineName,
    Mistake,
    ModelRun,
    SampleRun,
    Sampling,
    Seed,
    Shards,
    Shares,
    Text,
)


class ScriptedPolicy(Block):
    """A behaviour policy that deals styles by their shares."""

    kind: Literal["scripted"] = Field(description="right responses, in styles dealt at random")
    model: Text = Field(description="the model whose tokenizer the ids are of")
    prompts: Text = Field(description="the set of prompts")
    seed: Seed = Field(description="of the styles")
    styles: Shares = Field(description="share of each style")
    variation: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.0, description="probability that a word which can be said in several ways is not said in the usual one"
    )
    foreign_words: Annotated[int, Field(ge=0, le=32)] = Field(0, description="shorthand words per step, in style H")
    top_k: Count = Field(0, description="the most likely tokens to store at each place, for distillation")


class ModelPolicy(Block):
    """A behaviour policy that is a checkpoint."""

    kind: Literal["model"] = Field(description="sampled from a model of the study")
    model: Text = Field(description="the policy")
    prompts: Text = Field(description="the set of prompts")
    keep_correct_only: bool = Field(False, description="leave out responses that the verifier refuses")
    sampling: Sampling = Field(
        description="at temperature 1 and top_p 1, so that the stored log-probs are the policy's"
    )
    top_k: Count = Field(0, description="the most likely tokens to store at each place, for distillation")
    keep_policy: bool = Field(False, description="keep the policy with the data, for live distillation")
    shards: Shards = 1

    def shard(self, name: str, number: int = 1, of: int = 1) -> SampleRun:
        """One shard of what the policy of a name writes; on its own, all of it."""
        own = self.sampling.model_copy(update={"keep_cut": True})  # what is kept of the responses changes none
        chosen = {"model": self.model, "prompts": self.prompts, "sampling": own, "top_k": self.top_k}
        return SampleRun(family="behave", of=name, shard=number, shards=of, **chosen)

    def mistakes(self) -> Iterator[Mistake]:
        if self.sampling.temperature != 1 or self.sampling.top_p != 1:
            yield Mistake(
                f".sampling: temperature {self.sampling.temperature:g}, top_p {self.sampling.top_p:g}",
                "both are 1",
                "the stored log-probs are the model's own, so the samples must be too",
                "set temperature: 1.0 and top_p: 1.0",
            )
        if self.top_k and self.sampling.engine == "continuous":
            yield Mistake(
                f": top_k {self.top_k}, sampling.engine continuous",
                "continuous batching tells the log-probs of sampled tokens alone",
                "distillation needs those of other tokens too",
                "set sampling.engine: static or vllm, or top_k: 0",
            )


class GivenPolicy(Block):
    """Answers that come with the prompts, with the log-probs of a teacher, or with those that their author stored."""

    kind: Literal["given"] = Field(description="the answers that come with the prompts")
    model: Text = Field(description="the teacher: a model of the study, whose log-probs and tokens the answers get")
    prompts: Text = Field(description="the set of prompts, each with a response or an answer")
    stored: bool = Field(
        False, description="the rows bring their author's log-probs (`logps`); the model gives the tokens alone"
    )
    engine: EngineName = ENGINE

    def mistakes(self) -> Iterator[Mistake]:
        if self.stored and self.engine != "static":
            yield Mistake(
                f": stored: true, engine {self.engine}",
                "stored log-probs need no engine",
                "nothing is scored",
                "leave engine out, or set stored: false",
            )


class BehaveRun(ModelRun):
    """One policy's data: the model whose tokens they are of, and the prompts."""

    model: str
    prompts: str


Policy = Annotated[ScriptedPolicy | ModelPolicy | GivenPolicy, Field(discriminator="kind")]
