"""Pairs of neighboring atoms in a cluster."""

from __future__ import annotations

import numpy as np

from xanesml.files.arrays import Floats, Indices, Wholes


def neighbor_pairs(numbers: Wholes, positions: Floats, cutoff: float, *, like: bool) -> Indices:
    """Return the pairs of atoms up to a distance apart, Å, shape (n, 2); with `like` those of one element only."""
    from scipy.spatial import cKDTree  # noqa: PLC0415 (slow to import, and not needed on every rank)

    pairs: Indices = cKDTree(positions).query_pairs(cutoff, output_type="ndarray")
    return pairs[numbers[pairs[:, 0]] == numbers[pairs[:, 1]]] if like else pairs


def neighbor_counts(numbers: Wholes, positions: Floats, cutoff: float, *, like: bool) -> Wholes:
    """Return the number of neighbors of every atom, shape (A,), int32; parameters as for `neighbor_pairs`."""
    pairs = neighbor_pairs(numbers, positions, cutoff, like=like)
    counts: Wholes = np.bincount(pairs.ravel(), minlength=len(numbers)).astype(np.int32)
    return counts
