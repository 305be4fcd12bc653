"""Interstitial level and density of overlapping muffin-tin spheres.

Where spheres overlap, the potential counted from the interstitial level is the sum of the
spheres' own. Its spherical averages about each atom are known, those of the overlapped atoms:
a linear system gives the spheres' potentials. Another equation gives the level: averaged over
Norman's spheres, the sum has to be the overlapped atoms' potential.
"""

from __future__ import annotations

import numpy as np

from xanesml.errors import NotApplicable
from xanesml.files.arrays import Booleans, Floats
from xanesml.pot.inputs import PotInput
from xanesml.pot.radial import ATOMIC, integral, interpolation
from xanesml.pot.spheres import SHELLS, cap, lens

_RADII = ATOMIC.r
_HALF = np.exp(ATOMIC.step / 2)


class Overlap:
    """The geometry of overlapping muffin-tin spheres.

    Parameters
    ----------
    cluster : PotInput
        Atoms, representatives and multiplicities.
    radii, norman : (P,) float
        Muffin-tin and Norman radii, bohr.

    Attributes
    ----------
    points : (P,) intp
        Index of the last grid point inside each muffin-tin radius.
    volume : float
        Volume between the spheres, bohr³.

    Raises
    ------
    NotApplicable
        If spheres overlap too much, or leave no volume.

    References
    ----------
    A. L. Ankudinov, B. Ravel, J. J. Rehr and S. D. Conradson, Phys. Rev. B 58, 7565 (1998), section II.
    """

    def __init__(self, cluster: PotInput, radii: Floats, norman: Floats) -> None:
        self.points = np.array([ATOMIC.below(radius) for radius in radii], dtype=np.intp)
        self._multiplicities = cluster.multiplicities
        count = len(radii)
        self._shells = self.points[:, None] - SHELLS + 1 + np.arange(SHELLS)
        edges = np.stack([_edges(p, radius) for p, radius in zip(self.points, radii, strict=True)])
        matrix = np.eye(count * SHELLS)
        level = np.zeros(count * SHELLS)
        shared = 0.0
        for one, atom in enumerate(cluster.representatives):
            rows = slice(one * SHELLS, (one + 1) * SHELLS)
            distances = np.linalg.norm(cluster.positions - cluster.positions[atom], axis=1)
            distances[atom] = np.inf
            weight = cluster.multiplicities[one] / cluster.multiplicities.sum()
            for two in range(count):
                columns = slice(two * SHELLS, (two + 1) * SHELLS)
                reach = max(norman[one], radii[one]) + radii[two]
                for distance in distances[(cluster.potentials == two) & (distances < reach)]:
                    if norman[one] + radii[two] > distance:
                        parts = _surface_parts(norman[one], distance, edges[two], _RADII[self._shells[two]])
                        level[columns] += weight * parts
                    if radii[one] + radii[two] > distance:
                        shared += cluster.multiplicities[one] * float(cap(radii[one], radii[two], distance))
                        matrix[rows, columns] += _shell_parts(
                            edges[one], edges[two], _RADII[self._shells[one]], _RADII[self._shells[two]], distance
                        )
        spheres = cluster.volume or 4 * np.pi / 3 * float((cluster.multiplicities * norman**3).sum())
        self.volume = spheres - 4 * np.pi / 3 * float((cluster.multiplicities * radii**3).sum()) + shared
        if self.volume <= 0:
            raise NotApplicable("the muffin-tin spheres leave no interstitial volume")
        self._inverse = np.linalg.inv(matrix)
        self._level = level
        # Averages over Norman's spheres, and electrons inside the muffin-tin spheres.
        self._averages = np.zeros((count, ATOMIC.size))
        self._electrons = np.zeros((count, ATOMIC.size))
        for p in range(count):
            end = ATOMIC.below(norman[p]) + 3
            self._averages[p, :end] = interpolation(_RADII[:end], 3, norman[p])[0]
            self._electrons[p] = self._folded(integral(ATOMIC, radii[p], 0.0) * _RADII**2, p)

    def density(self, densities: Floats, electrons: float) -> float:
        """Return 4π times the interstitial density, 1/bohr³.

        Parameters
        ----------
        densities : (P, 251) float
            4π times the overlapped atoms' densities; no NaN.
        electrons : float
            Number of electrons of the whole cluster.
        """
        own = self._own(densities)
        inside = float((self._multiplicities * (self._electrons * own).sum(axis=1)).sum())
        return 4 * np.pi * (electrons - inside) / self.volume

    def potential(self, potentials: Floats, level: float | None = None) -> tuple[Floats, float]:
        """Return the spheres' own potentials and the interstitial level.

        Parameters
        ----------
        potentials : (P, 251) float
            Potentials of the overlapped atoms, Hartree; no NaN.
        level : float, optional
            The interstitial level, if it is given.

        Returns
        -------
        (P, 251) float64
            The potentials, with the level from the second point outside each muffin-tin radius on.
        float
            The level, Hartree.
        """
        if level is None:
            # With d = C⁻¹ (v − level) in the shells: level + w · d = the average of v over Norman's spheres.
            average = float((self._averages * potentials).sum(axis=1) @ self._multiplicities)
            average /= float(self._multiplicities.sum())
            shells = np.concatenate([row[chosen] for row, chosen in zip(potentials, self._shells, strict=True)])
            row = self._level @ self._inverse
            level = (average - float(row @ shells)) / (1 - float(row.sum()))
        own = self._own(potentials - level) + level
        for p, last in enumerate(self.points):
            own[p, last + 1] = _next(own[p, last - 2 : last + 1])
            own[p, last + 2 :] = level
        return own, level

    def _own(self, functions: Floats) -> Floats:
        shells = np.concatenate([row[chosen] for row, chosen in zip(functions, self._shells, strict=True)])
        result = functions.copy()
        for row, chosen, solved in zip(result, self._shells, (self._inverse @ shells).reshape(-1, SHELLS), strict=True):
            row[chosen] = solved
        return result

    def _folded(self, weights: Floats, p: int) -> Floats:
        """Return weights of the points inside only: those of r² f at the two points outside go to the points before."""
        last = self.points[p]
        scaled = weights / _RADII**2
        points = _RADII[: last + 1]
        outside = interpolation(points, 2, _RADII[last + 1 : last + 3])
        scaled[: last + 1] += scaled[last + 1 : last + 3] @ outside
        scaled[last + 1 :] = 0
        return np.asarray(scaled * _RADII**2)


