from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import eval_legendre, sph_harm_y

from xanesml.fms.harmonics import complex_from_real, real_gaunt, real_harmonics

unit_seeds = st.integers(0, 2**32 - 1)


def directions(seed: int, count: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, 3))


def test_l_of_one_is_y_z_x_with_positive_signs() -> None:
    harmonics = real_harmonics(np.array([[1.0, 2.0, 2.0]]), 1)
    np.testing.assert_allclose(harmonics, [np.sqrt(3 / (4 * np.pi)) * np.array([3**-0.5, 2 / 3, 2 / 3, 1 / 3])])


def test_the_pole_has_only_m_of_zero() -> None:
    harmonics = real_harmonics(np.array([0.0, 0.0, -1.0]), 3)
    expected = np.zeros(16)
    expected[[0, 2, 6, 12]] = np.sqrt(np.array([1, 3, 5, 7]) / (4 * np.pi)) * [1, -1, 1, -1]
    np.testing.assert_allclose(harmonics, expected, atol=1e-15)


@settings(deadline=None)
@given(unit_seeds, st.floats(0.01, 100))
def test_the_addition_theorem_holds_whatever_the_lengths(seed: int, length: float) -> None:
    one, other = directions(seed, 2)
    cosine = one @ other / np.linalg.norm(one) / np.linalg.norm(other)
    product = real_harmonics(length * one, 8) * real_harmonics(other, 8)
    for degree in range(9):
        total = product[degree**2 : (degree + 1) ** 2].sum()
        assert total == pytest.approx((2 * degree + 1) / (4 * np.pi) * eval_legendre(degree, cosine), abs=1e-12)


def test_gaunt_coefficients_expand_products_of_harmonics() -> None:
    harmonics = real_harmonics(directions(1, 20), 6)
    expanded = np.einsum("ijk,pk->pij", real_gaunt(3, 6), harmonics)
    np.testing.assert_allclose(expanded, harmonics[:, :16, None] * harmonics[:, None, :16], atol=1e-13)


def test_gaunt_coefficients_cannot_be_changed_by_a_caller() -> None:
    with pytest.raises(ValueError, match="read-only"):
        real_gaunt(1, 2)[0, 0, 0] = 1


def test_the_complex_harmonics_are_the_conjugates_with_the_condon_shortley_phase() -> None:
    vectors = directions(2, 10)
    theta = np.arccos(vectors[:, 2] / np.linalg.norm(vectors, axis=1))
    phi = np.arctan2(vectors[:, 1], vectors[:, 0])
    expected = [sph_harm_y(degree, m, theta, phi).conj() for degree in range(5) for m in range(-degree, degree + 1)]
    np.testing.assert_allclose(complex_from_real(4) @ real_harmonics(vectors, 4).T, expected, atol=1e-13)
