"""The distorted series as a function of δ: how rough it is, and smoothing where that is asked for."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from xanesml.files.arrays import Floats, Indices

#: A distortion with more than so many times the series' median roughness is an outlier.
OUTLIER = 3.0

#: Degree of the polynomials that smooth.
SMOOTHING_DEGREE = 3


@dataclass(frozen=True)
class Series:
    """The distorted series that averages are made of. No array holds NaN.

    Attributes
    ----------
    delta : ndarray
        Shifts of the first shell, shape (D,), float64, Å.
    mu : ndarray
        Spectra on the mesh, shape (D, M), float64, not normalized.
    edge_step : ndarray
        Their edge steps, shape (D,), float64.
    r : ndarray
        Centers of the bins of the bond length, shape (R,), float64, Å.
    """

    delta: Floats
    mu: Floats
    edge_step: Floats
    r: Floats


def roughness(normalized: Floats) -> Floats:
    """Return how far every spectrum of a series is from the mean of its neighbors, twice.

    FEFF's radial grids change with the muffin-tin radii, and shells cross fixed radii, so
    that a series is not perfectly smooth in δ. What it jumps by is an error that averages
    inherit.

    Parameters
    ----------
    normalized : ndarray of float64, shape (D, M)
        Spectra at evenly spaced δ, edge steps.

    Returns
    -------
    ndarray of float64, shape (D,)
        Largest |μ(δ − h) − 2μ(δ) + μ(δ + h)| over energy, edge steps; NaN at both ends.
    """
    rough = np.full(len(normalized), np.nan)
    if len(normalized) > 2:
        rough[1:-1] = np.abs(np.diff(normalized, 2, axis=0)).max(axis=1)
    return rough


def outliers(rough: Floats) -> Indices:
    """Return the places, rising, where the roughness, (D,), is above `OUTLIER` times its median."""
    inner = rough[1:-1]
    if not len(inner):
        return np.empty(0, np.intp)
    return 1 + np.flatnonzero(inner > OUTLIER * np.median(inner))


def smoothed(values: Floats, window: int) -> Floats:
    """Smooth along δ by cubics fitted in a moving window.

    Parameters
    ----------
    values : ndarray of float64, shape (D, ...)
        Spectra or edge steps at evenly spaced δ.
    window : int
        Points of the window, odd, at least 5 and at most D; 0 leaves the values as they are.

    Returns
    -------
    ndarray of float64, shape (D, ...)
        Smoothed values; cubics in δ are left unchanged, at the ends too.

    References
    ----------
    A. Savitzky and M. J. E. Golay, Anal. Chem. 36, 1627 (1964).
    """
    if not window:
        return values
    from scipy.signal import savgol_filter  # noqa: PLC0415 (slow to import, and rarely asked for)

    return np.asarray(savgol_filter(values, window, SMOOTHING_DEGREE, axis=0, mode="interp"), dtype=np.float64)
