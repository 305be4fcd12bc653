"""Full multiple scattering in the clusters about the atoms that stand for the potentials."""

from __future__ import annotations

import numpy as np

from xanesml.files.arrays import Complexes, Indices
from xanesml.fms.propagator import FreePropagator, degrees
from xanesml.fms.solve import absorber_block, inverse_scattering
from xanesml.pot.inputs import PotInput

# Room for the matrices of several energies at once, bytes.
_CHUNK_BYTES = 16 * 1024**2


class Cluster:
    """The atoms within the SCF radius about one atom.

    Parameters
    ----------
    cluster : PotInput
        All atoms, and the SCF radius.
    center : int
        Index of the atom in the middle.

    Attributes
    ----------
    size : int
        Number of atoms.
    """

    def __init__(self, cluster: PotInput, center: int) -> None:
        # FEFF's single precision decides whether an atom on the sphere's surface is inside.
        single = cluster.positions.astype(np.float32)
        single -= single[center]
        squares = (single**2).sum(axis=1)
        inside = np.flatnonzero(squares <= np.float32(cluster.radius) ** 2)
        nearest = inside[np.argsort(squares[inside], kind="stable")][: cluster.largest_cluster]
        self.size = len(nearest)
        # The middle comes last, for the elimination.
        order = np.append(nearest[1:], center)
        self._potentials = cluster.potentials[order]
        self._lmax = cluster.lmax[self._potentials]
        self._propagator = (
            FreePropagator(
                single[order].astype(np.float64), self._lmax, cutoff=2 * cluster.radius, dtype=np.complex64
            )
            if self.size > 1
            else None
        )

    def traces(self, momentum: Complexes, scattering: list[Complexes]) -> Complexes:
        """Return the trace over m of the Green's function of the atom in the middle.

        Parameters
        ----------
        momentum : (E,) complex
            k, 1/bohr; no NaN.
        scattering : list of (E, lmax + 1) complex
            Scattering amplitudes of each potential; no NaN.

        Returns
        -------
        (E, lmax + 1) complex128
            Σ_m G_lm,lm; NaN if the equations have no solution.
        """
        lmax = int(self._lmax[-1])
        if self._propagator is None:
            return np.zeros((len(momentum), lmax + 1), dtype=np.complex128)
        orbitals = np.concatenate(
            [
                np.repeat(scattering[p][:, : top + 1], 2 * np.arange(top + 1) + 1, axis=1)
                for p, top in zip(self._potentials, self._lmax, strict=True)
            ],
            axis=1,
        )
        width = (lmax + 1) ** 2
        count = self._propagator.size - width
        inverse = inverse_scattering(orbitals[:, :count], np.complex64)
        diagonal = np.arange(count)
        result = np.empty((len(momentum), lmax + 1), dtype=np.complex128)
        step = max(1, _CHUNK_BYTES // (8 * self._propagator.size**2))
        for start in range(0, len(momentum), step):
            these = slice(start, start + step)
            matrices = np.array([m.copy() for m in self._propagator.matrices(momentum[these])])
            coupling = matrices[:, count:, :count].swapaxes(1, 2).copy()
            others = matrices[:, :count, :count]
            others = others + others.swapaxes(1, 2)
            others[:, diagonal, diagonal] = -inverse[these]
            sigma = -coupling.swapaxes(1, 2) @ np.linalg.solve(others, coupling)
            green = absorber_block(sigma, orbitals[these, count:])
            result[these] = _traces(green, degrees(lmax))
        return result


def _traces(green: Complexes, order: Indices) -> Complexes:
    elements = np.diagonal(green, axis1=1, axis2=2)
    starts = np.flatnonzero(np.diff(order, prepend=-1))
    return np.asarray(np.add.reduceat(elements, starts, axis=1))
