from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from xanesml.pot.bessel import momentum, spherical_bessel
from xanesml.pot.dirac import LIGHT, Channel, CoreExchange, solve
from xanesml.pot.radial import Grid, interpolation

RADIUS = 2.5


def solve_one(
    step: float, degree: int, energies: np.ndarray, potential: Callable[[np.ndarray], np.ndarray]
) -> tuple[Grid, int, np.ndarray]:
    """Return a grid, the first point outside, and the three solutions at all energies."""
    grid = Grid(step, round(10.4 / step) + 1)
    edge = grid.below(RADIUS) + 1
    values = potential(grid.r[: edge + 1])
    channel = Channel(degree=degree, edge=edge, total=values, valence=values, exchange=None)
    return grid, edge, solve(grid, [channel], energies)[0]


def smooth(r: np.ndarray) -> np.ndarray:
    """Return a potential that ends smoothly."""
    return np.where(r < RADIUS, -20 / r * (1 - (r / RADIUS) ** 2) ** 3, 0.0)


@pytest.mark.parametrize("degree", [0, 1, 2])
def test_free_solutions_are_bessel_functions(degree: int) -> None:
    energies = np.array([-0.7, 0.3])
    grid, _, made = solve_one(0.03, degree, energies, np.zeros_like)
    free = grid.r * spherical_bessel(momentum(energies)[:, None] * grid.r, degree + 1)[0][..., degree]
    # Below the level j_l is real up to a power of i.
    expected = free.real + free.imag
    regular = made[0, :, 0]
    place = np.abs(grid.r - 1.0).argmin()
    far = grid.r > 0.3
    scaled = regular / regular[:, place, None] * expected[:, place, None]
    np.testing.assert_allclose(scaled[:, far], expected[:, far], rtol=1e-5, atol=2e-5)


@pytest.mark.parametrize("degree", [0, 1, 2])
def test_the_wronskian_is_constant(degree: int) -> None:
    _, edge, made = solve_one(0.03, degree, np.array([-0.5, 0.2, 0.5]), smooth)
    (large, small), (other_large, other_small) = (made[kind].transpose(1, 0, 2) for kind in (0, 1))
    wronskian = (large * other_small - small * other_large)[:, 150 : edge + 5]
    np.testing.assert_allclose(wronskian, wronskian.mean(axis=1, keepdims=True) + 0 * wronskian, rtol=5e-3)


def test_a_grid_twice_as_fine_gives_the_same() -> None:
    ratios = []
    for step in (0.03, 0.015):
        grid, _, made = solve_one(step, 1, np.array([-0.5, 0.4]), smooth)
        # At one radius outside, which is no point of either grid.
        large, small = (interpolation(grid.x, 5, np.log(3.0)) @ made[0, :, part].T for part in (0, 1))
        ratios.append(small[0] / large[0])
    np.testing.assert_allclose(ratios[0], ratios[1], rtol=2e-3)


def test_a_bound_state_of_a_hydrogen_like_atom() -> None:
    charge = 20.0
    # Dirac's 1s level, c² (√(1 − (Z/c)²) − 1).
    level = LIGHT**2 * (np.sqrt(1 - (charge / LIGHT) ** 2) - 1)
    shift = charge / RADIUS
    grid, _, made = solve_one(0.03, 0, level * np.array([1, 1.01]) + shift, lambda r: shift - charge / r)
    inside = made[0, :, 0, : np.abs(grid.r - 0.4).argmin()]
    # The solution of the level is largest at 1/Z and decays, that of another energy explodes.
    assert grid.r[inside[0].argmax()] == pytest.approx(1 / charge, rel=0.05)
    relative = np.abs(inside[:, -1]) / np.abs(inside).max(axis=1)
    assert relative[0] < 0.02
    assert relative[1] == 1


def test_exchange_with_nothing_changes_nothing() -> None:
    grid = Grid(0.03, 347)
    edge = grid.below(RADIUS) + 1
    values = smooth(grid.r[: edge + 1])
    points = np.arange(grid.size)
    nothing = CoreExchange(points, np.zeros((2 * grid.size,) * 2), np.eye(grid.size)[: edge + 1])
    made = [
        solve(
            grid,
            [Channel(degree=1, edge=edge, total=values, valence=values, exchange=exchange)],
            np.array([-0.3, 0.6]),
        )
        for exchange in (None, nothing)
    ]
    np.testing.assert_allclose(made[0], made[1], rtol=1e-9)
