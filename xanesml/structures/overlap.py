"""Refusal of structures whose atoms overlap, one by one or by the block."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from xanesml.errors import StructureError
from xanesml.files.arrays import Floats
from xanesml.structures.cluster import Cluster

#: Allowance for rounding in the bound on distances, Å.
_ROUNDING = 1e-9


def check_overlap(positions: Floats, minimum_distance: float, label: str) -> None:
    """Refuse a structure whose atoms overlap.

    Parameters
    ----------
    positions : ndarray of float64, shape (A, 3)
        Positions, Å, finite.
    minimum_distance : float
        Smallest distance accepted, Å.
    label : str
        The structure's name in the message.

    Raises
    ------
    StructureError
        If two atoms are closer; the message names the closest pair and its distance.
    """
    from scipy.spatial import cKDTree  # noqa: PLC0415 (slow to import, and not needed on every rank)

    pairs = cKDTree(positions).query_pairs(minimum_distance, output_type="ndarray")
    lengths = np.linalg.norm(positions[pairs[:, 1]] - positions[pairs[:, 0]], axis=1)
    # The tree includes pairs exactly at the limit, which are accepted.
    if not np.any(lengths < minimum_distance):
        return
    first, second = np.sort(pairs[np.argmin(lengths)])
    raise StructureError(
        f"{label}: atoms {first} and {second} are {lengths.min():.3f} Å apart, closer than "
        f"structure.minimum_distance = {minimum_distance} Å; change the structure or the limit"
    )


def check_overlaps(cluster: Cluster, positions: Floats, labels: Callable[[int], str]) -> None:
    """Refuse a block of structures if atoms overlap in any of them.

    Same result as `check_overlap` of each with the cluster's own limit, but pairs are
    compared only if a bound allows an overlap: with s the scale that fits a structure best
    and e_i the remaining displacement of atom i, |x_i − x_j| ≥ s |r_i − r_j| − e_i − e_j.
    An isotropic distortion leaves e = 0, disorder about σ.

    Parameters
    ----------
    cluster : Cluster
        The undistorted cluster, two atoms or more.
    positions : ndarray of float64, shape (n, A, 3)
        Positions of every structure, in the cluster's frame, Å, finite.
    labels : callable
        Returns the name, for the message, of the structure at an index from 0 to n − 1.

    Raises
    ------
    StructureError
        If two atoms are closer than `cluster.minimum_distance`; the message names the
        first such structure, its closest pair and their distance.
    """
    center = cluster.positions[cluster.absorber]
    undistorted = cluster.positions - center
    from scipy.spatial import cKDTree  # noqa: PLC0415 (slow to import, and not needed on every rank)

    shortest = cKDTree(undistorted).query(undistorted, k=2)[0][:, 1].min()
    shifted = positions - center
    scale = np.tensordot(shifted, undistorted, axes=2) / np.vdot(undistorted, undistorted)
    shifted -= scale[:, np.newaxis, np.newaxis] * undistorted
    largest = np.sqrt(np.einsum("nij,nij->ni", shifted, shifted).max(axis=1, initial=0.0))
    clear = scale * shortest - 2.0 * largest > cluster.minimum_distance + _ROUNDING
    for index in np.flatnonzero(~clear):
        check_overlap(positions[index], cluster.minimum_distance, labels(int(index)))
