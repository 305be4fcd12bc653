"""The undistorted cluster of a campaign."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from xanesml.files.arrays import Floats, Indices, Wholes


@dataclass(frozen=True)
class Cluster:
    """An undistorted cluster around one absorber.

    Attributes
    ----------
    numbers : ndarray of int32, shape (A,)
        Atomic numbers.
    positions : ndarray of float64, shape (A, 3)
        Positions, Å, finite; the absorber is at the origin.
    absorber : int
        Index of the central absorber.
    first_shell : float
        Bond length of the first shell, Å: a/√2 for a cuboctahedron, for a file the mean
        length of the absorber's bonds up to `first_shell_cutoff`.
    first_shell_cutoff : float
        Largest bond length of the first shell, Å.
    minimum_distance : float
        Atoms closer than this overlap, Å.
    coordination : ndarray of int32, shape (A,)
        First-shell neighbors of every atom in the uncut structure, periodic images counted.
    radius : float or None
        Radius of the sphere that was cut from a periodic structure, Å; None for a whole particle.
    like_bonds : bool
        Whether only atoms of one element are first neighbors, not those of any.
    source : ndarray of int, shape (A,), or None
        The atom of the structure file that each atom is, a periodic image of one or itself; None where a store, which
        does not keep it, was read.
    notes : tuple of str
        What was decided about a structure file, each in a line for the user.
    """

    numbers: Wholes
    positions: Floats
    absorber: int
    first_shell: float
    first_shell_cutoff: float
    minimum_distance: float
    coordination: Wholes
    radius: float | None = None
    like_bonds: bool = False
    source: Wholes | None = None
    notes: tuple[str, ...] = ()


def first_neighbors(positions: Floats, index: int, cutoff: float) -> Indices:
    """Return the indices, ascending, of the atoms up to a distance, Å, from one atom, without that atom."""
    near = np.linalg.norm(positions - positions[index], axis=1) <= cutoff
    near[index] = False
    return np.flatnonzero(near)
