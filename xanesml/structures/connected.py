"""The connected pieces of a structure under periodic boundaries: a particle made whole, a slab, a crystal."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from ase import Atoms

from xanesml.files.arrays import Booleans, Floats, Integers, Wholes

#: Atoms are connected up to this multiple of the sum of their covalent radii: 3.54 Å for gold, whose bonds have
#: 2.88 Å. Of all elements thallium has the longest bonds against its radius, 1.18.
_BOND_REACH = 1.3

#: Least vacuum around an isolated particle, Å.
VACUUM = 5.0


@dataclass(frozen=True)
class Pieces:
    """The connected pieces of a structure.

    Attributes
    ----------
    label : ndarray of int, shape (A,)
        Piece of every atom.
    positions : ndarray of float64, shape (A, 3)
        Positions, Å, each at the periodic image that is connected to the others of its piece.
    periodic : ndarray of bool, shape (P, 3)
        Axes of the cell along which each piece is connected with its own images.
    """

    label: Wholes
    positions: Floats
    periodic: Booleans

    def __len__(self) -> int:
        return len(self.periodic)

    @property
    def sizes(self) -> Integers:
        """Number of atoms of every piece, shape (P,)."""
        return np.bincount(self.label, minlength=len(self))

    def from_center(self, atoms: Atoms) -> Floats:
        """Return the distance of every atom from the center of mass of its piece, shape (A,), Å.

        It is measured across the axes along which a piece is periodic, as it has no center along them:
        from the middle plane of a slab; 0 everywhere in a crystal.
        """
        masses, distances = atoms.get_masses(), np.zeros(len(atoms))
        for piece, axes in enumerate(self.periodic):
            own = np.flatnonzero(self.label == piece)
            away = self.positions[own] - np.average(self.positions[own], axis=0, weights=masses[own])
            along = np.linalg.qr(atoms.cell.array[axes].T)[0]
            distances[own] = np.linalg.norm(away - away @ along @ along.T, axis=1)
        return distances


def pieces(atoms: Atoms, bond: float = 0.0) -> Pieces:
    """Find the connected pieces of a structure.

    Parameters
    ----------
    atoms : Atoms
        The structure.
    bond : float, optional
        Distance up to which atoms are connected whatever their radii, Å.

    Returns
    -------
    Pieces
        Numbered by their first atom.
    """
    from ase.neighborlist import natural_cutoffs, neighbor_list  # noqa: PLC0415 (slow to import)
    from scipy.sparse import coo_array  # noqa: PLC0415
    from scipy.sparse.csgraph import breadth_first_order, connected_components  # noqa: PLC0415

    count = len(atoms)
    reach = np.maximum(natural_cutoffs(atoms, mult=_BOND_REACH), bond / 2)
    first, second, shift = neighbor_list("ijS", atoms, reach)
    graph = coo_array((np.ones(len(first)), (first, second)), shape=(count, count)).tocsr()
    number, label = connected_components(graph, directed=False)
    # The bond by which each atom is reached; of several images of a neighbor any will do.
    step = {(i, j): s for i, j, s in zip(first.tolist(), second.tolist(), shift, strict=True)}
    offset = np.zeros((count, 3), dtype=np.int64)
    for root in np.unique(label, return_index=True)[1].tolist():
        order, before = breadth_first_order(graph, root, directed=False)
        for atom in order[1:].tolist():
            offset[atom] = offset[before[atom]] + step[int(before[atom]), atom]
    # A bond that closes a ring around the cell leads to another image of its atom than the one chosen.
    closing = offset[first] + shift != offset[second]
    periodic = np.zeros((number, 3), dtype=np.bool_)
    for axis in range(3):
        periodic[np.unique(label[first[closing[:, axis]]]), axis] = True
    return Pieces(label, atoms.positions + offset @ atoms.cell.array, periodic)


def vacuum(atoms: Atoms, positions: Floats) -> float:
    """Return the smallest vacuum between a particle, positions (A, 3), and its periodic images, Å.

    It is measured across the faces of the cell, between the outermost atoms.
    """
    # A cell may lack vectors along axes that are not periodic.
    cell = atoms.cell.complete().array
    normals = np.cross(np.roll(cell, -1, axis=0), np.roll(cell, -2, axis=0))
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    heights = np.abs(np.einsum("ij,ij->i", cell, normals))
    free = heights - np.ptp(positions @ normals.T, axis=0)
    return float(free[atoms.pbc].min())
