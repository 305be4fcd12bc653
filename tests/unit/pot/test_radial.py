from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xanesml.pot.radial import ATOMIC, Grid, integral, interpolation, running_integral


@settings(deadline=None)
@given(st.lists(st.floats(-2, 2), min_size=4, max_size=4), st.floats(-1.5, 1.5))
def test_a_cubic_is_interpolated_exactly(coefficients: list[float], where: float) -> None:
    points = np.linspace(-1, 1, 9) ** 3 + np.linspace(-1, 1, 9)
    cubic = np.polynomial.Polynomial(coefficients)
    weights = interpolation(points, 3, where)
    assert weights.shape == (1, 9)
    assert np.count_nonzero(weights) <= 4
    np.testing.assert_allclose(weights @ cubic(points), [cubic(where)], atol=1e-10)


@pytest.mark.parametrize("power", [0.0, 1.0, 2.0, 5.0])
@pytest.mark.parametrize("radius", [2.7, 3.1, 3.2, 4.0])
def test_a_power_is_integrated_to_any_radius(power: float, radius: float) -> None:
    weights = integral(ATOMIC, radius, power)
    assert weights @ ATOMIC.r**power == pytest.approx(radius ** (power + 1) / (power + 1), rel=2e-4)


def test_a_finer_grid_integrates_better() -> None:
    errors = []
    for step in (0.05, 0.025):
        grid = Grid(step, round(12.5 / step) + 1)
        errors.append(abs(integral(grid, 3.0, 2.0) @ (grid.r**2 * np.exp(-grid.r)) - (2 - 17 * np.exp(-3.0))))
    assert errors[1] < errors[0] / 6


@pytest.mark.parametrize("radius", [1e-4, 1e9])
def test_a_radius_outside_the_grid_is_refused(radius: float) -> None:
    with pytest.raises(ValueError, match="inside the grid"):
        integral(ATOMIC, radius, 1.0)


def test_the_running_integral_of_a_cubic_is_exact() -> None:
    x = np.linspace(0, 2, 11)
    np.testing.assert_allclose(running_integral(x**3, 0.2), x**4 / 4, atol=1e-14)


def test_the_last_point_below_a_radius() -> None:
    assert [ATOMIC.below(float(ATOMIC.r[place]) * 1.001) for place in (0, 100, 250)] == [0, 100, 250]
