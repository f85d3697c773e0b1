"""The block ``evaluate``: the tasks on which every model is measured."""

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from orchard.errors import UserError, did_you_mean
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
    Portion,
    Probability,
    Samples,
    Seed,
    Temperature,
    Text,
    Unique,
)
from orchard.study.schema.prune import same_set_twice


class _AnyTask(Block):
    limit: Portion | None = Field(
        None, description="the first items: a number of them at most (an integer) or a share; null: evaluate.limit"
    )
    plain: bool = Field(False, description="ask without the chat template of the base's format, as text alone")


class _OwnTask(_AnyTask):
    items: Text = Field(description="the set of role eval")
    few_shot: FewShot = Field(default_factory=FewShot, description="worked examples before each question")

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
    samples: Samples = Field(1, description="responses per item")
    k: Annotated[list[Samples], Unique, Field(min_length=1)] | None = Field(
        None, description="of kind generation: the k of each pass@k, beside pass@1; null: the number of samples"
    )
    temperature: Temperature = Field(0.0, description="0 is greedy decoding")
    top_k: Count = Field(0, description="sample among so many likeliest tokens; 0 is off")
    top_p: Probability = Field(1.0, description="nucleus sampling; 1 is off")
    max_new_tokens: Length = Field(description="tokens per response at most")
    stop: list[Text] = Field(default_factory=list, description="texts that end a response")

    def ks(self) -> list[int]:
        """The k of each pass@k, from the smallest: 1, and those asked for that the samples can tell."""
        asked = [self.samples] if self.k is None else self.k
        return sorted({1, *(k for k in asked if k <= self.samples)})

    def mistakes(self) -> Iterator[Mistake]:
        yield from super().mistakes()
        yield from self._wrong_ks()
        for key, off in (("top_k", 0), ("top_p", 1.0)):
            if self.temperature == 0 and getattr(self, key) != off:
                yield Mistake(
                    f".{key}: {getattr(self, key)} at temperature 0",
                    f"{key} is of samples, at a temperature above 0",
                    "greedy decoding takes the likeliest token, whatever it says",
                    f"set temperature: 1.0, or remove {key}",
                )
        if self.temperature == 0 and self.samples > 1:
            yield Mistake(
                f": {self.samples} samples at temperature 0",
                "several samples have a temperature above 0",
                "greedy samples are all the same, so pass@k would be pass@1",
                "set temperature: 1.0, or samples: 1",
            )

    def _wrong_ks(self) -> Iterator[Mistake]:
        for k in self.k or ():
            if k > self.samples:
                yield Mistake(
                    f".k: {k}, of {self.samples} samples",
                    "k of pass@k is at most the number of samples",
                    "pass@k is the chance that one of k responses is right, and nobody can draw k of fewer",
                    f"set samples: {k} or more, or leave {k} out",
                )
        if self.k is not None and self.kind != "generation":
            yield Mistake(
                f".k: {self.k}, of kind {self.kind}",
                "k is of kind generation",
                "pass@k counts right responses, and nothing says which summary is right",
                "remove it",
            )

    def with_samples(self, samples: int) -> "GenerationTask":
        """The same task with fewer responses per item; k that they cannot tell are left out."""
        return self.model_copy(update={"samples": samples})


class NamedTask(_AnyTask):
    """A task by lm-eval's name for it."""

    kind: Literal["lm-eval"] = Field(description="a task that comes with lm-eval")
    task: Text = Field(description="its name; a group is all its tasks")
    data: Text | None = Field(
        None,
        description="the folder of its data: data/eval/<name>, made by data.fetch.<name> of kind lm-eval-data; own: it "
        "brings its data along",
    )
    few_shot: Count | None = Field(None, description="number of examples; null: the task's own")


Task = Annotated[ScoredTask | GenerationTask | NamedTask, Field(discriminator="kind")]
OWN = "own"  # of a task's data: they need not be fetched
EVERYTHING = "all"  # the one suite of an evaluation that names none: all tasks


