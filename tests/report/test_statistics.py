"""The intervals: against sums written out by hand, and by simulation of seeds crossed with questions."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from scipy.stats import norm, t

from orchard.report import statistics

REPETITIONS = 1000
QUESTIONS = 60


def simulated(random, seeds, effect=0.0, of_seed=0.05, of_question=0.12, of_cell=0.4, questions=QUESTIONS):
    """Differences (seeds, questions) with random effects of seed, question and both."""
    return (
        effect
        + random.normal(0, of_seed, (seeds, 1))
        + random.normal(0, of_question, (1, questions))
        + random.normal(0, of_cell, (seeds, questions))
    )


def of_mean(*tasks, confidence=0.95):
    return statistics.mean(list(tasks)).interval(confidence)


def pairs_variance(values):
    """The two-way clustered variance as a sum over pairs of cells that share a seed or a question."""
    cells = list(product(*map(range, values.shape)))
    rest = (values - values.mean()) / values.size
    seeds, questions = values.shape
    sums = {"seed": 0.0, "question": 0.0, "cell": 0.0}
    for (s, q), (other_s, other_q) in product(cells, cells):
        product_of_rests = rest[s, q] * rest[other_s, other_q]
        sums["seed"] += product_of_rests * (s == other_s)
        sums["question"] += product_of_rests * (q == other_q)
        sums["cell"] += product_of_rests * (s == other_s and q == other_q)
    counts = {"seed": seeds, "question": questions, "cell": values.size}
    return {name: total * counts[name] / (counts[name] - 1) for name, total in sums.items()}


@pytest.mark.parametrize("number", range(5))
def test_variance_is_the_sum_over_pairs_that_share_a_cluster(number):
    values = simulated(np.random.default_rng(number), 4, of_seed=0.3, of_question=0.3)[:, :9]
    by = pairs_variance(values)
    assert by["seed"] + by["question"] - by["cell"] > max(
        by["seed"], by["question"]
    )  # else this test is of the next one
    half = t.ppf(0.975, 3) * (by["seed"] + by["question"] - by["cell"]) ** 0.5
    found = of_mean(values)
    assert found.value == pytest.approx(values.mean())
    assert (found.low, found.high) == pytest.approx((values.mean() - half, values.mean() + half))


def test_variance_never_falls_below_a_one_way_variance():
    values = np.array([[1.0, -1.0, 1.0, -1.0], [-1.0, 1.0, -1.0, 1.0], [1.0, 1.0, -1.0, -1.0]])
    by = pairs_variance(values)
    assert by["seed"] + by["question"] - by["cell"] < max(by["seed"], by["question"])
    found = of_mean(values)
    assert found.high - found.value == pytest.approx(t.ppf(0.975, 2) * max(by["seed"], by["question"]) ** 0.5)


def test_one_seed_gives_a_normal_interval_over_questions():
    values = simulated(np.random.default_rng(1), 1)
    found = of_mean(values, confidence=0.9)
    half = norm.ppf(0.95) * values.std(ddof=1) / QUESTIONS**0.5
    assert (found.low, found.high) == pytest.approx((values.mean() - half, values.mean() + half))
    assert found.replicates == 1


def test_mean_over_tasks_weights_tasks_alike_and_ignores_what_lies_between_them():
    random = np.random.default_rng(2)
    easy, hard = simulated(random, 3)[:, :10], simulated(random, 3, effect=5.0)
    found, shifted = of_mean(easy, hard), of_mean(easy, hard + 100.0)
    assert found.value == pytest.approx((easy.mean() + hard.mean()) / 2)
    assert shifted.high - shifted.low == pytest.approx(found.high - found.low)


def test_ratio_of_tasks_is_the_ratio_of_their_means():
    over = [np.array([[0.2, 0.4]]), np.array([[0.6, 0.6, 0.6]])]
    under = [np.array([[0.5, 0.7]]), np.array([[1.0, 1.0, 1.0]])]
    found = statistics.ratio(over, under)
    assert found.value == pytest.approx((0.3 + 0.6) / (0.6 + 1.0))
    assert found.influence.shape == (1, 5)
    assert found.influence.sum() == pytest.approx(0)


def test_influence_of_a_ratio_is_its_change_when_a_question_counts_more():
    random = np.random.default_rng(3)
    under = random.uniform(0.5, 1, (3, 8))
    over = under * random.uniform(0.2, 0.6, (3, 8))
    influence = statistics.ratio([over], [under]).influence
    step = 1e-6
    for cell in product(range(3), range(8)):
        weights = np.full((3, 8), 1.0)
        weights[cell] += step
        change = ((weights * over).sum() / (weights * under).sum() - over.mean() / under.mean()) / step
        assert influence[cell] == pytest.approx(change, rel=1e-4, abs=1e-7)


def coverage(seeds, **spreads):
    random = np.random.default_rng(seeds)
    found = [of_mean(simulated(random, seeds, effect=0.1, **spreads)) for _ in range(REPETITIONS)]
    return np.mean([one.low <= 0.1 <= one.high for one in found])


@pytest.mark.parametrize("seeds", [3, 5, 20])
def test_coverage_of_a_mean(seeds):
    """Spreads of the size that pass@1 of 8 samples on the default study's 200 questions has."""
    assert 0.92 <= coverage(seeds, of_seed=0.04, of_question=0.05, of_cell=0.3, questions=200) <= 0.995


