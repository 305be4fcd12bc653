"""Logarithmic radial grids: points, interpolation and integrals as weights.

Every grid has its points at x = ln r = −8.8, −8.8 + h, …, r in bohr. Interpolation and
integration are linear in the tabulated values, so each is a vector or matrix of weights
that is made once and used for many functions.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from xanesml.files.arrays import Floats

#: ln r of the first point, with the sign changed.
ORIGIN = 8.8


@dataclass(frozen=True)
class Grid:
    """A logarithmic grid.

    Attributes
    ----------
    step : float
        Step of ln r.
    size : int
        Number of points.
    """

    step: float
    size: int

    @property
    def x(self) -> Floats:
        """Logarithm of the radii, (size,) float64."""
        return -ORIGIN + self.step * np.arange(self.size)

    @property
    def r(self) -> Floats:
        """Radii, bohr, (size,) float64."""
        return np.exp(self.x)

    def below(self, radius: float) -> int:
        """Return the index, from 0, of the last point at or below a radius, bohr."""
        return int((np.log(radius) + ORIGIN) / self.step)


#: The grid of the free atoms, of densities and potentials.
ATOMIC = Grid(0.05, 251)


def interpolation(points: Floats, degree: int, targets: npt.ArrayLike) -> Floats:
    """Return the weights of Lagrange interpolation, or extrapolation, with the points nearest to each target.

    Parameters
    ----------
    points : (N,) float
        Abscissas, ascending, more than `degree` of them.
    degree : int
        Degree of the polynomials.
    targets : (M,) float
        Where to interpolate.

    Returns
    -------
    (M, N) float64
        Weights w: the values at the targets are w @ values. Not more than degree + 1 of a row differ from zero.
    """
    where = np.atleast_1d(np.asarray(targets, dtype=np.float64))
    last = len(points) - degree - 1
    first = np.clip(np.searchsorted(points, where, side="right") - 1 - degree // 2, 0, last)
    chosen = first[:, None] + np.arange(degree + 1)
    nodes = points[chosen]
    weights = np.zeros((len(where), len(points)))
    for k in range(degree + 1):
        others = np.delete(nodes, k, axis=1)
        terms = (where[:, None] - others) / (nodes[:, k, None] - others)
        weights[np.arange(len(where)), chosen[:, k]] = terms.prod(axis=1)
    return weights


def integral(grid: Grid, radius: float, power: float) -> Floats:
    """Return the weights of ∫ f dr from 0 to a radius.

    Gregory's trapezoidal rule in ln r with third differences at the ends; Bessel's formula with mean
    second differences from the last point to the radius; a power law with one correction
    inside the first point.

    Parameters
    ----------
    grid : Grid
        A grid with at least two points beyond the radius.
    radius : float
        Upper limit, bohr.
    power : float
        Exponent p of f ∝ r^p at the origin.

    Returns
    -------
    (size,) float64
        Weights; zero from the third point beyond the radius on.

    References
    ----------
    F. B. Hildebrand, Introduction to Numerical Analysis, 2nd edition, sections 4.5 and 5.9.
    """
    last = grid.below(radius)
    if last < 6 or last + 2 >= grid.size:
        raise ValueError(f"a radius of {radius} bohr does not lie inside the grid")
    a = (np.log(radius) + ORIGIN) / grid.step - last
    weights = np.zeros(grid.size)
    weights[: last + 1] = 1.0
    weights[:3] = np.array([9, 28, 23]) / 24
    weights[last - 1 : last + 2] += np.array([1, -12, -1]) / 24
    mean_second = a**3 / 12 - a**2 / 8
    weights[last - 1 : last + 3] += [mean_second, a - a**2 / 2 - mean_second, a**2 / 2 - mean_second, mean_second]
    weights *= grid.step * grid.r
    inner, ratio = float(grid.r[0]), float(np.exp(grid.step))
    correction = inner / ((ratio - 1) * (power + 1) * (power + 2))
    weights[0] += inner / (power + 1) + correction
    weights[1] -= correction * ratio**-power
    return weights


def running_integral(values: Floats, step: float) -> Floats:
    """Return the integral over an even grid from its first point to each of its points, by cubic interpolation.

    Parameters
    ----------
    values : (N, ...) float
        Function at the points, at least four of them.
    step : float
        Distance of the points.

    Returns
    -------
    (N, ...) float64
        The first is 0.
    """
    result = np.zeros_like(values)
    inner = (13 * (values[1:-2] + values[2:-1]) - values[:-3] - values[3:]) / 24
    result[1] = (9 * values[0] + 19 * values[1] - 5 * values[2] + values[3]) / 24
    result[2:-1] = inner
    result[-1] = (9 * values[-1] + 19 * values[-2] - 5 * values[-3] + values[-4]) / 24
    return np.asarray(np.cumsum(result, axis=0) * step)