class Suite(Block):
    """Some of the tasks, which some models are asked: a stage for each of these models."""

    of: Annotated[list[Text], Unique, Field(min_length=1)] = Field(
        description="models by name (without the seed all replicates); base, sft, rl, prune or recover for all of a "
        "kind; skip for those without one layer; or all"
    )
    tasks: Annotated[list[Name], Unique, Field(min_length=1)] = Field(description="of evaluate.tasks")
    samples: dict[Name, Samples] = Field(
        default_factory=dict,
        description="responses per item of a generated task, where these models write fewer: pass@1 stays comparable, "
        "and a k above them is left out",
    )


class Evaluate(Block):
    """The tasks on which models are measured, and how."""

    seed: Seed = Field(0, description="of the samples; apart from all training seeds")
    engine: EngineName = ENGINE
    batch_size: Natural = Field(
        16, description="sequences per forward pass, where the engine does not choose it by itself"
    )
    limit: Portion | None = Field(
        None,
        description="the first items of each task: a number of them at most (an integer) or a share (0.2); null: all",
    )
    unsafe_programs: bool = Field(False, description="run programs that models wrote without a sandbox")
    tasks: Annotated[dict[Name, Task], Field(min_length=1)] = Field(description="by name")
    suites: dict[Name, Suite] | None = Field(
        None, description="which models are asked which tasks; null: every model is asked every task"
    )

    def limit_of(self, task: Task) -> int | float | None:
        """How many of a task's items are asked."""
        return self.limit if task.limit is None else task.limit

    def suite(self, name: str) -> "Evaluate":
        """What the models of a suite are asked: its tasks alone, with its numbers of samples.

        Raises:
            UserError: there is no such suite.
        """
        known = [EVERYTHING] if self.suites is None else list(self.suites)
        if name not in known:
            raise UserError(
                found=f"a suite {name!r}, where there is {', '.join(known)}",
                rule="it is one of evaluate.suites; without any it is all",
                why="it says which tasks are asked",
                fix="name it by --suite, and the folder of its scores by --folder, as params.yaml has them",
            )
        if self.suites is None:
            return self
        own = self.suites[name]
        tasks = {
            title: task.with_samples(own.samples[title]) if title in own.samples else task
            for title, task in self.tasks.items()
            if title in own.tasks
        }
        return self.model_copy(update={"tasks": tasks, "suites": None})

    def mistakes(self) -> Iterator[Mistake]:
        suites = self.suites or {}
        for name, own in suites.items():
            yield from self._unknown(f".suites.{name}.tasks", own.tasks, list(self.tasks))
            yield from self._unknown(f".suites.{name}.samples", own.samples, own.tasks)
            yield from self._too_many_samples(name, own)
        asked = {task for own in suites.values() for task in own.tasks}
        for task in self.tasks if self.suites is not None else ():
            if task not in asked:
                yield Mistake(
                    f".tasks.{task}, which is in no suite",
                    "each task is in a suite",
                    "no model would be asked it",
                    f"add it to one of {', '.join(suites) or 'evaluate.suites'}, or remove it",
                )

    @staticmethod
    def _unknown(key: str, names, known: list[str]) -> Iterator[Mistake]:
        for name in names:
            if name not in known:
                yield Mistake(
                    f"{key}: {name!r}",
                    "a suite is made of evaluate.tasks, and has samples of its own tasks alone",
                    "nothing else is asked",
                    did_you_mean(name, known),
                )

    def _too_many_samples(self, name: str, own: Suite) -> Iterator[Mistake]:
        for title, samples in own.samples.items():
            most = getattr(self.tasks.get(title), "samples", 0)
            if title in self.tasks and samples > most:
                yield Mistake(
                    f".suites.{name}.samples.{title}: {samples}, where evaluate.tasks.{title} has {most or 'none'}",
                    "a suite has as many samples of a generated task as the task has, or fewer",
                    "the task says what can be asked at most",
                    f"write {most} or less" if most else "remove it: other kinds have no samples",
                )


class EvaluateRun(ModelRun):
    """One model, or one without a layer, on one suite.

    Attributes:
        model: which is loaded.
        layer: which is left out of it.
        suite: which tasks it is asked.
        folder: of its scores, in the folder of all evaluations: by its name, and by the suite where there are several.
    """

    model: str
    layer: int | None = None
    suite: str = EVERYTHING
    folder: str = ""
