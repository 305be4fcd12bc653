"""The bonds of the absorbers, and the statistics of their lengths, which the labels are."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from xanesml.campaign import CUBOCTAHEDRA, DisorderSection, StructureSection
from xanesml.errors import StructureError
from xanesml.structures import Cluster

#: Bonds with an end among the center and its 12 neighbors: in the 13-atom cuboctahedron, and in every larger one.
CUBOCTAHEDRON_BONDS = (36, 120)


def expected_bonds(structure: StructureSection, section: DisorderSection) -> int | None:
    """Return the number of bonds that `bonds` has to find, where it is known beforehand.

    Parameters
    ----------
    structure : StructureSection
        The undistorted cluster.
    section : DisorderSection
        The absorbers.

    Returns
    -------
    int or None
        With the central atom of a cuboctahedron and its first shell as absorbers, 36 for
        13 atoms and 120 = 12 + 24 + 84 for more; otherwise None.
    """
    if structure.file is not None or structure.absorber is not None or section.absorbers != "first_shell":
        return None
    return CUBOCTAHEDRON_BONDS[structure.atoms != CUBOCTAHEDRA[0]]


def bonds(cluster: Cluster, absorbers: NDArray[np.integer[Any]], expected: int | None = None) -> NDArray[np.intp]:
    """Find the bonds of the absorbers on the undistorted cluster.

    Parameters
    ----------
    cluster : Cluster
        The undistorted cluster.
    absorbers : ndarray of int, shape (n,)
        The absorbers of the particle average.
    expected : int, optional
        The number of bonds there must be; see `expected_bonds`.

    Returns
    -------
    ndarray of int, shape (B, 2)
        Pairs of atoms no further apart than the first-shell cutoff with at least one end
        among the absorbers, each once, the smaller index first, sorted.

    Raises
    ------
    StructureError
        If there is no bond, or not the expected number.
    """
    from scipy.spatial import cKDTree  # noqa: PLC0415 (slow to import, and not needed on every rank)

    pairs = cKDTree(cluster.positions).query_pairs(cluster.first_shell_cutoff, output_type="ndarray")
    pairs = pairs[np.isin(pairs, absorbers).any(axis=1)]
    if len(pairs) == 0 or (expected is not None and len(pairs) != expected):
        wanted = "at least one" if expected is None else str(expected)
        raise StructureError(
            f"the absorbers have {len(pairs)} first-shell bonds up to {cluster.first_shell_cutoff:.4f} Å, "
            f"{wanted} needed; change structure.first_shell_cutoff"
        )
    found: NDArray[np.intp] = pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]
    return found


def bond_lengths(positions: NDArray[np.float64], bonds: NDArray[np.intp]) -> NDArray[np.float64]:
    """Measure bonds.

    Parameters
    ----------
    positions : ndarray of float64, shape (..., A, 3)
        Positions of one or many structures, Å.
    bonds : ndarray of int, shape (B, 2)
        Pairs of atoms.

    Returns
    -------
    ndarray of float64, shape (..., B)
        Lengths, Å.
    """
    ends = positions[..., bonds, :]
    lengths: NDArray[np.float64] = np.linalg.norm(ends[..., 1, :] - ends[..., 0, :], axis=-1)
    return lengths


def mean_squared_displacement(lengths: NDArray[np.float64], axis: int = -1) -> NDArray[np.float64]:
    """Return mean (b − mean b)², the label.

    Parameters
    ----------
    lengths : ndarray of float64, shape (..., B)
        Bond lengths, Å.
    axis : int
        Axis of the bonds.

    Returns
    -------
    ndarray of float64, shape (...)
        MSD, Å²; divided by the number of bonds, not by one less.
    """
    return np.asarray(np.var(lengths, axis=axis), dtype=np.float64)


def skewness(lengths: NDArray[np.float64], axis: int = -1) -> NDArray[np.float64]:
    """Return the skewness of bond lengths.

    Parameters
    ----------
    lengths : ndarray of float64, shape (..., B)
        Bond lengths, Å, not all equal.
    axis : int
        Axis of the bonds.

    Returns
    -------
    ndarray of float64, shape (...)
        Third central moment over the second's power 3/2; undefined, NaN with a warning,
        where all lengths are equal.
    """
    from scipy import stats  # noqa: PLC0415 (slow to import, and not needed on every rank)

    return np.asarray(stats.skew(lengths, axis=axis), dtype=np.float64)


def radial_distribution(lengths: NDArray[np.float64], edges: ArrayLike) -> NDArray[np.float64]:
    """Return g(r), the histogram of bond lengths.

    Parameters
    ----------
    lengths : ndarray of float64, any shape
        Bond lengths, Å.
    edges : array_like, shape (K + 1,)
        Edges of the bins, rising, Å.

    Returns
    -------
    ndarray of float64, shape (K,)
        Density, Å⁻¹; its integral over the bins is 1.

    Raises
    ------
    StructureError
        If no bond length lies in the bins.
    """
    bins = np.asarray(edges, dtype=np.float64)
    if not np.any((lengths >= bins[0]) & (lengths <= bins[-1])):
        raise StructureError(
            f"no bond length lies between {bins[0]:.3f} and {bins[-1]:.3f} Å; "
            f"they range from {np.min(lengths):.3f} to {np.max(lengths):.3f} Å"
        )
    return np.histogram(lengths, bins=bins, density=True)[0].astype(np.float64)
