"""A study's evaluations bound to what its report asks of them."""

from collections.abc import Callable
from copy import copy
from functools import wraps
from typing import Self

from orchard.report.evaluations import Evaluations
from orchard.study.schema.report import Report


class BoundStudy:
    """What claims and figures read from, at one confidence; `at` asks the same study at another.

    Attributes:
        evaluations: of the study.
        report: the block ``report`` of its config.
    """

    def __init__(self, evaluations: Evaluations, report: Report):
        self.evaluations, self.report = evaluations, report
        self._cache: dict[tuple, object] = {}

    @property
    def confidence(self) -> float:
        """The confidence of all intervals."""
        return self.report.confidence

    def at(self, confidence: float) -> Self:
        """The same study at another confidence; what is `cached` is shared by both."""
        other = copy(self)
        other.report = self.report.model_copy(update={"confidence": confidence})
        return other


def cached(method: Callable) -> Callable:
    """A method of a BoundStudy that computes each answer once. The answer must not depend on the confidence."""

    @wraps(method)
    def answer(self: BoundStudy, *arguments):
        key = (method.__name__, *arguments)
        if key not in self._cache:
            self._cache[key] = method(self, *arguments)
        return self._cache[key]

    return answer
