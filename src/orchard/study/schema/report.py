"""The block ``report``: what the claims are tested on."""

from collections.abc import Iterator
from typing import Annotated

from pydantic import Field

from orchard.study.schema.common import Block, Mistake, Name, Text, Unique


class Distillation(Block):
    """The two objectives of claim P6."""

    baseline: Name = Field(description="a distillation loss alone")
    treatment: Name = Field(description="the same loss with PEAR's weights")


class Twins(Block):
    """The two objectives of the A/A check: one by two names, whose arms differ in draw."""

    one: Name = Field(description="an objective")
    other: Name = Field(description="the same settings by another name")


class Controls(Block):
    """What could explain PEAR's gain besides the learning rate (report.pear.plain): P10 needs the first two."""

    scale: Name | None = Field(
        None,
        description="the loss's scale: plain SFT at the treatment's learning rate, as AdamW ignores the scale but for "
        "gradient clipping, or PEAR's weights with normalize: true; null: P10 is not tested",
    )
    last_tokens: Name | None = Field(
        None, description="the same rate, and weight on the last tokens alone; null: P10 is not tested"
    )
    others: Annotated[list[Name], Unique] = Field(default_factory=list, description="more that must be beaten")


class OtherFamily(Block):
    """RL on another family of tasks than SFT's."""

    recipe: Name = Field(description="one of rl.recipes")
    task: Name = Field(description="the task on which it is measured")


class Pear(Block):
    """What PEAR's claims compare: objectives, on one policy's data, after one recipe of RL, on one task."""

    task: Name = Field(description="the task whose score is compared, and whose pass@k where it has one")
    data: Name = Field(description="the policy's data that the objectives learn from")
    recipe: Name = Field(description="of RL")
    baseline: Name = Field(description="the plain objective")
    treatment: Name = Field(description="PEAR's, for P2, P3 and P8")
    reversal: Annotated[list[Name], Unique] = Field(
        default_factory=list, description="P1: three objectives or more, chosen before any result"
    )
    forms: Annotated[list[Name], Unique] = Field(
        default_factory=list, description="P5: PEAR's forms; tested when all three are here"
    )
    controls: Controls = Field(
        default_factory=Controls, description="P10: objectives that have a part of what PEAR does"
    )
    plain: Annotated[list[Name], Unique] = Field(
        default_factory=list,
        description="plain SFT at several learning rates: P10, against the best of two at least; and the best on each "
        "of several data sets",
    )
    distillation: Distillation | None = Field(None, description="P6; null: not tested")
    transfer: OtherFamily | None = Field(None, description="P7: RL on another family of tasks; null: not tested")
    games: OtherFamily | None = Field(None, description="P4: RL on a logic game; null: not tested")
    twins: Twins | None = Field(None, description="whose difference after RL must be none; null: no A/A check")

    def rivals(self) -> Iterator[tuple[str, str]]:
        """Each objective that P10 sets against the treatment, with its key."""
        yield from (("plain", name) for name in self.plain)
        yield from (
            (f"controls.{key}", name) for key in ("scale", "last_tokens") if (name := getattr(self.controls, key))
        )
        yield from (("controls.others", name) for name in self.controls.others)

    def mistakes(self) -> Iterator[Mistake]:
        pairs = [("baseline", self.baseline, "treatment", self.treatment)]
        pairs += [("baseline", self.baseline, "forms", name) for name in self.forms]
        if self.treatment != self.baseline:  # one message is enough
            pairs += [("treatment", self.treatment, key, name) for key, name in self.rivals()]
        if apart := self.distillation:
            pairs += [("distillation.baseline", apart.baseline, "distillation.treatment", apart.treatment)]
        if away := self.transfer:
            pairs += [("recipe", self.recipe, "transfer.recipe", away.recipe)]
        for key, name, other_key, other in pairs:
            if name == other:
                yield Mistake(
                    f": {key} and {other_key} are both {name!r}",
                    "what is compared differs",
                    "nothing differs from itself, and transfer is RL by another recipe",
                    f"correct report.pear.{key} or report.pear.{other_key}",
                )


class BothWays(Block):
    """Two tasks that ask the same items."""

    choice: Name = Field(description="as multiple choice")
    generation: Name = Field(description="as short generation")


class Pruning(Block):
    """What some of the pruning claims ask for beside the tasks of the two families."""

    probe: Name | None = Field(None, description="L4: the choice task over digits; null: not tested")
    brackets: Name | None = Field(None, description="L7, L8: the generation task whose brackets are checked; null: not")
    matched: list[BothWays] = Field(default_factory=list, description="L13: pairs that ask the same items both ways")

    def mistakes(self) -> Iterator[Mistake]:
        asked = [pair.choice for pair in self.matched]
        for name in sorted({name for name in asked if asked.count(name) > 1}):
            yield Mistake(
                f".matched: {name!r} {asked.count(name)} times",
                "a list has nothing twice",
                "one result would count twice",
                f"remove one {name!r}",
            )


class Report(Block):
    """What the claims are tested on."""

    confidence: Annotated[float, Field(gt=0, lt=1)] = Field(0.95, description="of the intervals")
    generation: Annotated[list[Name], Unique] = Field(
        default_factory=list, description="the tasks that stand for generation: generation, summary or lm-eval"
    )
    classification: Annotated[list[Name], Unique] = Field(
        default_factory=list,
        description="the tasks that stand for classification: choice, minimal-pair or lm-eval",
    )
    scores: dict[Name, Text] = Field(
        default_factory=dict,
        description="of tasks of kind lm-eval: the metric that is the score; else acc_norm, acc or exact_match, the "
        "first that it has. Of other kinds it is pass@1, acc or rouge-l",
    )
    pear: Pear | None = Field(None, description="what PEAR's claims compare; null: they are not tested")
    pruning: Pruning = Field(default_factory=Pruning, description="what some pruning claims ask for besides")
