"""Full multiple scattering block by block, in the irreducible representations of the cluster's point group."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from xanesml.files.arrays import Complex, Complexes, Floats, Indices
from xanesml.fms.inputs import BOHR, FmsInput, orbital_scattering
from xanesml.fms.orbits import SymmetricCluster
from xanesml.fms.phases import Phases
from xanesml.fms.propagator import angular_factors, damping, radial_factors
from xanesml.fms.solve import (
    Solution,
    absorber_block,
    inverse_scattering,
    relative_residual,
    solve_checked,
    worst_of,
)

#: Largest distance between the image of an atom under an operation and the atom it lands on, Å; FEFF's
#: files have five decimals.
TOLERANCE = 1e-4

# Distances closer than this are equal, bohr: below the rounding of coordinates in geom.dat.
_EQUAL = 2e-5

# From this order on, factorizing blocks one by one is faster.
_LARGE = 96

# Room for the matrices of several energies at once, bytes.
_CHUNK_BYTES = 16 * 1024**2


class _OrbitPair:
    """Propagation between one atom of an orbit, representative of all, and another orbit."""

    def __init__(self, cluster: FmsInput, phases: Phases, one: Indices, other: Indices) -> None:
        self.atom = int(one[0])
        self.multiplicity = len(one)
        vectors = cluster.positions[self.atom] - cluster.positions[other]
        distances = np.linalg.norm(vectors, axis=1)
        order = np.argsort(distances, kind="stable")
        order = order[(distances[order] > 0) & (distances[order] <= cluster.cutoff)]
        self.others, distances = other[order], distances[order]
        if not order.size:
            return
        lmax = int(cluster.lmax.max())
        self.shells = np.concatenate([[0], np.flatnonzero(np.diff(distances) > _EQUAL) + 1])
        distances = np.add.reduceat(distances, self.shells) / np.diff([*self.shells, len(distances)])
        self.angular = angular_factors(vectors[order], lmax)
        radial = radial_factors(distances * phases.momentum[:, None], 2 * lmax)
        radial *= damping(phases.momentum, cluster.sigma2, BOHR)[:, None, None]
        flat = radial.reshape(len(radial), -1)
        # Real parts above imaginary ones: the tables that multiply them are real.
        self.radial = np.concatenate([flat.real, flat.imag])


def solve_symmetric(cluster: FmsInput, phases: Phases, *, dtype: npt.DTypeLike = np.complex64) -> Solution | None:
    """Solve full multiple scattering with the cluster's point group.

    Parameters and results are as in `solve_dense`; None if the identity is the only operation.
    """
    symmetric = SymmetricCluster(
        cluster.positions * BOHR, cluster.potentials, cluster.lmax, cluster.absorber, TOLERANCE
    )
    if len(symmetric.group.matrices) == 1:
        return None
    # The representative is from the larger orbit: it has fewer partners in the other.
    orbits = sorted((atoms for atoms, _, _ in symmetric.orbits), key=len)
    pairs = [
        _OrbitPair(cluster, phases, one, other) for index, one in enumerate(orbits) for other in orbits[: index + 1]
    ]
    scattering = orbital_scattering(cluster, phases)
    width = int(cluster.lmax[cluster.absorber] + 1) ** 2
    result = np.zeros((len(phases.momentum), width, width), dtype=np.complex128)
    residual, largest, by_lu = 0.0, 0, 0
    for irrep in symmetric.irreps():
        rows = symmetric.absorber_rows(irrep)
        # The absorber last, as in the whole matrix.
        basis, labels = symmetric.columns(irrep)
        basis, labels = np.roll(basis, -rows.shape[2], axis=-1), np.roll(labels, -rows.shape[2])
        tables = [(pair, *_table(basis, pair)) for pair in pairs if pair.others.size]
        step = max(1, _CHUNK_BYTES // (len(labels) ** 2 * np.dtype(dtype).itemsize))
        for start in range(0, len(result), step):
            these = np.arange(start, min(start + step, len(result)))
            propagators = _reduced_propagators(tables, these, len(result), len(labels), dtype)
            amplitudes = scattering[these][:, labels]
            sigma, worst, fell_back = _solve_blocks(propagators, amplitudes, rows.shape[2])
            block = absorber_block(sigma, amplitudes[:, -rows.shape[2] :])
            result[these] += np.einsum("rim,emn,rjn->eij", rows, block, rows, optimize=True)
            residual, by_lu = worst_of((residual, worst)), by_lu + fell_back
        largest = max(largest, len(labels))
    return Solution(result, "symmetric", largest, by_lu, residual)


def _table(basis: Floats, pair: _OrbitPair) -> tuple[Indices, Indices, Floats]:
    """Return the columns on either orbit and Bᵀ A_λ B for each shell and order, (shells × orders, columns × columns).

    An element is the same for all rows of the representation, and its mean over the
    rows gets equal parts from all atoms of an orbit: one of them is enough.
    """
    dimension, _, padded, _ = basis.shape
    one = np.flatnonzero(np.abs(basis[:, pair.atom]).max(axis=(0, 1)) > 0)
    other = np.flatnonzero(np.abs(basis[:, pair.others[0]]).max(axis=(0, 1)) > 0)
    count = len(pair.others)
    left = basis[:, pair.atom][:, :, one].transpose(0, 2, 1).reshape(-1, padded)
    right = basis[:, pair.others][..., other].transpose(1, 0, 2, 3).reshape(count, dimension * padded, -1)
    # First (others, orders, rows × one, orbitals), then rows beside orbitals for one product with the right side.
    turned = (left @ pair.angular).reshape(count, -1, dimension, len(one), padded)
    turned = turned.transpose(0, 1, 3, 2, 4).reshape(count, -1, dimension * padded)
    shells = np.add.reduceat(turned @ right, pair.shells, axis=0) * (pair.multiplicity / dimension)
    return one, other, shells.reshape(pair.radial.shape[1], -1)


def _reduced_propagators(
    tables: list[tuple[_OrbitPair, Indices, Indices, Floats]],
    these: Indices,
    energies: int,
    count: int,
    dtype: npt.DTypeLike,
) -> Complex:
    """Return Bᵀ S B at these of the energies, (these, count, count)."""
    result = np.zeros((len(these), count, count), dtype=dtype)
    for pair, one, other, table in tables:
        if not one.size or not other.size:
            continue
        real, imaginary = (pair.radial[part] @ table for part in (these, these + energies))
        block = (real + 1j * imaginary).reshape(len(these), len(one), len(other))
        result[:, one[:, None], other] = block
        result[:, other[:, None], one] = block.swapaxes(1, 2)
    return result


def _solve_blocks(propagators: Complex, scattering: Complexes, width: int) -> tuple[Complex, float, int]:
    """Return Σ at every energy, the worst residual, and the number of factorizations that LU replaced."""
    count = propagators.shape[1] - width
    diagonal = np.arange(count)
    propagators[:, diagonal, diagonal] -= inverse_scattering(scattering[:, :count], propagators.dtype)
    if count >= _LARGE:
        # Lower triangles, as for the whole matrix: half the operations.
        results = [solve_checked(system, width) for system in np.tril(propagators)]
        sigma = np.array([returned.sigma for returned, _ in results])
        return sigma, worst_of(returned.residual for returned, _ in results), sum(by_lu for _, by_lu in results)
    matrix, coupling = propagators[:, :count, :count], propagators[:, :count, count:]
    solution = np.linalg.solve(matrix, coupling)
    residual = worst_of(map(relative_residual, matrix @ solution, coupling))
    return -coupling.swapaxes(1, 2) @ solution, residual, 0
