"""Intervals for means and ratios over replicates crossed with questions.

A replicate is a pretrained model with all that was made of it. Every one answers the same questions, so two scores are
correlated when they share a replicate and when they share a question. The variance is therefore clustered both ways:
V = V_replicate + V_question − V_cell (Cameron, Gelbach & Miller 2011). The unit that counts is the replicate: the
quantile is Student's t with replicates − 1 degrees of freedom. With few replicates that is conservative where the noise
comes from questions and cells rather than from replicates: with 3, a 95 % interval then covers up to 99.9 %, and misses
real effects.

An estimate comes with its *influence*: an array (replicates, questions) that sums to zero and says how far each cell
pulls the estimate. For a mean that is (value − mean) / cells; for a ratio it is the delta method's linearised value.
Influences add up as their estimates do.

Beside the confidence interval of the mean stands the prediction interval of one more replicate: where the estimate of
another chain would fall, on the same questions. The estimates of single replicates scatter with SD s around their mean
of n; one more differs from the mean by s · sqrt(1 + 1/n), and the quantile is that of t with n − 1 degrees of freedom
(Hahn & Meeker 1991, section 4.2). It does not shrink as n grows: pretraining differs as it does.

Some claims join several comparisons: all of them (`smallest`), any of them (`largest`), or two of opposite sign
(`reversal`). Each joins intervals so that the verdict "zero lies outside" is wrong at most as often as that of one.
What is said of zero holds of any other threshold, taken off all effects alike.
"""

from dataclasses import dataclass, replace
from functools import cache, cached_property

import numpy as np
from scipy.stats import norm, quantile_test, t

POWER = 0.8


@dataclass(frozen=True)
class Interval:
    """An estimate with its confidence interval.

    Attributes:
        value: the estimate.
        low: lower end.
        high: upper end.
        could_have_seen: the smallest true effect that 80 % of such runs would distinguish from zero; not a number where
            all cells are alike, as at a ceiling, and nothing is known about the error.
        replicates: their number; with one, the interval is over questions alone.
        next_low: lower end of the prediction interval of one more replicate; not a number where it is not known.
        next_high: its upper end.
    """

    value: float
    low: float
    high: float
    could_have_seen: float
    replicates: int
    next_low: float = float("nan")
    next_high: float = float("nan")


@dataclass(frozen=True, eq=False)
class Estimate:
    """An estimate, before it is asked for an interval.

    Attributes:
        value: the estimate.
        influence: shape (replicates, questions), summing to zero.
        questions: the name of each column; None where all estimates that are combined are over the same questions.
    """

    value: float
    influence: np.ndarray
    questions: tuple | None = None

    @cached_property
    def error(self) -> float:
        """The standard error, clustered on replicates and on questions; with one replicate over questions alone."""
        of_questions = cluster_variance(self.influence.sum(axis=0))
        if len(self.influence) == 1:
            return of_questions**0.5
        of_replicates = cluster_variance(self.influence.sum(axis=1))
        of_cells = cluster_variance(self.influence.ravel())
        # V can come out below a one-way variance, even below zero, so we take the largest of the three.
        return max(of_replicates + of_questions - of_cells, of_replicates, of_questions) ** 0.5

    @cached_property
    def spread(self) -> float:
        """The standard deviation of the estimates of single replicates on these questions; NaN with one."""
        count = len(self.influence)
        return count * float(self.influence.sum(axis=1).std(ddof=1)) if count > 1 else float("nan")

    def interval(self, confidence: float, together: int = 1) -> Interval:
        """The estimate with its interval.

        Args:
            confidence: the coverage wanted, for example 0.95.
            together: the number of effects that ``could_have_seen`` speaks of at once: see `power`.

        Returns:
            The interval. With one replicate nothing is known about replicates: it is a normal one over questions.
        """
        return _around(self.value, self.error, self.spread, len(self.influence), confidence, power(together))

    def __sub__(self, other: "Estimate | float") -> "Estimate":
        """The difference of two estimates over the same replicates; some of their questions may be the same."""
        if not isinstance(other, Estimate):
            return Estimate(self.value - other, self.influence, self.questions)
        value, questions = self.value - other.value, self.questions
        if questions == other.questions:
            return Estimate(value, self.influence - other.influence, questions)
        questions = tuple(dict.fromkeys((*self.questions, *other.questions)))
        return Estimate(value, self._over(questions) - other._over(questions), questions)

    def _over(self, questions: tuple) -> np.ndarray:
        """The influence with a column for each of some questions; zero where the estimate does not rest on one."""
        places = {question: place for place, question in enumerate(questions)}
        influence = np.zeros((len(self.influence), len(questions)))
        influence[:, [places[question] for question in self.questions]] = self.influence
        return influence

    def __rsub__(self, constant: float) -> "Estimate":
        return Estimate(constant - self.value, -self.influence, self.questions)

    def __truediv__(self, constant: float) -> "Estimate":
        return Estimate(self.value / constant, self.influence / constant, self.questions)


