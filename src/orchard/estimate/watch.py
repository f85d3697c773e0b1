"""Watches a stage at work: when each step of it was done, and ends a training when it has shown what a step takes."""

import resource
import time
from collections.abc import Callable
from typing import NamedTuple

from orchard.models import likelihood, sampling, training
from orchard.processes import Progress
from orchard.stages.evaluate import harness
from orchard.stages.search import greedy

# A training ends when so many seconds of steps were measured: ours, long beside the clock's grain. The first step warms
# up, and is not counted.
ENOUGH = 3.0


class Mark(NamedTuple):
    """A moment of a stage's work.

    Attributes:
        seconds: since the stage began.
        done: how much of it was done, as the stage counts.
    """

    seconds: float
    done: float


class Watch:
    """The marks of this process's stage. To be made once in a process, before the stage starts.

    Args:
        family: of the stage.
        on_gpu: seconds are those that pass, with the GPU waited for; else the CPU seconds of this process and of its
            children that ended.

    Attributes:
        marks: of the stage's progress.
        tasks: of an evaluation, when each of its tasks began.
    """

    def __init__(self, family: str, on_gpu: bool):
        self.on_gpu, self.marks, self.tasks = on_gpu, [], []
        self.began = self._now()
        _around(Progress, "step", after=lambda progress, *_: self.mark(progress.done))
        _around(training.ProgressCallback, "on_step_end", after=self._stop)
        if family == "search":  # the unpruned model's scores are no round
            _around(greedy, "score_unpruned", after=lambda *_: self.mark(0))
        if family == "evaluate":
            _around(harness, "scored", before=lambda *_: self.tasks.append(self.seconds()))
        if family in ("behave", "respond"):  # a model is loaded, and begins to write
            _around(sampling, "plain_settings", after=lambda *_: self.mark(0))
        if family == "behave":  # log-probs by a teacher come without progress
            marks = {"before": lambda *_: self.mark(0), "after": lambda model, rows, *_: self.mark(len(rows))}
            _around(likelihood, "completion_logps", **marks)

    def _now(self) -> float:
        if not self.on_gpu:
            used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
            return sum(each.ru_utime + each.ru_stime for each in used)
        import torch

        if torch.cuda.is_initialized():
            torch.cuda.synchronize()
        return time.perf_counter()

    def seconds(self) -> float:
        """Since the watch was made."""
        return self._now() - self.began

    def mark(self, done: float) -> None:
        """Notes how much is done."""
        self.marks.append(Mark(self.seconds(), done))

    def _stop(self, callback, args, state, control, *_) -> None:
        first, last = self.marks[0], self.marks[-1]
        if last.seconds - first.seconds >= ENOUGH:
            control.should_training_stop = True

    def of_a_step(self) -> float:
        """The seconds of one count of the stage's progress; 0 where it was not counted twice."""
        if len(self.marks) < 2 or self.marks[-1].done == self.marks[0].done:
            return 0.0
        first, last = self.marks[0], self.marks[-1]
        return (last.seconds - first.seconds) / (last.done - first.done)

    def of_tasks(self) -> list[float]:
        """The seconds of each task of an evaluation."""
        return [mark.seconds - began for mark, began in zip(self.marks, self.tasks, strict=True)]


def _around(owner, name: str, before: Callable = lambda *_: None, after: Callable = lambda *_: None) -> None:
    """Calls others before and after each call of a function, with its arguments by place."""
    original = getattr(owner, name)

    def watched(*args, **options):
        before(*args)
        result = original(*args, **options)
        after(*args)
        return result

    setattr(owner, name, watched)
