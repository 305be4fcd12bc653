"""Roughness of a series along δ, and smoothing."""

import numpy as np

from xanesml.averages.series import outliers, roughness, smoothed

DELTA = np.arange(-45, 46) / 100


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
