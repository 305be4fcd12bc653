"""The orbitals of a symmetric cluster, sorted by the rows of irreducible representations.

Everything is done one set of equivalent atoms and one l at a time, with matrices no
larger than a representation times 2l + 1.
"""

from __future__ import annotations

import numpy as np

from xanesml.files.arrays import Floats, Indices, Wholes
from xanesml.fms.irreps import Irrep, irreducible_parts, projector_range, rotation_matrices
from xanesml.fms.point_group import point_group

# A component of a unit vector below this is zero.
_ROUNDING = 1e-13


class SymmetricCluster:
    """A cluster with its point group, the orbits of its atoms and the action on their orbitals.

    Parameters
    ----------
    positions, absorber, tolerance
        As in `xanesml.fms.point_group.point_group`.
    potentials : ndarray of int, shape (atoms,)
        Index of the potential of each atom.
    lmax : int or ndarray of int, shape (atoms,)
        Largest angular momentum, of all atoms or of each.

    Attributes
    ----------
    group : PointGroup
        The operations about the absorber that keep positions, potentials and lmax.

    Notes
    -----
    The scattering matrix 1 − G0 T commutes with every operation that maps the cluster onto itself, so no two
    rows of irreducible representations couple: G's block of the absorber needs one solve for each
    representation that the absorber's orbitals contain. With g0 and t the matrices G0 and T in the basis of
    one row, and g the absorber's rows and columns of (1 − g0 t)⁻¹ g0, the block is the sum of R g Rᵀ over
    the representations and `absorber_rows` R. Where the positions are symmetric only to within the
    tolerance, the elements of G that symmetry allows are right to first order in the departure, those that
    it forbids are zero.
    """

    def __init__(
        self, positions: Floats, potentials: Wholes, lmax: int | Wholes, absorber: int, tolerance: float
    ) -> None:
        potentials = np.asarray(potentials)
        self.lmax = np.broadcast_to(np.asarray(lmax, dtype=np.intp), potentials.shape)
        self.absorber = absorber
        largest = int(self.lmax.max())
        kinds = np.unique(np.stack([potentials, self.lmax]), axis=1, return_inverse=True)[1].ravel()
        # About a linear cluster, a rotation axis of this order tells apart every m up to lmax.
        self.group = point_group(positions, kinds, absorber=absorber, tolerance=tolerance, axial_order=2 * largest + 2)
        self.rotations = rotation_matrices(self.group.matrices, largest)
        self.offsets = np.concatenate([[0], np.cumsum((self.lmax + 1) ** 2)])
        # For each orbit: its atoms, an operation that puts the first atom on each, and those that keep the first.
        self.orbits: list[tuple[Indices, Indices, Indices]] = []
        seen = np.zeros(len(potentials), dtype=bool)
        for atom in [absorber, *range(len(potentials))]:
            if not seen[atom]:
                images = self.group.images[:, atom]
                atoms, operations = np.unique(images, return_index=True)
                self.orbits.append((atoms, operations, np.flatnonzero(images == atom)))
                seen[atoms] = True

    def irreps(self) -> list[Irrep]:
        """Return the inequivalent irreducible representations that the absorber's orbitals contain."""
        found: list[Irrep] = []
        for angular in range(int(self.lmax[self.absorber]) + 1):
            for _, irrep in irreducible_parts(self._rotations(angular)):
                if not any(map(irrep.equivalent, found)):
                    found.append(irrep)
        return found

    def absorber_rows(self, irrep: Irrep) -> Floats:
        """Return the absorber's orbitals in each row of a representation, shape (copies, (lmax + 1)², m)."""
        lmax = int(self.lmax[self.absorber])
        _, _, everything = self.orbits[0]
        parts = []
        for angular in range(lmax + 1):
            invariant = self._invariants(irrep, angular, everything)
            part = np.zeros((len(invariant), (lmax + 1) ** 2, invariant.shape[2]))
            part[:, angular**2 : (angular + 1) ** 2] = np.sqrt(len(invariant)) * invariant
            parts.append(part)
        rows = np.concatenate(parts, axis=2)
        # Conjugate representations share the real rows: one of these already holds both.
        return rows[:1] if irrep.splits else rows

    def columns(self, irrep: Irrep) -> tuple[Floats, Indices]:
        """Return bases of all rows of a representation; an invariant operator has the same matrix in each.

        The functions of one row on a set of equivalent atoms are those that a function
        on the first of them induces; that function is invariant under the operations which
        keep the first atom, in the product of the representation with the harmonics.

        Returns
        -------
        basis : ndarray of float64, shape (dimension, atoms, (lmax + 1)², n)
            For each row orthonormal columns, each on one set of equivalent atoms and one l, those on the absorber
            first; zero where an atom has fewer orbitals than the largest lmax.
        orbitals : ndarray of intp, shape (n,)
            For each column, an orbital of the same potential and l: an operator that depends on these
            alone, such as T, is diagonal in the basis with that orbital's value.
        """
        dimension = irrep.matrices.shape[1]
        parts, labels = [], []
        for atoms, operations, stabilizer in self.orbits:
            turned = np.sqrt(dimension / len(atoms)) * irrep.matrices[operations]
            for angular in range(self.lmax[atoms[0]] + 1):
                invariant = self._invariants(irrep, angular, stabilizer)
                spread = self._rotations(angular)[operations] @ np.einsum("kdr,rmb->dkmb", turned, invariant)
                spread[np.abs(spread) < _ROUNDING] = 0
                parts.append((atoms, slice(angular**2, (angular + 1) ** 2), spread))
                labels.append(np.full(invariant.shape[2], self.offsets[atoms[0]] + angular**2))
        ends = np.cumsum([len(label) for label in labels])
        basis = np.zeros((dimension, len(self.lmax), int(self.lmax.max() + 1) ** 2, ends[-1]))
        for (atoms, orbitals, spread), label, end in zip(parts, labels, ends, strict=True):
            basis[:, atoms, orbitals, end - len(label) : end] = spread
        return basis, np.concatenate(labels)

    def _rotations(self, angular: int) -> Floats:
        """Return the action of the group on the harmonics of one l."""
        part = slice(angular**2, (angular + 1) ** 2)
        return self.rotations[:, part, part]

    def _invariants(self, irrep: Irrep, angular: int, stabilizer: Indices) -> Floats:
        """Return the invariants of representation times harmonics, orthonormal, shape (dimension, 2l + 1, n)."""
        matrices, rotations = irrep.matrices[stabilizer], self._rotations(angular)[stabilizer]
        shape = (matrices.shape[1], rotations.shape[1])
        mean = np.tensordot(matrices, rotations, axes=(0, 0)).swapaxes(1, 2) / len(stabilizer)
        size = shape[0] * shape[1]
        return projector_range(mean.reshape(size, size)).reshape(*shape, -1)
