"""Overlapping spheres: common volumes, and muffin-tin radii from Norman radii."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from xanesml.errors import NotApplicable
from xanesml.files.arrays import Floats
from xanesml.pot.inputs import PotInput

# Largest overlap: a sphere reaches this part of the way to the nearest atom.
_NEAREST = 1 / 1.06
# Part of the way from touching spheres to the Norman radius.
_SHARE = 0.7

#: Points below the muffin-tin radius whose shells may overlap with other spheres.
SHELLS = 50


def cap(radius: Floats | float, other: Floats | float, distance: Floats | float) -> Floats:
    """Return the volume that a sphere's cap adds to the lens that it shares with another sphere.

    The plane of the circle in which both meet cuts the cap off the first. All arguments
    in one unit; they are broadcast against each other, and the spheres have to meet.
    """
    height = radius - (radius**2 - other**2 + distance**2) / (2 * distance)
    return np.asarray(np.pi / 3 * height**2 * (3 * radius - height))


def lens(radius: Floats | float, other: Floats | float, distance: Floats | float) -> Floats:
    """Return the volume that two spheres share, 0 if they do not meet; arguments as for `cap`."""
    meet = np.asarray(radius) + np.asarray(other) > distance
    return np.where(meet, cap(radius, other, distance) + cap(other, radius, distance), 0.0)


@dataclass(frozen=True)
class MuffinTins:
    """Muffin-tin spheres of the potentials.

    Attributes
    ----------
    radii, touching : (P,) float64
        Radii with and without overlap, bohr.
    overlaps : (P,) float64
        Overlap factors, their ratios.
    """

    radii: Floats
    touching: Floats
    overlaps: Floats


def muffin_tins(cluster: PotInput, norman: Floats) -> MuffinTins:
    """Return muffin-tin radii by Norman's prescription, with the largest reasonable overlaps.

    Parameters
    ----------
    cluster : PotInput
        Atoms, and the largest overlap factors that the cards allow.
    norman : (P,) float
        Norman radii, bohr.

    Raises
    ------
    NotApplicable
        If an atom overlaps with none, or a Norman sphere reaches the nearest atom.

    References
    ----------
    J. G. Norman, Mol. Phys. 31, 1191 (1976): radii in proportion to the radii of neutral
    spheres, weighted with the volume shared with each neighbor; A. L. Ankudinov,
    B. Ravel, J. J. Rehr and S. D. Conradson, Phys. Rev. B 58, 7565 (1998), section II: overlaps.
    """
    count = len(norman)
    touching = np.empty(count)
    nearest, neighbor = np.empty(count), np.empty(count, dtype=np.intp)
    for p, atom in enumerate(cluster.representatives):
        distances = np.linalg.norm(cluster.positions - cluster.positions[atom], axis=1)
        distances[atom] = np.inf
        others = norman[cluster.potentials]
        meet = norman[p] + others >= distances
        if not meet.any():
            raise NotApplicable(f"the Norman sphere of potential {p} meets no other atom's")
        shared = lens(norman[p], others[meet], distances[meet])
        radii = distances[meet] * norman[p] / (norman[p] + others[meet])
        touching[p] = (radii * shared).sum() / shared.sum()
        nearest[p] = distances.min()
        # Of equally near atoms the last.
        neighbor[p] = cluster.potentials[np.flatnonzero(distances == nearest[p])[-1]]
        if norman[p] >= nearest[p]:
            raise NotApplicable(f"the Norman sphere of potential {p} reaches the nearest atom")
    overlaps = np.minimum(cluster.overlaps, 1 - _SHARE + _SHARE * norman / touching)
    overlaps = np.minimum(overlaps, nearest / touching * _NEAREST)
    # The innermost shell of a neighbor that may overlap has to lie outside the Norman sphere.
    innermost = np.exp(-(SHELLS - 3) * 0.05)
    for p, other in enumerate(neighbor):
        overlaps[other] = min(overlaps[other], (nearest[p] - norman[p]) / (innermost * touching[other]))
    return MuffinTins(radii=touching * overlaps, touching=touching, overlaps=overlaps)
