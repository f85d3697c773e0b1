"""The block ``evaluate``: the tasks on which every model is measured."""

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from orchard.study.schema.common import (
    ENGINE,
    Block,
    Count,
    EngineName,
    FewShot,
    Length,
    Mistake,
    ModelRun,
    Name,
    Natural,
    Samples,
    Seed,
    Temperature,
    Text,
)
from orchard.study.schema.prune import same_set_twice


class _OwnTask(Block):
    items: Text = Field(description="the set of role eval")
    few_shot: FewShot = Field(default_factory=FewShot, description="worked examples before each question")
    plain: bool = Field(False, description="ask without the chat template of the base's format, as text alone")

    def mistakes(self) -> Iterator[Mistake]:
        yield from same_set_twice(self)


class ScoredTask(_OwnTask):
    """A task that is scored by likelihood."""

    kind: Literal["choice", "minimal-pair", "likelihood"] = Field(description="how an item is scored")


class GenerationTask(_OwnTask):
    """A task whose answer the model writes."""

    kind: Literal["generation", "summary"] = Field(
        description="generation: a verifier says whether it is right; summary: ROUGE-L says how like the reference"
    )
    samples: Samples = Field(1, description="responses per item; the largest k of pass@k")
    temperature: Temperature = Field(0.0, description="0 is greedy decoding")
    max_new_tokens: Length = Field(description="tokens per response at most")
    stop: list[Text] = Field(default_factory=list, description="texts that end a response")

    def mistakes(self) -> Iterator[Mistake]:
        yield from super().mistakes()
        if self.temperature == 0 and self.samples > 1:
            yield Mistake(
                f": {self.samples} samples at temperature 0",
                "several samples have a temperature above 0",
                "greedy samples are all the same, so pass@k would be pass@1",
                "set temperature: 1.0, or samples: 1",
            )


class NamedTask(Block):
    """A task by lm-eval's name for it."""

    kind: Literal["lm-eval"] = Field(description="a task that comes with lm-eval")
    task: Text = Field(description="its name; a group is all its tasks")
    few_shot: Count | None = Field(None, description="number of examples; null: the task's own")
    plain: bool = Field(False, description="ask without the chat template of the base's format, as text alone")


Task = Annotated[ScoredTask | GenerationTask | NamedTask, Field(discriminator="kind")]


class Evaluate(Block):
    """The tasks on which every model is measured, and how."""

    seed: Seed = Field(0, description="of the samples; apart from all training seeds")
    engine: EngineName = ENGINE
    batch_size: Natural = Field(
        16, description="sequences per forward pass, where the engine does not choose it by itself"
    )
    limit: Natural | None = Field(None, description="items per task at most; null: all")
    unsafe_programs: bool = Field(False, description="run programs that models wrote without a sandbox")
    tasks: Annotated[dict[Name, Task], Field(min_length=1)] = Field(description="by name")


class EvaluateRun(ModelRun):
    """One model, or one without a layer."""

    model: str
    layer: int | None = None
