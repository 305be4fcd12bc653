"""From free atoms and overlapped potentials to the channels of the Dirac equation."""

from __future__ import annotations

import numpy as np

from xanesml.files.arrays import Floats, Indices
from xanesml.pot.dirac import Channel, CoreExchange
from xanesml.pot.exchange import NEGLIGIBLE, Exchange
from xanesml.pot.files import FreeAtoms
from xanesml.pot.radial import ATOMIC, Grid, interpolation
from xanesml.pot.states import Atom


class Spheres:
    """What does not change from iteration to iteration: grids and exchange matrices of all potentials."""

    def __init__(
        self,
        free: FreeAtoms,
        *,
        step: float,
        radii: Floats,
        norman: Floats,
        lmax: Indices,
        occupations: Floats,
        valence: Floats,
        exchange: bool,
    ) -> None:
        self.norman = norman
        #: Points of the atomic grid up to which densities are tabulated.
        self.tabulated = [min(ATOMIC.below(radius) + 5, ATOMIC.size) for radius in norman]
        self.grids = [Grid(step, round((count - 1) * ATOMIC.step / step) + 1) for count in self.tabulated]
        self._edges = [grid.below(radius) + 1 for grid, radius in zip(self.grids, radii, strict=True)]
        self._degrees = [int(degree) for degree in lmax]
        self._to_fine, self._points = [], []
        for grid, edge, radius in zip(self.grids, self._edges, radii, strict=True):
            points = ATOMIC.below(radius) + 2
            self._points.append(points)
            self._to_fine.append(interpolation(ATOMIC.x[:points], 3, grid.x[: edge + 1]))
        self.to_atomic = [
            interpolation(grid.r, 3, ATOMIC.r[:count]) for grid, count in zip(self.grids, self.tabulated, strict=True)
        ]
        # One size for all potentials: the integrals' kernels are then the same.
        widest = max(self.grids, key=lambda grid: grid.size)
        self._exchange: list[list[CoreExchange | None]] = []
        for p, (edge, degrees) in enumerate(zip(self._edges, self._degrees, strict=True)):
            if not exchange:
                self._exchange.append([None] * (degrees + 1))
                continue
            core = np.flatnonzero((occupations[p] > 0) & (valence[p] <= 0))
            large, small = (_on_grid(function[p, core], widest) for function in (free.large, free.small))
            operator = Exchange(
                widest, edge, self.grids[p].size, large, small, free.kappas[core, p], occupations[p, core]
            )
            to_edge = operator.to_grid[: edge + 1]
            rows = int(np.flatnonzero(to_edge.any(axis=0))[-1]) + 1
            self._exchange.append(
                [
                    CoreExchange(operator.points, operator.matrix(-degree - 1, rows), to_edge[:, :rows])
                    for degree in range(degrees + 1)
                ]
            )

    def atoms(self, total: Floats, valence: Floats, level: float) -> list[Atom]:
        """Return the atoms in these potentials on the atomic grid, (P, 251), Hartree."""
        result = []
        for p, grid in enumerate(self.grids):
            fine, points = self._to_fine[p], self._points[p]
            inside, outer = (fine @ function[p, :points] - level for function in (total, valence))
            channels = [
                Channel(degree=degree, edge=self._edges[p], total=inside, valence=outer, exchange=matrix)
                for degree, matrix in enumerate(self._exchange[p])
            ]
            result.append(Atom(grid, channels, float(self.norman[p])))
        return result


def _on_grid(orbitals: Floats, grid: Grid) -> Floats:
    """Return orbitals of the atomic grid, (O, 251), on another."""
    result = orbitals @ interpolation(ATOMIC.x, 3, grid.x).T
    result[np.abs(result) < NEGLIGIBLE] = 0
    return np.asarray(result)
