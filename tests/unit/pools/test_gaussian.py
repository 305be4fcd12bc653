"""Conditional normal distributions against a plain formula and against many draws."""

from __future__ import annotations

import numpy as np
import pytest

from xanesml.pools.gaussian import Moments, conditioned, smooth

RNG = np.random.default_rng(4)
SIZE = 6
RESPONSE = RNG.normal(size=(3, SIZE))
NOISE = 0.05 * np.eye(SIZE)


def moments(spread: float, mean: float = 0.0) -> Moments:
    """Labels independent with a spread, features linear in them."""
    yy = spread**2 * np.eye(3)
    y = np.full(3, mean)
    return Moments(y @ RESPONSE, y, RESPONSE.T @ yy @ RESPONSE, yy @ RESPONSE, yy)


def known(*values: float) -> np.ndarray:
    return np.array(values, dtype=float)


def test_moments_are_weighted() -> None:
    features, labels = RNG.normal(size=(50, SIZE)), RNG.normal(size=(50, 3))
    weights = np.repeat([1.0, 2.0], 25)
    found = Moments.of(features, labels, weights)
    twice = np.concatenate([np.arange(50), np.arange(25, 50)])
    np.testing.assert_allclose(found.x, features[twice].mean(axis=0))
    np.testing.assert_allclose(found.xx, np.cov(features[twice].T, bias=True))
    np.testing.assert_allclose(found.yx, np.cov(labels[twice].T, features[twice].T, bias=True)[:3, 3:])


def test_one_sample_is_a_ridge_regression() -> None:
    """Without an error of theory and beside a fixed reference: (RᵀR/σ² + 1/s²)⁻¹ Rᵀx/σ²."""
    fixed = moments(0.0)
    measured = np.array([0.7, -1.1, 0.4]) @ RESPONSE + RNG.normal(size=SIZE) * 0.01
    found = conditioned(
        measured[np.newaxis], moments(2.0), fixed, known(np.nan), known(np.nan), noise=NOISE, theory=np.zeros((6, 6))
    )
    precision = RESPONSE @ RESPONSE.T / 0.05 + np.eye(3) / 4.0
    np.testing.assert_allclose(found.mean[0], np.linalg.solve(precision, RESPONSE @ measured / 0.05), rtol=1e-6)
    np.testing.assert_allclose(found.covariance[0, :, 0], np.linalg.inv(precision), rtol=1e-6)


@pytest.mark.parametrize("known_samples", [0, 1])
def test_errors_are_as_large_as_told(known_samples: int) -> None:
    """Sessions with an error of theory: a second sample of known disorder takes much of it away."""
    rng = np.random.default_rng(8)
    theory = 0.3**2 * smooth(np.arange(SIZE, dtype=float), 50.0)
    off, told = [], []
    for _ in range(400):
        labels = rng.normal(size=(1 + known_samples, 3)) * 1.5 + 1.0
        wrong = 1 + rng.multivariate_normal(np.zeros(SIZE), theory)
        measured = wrong * (labels @ RESPONSE) + rng.multivariate_normal(np.zeros(SIZE), NOISE, len(labels))
        values = known(np.nan, *labels[1:, 0]), known(np.nan, *[0.01] * known_samples)
        signal = None
        for _ in range(2):
            found = conditioned(
                measured, moments(1.5, 1.0), moments(0.0), *values, noise=NOISE, theory=theory, signal=signal
            )
            signal = found.signal
        off.append(found.mean[0, 0] - labels[0, 0])
        told.append(np.sqrt(found.covariance[0, 0, 0, 0]))
    inside = np.mean(np.abs(off) < 1.645 * np.array(told))
    assert 0.78 < inside < 0.95
    assert np.std(off) < (0.6, 0.4)[known_samples]


def test_a_known_sample_keeps_its_label() -> None:
    measured = RNG.normal(size=(2, SIZE))
    found = conditioned(
        measured, moments(1.0), moments(0.5), known(np.nan, 0.3), known(np.nan, 1e-4), noise=NOISE, theory=0.1 * NOISE
    )
    assert found.mean[1, 0] == pytest.approx(0.3, abs=1e-3)
    assert found.covariance[1, 0, 1, 0] == pytest.approx(1e-8, rel=0.05)
    eigenvalues = np.linalg.eigvalsh(found.covariance.reshape(6, 6))
    assert (eigenvalues > 0).all()
