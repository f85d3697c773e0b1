"""What a measure finds for a claim."""

from collections.abc import Sequence
from dataclasses import dataclass

from orchard.report.statistics import Interval


class NotTestedError(Exception):
    """The study lacks what a claim needs; the message says what."""


@dataclass(frozen=True)
class Finding:
    """An estimate with its interval.

    Attributes:
        interval: the estimate, positive where the measure says so.
        models: those that it rests on.
        setting: what sets it apart from the claim's other findings, for example the objectives that are compared; empty
            for the finding that the claim's verdict rests on.
        command: what measures it anew, where it rests on no evaluation of a model.
        unsettled: why it settles nothing, whatever its interval; empty where it may.
        describes: what it tells, where it is a number beside the claim and no test of it; empty where it is one.
    """

    interval: Interval
    models: Sequence[str]
    setting: tuple = ()
    command: str = ""
    unsettled: str = ""
    describes: str = ""