@pytest.mark.parametrize("seeds", [2, 3, 5, 20])
@pytest.mark.parametrize(
    "spreads",
    [
        {"of_seed": 0.0, "of_question": 0.0, "of_cell": 0.4},
        {"of_seed": 0.05, "of_question": 0.12, "of_cell": 0.4},
        {"of_seed": 0.02, "of_question": 0.4, "of_cell": 0.1},
        {"of_seed": 0.3, "of_question": 0.02, "of_cell": 0.1},
    ],
)
def test_coverage_does_not_fall_short_wherever_the_noise_comes_from(seeds, spreads):
    """No upper bound here: with few seeds and little noise of theirs, the interval is wider than it need be."""
    assert coverage(seeds, **spreads) >= 0.92


@pytest.mark.parametrize("seeds", [3, 5, 20])
def test_coverage_of_a_ratio(seeds):
    random, hits = np.random.default_rng(seeds), 0
    for _ in range(REPETITIONS):
        unpruned = 0.8 + simulated(random, seeds, of_seed=0.04, of_cell=0.1)
        pruned = 0.5 * unpruned + simulated(random, seeds, of_cell=0.1)
        found = statistics.ratio([pruned], [unpruned]).interval(0.95)
        hits += found.low <= 0.5 <= found.high
    assert 0.92 <= hits / REPETITIONS <= 0.995


def test_questions_alone_would_not_cover():
    """Why the seed is the unit: with seed effects, an interval that pools the seeds' questions misses far too often."""
    random, hits = np.random.default_rng(7), 0
    for _ in range(REPETITIONS):
        values = simulated(random, 3, of_seed=0.1)
        half = 1.96 * values.std(ddof=1) / values.size**0.5
        hits += abs(values.mean()) <= half
    assert hits / REPETITIONS < 0.8


def bootstrapped(values, random, draws=400):
    """A 95 % percentile interval of the mean from seeds and questions drawn again, each with replacement."""
    seeds, questions = (random.integers(size, size=(draws, size)) for size in values.shape)
    means = values[seeds[:, :, None], questions[:, None, :]].mean(axis=(1, 2))
    return np.quantile(means, [0.025, 0.975])


@pytest.mark.parametrize(("seeds", "falls_short"), [(3, True), (20, False)])
def test_a_bootstrap_over_clusters_agrees_with_many_seeds_and_misses_too_often_with_three(seeds, falls_short):
    """Why the report computes its intervals instead: three seeds drawn again are too alike."""
    random, hits, lengths = np.random.default_rng(seeds), {"bootstrap": 0, "ours": 0}, []
    for _ in range(300):
        values = simulated(random, seeds, effect=0.1, of_seed=0.1, of_question=0.1, of_cell=0.3)
        (low, high), found = bootstrapped(values, random), of_mean(values)
        hits["bootstrap"] += low <= 0.1 <= high
        hits["ours"] += found.low <= 0.1 <= found.high
        lengths.append((high - low) / (found.high - found.low))
    assert hits["ours"] >= 0.92 * 300
    assert (hits["bootstrap"] < 0.9 * 300) == falls_short
    assert (np.median(lengths) == pytest.approx(1, abs=0.05)) == (not falls_short)


@pytest.mark.parametrize("seeds", [3, 5, 20])
def test_a_planted_effect_is_found_as_often_as_computed(seeds):
    """The effect planted is the one that the formula gives from the true error, where it promises 80 %."""
    random = np.random.default_rng(seeds)
    of_seed, of_question, of_cell = 0.1, 0.02, 0.2  # mostly seeds, so that the degrees of freedom are those of seeds
    error = (of_seed**2 / seeds + of_question**2 / QUESTIONS + of_cell**2 / (seeds * QUESTIONS)) ** 0.5
    effect = error * t.ppf([0.975, statistics.POWER], seeds - 1).sum()
    effects = {"effect": effect, "of_seed": of_seed, "of_question": of_question, "of_cell": of_cell}
    found = [of_mean(simulated(random, seeds, **effects)) for _ in range(REPETITIONS)]
    assert 0.74 <= np.mean([one.low > 0 for one in found]) <= 0.86
    assert np.median([one.could_have_seen for one in found]) == pytest.approx(effect, rel=0.25)


