"""Solutions of the radial Dirac equation for many energies, momenta and potentials at once.

All columns go through one integration. A column is one energy of one channel, a potential
with an angular momentum. Solutions with fixed values at the nucleus or at the muffin-tin
sphere are entire functions of the energy: they are wanted at few energies only.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from xanesml.files.arrays import Booleans, Floats, Indices
from xanesml.pot.bessel import propagate
from xanesml.pot.radial import Grid

#: Speed of light in FEFF's radial equation; elsewhere it is 1/α.
LIGHT = 137.0373

# Sweeps of exchange, each with the wave functions before it.
SWEEPS = 4

# Milne's method of six points: Boole's rule over four steps corrects the open rule over six, both over the step.
_END = 14 / 45
_CORRECTOR = np.array([14, 64, 24, 64]) / 45
_PREDICTOR = np.array([3.3, -4.2, 7.8, -4.2, 3.3])
_BEFORE, _PREDICTED = 4, 6
# A correction is the last if it changes less, relatively, and there are at most two more. FEFF does so: with steps
# solved exactly, valence counts differ by 1e-4.
_GOOD, _ROUNDS = 1e-5, 2


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
    Numerical Solution of Differential Equations (Wiley, 1953), section 27: integration.
    """
    solver = _Solver(grid, channels, energies)
    local = all(channel.exchange is None for channel in channels)
    solutions = solver.integrate(solver.coefficients(valence=False), None, predict=local)
    if local:
        return solutions
    coefficients = solver.coefficients(valence=True)
    for sweep in range(SWEEPS):
        # What the sweeps before contribute to the source may be solved faster.
        solutions = solver.integrate(coefficients, solver.sources(solutions), predict=sweep == SWEEPS - 1)
    return solutions


@dataclass(frozen=True)
class _Coefficients:
    """Of y' = M y: its diagonal (2, columns), the rest (length, 2, columns), and half the edge's potential."""

    own: Floats
    mixed: Floats
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
        diagonal = np.concatenate((self._degrees + 1.0, np.tile(-self._degrees - 1.0, 2)))
        mixed = np.stack((self._columns(above), self._columns(below)), axis=1)
        return _Coefficients(np.stack((diagonal, -diagonal)), mixed, half)

    def _columns(self, coefficients: Floats) -> Floats:
        """Return coefficients of points (rows, energies, n) as those of steps (length, columns), signs included."""
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

    def integrate(self, coefficients: _Coefficients, sources: Floats | None, *, predict: bool) -> Floats:
        """Return the solutions on the grid, (C, 3, E, 2, n), with predicted values or with steps solved exactly."""
        columns, step = len(self._degrees), self._grid.step
        values = np.empty((self._length, 2, 3 * columns))
        slopes = np.empty_like(values)
        self._start(coefficients, sources, values[:, :, :columns])
        outside = self._outside[_BEFORE - 2 :: -1]
        values[: _BEFORE - 1, :, columns:] = outside.reshape(_BEFORE - 1, 2, -1)
        values[_BEFORE - 1, 0, columns:] = np.repeat((1.0, 0.0), columns)
        values[_BEFORE - 1, 1, columns:] = np.repeat((0.0, 1.0), columns)
        first = slice(0, _BEFORE)
        slopes[first] = coefficients.own * values[first] + coefficients.mixed[first] * values[first, ::-1]
        if sources is not None:
            slopes[first] += sources[first]
        corrector, predictor, end = _CORRECTOR * step, _PREDICTOR * step, _END * step
        own, flat = coefficients.own, slopes.reshape(self._length, -1)
        square = end**2 * (own[0] ** 2 + coefficients.mixed[:, 0] * coefficients.mixed[:, 1])
        for n in range(_BEFORE, self._length):
            mixed = coefficients.mixed[n]
            known = values[n - 4] + (corrector @ flat[n - 4 : n]).reshape(2, -1)
            constant = known if sources is None else known + end * sources[n]
            if predict and n >= _PREDICTED:
                predicted = values[n - 6] + (predictor @ flat[n - 5 : n]).reshape(2, -1)
                value = _correct(own, mixed, constant, predicted, end)
            else:
                # (1 − βM)⁻¹ = (1 + βM) / (1 − β²M²), where M² is a number.
                value = (constant + end * (own * constant + mixed * constant[::-1])) / (1 - square[n])
            values[n] = value
            slopes[n] = (value - known) / end
        return self._on_grid(values.reshape(self._length, 2, 3, len(self._channels), -1), coefficients.half)

    def _start(self, coefficients: _Coefficients, sources: Floats | None, values: Floats) -> None:
        """Fill the first four points outward: the growing solution of the first, then the trapezoidal rule."""
        columns, half = values.shape[2], self._grid.step / 2
        own, mixed = coefficients.own[:, :columns], coefficients.mixed[:_BEFORE, :, :columns]
        values[0, 0] = 1
        values[0, 1] = (np.sqrt(own[0] ** 2 + mixed[0, 0] * mixed[0, 1]) - own[0]) / mixed[0, 0]
        for n in range(_BEFORE - 1):
            right = values[n] + half * (own * values[n] + mixed[n] * values[n, ::-1])
            if sources is not None:
                right += half * (sources[n, :, :columns] + sources[n + 1, :, :columns])
            following = half * mixed[n + 1]
            determinant = 1 - (half * own[0]) ** 2 - following[0] * following[1]
            values[n + 1] = (right - half * own[::-1] * right + following * right[::-1]) / determinant

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
        after = propagate(at_edge.astype(np.complex128), self._flat - half, self._degrees, self._edge_radii, beyond)[
            0
        ].real
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


def _correct(own: Floats, mixed: Floats, constant: Floats, predicted: Floats, end: float) -> Floats:
    """Return predicted values corrected until the last correction is small, column by column."""
    result = constant + end * (own * predicted + mixed * predicted[::-1])
    poor = np.flatnonzero(_differ(result, predicted))
    for last in range(_ROUNDS - 1, -1, -1):
        if not poor.size:
            break
        before = result[:, poor]
        result[:, poor] = again = constant[:, poor] + end * (own[:, poor] * before + mixed[:, poor] * before[::-1])
        poor = poor[_differ(again, before)] if last else poor
    return result


def _differ(new: Floats, old: Floats) -> Booleans:
    """Return which columns, of both components, have changed."""
    return np.asarray((np.abs(new - old) > _GOOD * np.abs(new)).any(axis=0))


def _derivative(values: Floats, step: float) -> Floats:
    """Return the derivative on an even grid, from five points inside and three at the ends."""
    result = np.gradient(values, step, edge_order=2)
    result[2:-2] = (values[:-4] - 8 * values[1:-3] + 8 * values[3:-1] - values[4:]) / (12 * step)
    return np.asarray(result)
