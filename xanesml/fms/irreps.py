"""Representations of a point group on real spherical harmonics, and their irreducible parts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from xanesml.files.arrays import Floats
from xanesml.fms.harmonics import real_harmonics


def rotation_matrices(rotations: Floats, lmax: int) -> Floats:
    """Return the matrices by which orthogonal 3 × 3 matrices act on real spherical harmonics.

    A function Σ c_j Y_j, turned by R into r ↦ f(R⁻¹ r), has the coefficients D(R) c. So
    D(R S) = D(R) D(S), and Y(R r) = D(R) Y(r) for the vector Y of all harmonics.

    Parameters
    ----------
    rotations : ndarray of float64, shape (..., 3, 3)
        Proper or improper.
    lmax : int
        Largest angular momentum.

    Returns
    -------
    ndarray of float64, shape (..., (lmax + 1)², (lmax + 1)²)
        Orthogonal, one block per l, in the order l² + l + m.
    """
    # Directions on a Fibonacci lattice overdetermine every l and keep the least squares well conditioned.
    count = 4 * (lmax + 1) ** 2
    turn = np.arange(count)
    height = (2 * turn + 1) / count - 1
    azimuth = np.pi * (1 + np.sqrt(5)) * turn
    radius = np.sqrt(1 - height**2)
    directions = np.stack([radius * np.cos(azimuth), radius * np.sin(azimuth), height], axis=1)
    here = real_harmonics(directions, lmax)
    there = real_harmonics(directions @ np.swapaxes(rotations, -1, -2), lmax)
    matrices = np.zeros((*rotations.shape[:-2], (lmax + 1) ** 2, (lmax + 1) ** 2))
    for angular in range(lmax + 1):
        part = slice(angular**2, (angular + 1) ** 2)
        matrices[..., part, part] = np.swapaxes(np.linalg.pinv(here[:, part]) @ there[..., part], -1, -2)
    return matrices


@dataclass(frozen=True)
class Irrep:
    """An irreducible real representation.

    Attributes
    ----------
    matrices : ndarray of float64, shape (order, dimension, dimension)
        One orthogonal matrix per operation of the group.
    splits : bool
        Whether it falls into two conjugate representations over the complex numbers, as
        the two-dimensional ones of C3, C4, T and Th do.
    """

    matrices: Floats
    splits: bool

    def equivalent(self, other: Irrep) -> bool:
        """Return whether another irreducible representation differs by the choice of axes only."""
        own, others = (np.trace(irrep.matrices, axis1=1, axis2=2) for irrep in (self, other))
        return bool(np.mean(own * others) > 0.5)


def irreducible_parts(representation: Floats) -> list[tuple[Floats, Irrep]]:
    """Split an orthogonal representation of a group into irreducible ones.

    Parameters
    ----------
    representation : ndarray of float64, shape (order, n, n)
        One orthogonal matrix per operation.

    Returns
    -------
    list of (ndarray of float64 of shape (n, dimension), Irrep)
        Orthonormal columns that span each invariant subspace, and the representation in
        terms of them.

    Raises
    ------
    ArithmeticError
        For matrices that do not represent a group.

    Notes
    -----
    The mean of g X gᵀ over the group, X symmetric without symmetry of its own, commutes
    with the group; no eigenvalue of it is degenerate beyond what the group demands [1]_.

    References
    ----------
    .. [1] J. D. Dixon, Math. Comp. 24, 707 (1970).
    """
    for seed in range(5):
        parts = _eigenspaces(representation, seed)
        # Frobenius and Schur: of the mean squared character and the mean character of the
        # squares, both are 1 for a part irreducible over the complex numbers too; they are 2
        # and 0 for one that splits into conjugates.
        signs = [
            (
                np.mean(np.trace(matrices, axis1=1, axis2=2) ** 2),
                np.mean(np.trace(matrices @ matrices, axis1=1, axis2=2)),
            )
            for _, matrices in parts
        ]
        # Two eigenvalues can agree by chance: other numbers tell them apart.
        if all(np.allclose(sign, (1, 1), atol=1e-6) or np.allclose(sign, (2, 0), atol=1e-6) for sign in signs):
            return [
                (space, Irrep(matrices, splits=bool(sign[0] > 1.5)))
                for (space, matrices), sign in zip(parts, signs, strict=True)
            ]
    raise ArithmeticError(f"a representation of {len(representation)} matrices has no irreducible parts: no group")


def _eigenspaces(representation: Floats, seed: int) -> list[tuple[Floats, Floats]]:
    """Return the eigenspaces of an arbitrary matrix that commutes with a group, and the group on each."""
    size = representation.shape[-1]
    arbitrary = np.random.default_rng(seed).normal(size=(size, size))
    arbitrary = arbitrary + arbitrary.T
    commuting = np.mean(representation @ arbitrary @ np.swapaxes(representation, 1, 2), axis=0)
    values, vectors = np.linalg.eigh(commuting)
    breaks = np.flatnonzero(np.diff(values) > 1e-9 * np.abs(values).max()) + 1
    spaces = [projector_range(part @ part.T) for part in np.split(vectors, breaks, axis=1)]
    return [(space, space.T @ representation @ space) for space in spaces]


def projector_range(projector: Floats) -> Floats:
    """Return orthonormal columns that span the range of an orthogonal projector, along the axes where it can.

    The projector has the shape (n, n), the columns (n, rank); the first is the projection of the axis closest to the
    range.
    """
    remaining = np.array(projector)
    columns = np.empty((len(remaining), round(float(np.trace(remaining)))))
    for column in columns.T:
        pivot = np.argmax(remaining.diagonal())
        column[:] = remaining[:, pivot] / np.sqrt(remaining[pivot, pivot])
        remaining -= np.outer(column, column)
    return columns
