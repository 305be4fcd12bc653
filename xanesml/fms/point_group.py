"""The point group of a cluster about its absorber or another point, found from the geometry alone.

An operation is an orthogonal matrix that keeps that point where it is and puts
every atom on one of the same kind. No lattice is assumed: icosahedra, molecules and
clusters in any orientation are treated alike.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from xanesml.files.arrays import Floats, Indices, Wholes

#: Operations A and B are the same if tr(AᵀB) is at least this; 3 if they are identical.
SAME_OPERATION = 3 - 1e-5


@dataclass(frozen=True)
class PointGroup:
    """The operations of a point group, closed under multiplication; the identity is one of them.

    Attributes
    ----------
    matrices : ndarray of float64, shape (order, 3, 3)
        Orthogonal matrices, an exact representation of the group to rounding.
    images : ndarray of intp, shape (order, atoms)
        The atom onto which each operation puts each atom.
    """

    matrices: Floats
    images: Indices


def point_group(
    positions: Floats,
    kinds: Wholes,
    *,
    absorber: int = 0,
    center: Floats | None = None,
    tolerance: float = 1e-4,
    axial_order: int = 8,
) -> PointGroup:
    """Find the operations about the absorber, or another point, that map a cluster onto itself.

    Parameters
    ----------
    positions : ndarray of float, shape (atoms, 3)
        Positions in Å, finite.
    kinds : ndarray of int, shape (atoms,)
        Atoms may only be put on atoms of the same kind.
    absorber : int
        Index of the atom that stays in place.
    center : ndarray of float, shape (3,), optional
        Point that stays in place, Å. Default: the absorber's position.
    tolerance : float
        Largest distance in Å between the image of an atom and the atom it lands on.
    axial_order : int
        Order of the rotation axis that stands in for the continuous one of a linear
        cluster or a single atom.

    Returns
    -------
    PointGroup
        If the tolerance admits operations that do not form a group, a maximal subgroup
        with the most accurate of them; at least the identity.
    """
    vectors = np.asarray(positions, dtype=np.float64)
    vectors = vectors - (vectors[absorber] if center is None else center)
    kinds = np.asarray(kinds)
    far = vectors[np.argmax(np.linalg.norm(vectors, axis=1))]
    length = float(np.linalg.norm(far))
    axis = far / length if length > tolerance else np.array([0.0, 0.0, 1.0])
    if np.all(np.linalg.norm(np.cross(vectors, axis), axis=1) <= tolerance):
        return _axial_group(vectors, kinds, axis, tolerance, axial_order)
    identity = np.arange(len(vectors))
    found = [(0.0, np.eye(3), identity)]
    for candidate in _candidates(vectors, kinds, tolerance):
        operation = _confirmed(candidate, vectors, kinds, tolerance)
        if operation is not None and np.trace(operation[1]) < SAME_OPERATION:
            found.append(operation)
    found.sort(key=lambda operation: operation[0])
    return _closed(np.array([matrix for _, matrix, _ in found]), np.array([images for _, _, images in found]))


def _axial_group(vectors: Floats, kinds: Wholes, axis: Floats, tolerance: float, order: int) -> PointGroup:
    """Return C_nv about the axis of a linear cluster, with the inversion where the cluster has it."""
    frame = _frame(axis, np.eye(3)[np.argmin(np.abs(axis))])[:, [1, 2, 0]]
    angles = 2 * np.pi * np.arange(order) / order
    cosine, sine = np.cos(angles), np.sin(angles)
    planar = np.zeros((order, 3, 3))
    planar[:, 0, 0], planar[:, 0, 1], planar[:, 1, 0], planar[:, 1, 1] = cosine, -sine, sine, cosine
    planar[:, 2, 2] = 1
    matrices = frame @ np.concatenate([planar, planar @ np.diag([1.0, -1.0, 1.0])]) @ frame.T
    images = np.tile(np.arange(len(vectors)), (len(matrices), 1))
    inverted = _images(-np.eye(3), vectors, kinds)
    if inverted is not None and _misfit(-np.eye(3), vectors, inverted) <= tolerance:
        matrices = np.concatenate([matrices, -matrices])
        images = np.concatenate([images, inverted[images]])
    return PointGroup(matrices, images)


def _frame(first: Floats, second: Floats) -> Floats:
    """Return the right-handed orthonormal frame, as columns, of two vectors that are not parallel."""
    along = first / np.linalg.norm(first)
    normal = np.cross(first, second)
    normal /= np.linalg.norm(normal)
    return np.stack([along, np.cross(normal, along), normal], axis=1)


def _candidates(vectors: Floats, kinds: Wholes, tolerance: float) -> list[Floats]:
    """Return the matrices that put two chosen atoms on atoms alike, at the same distance from each other."""
    distances = np.linalg.norm(vectors, axis=1)
    alike = (kinds[:, None] == kinds) & (np.abs(distances[:, None] - distances) <= tolerance)
    outer = np.flatnonzero(distances > tolerance)
    directions = vectors[outer] / distances[outer, None]
    sines = np.linalg.norm(np.cross(directions[:, None], directions[None]), axis=-1)
    rarity = alike.sum(axis=1)[outer]
    # A pair far from parallel fixes the frame well, and a rare pair leaves few images to try.
    choices = np.where(sines >= 0.5 * sines.max(), rarity[:, None] * rarity, len(kinds) ** 2 + 1)
    first, second = outer[np.array(np.unravel_index(np.argmin(choices), choices.shape))]
    frame = _frame(vectors[first], vectors[second])
    separation = np.linalg.norm(vectors[first] - vectors[second])
    candidates = []
    for i in np.flatnonzero(alike[first]):
        for j in np.flatnonzero(alike[second]):
            if i != j and abs(np.linalg.norm(vectors[i] - vectors[j]) - separation) <= 2 * tolerance:
                image = _frame(vectors[i], vectors[j])
                candidates += [image @ frame.T, image @ np.diag([1.0, 1.0, -1.0]) @ frame.T]
    return candidates


def _images(matrix: Floats, vectors: Floats, kinds: Wholes) -> Indices | None:
    """Return the atom nearest to the image of each atom, or None where that is no permutation of like atoms."""
    nearest = np.argmax(vectors @ matrix.T @ vectors.T - 0.5 * np.sum(vectors**2, axis=1), axis=1)
    if not np.array_equal(kinds[nearest], kinds) or len(np.unique(nearest)) < len(nearest):
        return None
    return np.asarray(nearest, dtype=np.intp)


def _misfit(matrix: Floats, vectors: Floats, images: Indices) -> float:
    """Return the largest distance between the image of an atom and the atom it lands on."""
    return float(np.linalg.norm(vectors @ matrix.T - vectors[images], axis=1).max())


def _confirmed(
    candidate: Floats, vectors: Floats, kinds: Wholes, tolerance: float
) -> tuple[float, Floats, Indices] | None:
    """Return misfit, orthogonal matrix of least squares and images of a candidate, or None where it is no symmetry."""
    images = _images(candidate, vectors, kinds)
    if images is None:
        return None
    left, _, right = np.linalg.svd(vectors[images].T @ vectors)
    # A planar cluster leaves the sign of its normal open: the candidate decides it.
    handedness = np.sign(np.linalg.det(candidate) * np.linalg.det(left @ right))
    matrix = left @ np.diag([1.0, 1.0, handedness]) @ right
    misfit = _misfit(matrix, vectors, images)
    return (misfit, matrix, images) if misfit <= tolerance else None


def _closed(matrices: Floats, images: Indices) -> PointGroup:
    """Return the group that the operations form, or the subgroup that grows from the first of them."""
    table = _multiplication_table(matrices)
    if np.any(table < 0):
        members = np.array(sorted(_subgroup(table)))
        matrices, images = matrices[members], images[members]
        table = _multiplication_table(matrices)
    # Least squares represent the group to second order in the misfits, and each pass squares the rest.
    for _ in range(2):
        total = np.zeros_like(matrices)
        np.add.at(total, table, matrices[:, None] @ matrices[None])
        left, _, right = np.linalg.svd(total)
        matrices = left @ right
    return PointGroup(matrices, images)


def _multiplication_table(matrices: Floats) -> Indices:
    """Return the index of each product of two operations, −1 where it is none of them."""
    order = len(matrices)
    products = (matrices[:, None] @ matrices[None]).reshape(order * order, 9)
    traces = products @ matrices.reshape(order, 9).T
    table = np.where(traces.max(axis=1) >= SAME_OPERATION, np.argmax(traces, axis=1), -1)
    return table.reshape(order, order)


def _subgroup(table: Indices) -> set[int]:
    """Return a maximal closed set of operations that admits them in their order; the identity is the first."""
    members = {0}
    for operation in range(1, len(table)):
        if operation in members:
            continue
        grown = members | {operation}
        while -1 not in grown:
            some = np.array(sorted(grown))
            products = set(table[np.ix_(some, some)].ravel().tolist())
            if products <= grown:
                members = grown
                break
            grown |= products
    return members
