from __future__ import annotations

import numpy as np
import pytest
from scipy import special

from xanesml.pot.bessel import ALPHA, momentum, propagate, spherical_bessel

ARGUMENTS = np.array([1e-3, 0.3, 0.9 + 0.3j, 1.1, 4j, 3 - 2j, 9.0])


@pytest.mark.parametrize("order", range(5))
def test_functions_agree_with_scipy(order: int) -> None:
    first, second, outgoing = (function[:, order] for function in spherical_bessel(ARGUMENTS + 0j, 4))
    np.testing.assert_allclose(first, special.spherical_jn(order, ARGUMENTS), rtol=1e-10)
    np.testing.assert_allclose(second, special.spherical_yn(order, ARGUMENTS), rtol=1e-10)
    real = np.abs(ARGUMENTS.imag) == 0
    np.testing.assert_allclose(outgoing[real], (first + 1j * second)[real], rtol=1e-10)


def test_the_outgoing_wave_decays() -> None:
    assert abs(spherical_bessel(np.array([20j]), 2)[2][0, 2]) < 2e-9
    assert np.all(momentum(np.array([-1.0, 0.5, 0.5 - 0.1j])).imag >= 0)


def test_a_free_wave_moves_along_itself() -> None:
    energy, degrees = np.array([0.4 + 0.1j, -0.8]), np.array([2, 1])
    k = momentum(energy)
    factor = -ALPHA * k / (1 + np.sqrt(1 + (ALPHA * k) ** 2))

    def wave(radius: float) -> np.ndarray:
        first = spherical_bessel(k * radius, 3)[0]
        return radius * np.array([first[[0, 1], degrees], factor * first[[0, 1], degrees + 1]])

    moved = propagate(wave(1.0), energy, degrees, np.ones(2), np.array([[2.5, 2.5], [0.7, 0.7]]))
    np.testing.assert_allclose(moved[0], wave(2.5), rtol=1e-9)
    np.testing.assert_allclose(moved[1], wave(0.7), rtol=1e-9)