def _next(values: Floats) -> float:
    radii = _RADII[:4]
    return float((interpolation(radii[:3], 2, radii[3]) @ values)[0])


def _edges(last: int, radius: float) -> Floats:
    """Return the radii between the shells about the points up to the last inside, (SHELLS + 1,)."""
    edges = _RADII[last - SHELLS + 1 : last + 1] / _HALF
    # The last shell ends at the muffin-tin radius, with its point in the middle.
    edges[-1] = (edges[-1] + 2 * _RADII[last] - radius) / 2
    return np.append(edges, radius)


def _surface_parts(sphere: float, distance: float, edges: Floats, points: Floats) -> Floats:
    """Return the part of a sphere's surface in each shell about another atom, (SHELLS,)."""
    reached = edges[1:] + sphere >= distance
    cut = reached & (edges[:-1] + sphere < distance)
    inner = np.where(cut, distance - sphere, edges[:-1])
    parts = np.where(reached, edges[1:] ** 2 - inner**2, 0.0) / (4 * distance * sphere)
    shift = _shift(points, edges, cut, distance - sphere - edges[:-1])
    return parts * (1 - shift) + _moved(parts * shift)


def _shell_parts(one: Floats, two: Floats, points: Floats, others: Floats, distance: float) -> Floats:
    """Return the part of the volume of each shell about one atom in each shell about another, (SHELLS, SHELLS)."""
    lenses = lens(one[:, None], two[None, :], distance)
    parts = np.diff(np.diff(lenses, axis=0), axis=1) / (4 * np.pi / 3 * np.diff(one**3))[:, None]
    reached = two[None, 1:] + one[1:, None] >= distance
    cut = reached & (two[None, :-1] + one[1:, None] < distance)
    parts = np.where(reached, parts, 0.0)
    shift = _shift(others, two, cut, distance - points[:, None] - two[None, :-1])
    return np.asarray(parts * (1 - shift) + _moved(parts * shift))


def _shift(points: Floats, edges: Floats, cut: Booleans, depth: Floats) -> Floats:
    """Return how much of a shell that is reached in part only goes to the next point, linear in the depth."""
    neighbors = np.append(points[1:], points[-2])
    widths = np.diff(edges)
    return np.where(cut, depth / widths * (edges[1:] - points) / (neighbors - points), 0.0)


def _moved(parts: Floats) -> Floats:
    """Return the parts one shell further out, those of the last shell one further in."""
    result = np.zeros_like(parts)
    result[..., 1:] = parts[..., :-1]
    result[..., -2] += parts[..., -1]
    return result
