"""Broadening of spectra on an even mesh by a Gaussian."""

from __future__ import annotations

import numpy as np

from xanesml.errors import SpectrumError
from xanesml.files.arrays import Floats


def broadened(spectra: Floats, mesh: Floats, sigma: float) -> Floats:
    """Broaden spectra by a Gaussian, as a monochromator does.

    The discrete analog of the Gaussian, e^(−v) I_n(v), adds the variance v exactly, also
    where sigma is below the step of the mesh, and two broadenings add up exactly; a sampled
    Gaussian does neither. Beyond its ends a spectrum continues as its point reflection, so
    that a straight line does not change.

    Parameters
    ----------
    spectra : ndarray, shape (..., M), float64, edge steps
        Spectra, no NaN.
    mesh : ndarray, shape (M,), float64, eV
        Their energies, evenly spaced.
    sigma : float, eV
        Standard deviation of the Gaussian; 0 changes nothing.

    Returns
    -------
    ndarray, shape (..., M), float64, edge steps
        Broadened spectra.

    Raises
    ------
    SpectrumError
        If sigma is not a number that is at least 0, or the mesh is not even.

    References
    ----------
    T. Lindeberg, IEEE Trans. Pattern Anal. Mach. Intell. 12, 234 (1990).
    """
    from scipy.ndimage import convolve1d  # noqa: PLC0415 (slow)
    from scipy.special import ive  # noqa: PLC0415 (slow)

    steps = np.diff(mesh)
    if not np.allclose(steps, steps[0], rtol=1e-6, atol=0.0):
        raise SpectrumError(
            f"the energies have steps of {steps.min():g} to {steps.max():g} eV; broadening needs even steps"
        )
    if not (np.isfinite(sigma) and sigma >= 0):
        raise SpectrumError(f"the broadening's sigma is {sigma} eV; give 0 or more")
    if sigma == 0:
        return np.array(spectra, dtype=np.float64)
    width = float(sigma / steps[0])
    radius = int(np.ceil(7 * width)) + 4
    kernel = ive(np.abs(np.arange(-radius, radius + 1)), width**2)
    padding = [(0, 0)] * (spectra.ndim - 1) + [(radius, radius)]
    padded = np.pad(spectra, padding, mode="reflect", reflect_type="odd")
    return np.asarray(convolve1d(padded, kernel, axis=-1)[..., radius:-radius], dtype=np.float64)