def over_replicates(values: np.ndarray, confidence: float) -> Interval:
    """Student's t interval of the mean of one number per replicate; with one replicate its ends are not known (NaN)."""
    if len(values) == 1:
        return Interval(float(values[0]), float("nan"), float("nan"), float("nan"), 1)
    spread = float(values.std(ddof=1))
    return _around(float(values.mean()), spread / len(values) ** 0.5, spread, len(values), confidence, POWER)


def median(values: np.ndarray, confidence: float) -> Interval:
    """The median with its interval from order statistics, which asks nothing of the values' distribution.

    For times: on a machine that does other things as well a few steps take far longer, and carry a mean with them.
    """
    found = quantile_test(values).confidence_interval(confidence)
    return Interval(float(np.median(values)), float(found.low), float(found.high), float("nan"), len(values))


def power(together: int) -> float:
    """The power that each of several effects needs so that all are seen at once with POWER (Bonferroni's bound)."""
    return 1 - (1 - POWER) / together


def corrected(confidence: float, comparisons: int) -> float:
    """The confidence of each of several intervals so that all hold at once (Bonferroni's bound)."""
    return 1 - (1 - confidence) / comparisons


def smallest(each: list[Interval], each_corrected: list[Interval]) -> Interval:
    """The interval of the smallest of several effects: above zero if all are, below zero if one is.

    That all effects are positive is shown when each is, at its own level (an intersection-union test, Berger 1982): the
    smallest is overrated only if that one is. That one is negative is any of several chances to err, so Bonferroni's.

    Args:
        each: the intervals at the confidence wanted, with ``could_have_seen`` for all together.
        each_corrected: the same at the `corrected` confidence.

    Returns:
        The interval. One more replicate's smallest lies below an end if any of its effects does (Bonferroni), and above
        that of the smallest measured only if this one does.
    """
    least = min(each, key=lambda one: one.value)
    return Interval(
        min(one.value for one in each),
        min(one.low for one in each),
        min(one.high for one in each_corrected),
        float(np.max([one.could_have_seen for one in each])),
        min(one.replicates for one in each),
        float(np.min([one.next_low for one in each_corrected])),
        least.next_high,
    )


def smallest_of(estimates: list[Estimate], confidence: float) -> Interval:
    """The interval of the smallest of several estimates (`smallest`), each with its own replicates and questions."""
    stricter, count = corrected(confidence, len(estimates)), len(estimates)
    return smallest(
        [estimate.interval(confidence, count) for estimate in estimates],
        [estimate.interval(stricter) for estimate in estimates],
    )


def largest_size_of(estimates: list[Estimate], confidence: float) -> Interval:
    """The interval of the largest of several |estimates|: below a threshold if all are, above it if one is.

    That none is larger than a margin is an equivalence test: an interval wholly inside ± the margin (two one-sided
    tests), of all estimates (an intersection-union test). That one is larger takes Bonferroni's correction.
    """
    stricter, count = corrected(confidence, len(estimates)), len(estimates)
    each = [_mirrored(_size(estimate.interval(confidence, count))) for estimate in estimates]
    return _mirrored(smallest(each, [_mirrored(_size(estimate.interval(stricter))) for estimate in estimates]))


def _size(found: Interval) -> Interval:
    """The interval of the absolute value."""
    low, high = _sizes(found.low, found.high)
    next_low, next_high = _sizes(found.next_low, found.next_high)
    return replace(found, value=abs(found.value), low=low, high=high, next_low=next_low, next_high=next_high)


def _sizes(low: float, high: float) -> tuple[float, float]:
    """The smallest and the largest size of the numbers between two ends."""
    ends = abs(low), abs(high)
    return 0.0 if low <= 0 <= high else min(ends), max(ends)