@pytest.mark.parametrize("seeds", [3, 5, 20])
def test_arms_that_are_alike_differ_in_at_most_one_study_of_twenty(seeds):
    """A/A: two arms of pass@1 from 8 samples, the same chances up to the seed's luck, paired by seed and question."""
    random, alarms, studies = np.random.default_rng(seeds), 0, 4 * REPETITIONS
    for _ in range(studies):
        easy = random.normal(0, 1, (1, QUESTIONS))
        arms = [random.binomial(8, 1 / (1 + np.exp(-easy - random.normal(0, 0.4, (seeds, 1))))) / 8 for _ in range(2)]
        found = of_mean(arms[0] - arms[1])
        alarms += not found.low <= 0 <= found.high
    assert alarms / studies <= 0.05 + 3 * (0.05 * 0.95 / studies) ** 0.5


def test_the_median_has_the_interval_of_order_statistics_and_bears_outliers():
    """Of ten values the second and the ninth bound the median at 1 − 22 / 1024 = 97.9 %."""
    values = np.array([3, 1, 4, 2, 5, 7, 6, 8, 9, 1000.0])
    found = statistics.median(values, 0.95)
    assert (found.value, found.low, found.high, found.replicates) == (5.5, 2.0, 9.0, 10)


def test_interval_over_replicates_is_students():
    found = statistics.over_replicates(np.array([1.0, 2.0, 6.0]), 0.9)
    half = t.ppf(0.95, 2) * (7 / 3) ** 0.5  # mean 3, deviations −2, −1, 3: variance 14 / 2 = 7
    assert (found.value, found.low, found.high) == pytest.approx((3, 3 - half, 3 + half))
    assert found.replicates == 3


def test_one_replicate_says_nothing_of_replicates():
    found = statistics.over_replicates(np.array([2.0]), 0.95)
    assert (found.value, found.replicates) == (2.0, 1)
    assert np.isnan([found.low, found.high, found.could_have_seen]).all()


def test_several_effects_together_need_more_power():
    values = simulated(np.random.default_rng(1), 4)
    alone, together = (statistics.mean([values]).interval(0.95, n) for n in (1, 4))
    error = (alone.high - alone.value) / t.ppf(0.975, 3)
    assert (alone.low, alone.high) == (together.low, together.high)
    assert alone.could_have_seen == pytest.approx((t.ppf(0.975, 3) + t.ppf(0.8, 3)) * error)
    assert together.could_have_seen == pytest.approx((t.ppf(0.975, 3) + t.ppf(0.95, 3)) * error)


def around(value, half, could_have_seen=0.1, replicates=3):
    return statistics.Interval(value, value - half, value + half, could_have_seen, replicates)


def test_smallest_and_largest_join_ends():
    narrow, wide = [around(0.3, 0.1), around(0.4, 0.3)], [around(0.3, 0.2, 0.5), around(0.4, 0.5, 0.7, 2)]
    found = statistics.smallest(narrow, wide)
    assert (found.value, found.low, found.high) == pytest.approx((0.3, 0.1, 0.5))
    found = statistics.largest(wide)
    assert (found.value, found.low, found.high) == pytest.approx((0.4, 0.1, 0.9))
    assert (found.could_have_seen, found.replicates) == (0.5, 2)


def test_reversal_spans_what_both_intervals_allow():
    """Against the extremes of min(|before|, |after|), signed, over a fine grid of both intervals."""
    random = np.random.default_rng(7)
    for _ in range(200):
        before, after = (around(*random.uniform((-1, 0), (1, 1))) for _ in range(2))
        one, other = np.meshgrid(np.linspace(before.low, before.high, 201), np.linspace(after.low, after.high, 201))
        turned = np.where(one * other > 0, -1, 1) * np.minimum(abs(one), abs(other))
        found = statistics.reversal(before, after)
        assert (found.low, found.high) == pytest.approx((turned.min(), turned.max()), abs=0.02)
        assert found.value == pytest.approx(turned[100, 100])


@pytest.mark.parametrize(
    ("before", "after", "sign"),
    [(0.5, -0.5, 1), (-0.5, 0.5, 1), (0.5, 0.5, -1), (-0.5, -0.5, -1), (0.5, 0.1, 0), (0.1, -0.5, 0)],
)
def test_reversal_is_certain_where_both_differences_are(before, after, sign):
    found = statistics.reversal(around(before, 0.2), around(after, 0.2))
    assert (found.low > 0) - (found.high < 0) == sign


def labelled(random, *questions):
    """An estimate from three replicates of questions with names."""
    values = simulated(random, 3, questions=len(questions))
    return replace(statistics.mean([values]), questions=questions)


