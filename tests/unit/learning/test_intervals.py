"""The promise of conformal intervals, kept on draws."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from xanesml.learning.intervals import Interval, conformal_quantile

NONE = (np.empty(0), np.empty(0))


def test_the_quantile_by_hand() -> None:
    scores = np.arange(1.0, 10.0)
    assert conformal_quantile(scores, 0.9) == 9.0
    assert conformal_quantile(scores, 0.5) == 5.0
    assert conformal_quantile(scores, 0.91) is None
    assert conformal_quantile(np.empty(0), 0.5) is None


@given(st.integers(1, 40), st.floats(0.05, 0.95))
def test_a_further_score_stays_below_the_quantile_as_often_as_promised(count: int, confidence: float) -> None:
    # Of count + 1 exchangeable scores the last has each rank with equal probability.
    quantile = conformal_quantile(np.arange(1.0, count + 1.0), confidence)
    if quantile is not None:
        assert quantile / (count + 1) >= confidence - 1e-9
        assert (quantile - 1) / (count + 1) < confidence


@pytest.mark.parametrize("spread", [0.0, 1.0])
def test_intervals_hold_what_they_promise_whatever_the_residuals_are_like(spread: float) -> None:
    rng = np.random.default_rng(1)
    deviations = 1e-3 * rng.gamma(2.0, size=(200, 400))
    spreads = spread * deviations
    residuals = np.abs(rng.standard_t(3, size=deviations.shape) * deviations)
    covered = []
    for row in range(200):
        interval = Interval.fit(0.9, held_out=(residuals[row, :200], spreads[row, :200]), particles=NONE)
        covered.append(np.mean(residuals[row, 200:] <= interval.half_width(spreads[row, 200:])))
    assert np.mean(covered) == pytest.approx(0.9, abs=0.01)
    assert interval.floor > 0


def test_particle_averages_widen_an_interval_and_never_narrow_it() -> None:
    held_out = (np.linspace(0.001, 0.002, 50), np.full(50, 0.001))
    wide = Interval.fit(0.9, held_out=held_out, particles=(np.full(20, 0.01), np.full(20, 0.001)))
    narrow = Interval.fit(0.9, held_out=held_out, particles=(np.full(20, 1e-5), np.full(20, 0.001)))
    few = Interval.fit(0.9, held_out=held_out, particles=(np.full(5, 0.01), np.full(5, 0.001)))
    spread = np.array([0.001])
    assert wide.half_width(spread)[0] == pytest.approx(0.01)
    assert narrow.half_width(spread)[0] == narrow.half_width(spread, statistical=True)[0]
    assert wide.half_width(spread, statistical=True)[0] < 0.0021
    assert (few.particle_quantile, few.particle_count) == (None, 5)


def test_of_too_few_spectra_the_largest_error_counts() -> None:
    interval = Interval.fit(0.99, held_out=(np.array([0.001, 0.003]), np.zeros(2)), particles=NONE)
    assert interval.half_width(np.zeros(1))[0] == pytest.approx(0.003)


def test_an_interval_survives_json() -> None:
    interval = Interval.fit(0.9, held_out=(np.arange(1.0, 30.0), np.ones(29)), particles=NONE)
    assert TypeAdapter(Interval).validate_json(TypeAdapter(Interval).dump_json(interval)) == interval
