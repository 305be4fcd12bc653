"""The nearest simulated spectrum, on averages whose distribution is known."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from numpy.typing import NDArray

from xanesml.averages.distributions import skew_normal_weights, weighted_moments
from xanesml.averages.nearest import nearest
from xanesml.averages.series import Series
from xanesml.campaign import AveragingSection
from xanesml.errors import SpectrumError

Floats = NDArray[np.float64]

MESH = 11905.0 + 0.5 * np.arange(120)
DELTA = np.round(np.linspace(-0.45, 0.45, 46), 10)
STEPS = 0.05 * (1 + 0.1 * DELTA)
RANGES = AveragingSection()


def mu(energy: Floats) -> Floats:
    """Return a series that at any energy is an edge that moves with δ, and sines of the distance of two shells."""
    edge = 11919.0 - 2.0 * DELTA[:, np.newaxis]
    # As smooth as a spectrum is, also where the photoelectron has no energy yet.
    k = np.sqrt(0.2625 * (energy - edge + np.hypot(energy - edge, 5.0)) / 2)
    first, second = ((2.884 + DELTA[:, np.newaxis]) * factor for factor in (1.0, np.sqrt(2.0)))
    waves = 0.25 * np.sin(2 * k * first) + 0.15 * np.sin(2 * k * second + 1.0)
    rise = 0.5 + np.arctan((energy - edge) / 2.5) / np.pi
    return STEPS[:, np.newaxis] * rise * (1 + waves * np.exp(-k / 3))


SERIES = Series(energy=MESH, delta=DELTA, mu=mu(MESH), edge_step=STEPS, r=np.empty(0), first_shell=2.884)


def average(location: float, scale: float, alpha: float, *, series: Floats = SERIES.mu) -> tuple[Floats, float]:
    """Return an average and its mean squared displacement."""
    weights = skew_normal_weights(DELTA, *np.array([[location], [scale], [alpha]]))
    spectrum = (weights @ series / (weights @ STEPS)[:, np.newaxis])[0]
    return spectrum, float(weighted_moments(weights, DELTA).msd[0])


@pytest.mark.parametrize("nuisances", [{}, {"largest_gain": 0.03, "largest_shift": 0.5}])
def test_the_distribution_of_an_average_is_found_again(nuisances: dict[str, float]) -> None:
    rng = np.random.default_rng(2)
    for sign in (1, -1, 1, -1):
        truth = (rng.uniform(-0.09, 0.09), rng.uniform(0.04, 0.13), sign * rng.uniform(1.5, 4.5))
        spectrum, msd = average(*truth)
        found = nearest(spectrum, SERIES, RANGES, **nuisances)
        assert (found.location, found.scale, found.alpha) == pytest.approx(truth, rel=1e-5)
        assert found.msd == pytest.approx(msd, rel=1e-6)
        assert (found.gain, found.shift) == pytest.approx((1.0, 0.0), abs=1e-6)
        assert found.rms < 1e-8
        np.testing.assert_allclose(found.spectrum, spectrum, atol=1e-7)
        assert found.at_bounds == ()


@pytest.mark.parametrize("alpha", [0.0, 0.2, -0.5])
def test_where_shape_and_location_are_hardly_told_apart_the_displacement_is_still_found(alpha: float) -> None:
    spectrum, msd = average(0.03, 0.08, alpha)
    found = nearest(spectrum, SERIES, RANGES, largest_shift=0.5)
    assert found.rms < 1e-5
    assert found.msd == pytest.approx(msd, rel=1e-3)
    weights = skew_normal_weights(DELTA, *np.array([[found.location], [found.scale], [found.alpha]]))
    assert found.mean_shift == pytest.approx(float((weights @ DELTA)[0]))


def test_gain_and_shift_are_those_of_the_spectrum_against_the_series() -> None:
    shifted, msd = average(-0.02, 0.09, 3.0, series=mu(MESH + 0.3))
    found = nearest(1.02 * shifted, SERIES, RANGES, largest_gain=0.05, largest_shift=0.5)
    # The series is known on the mesh only.
    assert found.shift == pytest.approx(0.3, abs=0.01)
    assert found.gain == pytest.approx(1.02, abs=1e-3)
    assert found.msd == pytest.approx(msd, rel=0.01)
    assert found.rms < 3e-4
    np.testing.assert_allclose(found.spectrum, 1.02 * shifted, atol=2e-3)
    fixed = nearest(1.02 * shifted, SERIES, RANGES)
    assert (fixed.gain, fixed.shift) == (1.0, 0.0)
    assert fixed.rms > 10 * found.rms


def test_broadening_and_background_are_told_from_disorder() -> None:
    at, quadrature = np.polynomial.hermite_e.hermegauss(15)
    blurred = sum(weight * mu(MESH + 0.5 * u) for u, weight in zip(at, quadrature, strict=True)) / quadrature.sum()
    blurred, msd = average(0.02, 0.09, 3.0, series=blurred)
    spectrum = blurred + 0.01 * (MESH - 11919.0) / 50
    allowed = {"largest_shift": 0.5, "largest_gain": 0.02, "largest_broadening": 1.0, "largest_slope": 0.02}
    found = nearest(spectrum, SERIES, RANGES, **allowed, edge=11919.0)
    assert found.msd == pytest.approx(msd, rel=0.02)
    assert found.broadening == pytest.approx(0.5, rel=0.05)
    assert found.slope == pytest.approx(0.01, rel=0.02)
    assert (found.gain, found.shift) == pytest.approx((1.0, 0.0), abs=2e-3)
    assert found.rms < 1e-4
    np.testing.assert_allclose(found.spectrum, spectrum, atol=5e-4)
    blind = nearest(spectrum, SERIES, RANGES, largest_shift=0.5, largest_gain=0.02)
    assert (blind.broadening, blind.slope) == (0.0, 0.0)
    assert abs(blind.msd - msd) > 5 * abs(found.msd - msd)
    sharp = nearest(average(0.02, 0.09, 3.0)[0], SERIES, RANGES, **allowed)
    assert sharp.broadening < 0.01
    assert sharp.at_bounds == ()


def test_nothing_on_a_fine_grid_is_nearer() -> None:
    rng = np.random.default_rng(4)
    grid = np.array(
        list(itertools.product(np.linspace(-0.1, 0.1, 21), np.linspace(0.02, 0.14, 25), np.linspace(-5, 5, 21)))
    )
    weights = skew_normal_weights(DELTA, *np.ascontiguousarray(grid.T))
    all_averages = weights @ SERIES.mu / (weights @ STEPS)[:, np.newaxis]
    all_msd = weighted_moments(weights, DELTA).msd
    for scale in (0.03, 0.07, 0.11):
        # Waves as large as the effect of the distribution, so that the best average is far from the first.
        spectrum = average(rng.uniform(-0.08, 0.08), scale, rng.uniform(-5, 5))[0] + 0.01 * np.sin(MESH / 5 + scale)
        rms = np.sqrt(np.mean(np.square(all_averages - spectrum), axis=1))
        found = nearest(spectrum, SERIES, RANGES)
        assert rms.min() * 0.99 < found.rms <= rms.min()
        as_near = all_msd[rms < 1.02 * rms.min()]
        assert as_near.min() - 1e-4 < found.msd < as_near.max() + 1e-4


def test_with_noise_the_displacement_is_as_wrong_as_the_noise_allows() -> None:
    noise, truth = 0.003, np.array([0.02, 0.09, 3.0, 1.0, 0.0])

    def model(numbers: Floats) -> Floats:
        shifted = mu(MESH + numbers[4])
        return numbers[3] * average(*numbers[:3].tolist(), series=shifted)[0]

    def msd(numbers: Floats) -> float:
        return average(*numbers[:3].tolist())[1]

    steps = np.diag([1e-5, 1e-5, 1e-3, 1e-5, 1e-4])
    jacobian = np.array([(model(truth + step) - model(truth - step)) / (2 * step.sum()) for step in steps]).T
    gradient = np.array([(msd(truth + step) - msd(truth - step)) / (2 * step.sum()) for step in steps])
    # The bound of Cramér and Rao on an estimate without bias.
    expected = noise * np.sqrt(gradient @ np.linalg.inv(jacobian.T @ jacobian) @ gradient)
    rng = np.random.default_rng(6)
    spectra = model(truth) + noise * rng.standard_normal((24, MESH.size))
    found = [nearest(spectrum, SERIES, RANGES, largest_gain=0.03, largest_shift=0.5) for spectrum in spectra]
    errors = np.array([one.msd for one in found]) - msd(truth)
    # Of 24 draws the root mean square is within 40 % but for one in a thousand.
    assert 0.6 < np.sqrt(np.mean(errors**2)) / expected < 1.4
    assert np.mean([one.rms for one in found]) == pytest.approx(noise, rel=0.1)


def test_what_the_campaign_holds_fixed_stays_fixed() -> None:
    spectrum, msd = average(0.0, 0.06, 0.0)
    gaussians = AveragingSection(alpha=(0.0, 0.0), location=(0.0, 0.0))
    found = nearest(spectrum, SERIES, gaussians)
    assert (found.location, found.alpha, found.at_bounds) == (0.0, 0.0, ())
    assert (found.scale, found.msd) == pytest.approx((0.06, msd))


def test_a_number_at_the_end_of_its_range_is_named() -> None:
    spectrum, msd = average(0.0, 0.1, 0.0)
    narrow = AveragingSection(sigma=(0.02, 0.06), alpha=(0.0, 0.0))
    found = nearest(spectrum, SERIES, narrow)
    assert found.scale == pytest.approx(0.06)
    assert found.at_bounds == ("scale",)
    assert found.msd < 0.5 * msd
    late = nearest(average(0.0, 0.05, 0.0, series=mu(MESH + 3.0))[0], SERIES, narrow, largest_shift=0.5)
    assert late.shift == pytest.approx(0.5)
    assert "shift" in late.at_bounds


def test_spectra_that_cannot_be_compared_are_refused() -> None:
    with pytest.raises(SpectrumError, match=r"shape \(119,\), the series \(120,\); interpolate it"):
        nearest(np.ones(119), SERIES, RANGES)
    with pytest.raises(SpectrumError, match="not finite"):
        nearest(np.full(120, np.nan), SERIES, RANGES)
