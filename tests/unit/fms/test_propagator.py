from __future__ import annotations

import numpy as np
import pytest
from scipy.special import spherical_jn, spherical_yn

from xanesml.fms import propagator
from xanesml.fms.harmonics import real_harmonics
from xanesml.fms.propagator import FreePropagator, angular_factors, damping, degrees, radial_factors


def outgoing(order: int, x: complex) -> complex:
    return complex(spherical_jn(order, x) + 1j * spherical_yn(order, x))


def test_degrees_of_the_flat_index() -> None:
    assert degrees(2).tolist() == [0, 1, 1, 1, 2, 2, 2, 2, 2]


@pytest.mark.parametrize("x", [0.7 + 0.1j, 3.0 + 0.5j, 12.0 + 2j, 5 + 0j])
def test_radial_factors_are_the_spherical_hankel_functions(x: complex) -> None:
    expected = [1j * outgoing(order, x) for order in range(9)]
    np.testing.assert_allclose(radial_factors(np.array(x), 8), expected, rtol=1e-11)


def test_a_single_wave_has_only_its_first_order() -> None:
    np.testing.assert_allclose(radial_factors(np.array([2.0 + 0j]), 0), [[np.exp(2j) / 2]])


def test_s_waves_propagate_alike_in_all_directions() -> None:
    factors = angular_factors(np.random.default_rng(0).normal(size=(5, 3)), 2)
    np.testing.assert_allclose(factors[:, 0, 0, 0], 1)
    assert np.abs(factors[:, 1:, 0, 0]).max() == 0


def test_the_way_back_is_the_transpose() -> None:
    vectors = np.random.default_rng(1).normal(size=(4, 3))
    back = angular_factors(-vectors, 4).swapaxes(2, 3)
    np.testing.assert_allclose(angular_factors(vectors, 4), back, atol=1e-12)


def test_outgoing_waves_of_one_atom_are_regular_waves_about_another() -> None:
    lmax, k = 6, 1.1 + 0.05j
    order = degrees(lmax)
    to_atom, near = np.array([3.0, -4.0, 2.5]), np.array([0.11, 0.05, -0.09])
    distance, there, here = (np.linalg.norm(vector) for vector in (to_atom, to_atom + near, near))
    symmetric = np.einsum(
        "xab,x->ab", angular_factors(to_atom[None], lmax)[0], radial_factors(np.array(k * distance), 2 * lmax)
    )
    # From the symmetric form to that between waves i^l j_l Y_L.
    free = 1j ** (order - order[:, None]) * symmetric
    regular = np.array([1j**degree * spherical_jn(degree, k * here) for degree in order]) * real_harmonics(near, lmax)
    expected = real_harmonics(to_atom + near, lmax) * [
        1j * 1j**degree * outgoing(int(degree), k * there) for degree in order
    ]
    # The sum over the regular waves ends at lmax: compare where what is missing is small.
    np.testing.assert_allclose((regular @ free)[:9], expected[:9], rtol=1e-6)


@pytest.mark.parametrize("dtype", [np.complex64, np.complex128])
@pytest.mark.parametrize("room", [1, 10**9])
@pytest.mark.parametrize("lmax", [[2, 2, 2, 2], [2, 0, 1, 2], [1, 3, 0, 2]])
def test_matrices_hold_every_pair(monkeypatch: pytest.MonkeyPatch, dtype: type, room: int, lmax: list[int]) -> None:
    monkeypatch.setattr(propagator, "_CHUNK_BYTES", room)
    positions = np.array([[0.0, 0, 0], [3, 1, 0], [-2, 2, 4], [0, -5, 1]])
    momentum = np.array([0.8 + 0.1j, 1.4 + 0.02j, 2.0 + 1j])
    factors = damping(momentum, 0.01, 0.529)
    cutoff = 6.0
    free = FreePropagator(positions, np.array(lmax), cutoff=cutoff, dtype=dtype)
    offsets = np.concatenate([[0], np.cumsum((np.array(lmax) + 1) ** 2)])
    assert free.size == offsets[-1]
    for k, factor, matrix in zip(momentum, factors, free.matrices(momentum, factors), strict=True):
        assert matrix.dtype == dtype
        expected = np.zeros((free.size, free.size), complex)
        for i in range(4):
            for j in range(i):
                vector = positions[i] - positions[j]
                distance = np.linalg.norm(vector)
                if distance > cutoff:
                    continue
                block = np.einsum(
                    "xab,x->ab", angular_factors(vector[None], 3)[0], radial_factors(np.array(k * distance), 6)
                )
                expected[offsets[i] : offsets[i + 1], offsets[j] : offsets[j + 1]] = (
                    factor * block[: (lmax[i] + 1) ** 2, : (lmax[j] + 1) ** 2]
                )
        np.testing.assert_allclose(matrix, expected, rtol=0, atol=np.abs(expected).max() * 100 * np.finfo(dtype).eps)


def test_damping_is_that_of_a_single_leg() -> None:
    np.testing.assert_allclose(damping(np.array([2.0 + 0j]), 0.01, 0.5), np.exp(-0.01 * 16))