def test_estimates_over_the_same_questions_are_subtracted_question_by_question():
    random = np.random.default_rng(1)
    ours, theirs = (simulated(random, 3) for _ in range(2))
    found, expected = statistics.mean([ours]) - statistics.mean([theirs]), statistics.mean([ours - theirs])
    assert found.value == pytest.approx(expected.value)
    assert found.influence == pytest.approx(expected.influence)


def test_estimates_over_different_questions_stand_side_by_side():
    random = np.random.default_rng(2)
    ours, theirs = labelled(random, "a", "b"), labelled(random, "c", "d", "e")
    found = ours - theirs
    assert found.questions == ("a", "b", "c", "d", "e")
    assert (found.influence == np.concatenate([ours.influence, -theirs.influence], axis=1)).all()


def test_of_estimates_with_some_questions_in_common_these_add_up():
    random = np.random.default_rng(3)
    ours, theirs = labelled(random, "a", "b"), labelled(random, "b", "c")
    found = ours - theirs
    assert found.questions == ("a", "b", "c")
    assert (found.influence[:, 1] == ours.influence[:, 1] - theirs.influence[:, 0]).all()
    assert found.influence.sum() == pytest.approx(0)


def test_an_estimate_taken_off_a_constant_or_divided_keeps_its_relative_error():
    found = statistics.mean([simulated(np.random.default_rng(4), 3, effect=0.3)])
    missing, halved = 1 - found, found / 2
    assert (missing.value, missing.error) == pytest.approx((1 - found.value, found.error))
    assert (halved.value, halved.error) == pytest.approx((found.value / 2, found.error / 2))


# Chains: what differs between pretrained models, and what an interval and a prediction say of it


def chains(random: np.random.Generator, bases: int, seeds: int, pretraining: float, seed: float) -> np.ndarray:
    """Scores of shape (bases, seeds, questions) of mean 0, with effects of pretraining, seed, question and cell."""
    of_base = random.normal(0, pretraining, (bases, 1, 1))
    of_seed = random.normal(0, seed, (bases, seeds, 1))
    return of_base + of_seed + random.normal(0, 0.1, 40) + random.normal(0, 0.3, (bases, seeds, 40))


def covered(values: np.ndarray) -> bool:
    """Whether the 95 % interval of replicates (the first axis) holds the mean 0."""
    found = statistics.mean([values]).interval(0.95)
    return found.low <= 0 <= found.high


def test_an_interval_over_chains_covers_where_one_over_seeds_of_few_bases_does_not():
    random, repetitions = np.random.default_rng(16), 1000
    by_chain, by_base, by_seed = 0, 0, 0
    for _ in range(repetitions):
        by_chain += covered(chains(random, 8, 1, pretraining=0.1, seed=0.02)[:, 0])
        few = chains(random, 2, 4, pretraining=0.1, seed=0.02)
        by_seed += covered(few.reshape(8, 40))
        by_base += covered(few.mean(axis=1))
    assert 0.93 <= by_chain / repetitions <= 0.98
    assert by_base / repetitions >= 0.93
    assert by_seed / repetitions < 0.8, "seeds of two pretrained models are no eight replicates"


def test_a_prediction_interval_holds_the_estimate_of_another_chain_on_the_same_questions():
    random, repetitions, held = np.random.default_rng(17), 1000, 0
    for _ in range(repetitions):
        *eight, another = chains(random, 9, 1, pretraining=0.1, seed=0.02)[:, 0]
        found = statistics.mean([np.stack(eight)]).interval(0.95)
        held += found.next_low <= another.mean() <= found.next_high
    assert 0.935 <= held / repetitions <= 0.965


def test_a_prediction_interval_by_hand_and_of_joined_estimates():
    """Hahn & Meeker: mean ± t s sqrt(1 + 1/n)."""
    values = np.array([0.1, 0.4, 0.2, 0.5])
    found = statistics.over_replicates(values, 0.9)
    reach = t.ppf(0.95, 3) * values.std(ddof=1) * (1 + 1 / 4) ** 0.5
    assert (found.next_low, found.next_high) == pytest.approx((0.3 - reach, 0.3 + reach))
    of_cells = statistics.mean([np.tile(values[:, None], 5)]).interval(0.9)
    assert (of_cells.next_low, of_cells.next_high) == pytest.approx((0.3 - reach, 0.3 + reach))
    higher = statistics.mean([np.tile(values[:, None], 5) + 1])
    joined = statistics.smallest_of([statistics.mean([np.tile(values[:, None], 5)]), higher], 0.9)
    assert joined.next_high == pytest.approx(found.next_high)
    assert joined.next_low < found.next_low, "any of the two may be the lowest"
    assert np.isnan(statistics.mean([values[None]]).interval(0.9).next_low), "one replicate says nothing of another"
