"""Changes of the Coulomb potential with the density, in Norman's picture of neutral spheres."""

from __future__ import annotations

import numpy as np

from xanesml.errors import NotApplicable
from xanesml.files.arrays import Floats
from xanesml.pot.radial import ATOMIC, integral, running_integral

_TOLERANCE = 1e-10
_ATTEMPTS = 50


def norman_radius(density: Floats, charge: float) -> float:
    """Return the radius of the sphere that holds as many electrons as the nucleus has charges, bohr.

    Parameters
    ----------
    density : (251,) float
        4π times the density, 1/bohr³; no NaN.
    charge : float
        Atomic number.

    Raises
    ------
    NotApplicable
        If there are too few electrons.

    References
    ----------
    J. G. Norman, Mol. Phys. 31, 1191 (1976).
    """
    shells = density * ATOMIC.r**2
    enclosed = running_integral(shells * ATOMIC.r, ATOMIC.step)
    beyond = np.flatnonzero(enclosed >= charge)
    if not beyond.size or not 6 < beyond[0] < ATOMIC.size - 3:
        raise NotApplicable(f"the electrons about a nucleus of charge {charge:g} do not balance it")
    radius = float(ATOMIC.r[beyond[0] - 1])
    for _ in range(_ATTEMPTS):
        missing = charge - float(integral(ATOMIC, radius, 2.0) @ shells)
        change = missing / float(np.interp(radius, ATOMIC.r, shells))
        radius += change
        if abs(change) < _TOLERANCE:
            return radius
    raise NotApplicable(f"no neutral sphere about a nucleus of charge {charge:g}")


def potential_change(before: Floats, after: Floats, charge: float, count: int) -> Floats:
    """Return the change of the Coulomb potential of an atom.

    Inside the Norman sphere it follows from the change of the density; the constant is that of two neutral
    spheres with nothing outside.

    Parameters
    ----------
    before, after : (251,) float
        4π times the densities, 1/bohr³; no NaN.
    charge : float
        Atomic number.
    count : int
        Number of points from the nucleus up to which the density changes.

    Returns
    -------
    (251,) float64
        The change, Hartree; 0 beyond `count` points.
    """
    radii = ATOMIC.r[:count]
    change = (after - before)[:count] * radii**3
    inside = running_integral(change, ATOMIC.step)
    inside += change[0] / 3
    outer = running_integral(inside / radii, ATOMIC.step)
    result = np.zeros(ATOMIC.size)
    result[:count] = outer[-1] - outer + inside[-1] / radii[-1]
    spheres = norman_radius(before, charge), norman_radius(after, charge)
    point = ATOMIC.below(min(spheres))
    shift = _depth(before, point, spheres[0]) - _depth(after, point, spheres[1])
    result[:count] += shift - result[point]
    return result


def _depth(density: Floats, point: int, radius: float) -> float:
    """Return ∫ ρ r² (1/r₀ − 1/r) dr from a grid point r₀ to a radius, with a density that is linear in r from there on.

    It is how far below zero the potential of a neutral sphere of this radius lies at r₀.
    """
    start, after = ATOMIC.r[point], ATOMIC.r[point + 1]
    slope = (density[point + 1] - density[point]) / (after - start)
    constant = density[point] - slope * start
    second, third, fourth = ((radius**n - start**n) / n for n in (2, 3, 4))
    return float(slope * (fourth / start - third) + constant * (third / start - second))
