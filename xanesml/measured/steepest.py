"""The energy of an edge as larch defines it, without larch, whose import takes longer than all else of a reading."""

from __future__ import annotations

import numpy as np

from xanesml.files.arrays import Floats

#: Share of the points at either end that are no edge, and fewest of them.
_ENDS, _FEWEST_AT_END = 0.02, 3
#: A point is steep above the first of these shares of the range of slopes that so many points are above.
_STEEP = ((0.6, 3), (0.3, 4), (0.15, 3), (-np.inf, 0))
#: Share of the points at the start where a steepest point is a glitch.
_START = 0.05
#: The smoothed slope is searched this many points around the steepest one.
_AROUND = 75
#: Share of the smallest spacings that are left out, and number of those that are averaged.
_SMALLEST, _AVERAGED = 0.01, 10
#: The slope is smoothed by the mean of the spacing and of this share of the energy, each within these bounds, eV.
_RESOLUTION, _LEAST, _MOST = 1 / 25000, 0.01, 1.0
#: Points of the grid of smoothing beyond the ends of the data.
_BEYOND = 5


def steepest(energy: Floats, mu: Floats) -> float | None:
    """Return the measured energy at which the smoothed slope is largest, eV.

    The slope is smoothed by a Lorentzian of about the resolution of a monochromator. A point counts
    only with a steep point on either side: one alone is a glitch.

    Parameters
    ----------
    energy, mu : ndarray, shape (E,), float64
        Photon energies, eV, strictly increasing, and absorption; no NaN; E > 100.

    Returns
    -------
    float or None
        The energy; None if no point is steep between steep ones.

    References
    ----------
    M. Newville, Journal of Physics: Conference Series 430, 012007 (2013); `larch.xafs.find_e0`.
    """
    first = _largest(_slope(energy, mu))
    near, rough = slice(3, energy.size - 3), float(energy.mean())
    if first is not None and first >= _START * energy.size:
        near, rough = slice(max(near.start, first - _AROUND), min(first + _AROUND, near.stop)), float(energy[first])
    width = float(np.mean(np.clip([_spacing(energy), _RESOLUTION * rough], _LEAST, _MOST)))
    energy, mu = energy[near], mu[near]
    place = _largest(_smooth(energy, _slope(energy, mu), width))
    return None if place is None else float(energy[place])


def _slope(energy: Floats, mu: Floats) -> Floats:
    return np.asarray(np.gradient(mu) / np.gradient(energy))


def _spacing(energy: Floats) -> float:
    """Return the mean of the smallest spacings, without the very smallest, eV."""
    skipped = int(_SMALLEST * energy.size)
    spacings = np.sort(np.diff(energy[skipped : energy.size - 2 - skipped]))
    return float(spacings[skipped : skipped + _AVERAGED].mean())


def _largest(slope: Floats) -> int | None:
    """Return where the slope is largest among points between steep ones."""
    end = max(_FEWEST_AT_END, int(_ENDS * slope.size))
    inner = slope[end:-end]
    height = (slope - inner.min()) / max(float(np.ptp(inner)), 1e-10)
    steep = next(height > share for share, fewest in _STEEP if np.count_nonzero(height > share) >= fewest)
    steep[1:-1] &= steep[2:] & steep[:-2]
    steep[:end] = steep[slope.size - end + 1 :] = False
    return int(np.argmax(np.where(steep, height, -np.inf))) if steep.any() else None


def _smooth(x: Floats, y: Floats, width: float) -> Floats:
    """Return the convolution with a Lorentzian of this half width, on a grid of it; the ends are mirrored."""
    grid = width * np.arange(int(x[0] / width) - _BEYOND, int(x[-1] / width) + _BEYOND + 1)
    values = np.interp(grid, x, y)
    reach = grid.size - 1
    lorentzian = 1 / (1 + np.arange(-reach, reach + 1.0) ** 2)
    smoothed = np.convolve(np.pad(values, reach, mode="reflect"), lorentzian / lorentzian.sum(), mode="valid")
    return np.interp(x, grid, smoothed)
