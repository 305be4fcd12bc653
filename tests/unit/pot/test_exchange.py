from __future__ import annotations

import numpy as np
import pytest

from xanesml.pot.exchange import Exchange, coulomb_matrix, wigner_3j
from xanesml.pot.radial import Grid

GRID = Grid(0.03, 341)


def test_known_3j_symbols() -> None:
    # ( 1/2 1 1/2; 1/2 0 -1/2 )² = 1/6 and ( 3/2 2 3/2; 1/2 0 -1/2 )² = 1/20 (tables of Rotenberg et al.).
    assert wigner_3j(1, 2, 1, 1, 0, -1) ** 2 == pytest.approx(1 / 6)
    assert wigner_3j(3, 4, 3, 1, 0, -1) ** 2 == pytest.approx(1 / 20)
    # ( 1 1 2; 0 0 0 ) = √(2/15)
    assert wigner_3j(2, 2, 4, 0, 0, 0) == pytest.approx(np.sqrt(2 / 15))


@pytest.mark.parametrize(("one", "other"), [(1, 3), (5, 5), (5, 7)])
def test_3j_symbols_are_orthonormal(one: int, other: int) -> None:
    orders = range(abs(one - other), one + other + 1, 2)
    total = sum((order + 1) * wigner_3j(one, order, other, 1, 0, -1) ** 2 for order in orders)
    assert total == pytest.approx(1)


@pytest.mark.parametrize("order", [0, 1, 2, 4])
def test_the_coulomb_integral_of_an_exponential(order: int) -> None:
    function = GRID.r ** (order + 1) * np.exp(-2 * GRID.r)
    middle = 250
    here = GRID.r[middle]
    # The naive integral, on a much finer even grid.
    fine = np.linspace(1e-6, 14, 400_001)
    kernel = np.minimum(fine, here) ** order / np.maximum(fine, here) ** (order + 1)
    values = fine ** (order + 1) * np.exp(-2 * fine) * kernel
    expected = here * ((values[1:] + values[:-1]) / 2 * np.diff(fine)).sum()
    assert (coulomb_matrix(GRID, order) @ function)[middle] == pytest.approx(expected, rel=5e-3)


def orbitals() -> tuple[np.ndarray, np.ndarray]:
    r = GRID.r
    large = np.array([r * np.exp(-r), r**2 * np.exp(-1.5 * r)])
    return large, -0.05 * large


def test_the_matrix_is_the_sum_over_orbitals_and_orders() -> None:
    (large, small), kappas, numbers = orbitals(), np.array([-1, -2]), np.array([2.0, 4.0])
    edge, count, kappa = 320, 338, -2
    exchange = Exchange(GRID, edge, count, large, small, kappas, numbers)
    rows = len(exchange.points)
    wave = np.zeros((2, GRID.size))
    wave[:, :count] = (GRID.r**2 * np.exp(-0.4 * GRID.r) * [[1.0], [-0.02]])[:, :count]
    made = (exchange.matrix(kappa, rows) @ wave[:, exchange.points].ravel()).reshape(2, rows) @ exchange.to_grid.T
    expected = np.zeros_like(wave)
    # j = 3/2 with j = 1/2: k = 1; with j = 3/2: k = 0 and 2.
    for orbital, orders in ((0, (1,)), (1, (0, 2))):
        twice = 2 * abs(int(kappas[orbital])) - 1
        density = large[orbital] * wave[0] + small[orbital] * wave[1]
        for order in orders:
            strength = numbers[orbital] * wigner_3j(3, 2 * order, twice, 1, 0, -1) ** 2
            potential = strength * (coulomb_matrix(GRID, order) @ density)
            expected += potential * np.array([large[orbital], small[orbital]])
    inside = slice(0, edge)
    np.testing.assert_allclose(made[:, inside], expected[:, inside], atol=1e-6 * np.abs(expected).max())
