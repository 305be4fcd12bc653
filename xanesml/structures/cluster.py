"""The undistorted cluster of a campaign, and its absorbers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from ase.data import chemical_symbols

from xanesml.campaign import DisorderSection
from xanesml.errors import StructureError
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
    """

    numbers: Wholes
    positions: Floats
    absorber: int
    first_shell: float
    first_shell_cutoff: float
    minimum_distance: float
    coordination: Wholes
    radius: float | None = None


def first_neighbors(positions: Floats, index: int, cutoff: float) -> Indices:
    """Return the indices, ascending, of the atoms up to a distance, Å, from one atom, without that atom."""
    near = np.linalg.norm(positions - positions[index], axis=1) <= cutoff
    near[index] = False
    return np.flatnonzero(near)


def absorbers(cluster: Cluster, section: DisorderSection) -> Indices:
    """Return the absorbers of a particle average.

    Returns
    -------
    ndarray of int, shape (n,)
        The central absorber first, then its first neighbors of the same element by index;
        or the list as given.

    Raises
    ------
    StructureError
        If a listed atom is not in the cluster or not of the absorber's element.
    """
    element = cluster.numbers[cluster.absorber]
    if section.absorbers == "first_shell":
        neighbors = first_neighbors(cluster.positions, cluster.absorber, cluster.first_shell_cutoff)
        return np.concatenate(([cluster.absorber], neighbors[cluster.numbers[neighbors] == element]))
    for index in section.absorbers:
        if index >= len(cluster.numbers):
            raise StructureError(
                f"disorder.absorbers lists atom {index}; the cluster's atoms are 0 to {len(cluster.numbers) - 1}"
            )
        if cluster.numbers[index] != element:
            raise StructureError(
                f"disorder.absorbers lists atom {index}, {chemical_symbols[cluster.numbers[index]]}; "
                f"an average takes one element, the central absorber's {chemical_symbols[element]}"
            )
    return np.array(section.absorbers, dtype=np.intp)
