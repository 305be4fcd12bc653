"""Full multiple scattering in the clusters about the atoms that stand for the potentials."""

from __future__ import annotations

import numpy as np

from xanesml.files.arrays import Complex, Complexes, Indices
from xanesml.fms.propagator import FreePropagator, degrees
from xanesml.fms.solve import absorber_block, inverse_scattering
from xanesml.pot.inputs import PotInput

# Room for the matrices of several energies at once, bytes.
_CHUNK_BYTES = 8 * 1024**2

# Orbitals eliminated together: small against the matrix, so that half of the operations are saved.
_BLOCK = 18
# Multipliers that cost digits.
_LARGE = 1e3


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
            FreePropagator(single[order].astype(np.float64), self._lmax, cutoff=2 * cluster.radius, dtype=np.complex64)
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
            matrices = self._propagator.symmetric(momentum[these])
            matrices[:, diagonal, diagonal] = -inverse[these]
            green = absorber_block(_eliminate(matrices, count), orbitals[these, count:])
            result[these] = _traces(green, degrees(lmax))
        return result


def _eliminate(matrices: Complex, count: int) -> Complex:
    """Return −Bᵀ A⁻¹ B of symmetric matrices ((A, B), (Bᵀ, 0)), with A of order `count`.

    A block LDLᵀ factorization that inverts its diagonal blocks with pivoting, for all
    matrices at once; where its multipliers are large, LU with pivoting takes its place.

    References
    ----------
    G. H. Golub and C. F. Van Loan, Matrix Computations, 4th edition, sections 4.1.2 and 4.5.1.
    """
    size = matrices.shape[1]
    reduced = matrices.copy()
    largest = np.zeros(len(matrices))
    for start in range(0, count, _BLOCK):
        stop = min(start + _BLOCK, count)
        panel = reduced[:, start:stop, stop:]
        try:
            multipliers = np.linalg.inv(reduced[:, start:stop, start:stop]) @ panel
        except np.linalg.LinAlgError:
            largest[:] = np.inf
            break
        largest = np.maximum(largest, np.abs(multipliers).max(axis=(1, 2)))
        rows = panel.swapaxes(1, 2)
        # What lies below the diagonal blocks is not needed again.
        for row in range(stop, size, 2 * _BLOCK):
            end = min(row + 2 * _BLOCK, size)
            reduced[:, row:end, row:] -= rows[:, row - stop : end - stop] @ multipliers[:, :, row - stop :]
    result = reduced[:, count:, count:]
    for place in np.flatnonzero(~(largest < _LARGE)):
        coupling = matrices[place, :count, count:]
        result[place] = -coupling.T @ np.linalg.solve(matrices[place, :count, :count], coupling)
    return np.asarray(result)


def _traces(green: Complexes, order: Indices) -> Complexes:
    elements = np.diagonal(green, axis1=1, axis2=2)
    starts = np.flatnonzero(np.diff(order, prepend=-1))
    return np.asarray(np.add.reduceat(elements, starts, axis=1))
