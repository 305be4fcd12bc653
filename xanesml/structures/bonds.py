"""The bonds of the absorbers, and the distribution of their lengths: the labels."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from xanesml.campaign import CUBOCTAHEDRA, DisorderSection, StructureSection
from xanesml.errors import StructureError
from xanesml.files.arrays import Floats, Indices, Integers, Wholes
from xanesml.structures import Cluster

#: A position in the series this close to a whole number counts as that number, steps of the series.
ROUNDING = 1e-9

#: Bonds with an end among the center and its 12 neighbors: in the 13-atom cuboctahedron, and in every larger one.
CUBOCTAHEDRON_BONDS = (36, 120)

#: All bonds of the cuboctahedra: half the sum of 12 neighbors inside, 5 at a vertex, 7 at an edge, 8 and 9 at a face.
ALL_CUBOCTAHEDRON_BONDS = (36, 216, 660, 1488, 2820)


def expected_bonds(structure: StructureSection, section: DisorderSection) -> int | None:
    """Return the number of bonds that `bonds` must find, None if it is not known beforehand.

    With the central atom of a cuboctahedron and its first shell as absorbers, it is 36 for 13 atoms and
    120 = 12 + 24 + 84 for more; with all atoms, the number of all bonds.
    """
    if structure.file is not None:
        return None
    if section.absorbers == "all":
        return ALL_CUBOCTAHEDRON_BONDS[CUBOCTAHEDRA.index(structure.atoms)]
    if structure.absorber is not None or section.absorbers != "first_shell":
        return None
    return CUBOCTAHEDRON_BONDS[structure.atoms != CUBOCTAHEDRA[0]]


def bonds(cluster: Cluster, absorbers: Wholes, expected: int | None = None) -> Indices:
    """Find the bonds of the absorbers on the undistorted cluster.

    Parameters
    ----------
    cluster : Cluster
        The undistorted cluster.
    absorbers : ndarray of int, shape (n,)
        The absorbers of the particle average.
    expected : int, optional
        The required number of bonds; see `expected_bonds`.

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
    found: Indices = pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]
    return found


def bond_lengths(positions: Floats, bonds: Indices) -> Floats:
    """Return the lengths, shape (..., B), Å, of bonds, pairs of atoms (B, 2), at positions of shape (..., A, 3), Å."""
    first, second = np.moveaxis(positions[..., bonds, :], -2, 0)
    return np.asarray(np.linalg.norm(second - first, axis=-1))


def bond_weights(bonds: Indices, absorbers: Wholes, multiplicity: ArrayLike) -> Floats:
    """Return the weight of every bond in the labels.

    Parameters
    ----------
    bonds, absorbers
        Pairs of atoms, shape (B, 2), each with an end among the absorbers, shape (n,).
    multiplicity : array_like, shape (n,)
        Weight of each absorber in the average, positive.

    Returns
    -------
    ndarray of float64, shape (B,)
        Mean multiplicity of a bond's absorbing ends, scaled to a sum of 1.
    """
    counts = np.zeros(max(int(bonds.max()), int(np.max(absorbers))) + 1)
    counts[absorbers] = multiplicity
    ends = counts[bonds]
    weights = ends.sum(axis=1) / np.count_nonzero(ends, axis=1)
    return np.asarray(weights / weights.sum())


def coordination(bonds: Indices, absorbers: Wholes, multiplicity: ArrayLike) -> float:
    """Return the mean number of first neighbors of the absorbers, each counted by its multiplicity, (n,)."""
    neighbors = np.bincount(bonds.ravel(), minlength=int(np.max(absorbers)) + 1)
    return float(np.average(neighbors[absorbers], weights=np.asarray(multiplicity)))


def shares_in_bins(lengths: Floats, weights: Floats, centers: Floats) -> Floats:
    """Return the histogram of bond lengths: g(r), up to the width of the bins.

    Parameters
    ----------
    lengths, weights : ndarray of float64, shape (n, B) and (B,)
        Bond lengths of n structures, Å, and the weights of the bonds, of sum 1.
    centers : ndarray of float64, shape (R,)
        Centers of the bins, evenly spaced, ascending, Å.

    Returns
    -------
    ndarray of float64, shape (n, R)
        Share of the bonds in each bin; bonds outside the bins are not counted.
    """
    width = centers[1] - centers[0]
    place = np.floor((lengths - centers[0]) / width + 0.5).astype(np.int64)
    return _collected(place, np.broadcast_to(weights, lengths.shape), len(centers))


def shares_in_series(shifts: Floats, weights: Floats, delta: Floats) -> tuple[Floats, Floats]:
    """Distribute bonds over a distorted series, each linearly between its two neighbors in δ.

    The average of the series under these weights is the mean over the bonds of the series
    interpolated linearly in δ. Their mean is the mean shift of the bonds.

    Parameters
    ----------
    shifts, weights : ndarray of float64, shape (n, B) and (B,)
        Bond lengths minus that of the undistorted first shell, Å, and the weights of the bonds, of sum 1.
    delta : ndarray of float64, shape (D,)
        Shifts of the series, evenly spaced, ascending, Å.

    Returns
    -------
    shares : ndarray of float64, shape (n, D)
        Weights over the series, of the bonds inside it; rows sum to 1, or to 0 if all
        bonds are outside.
    outside : ndarray of float64, shape (n,)
        Share of the bonds outside.
    """
    last = len(delta) - 1
    position = (shifts - delta[0]) * (last / (delta[-1] - delta[0]))
    # Rounding may put a bond at either end of the series just outside.
    position = np.where(np.abs(position - np.rint(position)) < ROUNDING, np.rint(position), position)
    inside = (position >= 0) & (position <= last)
    left = np.clip(np.floor(position), 0, last - 1).astype(np.int64)
    share = position - left
    counted = np.where(inside, weights, 0.0)
    shares = _collected(left, counted * (1 - share), last + 1) + _collected(left + 1, counted * share, last + 1)
    total = counted.sum(axis=1)
    outside = np.where(inside, 0.0, weights).sum(axis=1)
    return np.divide(shares, total[:, np.newaxis], out=shares, where=total[:, np.newaxis] > 0), outside


def _collected(place: Integers, amounts: Floats, count: int) -> Floats:
    """Add amounts, (n, B), into rows of bins, (n, count); places outside are left out."""
    rows, kept = len(place), (place >= 0) & (place < count)
    flat = (place + count * np.arange(rows)[:, np.newaxis])[kept]
    sums: Floats = np.bincount(flat, weights=amounts[kept], minlength=rows * count).astype(np.float64)
    return sums.reshape(rows, count)