def _mirrored(found: Interval) -> Interval:
    ends = {"low": -found.high, "high": -found.low, "next_low": -found.next_high, "next_high": -found.next_low}
    return replace(found, value=-found.value, **ends)


def largest(each_corrected: list[Interval]) -> Interval:
    """The interval of the largest of several effects: above zero if one is, below zero if all are.

    Args:
        each_corrected: intervals at the `corrected` confidence. ``could_have_seen`` is that of the best measured. Of
            one more replicate nothing is said: which effect is its largest is another question.
    """
    return Interval(
        max(one.value for one in each_corrected),
        max(one.low for one in each_corrected),
        max(one.high for one in each_corrected),
        min([one.could_have_seen for one in each_corrected if one.could_have_seen > 0], default=float("nan")),
        min(one.replicates for one in each_corrected),
    )


def reversal(before: Interval, after: Interval) -> Interval:
    """The interval of how far a difference turned round: min(|before|, |after|), negative if it kept its sign.

    It lies above zero if one of the differences lies above zero and the other below, with confidence; below zero if
    both lie on one side. Its ends are the extremes of the statistic max(min(before, −after), min(−before, after)) over
    both intervals. To show a turn in a given direction both intervals must leave zero out, each at its own level (an
    intersection-union test), and a pair can turn in two directions, of which each interval errs to one side only; so
    the verdict errs at most as often as one interval does.

    Args:
        before: the difference of two models.
        after: their difference later; both with ``could_have_seen`` for two together.
    """
    turned = -1 if before.value * after.value > 0 else 1
    return Interval(
        turned * min(abs(before.value), abs(after.value)),
        -max(min(before.high, after.high), min(-before.low, -after.low)),
        max(min(before.high, -after.low), min(-before.low, after.high)),
        float(np.max([before.could_have_seen, after.could_have_seen])),
        min(before.replicates, after.replicates),
    )


@cache
def _quantiles(replicates: int, confidence: float, power: float) -> np.ndarray:
    """How many standard errors an interval reaches to each side, and how many more an effect needs to be seen."""
    levels = [(1 + confidence) / 2, power]
    return t.ppf(levels, replicates - 1) if replicates > 1 else norm.ppf(levels)


def _around(value: float, error: float, spread: float, replicates: int, confidence: float, power: float) -> Interval:
    quantiles = _quantiles(replicates, confidence, power)
    half = float(quantiles[0] * error)
    reach = float(quantiles[0] * spread * (1 + 1 / replicates) ** 0.5)
    could_have_seen = float(quantiles.sum() * error) if error > 0 else float("nan")
    return Interval(value, value - half, value + half, could_have_seen, replicates, value - reach, value + reach)


def cluster_variance(sums: np.ndarray) -> float:
    """The variance of an estimate from its clusters' summed influences, with the small-sample factor n / (n − 1)."""
    return float(np.square(sums).sum() * len(sums) / (len(sums) - 1))


def mean(tasks: list[np.ndarray]) -> Estimate:
    """The mean over tasks of the mean over cells.

    Args:
        tasks: for each task, values of shape (replicates, questions of that task).

    Returns:
        The mean, with an influence of shape (replicates, questions of all tasks). It is centred within each task: the
        tasks are fixed, only their questions are a sample.
    """
    influence = [(values - values.mean()) / (len(tasks) * values.size) for values in tasks]
    return Estimate(float(np.mean([values.mean() for values in tasks])), np.concatenate(influence, axis=1))


def ratio(over: list[np.ndarray], under: list[np.ndarray], questions: tuple | None = None) -> Estimate:
    """The ratio of two means over the same cells, with its influence by the delta method.

    With R = mean(over) / mean(under), R's first-order change is that of the mean of (over − R · under) / mean(under);
    that value is linear in the cells, so it is clustered like any mean.

    Args:
        over: for each task, the numerator's values of shape (replicates, questions of that task).
        under: the denominator's values, of the same shapes; their mean is not zero.
        questions: the names of the questions of all tasks.
    """
    below = mean(under).value
    value = mean(over).value / below
    linear = [(upper - value * lower) / below for upper, lower in zip(over, under, strict=True)]
    return Estimate(value, mean(linear).influence, questions)
