"""The atoms around an absorber, in a sphere cut from a periodic structure or in all of a particle."""

from __future__ import annotations

import numpy as np
from ase import Atoms

from xanesml.files.arrays import Floats, Indices


def sphere(atoms: Atoms, absorber: int, radius: float | None) -> tuple[Indices, Floats]:
    """Return the atoms around an absorber.

    Parameters
    ----------
    atoms : Atoms
        The structure.
    absorber : int
        Index of the absorber.
    radius : float or None
        Radius of the sphere, Å; None for all atoms of a structure that is not periodic.

    Returns
    -------
    indices : ndarray of int, shape (n,)
        Atoms of the structure, periodic images among them. In a sphere the absorber comes first, the others by
        distance, equally distant ones by coordinates; without a radius they keep their order.
    positions : ndarray of float64, shape (n, 3)
        Their positions, the absorber at the origin, Å.
    """
    if radius is None:
        return np.arange(len(atoms)), np.asarray(atoms.positions - atoms.positions[absorber])
    from ase.neighborlist import primitive_neighbor_list  # noqa: PLC0415 (slow to import)

    centers, others, vectors = primitive_neighbor_list(
        "ijD", atoms.pbc, atoms.cell.complete(), atoms.positions, radius, self_interaction=False
    )
    others, vectors = others[centers == absorber], vectors[centers == absorber]
    # Rounded, so that the last bit does not order equally distant atoms.
    keys = np.round(np.column_stack((np.linalg.norm(vectors, axis=1), vectors)), 6)
    order = np.lexsort(keys.T[::-1])
    return np.concatenate(([absorber], others[order])), np.concatenate((np.zeros((1, 3)), vectors[order]))
