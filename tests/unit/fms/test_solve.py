from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xanesml.fms import solve
from xanesml.fms.solve import (
    Returned,
    absorber_block,
    inverse_scattering,
    residual_limit,
    solve_checked,
    solve_ldl,
    solve_lu,
)

Solver = Callable[[np.ndarray, int], Returned]


def random_system(count: int, width: int, seed: int, dtype: type = np.complex128) -> np.ndarray:
    rng = np.random.default_rng(seed)
    size = count + width
    system = np.tril(rng.normal(size=(size, size)) + 1j * rng.normal(size=(size, size))) / np.sqrt(size)
    system[np.arange(count), np.arange(count)] -= 3
    system[count:, count:] = 0
    return system.astype(dtype)


def reference(system: np.ndarray, width: int) -> np.ndarray:
    matrix, coupling = system[:-width, :-width], system[-width:, :-width]
    whole = np.tril(matrix) + np.tril(matrix, -1).T
    return -coupling @ np.linalg.inv(whole) @ coupling.T


@pytest.mark.parametrize("solver", [solve_lu, solve_ldl])
@settings(max_examples=25, deadline=None)
@given(count=st.integers(1, 130), width=st.integers(1, 16), seed=st.integers(0, 2**32 - 1))
def test_what_returns_to_the_absorber_is_that_of_the_inverse(solver: Solver, count: int, width: int, seed: int) -> None:
    system = random_system(count, width, seed)
    before = system.copy()
    returned = solver(system, width)
    expected = reference(system, width)
    np.testing.assert_allclose(returned.sigma, expected, atol=1e-10 * max(1, np.abs(expected).max()))
    assert returned.residual < 1e-10
    np.testing.assert_array_equal(system, before)


@pytest.mark.parametrize("solver", [solve_lu, solve_ldl])
def test_single_precision_gives_six_digits(solver: Solver) -> None:
    system = random_system(200, 9, 3, np.complex64)
    returned = solver(system, 9)
    assert returned.sigma.dtype == np.complex64
    expected = reference(system.astype(complex), 9)
    assert np.abs(returned.sigma - expected).max() < 3e-6 * np.abs(expected).max()
    assert 0 < returned.residual < residual_limit(np.complex64)


def exchange(pairs: int) -> np.ndarray:
    """Return a well-conditioned system with leading blocks that are all but singular."""
    count = 2 * pairs
    system = random_system(count, 2, 5)
    system[:count, :count] = 1e-14 * np.eye(count)
    system[pairs:count, :pairs] = np.eye(pairs)
    return system


def test_where_ldl_fails_its_residual_says_so_and_lu_stands_in() -> None:
    system = exchange(solve._BLOCK).astype(np.complex64)
    assert not solve_ldl(system, 2).residual <= residual_limit(np.complex64)
    returned, by_lu = solve_checked(system, 2)
    assert by_lu
    np.testing.assert_allclose(returned.sigma, reference(exchange(solve._BLOCK), 2), rtol=1e-4, atol=1e-4)


def test_a_singular_leading_block_is_no_error() -> None:
    system = exchange(solve._BLOCK)
    system[np.arange(solve._BLOCK), np.arange(solve._BLOCK)] = 0
    assert solve_ldl(system, 2).residual == np.inf
    assert solve_checked(system, 2)[1]


def test_a_good_ldl_is_kept() -> None:
    assert solve_checked(random_system(60, 4, 0), 4)[1] is False


def test_a_singular_system_gives_no_numbers() -> None:
    system = random_system(5, 2, 0)
    system[:5, :5] = 0
    returned = solve_lu(system, 2)
    assert np.isnan(returned.sigma).all()
    assert returned.residual == np.inf


@pytest.mark.parametrize("dtype", [np.complex64, np.complex128])
def test_orbitals_that_do_not_scatter_have_a_large_inverse(dtype: type) -> None:
    inverse = inverse_scattering(np.array([0, 1e-200, 0.5j, -0.25]), dtype)
    assert inverse.dtype == dtype
    np.testing.assert_allclose(inverse[2:], [-2j, -4])
    assert (np.abs(inverse[:2]) > 1e15).all()
    assert np.isfinite(inverse**2).all()


def test_the_absorber_scatters_too() -> None:
    sigma, amplitude = np.array([[0.2 + 0.1j]]), np.array([0.3 - 0.4j])
    expected = sum(sigma * (amplitude * sigma) ** order for order in range(60))
    np.testing.assert_allclose(absorber_block(sigma, amplitude), expected)
