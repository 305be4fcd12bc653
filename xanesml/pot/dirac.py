"""Solutions of the radial Dirac equation for many energies, momenta and potentials at once.

All columns go through one integration. A column is one energy of one channel, a potential
with an angular momentum. Solutions with fixed values at the nucleus or at the muffin-tin
sphere are entire functions of the energy: they are wanted at few energies only.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from xanesml.files.arrays import Floats, Indices
from xanesml.pot.bessel import propagate
from xanesml.pot.radial import Grid

#: Speed of light in FEFF's radial equation; elsewhere it is 1/α.
LIGHT = 137.0373

# Sweeps of exchange, each with the wave functions before it.
SWEEPS = 4

# Boole's rule over four steps, over the step.
_END, _SIDE, _MIDDLE = 14 / 45, 64 / 45, 24 / 45
_WEIGHTS = np.array([_END, _SIDE, _MIDDLE, _SIDE])
_BEFORE = 4


@dataclass(frozen=True)
class CoreExchange:
    """Exchange with the core for one channel.

    Attributes
    ----------
    points : (m,) intp
        Grid points at which the wave function is taken.
    matrix : (2k, 2m) float64
        From both components at the points to r times the exchange terms at the first k of them.
    to_edge : (edge + 1, k) float64
        Weights of interpolation from there to all points up to the edge.
    """

    points: Indices
    matrix: Floats
    to_edge: Floats


@dataclass(frozen=True)
class Channel:
    """One angular momentum of one potential.

    Attributes
    ----------
    degree : int
        l; κ is −l − 1.
    edge : int
        Index of the first grid point outside the muffin-tin sphere.
    total, valence : (edge + 1,) float64
        Potentials above the interstitial level, Hartree: of all electrons for the first
        solution and the spin-orbit average, and that which goes with the exchange matrix.
    exchange : CoreExchange or None
        Exchange with the core.
    """

    degree: int
    edge: int
    total: Floats
    valence: Floats
    exchange: CoreExchange | None


def solve(grid: Grid, channels: list[Channel], energies: Floats) -> Floats:
    """Return three solutions of every channel at every energy.

    The first is regular at the nucleus and has a large component of 1 at the first point; at the
    channel's edge the second has the components 1 and 0 and the third 0 and 1.

    Parameters
    ----------
    grid : Grid
        The grid, of n points, at least four of them outside every edge.
    channels : list of Channel
        C of them.
    energies : (E,) float
        Energies above the interstitial level, Hartree, not zero; no NaN.

    Returns
    -------
    (C, 3, E, 2, n) float64
        Large and small component, times r.

    References
    ----------
    J. P. Desclaux, Comput. Phys. Commun. 9, 31 (1975): the equations with exchange. D. D. Koelling and
    B. N. Harmon, J. Phys. C 10, 3107 (1977), equation 14: the average over spin-orbit splitting. W. E. Milne,
    Numerical Solution of Differential Equations (Wiley, 1953), section 27: integration by Boole's rule.
    """
    solver = _Solver(grid, channels, energies)
    solutions = solver.integrate(solver.coefficients(valence=False), None)
    if all(channel.exchange is None for channel in channels):
        return solutions
    coefficients = solver.coefficients(valence=True)
    for _ in range(SWEEPS):
        solutions = solver.integrate(coefficients, solver.sources(solutions))
    return solutions


@dataclass(frozen=True)
class _Coefficients:
    """Of y' = M y with M = ((diagonal, above), (below, −diagonal)): M, (1 − βM)⁻¹ and half the edge's potential."""

    diagonal: Floats
    above: Floats
    below: Floats
    inverse: Floats
    half: Floats


class _Solver:
    """Columns: all channels and energies outward, then inward with the first and with the second values at the edge."""

    def __init__(self, grid: Grid, channels: list[Channel], energies: Floats) -> None:
        self._grid, self._channels, self._energies = grid, channels, energies
        self._edges = np.array([channel.edge for channel in channels])
        self._degrees = np.repeat([channel.degree for channel in channels], len(energies))
        # Outward from the nucleus to the furthest edge, inward from the fourth point at an edge to the nucleus.
        self._length = int(self._edges.max()) + _BEFORE
        steps = np.arange(self._length)
        self._outward = np.minimum(steps, self._edges[:, None] + _BEFORE - 1)
        self._inward = np.maximum(self._edges[:, None] + _BEFORE - 1 - steps, 0)
        columns = len(self._degrees)
        outside = np.arange(1, grid.size - int(self._edges.min()))
        radii = grid.r[np.minimum(np.repeat(self._edges, len(energies)) + outside[:, None], grid.size - 1)]
        edge = grid.r[np.repeat(self._edges, len(energies))]
        flat = np.tile(energies, len(channels))
        unit = np.zeros((2, 2 * columns), dtype=np.complex128)
        unit[0, :columns] = unit[1, columns:] = 1
        # (points, component, kind, column)
        self._outside = propagate(
            unit, np.tile(flat, 2), np.tile(self._degrees, 2), np.tile(edge, 2), np.tile(radii, 2)
        ).real.reshape(len(radii), 2, 2, columns)
        self._edge_radii, self._flat = edge, flat

    def coefficients(self, *, valence: bool) -> _Coefficients:
        """Return the coefficients of every step, for the potential of all electrons or that for exchange."""
        radius = self._grid.r
        potential, average = np.zeros((2, len(self._channels), self._grid.size))
        for row, channel in enumerate(self._channels):
            # Without exchange FEFF takes the edge to be outside.
            inside = channel.valence if valence else channel.total[: channel.edge]
            potential[row, : len(inside)] = inside
            scaled = channel.total * radius[: channel.edge + 1] ** 2
            slope = (_derivative(scaled, self._grid.step) - 2 * scaled)[: channel.edge]
            average[row, : channel.edge] = -channel.degree / LIGHT * slope / radius[: channel.edge]
        half = np.repeat(potential[np.arange(len(self._channels)), self._edges] / 2, len(self._energies))
        kinetic = (self._energies[:, None] - potential[:, None, :]) * radius / LIGHT
        above = kinetic + 2 * LIGHT * radius
        below = average[:, None, :] / above**2 - kinetic
        above, below = self._columns(above), self._columns(below)
        diagonal = np.concatenate((self._degrees + 1.0, np.tile(-self._degrees - 1.0, 2)))
        beta = _END * self._grid.step
        determinant = 1 - beta**2 * (diagonal**2 + above * below)
        inverse = np.empty((self._length, 4, len(diagonal)), dtype=np.float64)
        for place, part in enumerate((1 + beta * diagonal, beta * above, beta * below, 1 - beta * diagonal)):
            inverse[:, place] = part / determinant
        return _Coefficients(diagonal, above, below, inverse, half)

    def _columns(self, coefficients: Floats) -> Floats:
        """Return coefficients of grid points (rows, energies, n) as those of steps (length, columns), signs included."""
        outward = np.take_along_axis(coefficients, self._outward[:, None, :], axis=2).reshape(-1, self._length)
        inward = np.take_along_axis(coefficients, self._inward[:, None, :], axis=2).reshape(-1, self._length)
        return np.ascontiguousarray(np.concatenate((outward, -inward, -inward)).T)

    def sources(self, solutions: Floats) -> Floats:
        """Return the exchange terms of every step, (length, 2, columns)."""
        rows, kinds, count, _, _ = solutions.shape
        result = np.zeros((self._length, 2, kinds, rows, count))
        for row, channel in enumerate(self._channels):
            if channel.exchange is None:
                continue
            own = channel.exchange
            values = solutions[row][..., own.points].reshape(kinds * count, -1)
            terms = (values @ own.matrix.T / LIGHT).reshape(kinds, count, 2, -1) @ own.to_edge.T
            # (component, point, kind, energy); P' has + the second, Q' − the first.
            exchange = terms.transpose(2, 3, 0, 1)
            result[: channel.edge + 1, 0, 0, row] = exchange[1, :, 0]
            result[: channel.edge + 1, 1, 0, row] = -exchange[0, :, 0]
            # Inward both change sign, and the edge itself has none.
            steps, inside = slice(_BEFORE, _BEFORE + channel.edge), exchange[:, channel.edge - 1 :: -1, 1:]
            result[steps, 0, 1:, row] = -inside[1]
            result[steps, 1, 1:, row] = inside[0]
        return result.reshape(self._length, 2, -1)

    def integrate(self, coefficients: _Coefficients, sources: Floats | None) -> Floats:
        """Return the solutions on the grid, (C, 3, E, 2, n)."""
        columns = len(self._degrees)
        step = self._grid.step
        above, below, diagonal = coefficients.above, coefficients.below, coefficients.diagonal
        values = np.empty((self._length, 2, 3 * columns), dtype=np.float64)
        slopes = np.empty_like(values)
        self._start(coefficients, sources, values[:, :, :columns])
        outside = self._outside[_BEFORE - 2 :: -1]
        values[: _BEFORE - 1, :, columns:] = outside.reshape(_BEFORE - 1, 2, -1)
        values[_BEFORE - 1, 0, columns:] = np.repeat((1.0, 0.0), columns)
        values[_BEFORE - 1, 1, columns:] = np.repeat((0.0, 1.0), columns)
        first = slice(0, _BEFORE)
        slopes[first, 0] = diagonal * values[first, 0] + above[first] * values[first, 1]
        slopes[first, 1] = below[first] * values[first, 0] - diagonal * values[first, 1]
        if sources is not None:
            slopes[first] += sources[first]
        weights = _WEIGHTS * step
        beta = _END * step
        flat = slopes.reshape(self._length, -1)
        for n in range(_BEFORE, self._length):
            known = values[n - _BEFORE] + (weights @ flat[n - _BEFORE : n]).reshape(2, -1)
            if sources is not None:
                known += beta * sources[n]
            inverse = coefficients.inverse[n]
            values[n, 0] = inverse[0] * known[0] + inverse[1] * known[1]
            values[n, 1] = inverse[2] * known[0] + inverse[3] * known[1]
            slopes[n] = (values[n] - known) / beta
            if sources is not None:
                slopes[n] += sources[n]
        return self._on_grid(values.reshape(self._length, 2, 3, len(self._channels), -1), coefficients.half)

    def _start(self, coefficients: _Coefficients, sources: Floats | None, values: Floats) -> None:
        """Fill the first four points outward: the growing solution of the first, then the trapezoidal rule."""
        columns, half = values.shape[2], self._grid.step / 2
        above, below = coefficients.above[:_BEFORE, :columns], coefficients.below[:_BEFORE, :columns]
        diagonal = coefficients.diagonal[:columns]
        values[0, 0] = 1
        values[0, 1] = (np.sqrt(diagonal**2 + above[0] * below[0]) - diagonal) / above[0]
        for n in range(_BEFORE - 1):
            right = values[n] + half * np.stack(
                (diagonal * values[n, 0] + above[n] * values[n, 1], below[n] * values[n, 0] - diagonal * values[n, 1])
            )
            if sources is not None:
                right += half * (sources[n, :, :columns] + sources[n + 1, :, :columns])
            determinant = 1 - half**2 * (diagonal**2 + above[n + 1] * below[n + 1])
            values[n + 1, 0] = ((1 + half * diagonal) * right[0] + half * above[n + 1] * right[1]) / determinant
            values[n + 1, 1] = (half * below[n + 1] * right[0] + (1 - half * diagonal) * right[1]) / determinant

    def _on_grid(self, values: Floats, half: Floats) -> Floats:
        """Return solutions by steps, (length, 2, 3, C, E), on the grid, with the flat potential outside."""
        _, _, _, rows, count = values.shape
        size = self._grid.size
        result = np.empty((rows, 3, count, 2, size), dtype=np.float64)
        columns = np.arange(rows * count)
        edges = np.repeat(self._edges, count)
        outside = self._outside
        # FEFF takes half of the edge's potential up to the next point.
        at_edge = values.reshape(len(values), 2, 3, -1)[edges, :, 0, columns].T
        beyond = self._grid.r[edges + 1][None]
        after = propagate(at_edge + 0j, self._flat - half, self._degrees, self._edge_radii, beyond)[0].real
        # Back to the edge without it: the determinant of the solutions is 1.
        one, two = outside[0, :, 0], outside[0, :, 1]
        back = np.stack((two[1] * after[0] - two[0] * after[1], one[0] * after[1] - one[1] * after[0]))
        regular = (outside * back[None, None]).sum(axis=2)
        for row, edge in enumerate(self._edges):
            these, beyond = slice(row * count, (row + 1) * count), size - edge - 1
            result[row, 0, :, :, : edge + 1] = values[: edge + 1, :, 0, row].transpose(2, 1, 0)
            result[row, 0, :, :, edge + 1 :] = regular[:beyond, :, these].transpose(2, 1, 0)
            inward = values[_BEFORE - 1 : _BEFORE + edge, :, 1:, row][::-1]
            result[row, 1:, :, :, : edge + 1] = inward.transpose(2, 3, 1, 0)
            result[row, 1:, :, :, edge + 1 :] = outside[:beyond, :, :, these].transpose(2, 3, 1, 0)
        return result


def _derivative(values: Floats, step: float) -> Floats:
    """Return the derivative on an even grid, from five points inside and three at the ends."""
    result = np.gradient(values, step, edge_order=2)
    result[2:-2] = (values[:-4] - 8 * values[1:-3] + 8 * values[3:-1] - values[4:]) / (12 * step)
    return np.asarray(result)
