"""Averages of a series, its roughness along δ, and smoothing."""

import math
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from small_tensors import DELTA as FIVE
from small_tensors import ENERGY as MESH
from small_tensors import MU, STEPS, R, write_small

from xanesml.averages.distributions import weighted_moments
from xanesml.averages.series import Series, outliers, roughness, smoothed
from xanesml.errors import StoreError

DELTA = np.arange(-45, 46) / 100
SMALL = Series(energy=MESH, delta=FIVE, mu=MU, edge_step=STEPS, r=R, first_shell=2.8)
#: Its average is the mean of 1, δ and δ².
POWERS = Series(
    energy=np.arange(3.0),
    delta=DELTA,
    mu=2 * DELTA[:, np.newaxis] ** np.arange(3),
    edge_step=np.full(91, 2.0),
    r=2.8 + DELTA,
    first_shell=2.8,
)


def test_a_series_is_read_from_a_tensor_file(tmp_path: Path) -> None:
    with h5py.File(write_small(tmp_path / "tensors.h5")) as file:
        series = Series.read(file)
    for name in ("energy", "delta", "mu", "edge_step", "r"):
        np.testing.assert_array_equal(getattr(series, name), getattr(SMALL, name))
    assert series.first_shell == 2.8


def test_averages_against_a_naive_loop() -> None:
    weights = np.random.default_rng(3).uniform(0, 5, (4, 5))
    found = SMALL.average(weights)
    for row, own in zip(found, weights, strict=True):
        step = math.fsum(w * s for w, s in zip(own, STEPS, strict=True))
        naive = [math.fsum(w * mu for w, mu in zip(own, MU[:, m], strict=True)) / step for m in range(len(MESH))]
        np.testing.assert_allclose(row, naive, rtol=1e-14)
    np.testing.assert_array_equal(found, weights @ MU / (weights @ STEPS)[:, np.newaxis])
    np.testing.assert_array_equal(SMALL.average(weights[0]), weights[0] @ MU / (weights[0] @ STEPS))
    # Only ratios of the weights count, and a list will do.
    np.testing.assert_allclose(SMALL.average([0, 0, 0, 7, 0]), MU[3] / STEPS[3], rtol=1e-15)
    np.testing.assert_array_equal(SMALL.normalized, MU / STEPS[:, np.newaxis])


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (np.ones(4), r"the weights have shape \(4,\); give \(5,\) or \(n, 5\)"),
        (np.ones((5, 2)), r"have shape \(5, 2\)"),
        (np.ones((1, 1, 5)), r"have shape \(1, 1, 5\)"),
        (5.0, r"have shape \(\)"),
        ([1, 1, np.nan, 1, 1], "have to be finite and their sum positive"),
        ([[1, 0, 0, 0, 0], [0, -1, 0, 0, 0]], "have to be finite and their sum positive"),
        (np.zeros(5), "have to be finite and their sum positive"),
        (None, "give either weights, or the MSD of a Gaussian"),
    ],
)
def test_weights_that_make_no_average_are_refused(weights: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SMALL.average(weights)  # type: ignore[arg-type]


def test_weights_and_a_gaussian_exclude_each_other() -> None:
    with pytest.raises(ValueError, match="give either weights"):
        SMALL.average(np.ones(5), msd=0.01)


@pytest.mark.parametrize("mean_shift", [0.0, 0.13, -0.104])
@pytest.mark.parametrize("msd", [3e-5, 0.0081, 0.014])
def test_a_gaussian_has_the_msd_asked_for_as_its_label(msd: float, mean_shift: float) -> None:
    weights = POWERS.gaussian(msd, mean_shift)
    moments = weighted_moments(weights[np.newaxis], DELTA)
    assert moments.msd[0] == pytest.approx(msd, rel=1e-9)
    assert moments.mean_shift[0] == pytest.approx(mean_shift, abs=3e-3)
    # Logarithms of a Gaussian's weights are a parabola about its center.
    inner = weights > 1e-200
    second, first, _ = np.polyfit(DELTA[inner], np.log(weights[inner]), 2)
    assert -first / (2 * second) == pytest.approx(mean_shift, abs=1e-9)
    one, mean, square = POWERS.average(msd=msd, mean_shift=mean_shift)
    assert one == pytest.approx(1.0)
    assert square - mean**2 == pytest.approx(msd, rel=1e-9)


def test_on_a_coarse_series_the_label_is_not_the_variance() -> None:
    # σ = 0.06 Å: the weights fall as a and a⁴ with every 0.1 Å.
    a = np.exp(-((0.1 / 0.06) ** 2) / 2)
    msd = 0.01 * (2 * a + 8 * a**4) / (1 + 2 * a + 2 * a**4)
    assert abs(msd / 0.06**2 - 1) > 0.02
    expected = np.array([a**4, a, 1, a, a**4]) / (1 + 2 * a + 2 * a**4)
    np.testing.assert_allclose(SMALL.gaussian(float(msd)), expected, rtol=1e-9)


@pytest.mark.parametrize("msd", [0.0, -0.01, 1e-6, 0.04, np.nan])
def test_an_msd_that_the_series_cannot_hold_is_refused_with_the_range(msd: float) -> None:
    # σ from half a step to 0.45 Å / 2.576, of which the ends cut off 1 %.
    low, high = (np.average(DELTA**2, weights=np.exp(-(DELTA**2) / (2 * s**2))) for s in (0.005, 0.45 / 2.575829))
    with pytest.raises(ValueError, match="an MSD of") as caught:
        POWERS.average(msd=msd)
    assert str(caught.value) == (
        f"an MSD of {msd:g} Å² cannot be had about 0 Å on a series of -0.45 to 0.45 Å in steps of 0.01 Å; "
        f"give {low:.3g} to {high:.3g} Å², or another mean shift"
    )


def test_a_gaussian_needs_room_and_an_even_series() -> None:
    for mean_shift in (0.445, 0.6):
        with pytest.raises(ValueError, match="no Gaussian fits about"):
            POWERS.average(msd=0.001, mean_shift=mean_shift)
    uneven = replace(POWERS, **{name: np.delete(getattr(POWERS, name), 3, axis=0) for name in ("delta", "mu")})
    with pytest.raises(StoreError, match="not evenly spaced"):
        uneven.average(msd=0.001)


def test_between_two_distortions_the_undistorted_spectrum_is_linear() -> None:
    # δ = 0 lies halfway between −0.05 and +0.05; the edge steps are averaged alike.
    middle = replace(SMALL, delta=FIVE[1:4] + 0.05, mu=MU[1:4], edge_step=STEPS[1:4])
    np.testing.assert_allclose(middle.undistorted(), (MU[1] * 0.5 + MU[2] * 0.5) / 0.055)
    np.testing.assert_allclose(SMALL.undistorted(), MU[2] / 0.06)


@pytest.mark.parametrize(
    ("delta", "there"), [([-0.1, 0.0], True), ([0.0, 0.1], True), ([0.1, 0.2], False), ([0.0], False), ([], False)]
)
def test_a_series_has_an_undistorted_spectrum_where_it_spans_zero(delta: list[float], there: bool) -> None:
    count = len(delta)
    series = replace(SMALL, delta=np.array(delta), mu=MU[:count], edge_step=STEPS[:count])
    assert series.has_undistorted is there
    if not there:
        with pytest.raises(StoreError, match="has no undistorted spectrum"):
            series.undistorted()


def test_roughness_is_the_largest_second_difference() -> None:
    spectra = np.array([[0.0, 0.0], [1.0, 4.0], [2.0, 6.0], [3.0, 9.0]])
    rough = roughness(spectra)
    assert np.isnan(rough[[0, -1]]).all()
    # 0 − 2·1 + 2 = 0 and 0 − 2·4 + 6 = −2; 1 − 2·2 + 3 = 0 and 4 − 2·6 + 9 = 1.
    assert rough[1:-1].tolist() == [2.0, 1.0]
    assert np.isnan(roughness(spectra[:2])).all()


def test_a_jump_is_an_outlier_on_both_of_its_sides() -> None:
    smooth = np.sin(3 * DELTA)[:, np.newaxis] * np.linspace(1, 2, 5)
    assert outliers(roughness(smooth)).size == 0
    jump = smooth + np.where(DELTA > 0.2, 0.01, 0.0)[:, np.newaxis]
    assert DELTA[outliers(roughness(jump))].round(2).tolist() == [0.2, 0.21]
    assert outliers(roughness(smooth[:2])).size == 0


def test_smoothing_keeps_cubics_and_takes_noise() -> None:
    cubic = (1 + DELTA - 2 * DELTA**3)[:, np.newaxis] * np.ones(3)
    np.testing.assert_allclose(smoothed(cubic, 9), cubic, rtol=0, atol=1e-13)
    assert smoothed(cubic, 0) is cubic
    noise = np.random.default_rng(1).normal(0, 0.01, (91, 3))
    left = smoothed(cubic + noise, 9) - cubic
    assert left.std() < 0.6 * noise.std()
    assert smoothed(cubic[:, 0], 5).shape == (91,)
