"""The block ``prune``: which models lose how many layers, and by which methods."""

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from orchard.study.schema.common import (
    Block,
    FewShot,
    Length,
    Method,
    Mistake,
    ModelRun,
    Name,
    Natural,
    Portion,
    Ratios,
    RunRatio,
    Seed,
    Temperature,
    Text,
    Unique,
)


class Calibration(Block):
    """The texts on which layers are measured."""

    items: Text = Field(description="the calibration set")
    batch_size: Natural = Field(description="texts per forward pass")


class Racing(Block):
    """A search that also drops candidates that a paired t-test says are behind."""

    confidence: Annotated[float, Field(gt=0.5, lt=1)] = Field(
        description="the least probability that a round drops the layer that the exact search would drop"
    )
    first: Annotated[int, Field(ge=2)] = Field(
        description="items of each task before the first look at the scores; twice as many before each later look"
    )
    seed: Seed = Field(description="of the order of the items")


class _SelectionTask(Block):
    items: Text = Field(description="the calibration set")
    limit: Portion | None = Field(
        None, description="the first items: a number of them at most (an integer) or a share (0.2); null: all"
    )
    few_shot: FewShot = Field(default_factory=FewShot, description="worked examples before each question")
    plain: bool = Field(False, description="ask without the chat template of the base's format, as text alone")

    def mistakes(self) -> Iterator[Mistake]:
        yield from same_set_twice(self)


def same_set_twice(task) -> Iterator[Mistake]:
    """A task whose few-shot examples are its own items: the model would be shown the answers."""
    if task.few_shot.items == task.items:
        yield Mistake(
            f".few_shot.items: {task.items!r}, which is its items too",
            "examples come from another file than the items",
            "the model would be shown the answers that it is scored on",
            "name another set",
        )


class SelectionChoice(_SelectionTask):
    """Selection items that are scored by likelihood."""

    kind: Literal["choice", "minimal-pair", "likelihood"] = Field(description="how an item is scored")


class SelectionGeneration(_SelectionTask):
    """Selection items whose answer the model writes."""

    kind: Literal["generation", "summary"] = Field(
        description="generation: a verifier judges what the model writes; summary: ROUGE-L says how like the reference"
    )
    temperature: Temperature = Field(0.0, description="0 is greedy decoding")
    seed: Seed = Field(0, description="of the samples")
    max_new_tokens: Length = Field(description="tokens per response at most")
    stop: list[Text] = Field(default_factory=list, description="texts that end a response")


class SelectionNamed(Block):
    """A task of lm-eval's own, on which no layer is chosen: it is refused, with the reason."""

    kind: Literal["lm-eval"] = Field(description="refused: its items are those that models are evaluated on")
    task: Text = Field(description="its name")

    def mistakes(self) -> Iterator[Mistake]:
        yield Mistake(
            f": kind lm-eval, {self.task}",
            "layers are chosen on a calibration set of the study",
            "a task of lm-eval's has the items that models are evaluated on, and layers that are chosen on these look "
            "better than they are",
            "bring its training split into data/calibration by data.fetch and data.ingest (format arc, or columns with "
            "choices and label), and name that set as items, kind choice or generation",
        )


SelectionTask = Annotated[SelectionChoice | SelectionGeneration | SelectionNamed, Field(discriminator="kind")]


class Selection(Block):
    """What the greedy search scores candidates on."""

    batch_size: Natural = Field(description="sequences per forward pass")
    racing: Racing | None = Field(None, description="null: an exact search")
    tasks: Annotated[dict[Name, SelectionTask], Field(min_length=1)] = Field(
        description="by name; a candidate's score is the mean over them, each relative to the unpruned model"
    )


class Prune(Block):
    """Which models lose which share (a float) or number (an integer) of their layers, by which methods."""

    of: Annotated[list[Text], Unique] = Field(default_factory=list, description="the models")
    methods: Annotated[list[Method], Unique] = Field(default_factory=list, description="how layers are chosen")
    ratios: Ratios = Field(
        default_factory=list,
        description="how many layers are dropped: a list for all models, or one for each name in `of`",
    )
    skip: Annotated[list[Text], Unique] = Field(
        default_factory=list,
        description="the models that are evaluated without each single layer, as views",
    )
    calibration: Calibration | None = Field(None, description="what methods that measure on texts measure on")
    selection: Selection | None = Field(None, description="what the greedy search scores on; null: it is not used")


ONE_LAYER = "skip"  # what records and names call the method that leaves out a single layer
WHOLE_LAYERS = "a ratio is a whole number of layers and leaves one"
WHY_WHOLE = "a layer is dropped whole or kept"


def whole_layers(ratio: int | float, layers: int) -> int | None:
    """The number of layers that a ratio stands for: an integer is that number, a float a share of all layers.

    Returns:
        None where it is not a whole number, or leaves no layer.
    """
    wanted = ratio if isinstance(ratio, int) else ratio * layers
    count = round(wanted)
    return count if abs(count - wanted) <= 1e-6 and count < layers else None


def nearest_ratio(ratio: int | float, layers: int) -> str:
    """The fix for a ratio that is no whole number of layers."""
    wanted = ratio if isinstance(ratio, int) else ratio * layers
    nearest = min(max(round(wanted), 1), layers - 1) / layers
    return f"use a multiple of 1/{layers}, for example {nearest:.10g}, or a number of layers below {layers}"


class SearchRun(ModelRun):
    """One greedy search, up to the highest ratio: lower ones drop the layers that it dropped first."""

    of: str
    ratios: list[RunRatio]


class PruneRun(ModelRun):
    """One pruned model: by a method at a ratio."""

    of: str
    method: str
    ratio: RunRatio
    chosen_on: str
