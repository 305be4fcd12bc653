"""Averages against naive loops and values worked out by hand."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from xanesml.averages.distributions import Distributions, choose_distributions
from xanesml.averages.series import Series
from xanesml.averages.statistical import SeriesAverager, bin_centers, bins_of_series, particle_averages
from xanesml.campaign import AveragingSection
from xanesml.errors import StoreError

DELTA = np.arange(-45, 46) / 100
SECTION = AveragingSection(families=150, means_per_family=4)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(5)


def single(location: float, scale: float, alpha: float = 0.0, step: float = 0.01) -> Distributions:
    one = np.ones(1)
    return Distributions(scale * one, alpha * one, location * one, np.zeros(1, np.int64), step)


def made(mu: np.ndarray, steps: np.ndarray, *, delta: np.ndarray = DELTA, r: np.ndarray = DELTA) -> Series:
    energy = np.arange(float(mu.shape[1]))
    return Series(energy=energy, delta=delta, mu=mu, edge_step=steps, r=r, first_shell=2.88)


def naive_weights(location: float, scale: float, alpha: float, delta: np.ndarray = DELTA) -> list[float]:
    density = [stats.skewnorm.pdf(x, alpha, loc=location, scale=scale) for x in delta]
    return [value / math.fsum(density) for value in density]


@pytest.mark.parametrize("delta", [DELTA, np.arange(-15, 16) * 0.03], ids=["fine", "coarse"])
def test_averages_against_a_naive_loop(rng: np.random.Generator, delta: np.ndarray) -> None:
    series, steps = rng.uniform(1, 2, (len(delta), 7)), rng.uniform(1, 3, len(delta))
    chosen = choose_distributions(SECTION.model_copy(update={"means_per_family": 8}), delta, 1)
    found = SeriesAverager(made(series, steps, delta=delta), keep_weights=True).average(chosen)
    assert found.weights is not None
    assert found.distribution is None
    np.testing.assert_allclose(found.weights.sum(axis=1), 1, rtol=0, atol=1e-14)
    for row in rng.choice(len(chosen), 12, replace=False):
        family, member = divmod(int(row), 8)
        weights = naive_weights(chosen.locations[family, member], chosen.scale[family], chosen.alpha[family], delta)
        np.testing.assert_allclose(found.weights[row], weights, rtol=0, atol=1e-12)
        step = math.fsum(w * s for w, s in zip(weights, steps, strict=True))
        for m in range(7):
            naive = math.fsum(w * mu for w, mu in zip(weights, series[:, m], strict=True)) / step
            assert found.spectra[row, m] == pytest.approx(naive, abs=1e-12)
        mean = math.fsum(w * x for w, x in zip(weights, delta, strict=True))
        msd = math.fsum(w * (x - mean) ** 2 for w, x in zip(weights, delta, strict=True))
        assert found.moments.mean_shift[row] == pytest.approx(mean, abs=1e-12)
        assert found.moments.msd[row] == pytest.approx(msd, abs=1e-12)


def test_a_distribution_narrower_than_a_step_returns_that_spectrum(rng: np.random.Generator) -> None:
    series, steps = rng.uniform(1, 2, (91, 7)), rng.uniform(1, 3, 91)
    found = SeriesAverager(made(series, steps)).average(single(0.2, 1e-3))
    np.testing.assert_allclose(found.spectra[0], series[65] / steps[65], rtol=1e-14)
    assert found.moments.mean_shift[0] == pytest.approx(0.2, abs=1e-15)


def test_averaging_is_linear_in_the_series(rng: np.random.Generator) -> None:
    one, other, steps = rng.uniform(1, 2, (91, 7)), rng.uniform(1, 2, (91, 7)), rng.uniform(1, 3, 91)
    chosen = choose_distributions(SECTION, DELTA, 1)

    def averaged(series: np.ndarray) -> np.ndarray:
        return SeriesAverager(made(series, steps)).average(chosen).spectra

    np.testing.assert_allclose(averaged(2 * one - 3 * other), 2 * averaged(one) - 3 * averaged(other), atol=1e-12)


@given(st.floats(0.02, 0.1), st.floats(-0.05, 0.05))
def test_msd_of_a_gaussian_far_from_the_ends_is_its_variance(scale: float, location: float) -> None:
    moments = SeriesAverager(made(np.ones((91, 1)), np.ones(91))).average(single(location, scale)).moments
    # Four widths from the ends at the least: what is cut off is worth less than 1e-3 of σ².
    assert moments.msd[0] == pytest.approx(scale**2, rel=1e-3)
    assert moments.mean_shift[0] == pytest.approx(location, abs=1e-4)


def test_parts_are_the_same_averages_bit_for_bit(rng: np.random.Generator) -> None:
    averager = SeriesAverager(made(rng.uniform(1, 2, (91, 7)), rng.uniform(1, 3, 91)))
    chosen = choose_distributions(SECTION, DELTA, 1)
    whole = averager.average(chosen)
    parts = [averager.average(chosen[:128]), averager.average(chosen[128:])]
    np.testing.assert_array_equal(np.concatenate([part.spectra for part in parts]), whole.spectra)
    np.testing.assert_array_equal(np.concatenate([part.moments.msd for part in parts]), whole.moments.msd)


def test_distributions_of_another_series_are_refused() -> None:
    chosen = choose_distributions(SECTION, DELTA, 1)
    coarse = np.arange(-9, 10) / 20
    with pytest.raises(ValueError, match="chosen for a series of another step"):
        SeriesAverager(made(np.ones((19, 2)), np.ones(19), delta=coarse)).average(chosen)
    with pytest.raises(StoreError, match="is not evenly spaced"):
        SeriesAverager(made(np.ones((90, 2)), np.ones(90), delta=np.delete(DELTA, 3)))
    np.testing.assert_array_equal(replace(chosen, divisor=1).locations, chosen.locations)


@pytest.mark.parametrize("width", [0.01, 0.02, 0.037, 2.0])
def test_bins_of_bond_length_keep_all_weight_and_the_mean(width: float) -> None:
    centers = bin_centers(DELTA, 2.88, width)
    assert centers[0] - width / 2 == pytest.approx(2.88 - 0.455)
    assert centers[-1] + width / 2 >= 2.88 + 0.455 - 1e-12
    series = made(np.ones((91, 2)), np.ones(91), r=centers)
    np.testing.assert_allclose(bins_of_series(series).sum(axis=1), 1, rtol=1e-12)
    found = SeriesAverager(series, keep_distribution=True).average(single(0.03, 0.07))
    assert found.distribution is not None
    assert found.distribution.sum() == pytest.approx(1, abs=1e-12)
    assert found.distribution[0] @ centers == pytest.approx(2.91, abs=width / 2 if width > 1 else 2e-3)
    if width == 0.01:
        np.testing.assert_allclose(found.distribution[0], naive_weights(0.03, 0.07, 0), atol=1e-9)


def test_particle_averages_by_hand() -> None:
    spectra = np.array([[[1.0, 2.0], [3.0, 4.0]], [[10.0, 10.0], [20.0, 40.0]]])
    steps = np.array([[1.0, 3.0], [2.0, 3.0]])
    everyone = np.ones((2, 2), bool)
    alike = particle_averages(spectra, steps, np.ones(2), everyone)
    np.testing.assert_allclose(alike, [[1.0, 1.5], [6.0, 10.0]], rtol=1e-15)
    # The second absorber stands for two more like it: (1 + 9)/(1 + 9), (2 + 12)/(1 + 9), …
    several = particle_averages(spectra, steps, np.array([1.0, 3.0]), everyone)
    np.testing.assert_allclose(several, [[1.0, 1.4], [70 / 11, 130 / 11]], rtol=1e-15)


def test_particle_averages_do_not_depend_on_the_order_of_the_absorbers(rng: np.random.Generator) -> None:
    spectra, steps = rng.uniform(1, 2, (3, 13, 5)), rng.uniform(1, 2, (3, 13))
    multiplicity, present = rng.uniform(1, 4, 13), rng.random((3, 13)) < 0.9
    order = rng.permutation(13)
    found = particle_averages(spectra, steps, multiplicity, present)
    permuted = particle_averages(spectra[:, order], steps[:, order], multiplicity[order], present[:, order])
    np.testing.assert_allclose(found, permuted, rtol=0, atol=1e-14)
    for n in range(3):
        counts = multiplicity * present[n]
        naive = [math.fsum(counts * spectra[n, :, m]) / math.fsum(counts * steps[n]) for m in range(5)]
        np.testing.assert_allclose(found[n], naive, rtol=0, atol=1e-12)


def test_a_missing_absorber_counts_for_nothing() -> None:
    spectra = np.array([[[8.0, 9.0], [np.nan, np.nan]]])
    found = particle_averages(spectra, np.array([[2.0, np.nan]]), np.ones(2), np.array([[True, False]]))
    assert found.tolist() == [[4.0, 4.5]]
    with pytest.raises(StoreError, match="structure 0 of the block has no spectrum"):
        particle_averages(spectra, np.ones((1, 2)), np.ones(2), np.zeros((1, 2), bool))
