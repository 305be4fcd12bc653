"""Local exchange and correlation of the ground state."""

from __future__ import annotations

import numpy as np

from xanesml.files.arrays import Floats

# Exchange of the electron gas, and the correlation of paramagnetic electrons, Hartree.
_EXCHANGE = 1.22177412 / 2
_CORRELATION, _REACH = 0.0504 / 2, 30.0

#: Largest density parameter, bohr: where there are hardly any electrons.
DILUTE = 100.0
#: The same for valence electrons alone.
DILUTE_VALENCE = 10.0


def potential(density: Floats, largest: float = DILUTE) -> Floats:
    """Return the exchange-correlation potential of unpolarized electrons, Hartree.

    Parameters
    ----------
    density : (...) float
        4π times the density, 1/bohr³; no NaN. Where it is not positive, `largest` holds.
    largest : float, optional
        Density parameter rs that replaces larger ones, bohr.

    Returns
    -------
    (...) float64
        The potential.

    References
    ----------
    U. von Barth and L. Hedin, J. Phys. C 5, 1629 (1972), equation 6.2 and table 5.
    """
    positive = np.where(density > 0, density, 1.0)
    rs = np.where(density > 0, np.cbrt(3 / positive), largest)
    if largest < DILUTE:
        rs = np.minimum(rs, largest)
    return np.asarray(-_EXCHANGE / rs - _CORRELATION * np.log(1 + _REACH / rs))
