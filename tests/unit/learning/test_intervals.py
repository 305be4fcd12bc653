"""The promise of conformal intervals, kept on draws."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from xanesml.learning.intervals import Interval, Judged, conformal_quantile, ends, mean_over_clusters, suffice

NONE = Judged(np.empty(0), np.empty(0), np.empty(0), np.empty(0, int))


def judged(residuals: np.ndarray, spreads: np.ndarray | float = 0.0, members: int = 1) -> Judged:
    """Answers of 0 with these residuals, so many of a cluster."""
    count = len(residuals)
    return Judged(np.zeros(count), np.broadcast_to(spreads, count), residuals, np.arange(count) // members)


def fitted(confidence: float, calibration: Judged, particles: Judged = NONE, floor: float = 0.001) -> Interval:
    return Interval.fit(
        confidence, validation=judged(np.full(3, floor), floor), calibration=calibration, particles=particles
    )


def test_the_quantile_by_hand() -> None:
    scores, each = np.arange(1.0, 10.0), np.arange(9)
    assert conformal_quantile(scores, 0.9, each) == 9.0
    assert conformal_quantile(scores, 0.5, each) == 5.0
    assert conformal_quantile(scores, 0.91, each) is None
    assert conformal_quantile(np.empty(0), 0.5, np.empty(0, int)) is None


def test_the_quantile_over_clusters_by_hand() -> None:
    # Three clusters of weight 1/4: one score of 1/4, two of 1/8, four of 1/16. From below they reach
    # 1/16, 3/16, 1/4, 1/2, 9/16, 5/8, 3/4.
    scores = np.array([4.0, 2.0, 7.0, 1.0, 3.0, 5.0, 6.0])
    cluster = np.array([8, 5, 5, 2, 2, 2, 2])
    for confidence, expected in (
        (1 / 16, 1.0),
        (0.2, 3.0),
        (0.25, 3.0),
        (0.26, 4.0),
        (0.5, 4.0),
        (0.63, 7.0),
        (0.75, 7.0),
    ):
        assert conformal_quantile(scores, confidence, cluster) == expected, confidence
    assert conformal_quantile(scores, 0.76, cluster) is None


@given(st.integers(1, 40), st.floats(0.05, 0.95))
def test_a_further_score_stays_below_the_quantile_as_often_as_promised(count: int, confidence: float) -> None:
    # Of count + 1 exchangeable scores the last has each rank with equal probability.
    quantile = conformal_quantile(np.arange(1.0, count + 1.0), confidence, np.arange(count))
    assert (quantile is not None) == suffice(count, confidence)
    if quantile is not None:
        assert quantile / (count + 1) >= confidence - 1e-9
        assert (quantile - 1) / (count + 1) < confidence


@given(st.lists(st.lists(st.integers(0, 50), min_size=1, max_size=6), min_size=1, max_size=12), st.floats(0.05, 0.95))
def test_the_quantile_over_clusters_is_that_of_a_naive_search(groups: list[list[int]], confidence: float) -> None:
    scores = np.array([value for group in groups for value in group], dtype=float)
    cluster = np.array([number for number, group in enumerate(groups) for _ in group])

    def weight(limit: float) -> float:
        return sum(sum(value <= limit for value in group) / len(group) for group in groups) / (len(groups) + 1)

    expected = next((limit for limit in sorted(scores.tolist()) if weight(limit) >= confidence - 1e-9), None)
    assert conformal_quantile(scores, confidence, cluster) == expected


@pytest.mark.parametrize("spread", [0.0, 1.0])
def test_intervals_hold_what_they_promise_whatever_the_residuals_are_like(spread: float) -> None:
    rng = np.random.default_rng(1)
    deviations = 1e-3 * rng.gamma(2.0, size=(200, 400))
    residuals = np.abs(rng.standard_t(3, size=deviations.shape) * deviations)
    covered = []
    for row in range(200):
        some, others = (
            judged(residuals[row, part], spread * deviations[row, part]) for part in (slice(200), slice(200, 400))
        )
        interval = fitted(0.9, some)
        covered.append(interval.coverage(others))
    assert np.mean(covered) == pytest.approx(0.9, abs=0.01)


@pytest.mark.parametrize("families", [9, 19, 60])
def test_intervals_hold_for_a_further_family_however_alike_its_spectra_are(families: int) -> None:
    rng = np.random.default_rng(2)
    members, covered, by_spectra = 16, [], []
    for _ in range(2000):
        # Spectra of a family differ by a tenth of what families differ by.
        size = rng.gamma(2.0, size=(families + 1, 1)) * (1 + 0.1 * rng.normal(size=(families + 1, members)))
        residuals = 1e-3 * np.abs(size)
        some, other = judged(residuals[:-1].ravel(), members=members), judged(residuals[-1])
        covered.append(fitted(0.9, some).coverage(other))
        each = some._replace(cluster=np.arange(families * members))
        by_spectra.append(fitted(0.9, each).coverage(other))
    assert np.mean(covered) > 0.9 - 0.012
    # The quantile over spectra, as if each were a family, holds less than it promises.
    assert np.mean(by_spectra) < np.mean(covered)
    assert families > 20 or np.mean(by_spectra) < 0.89


@given(st.lists(st.floats(0, 0.05), min_size=1, max_size=20), st.floats(0, 0.02), st.floats(0, 0.02))
def test_no_interval_reaches_below_zero_and_none_loses_a_label(msd: list[float], half: float, label: float) -> None:
    answers = np.array(msd)
    low, high = ends(answers, np.full(len(answers), half))
    assert (low >= 0).all()
    assert (low <= high).all()
    np.testing.assert_array_equal(
        (low <= label) & (label <= high), (label >= answers - half) & (label <= answers + half)
    )


def test_coverage_counts_clusters_alike() -> None:
    interval = Interval(0.9, 0.001, 1.0, 9)
    # One spectrum inside; two of four; none.
    residuals = np.array([0.0005, 0.0005, 0.0005, 0.002, 0.002, 0.002])
    some = judged(residuals)._replace(cluster=np.array([7, 3, 3, 3, 3, 1]))
    assert interval.coverage(some) == pytest.approx((1 + 0.5 + 0) / 3)
    assert np.isnan(interval.coverage(NONE))
    assert mean_over_clusters(np.array([1.0, 2.0, 6.0]), np.array([0, 0, 1])) == 3.75


def test_particle_averages_widen_an_interval_and_never_narrow_it() -> None:
    held_out = judged(np.linspace(0.001, 0.002, 50), 0.001)
    wide = fitted(0.9, held_out, judged(np.full(20, 0.01), 0.001))
    narrow = fitted(0.9, held_out, judged(np.full(20, 1e-5), 0.001))
    few = fitted(0.9, held_out, judged(np.full(5, 0.01), 0.001))
    pairs = fitted(0.9, held_out, judged(np.full(20, 0.01), 0.001, members=4))
    spread = np.array([0.001])
    assert wide.half_width(spread)[0] == pytest.approx(0.01)
    assert narrow.half_width(spread)[0] == narrow.half_width(spread, statistical=True)[0]
    assert wide.half_width(spread, statistical=True)[0] < 0.0021
    assert (wide.families, wide.structures, wide.sufficient) == (50, 20, True)
    assert (few.particle_quantile, few.structures) == (None, 5)
    assert (pairs.particle_quantile, pairs.structures) == (None, 5), "20 spectra of 5 structures are too few"


def test_of_too_few_families_the_largest_error_counts_and_it_is_said() -> None:
    interval = fitted(0.99, judged(np.array([0.001, 0.003])))
    assert interval.half_width(np.zeros(1))[0] == pytest.approx(0.003)
    assert not interval.sufficient
    # Many spectra of few families are too few too.
    assert not fitted(0.9, judged(np.full(80, 0.001), members=10)).sufficient
    assert fitted(0.9, judged(np.full(90, 0.001), members=10)).sufficient


def test_the_floor_is_that_of_the_validation_split() -> None:
    calibration = judged(np.full(20, 0.004), 0.1)
    several, single, exact = (
        Interval.fit(
            0.9, validation=judged(np.full(5, residual), spread), calibration=calibration, particles=NONE
        ).floor
        for residual, spread in ((0.002, 0.003), (0.002, 0.0), (0.0, 0.0))
    )
    assert (several, single, exact) == (0.003, 0.002, 1.0)


def test_an_interval_survives_json() -> None:
    interval = fitted(0.9, judged(np.arange(1.0, 30.0), 1.0))
    assert TypeAdapter(Interval).validate_json(TypeAdapter(Interval).dump_json(interval)) == interval
