"""Glitches: isolated points, up to three in a row, that neither their neighbors nor the noise explain."""

from __future__ import annotations

import numpy as np

from xanesml.files.arrays import Floats, Wholes
from xanesml.measured.screening import scatter

#: Most points of a glitch, and the neighbors on either side that predict it.
WIDEST = 3
_NEIGHBORS = 2
#: Smallest glitch: standard deviations of the noise, times what prediction adds to it; share of the rise of the
#: spectrum; share of what it rises across the glitch, which an energy read a little wrong makes; and times what
#: remains at the neighbors once it is gone.
_OF_NOISE = 6.0
_OF_RISE = 0.01
_OF_SLOPE = 0.15
_OF_NEIGHBORS = 4.0
#: Points on either side whose predictions must be good once the glitch is gone.
_AROUND = 4
#: Widest glitch, core-hole widths: no feature of a spectrum is narrower than its core hole.
WIDEST_FEATURE = 1.0
#: Most glitches that are looked for: with more, the spectrum is noise.
_MOST = 20


def find_glitches(energy: Floats, mu: Floats, width: float) -> Wholes:
    """Find the points that are glitches.

    A run of up to three points, narrower than the core-hole width, is one if a cubic through the two
    points on either side misses all of them by far more than the noise, and misses the points around by
    far less once these are gone. Nothing is found where steps are wider than the core hole.

    Parameters
    ----------
    energy : ndarray, shape (E,), float64, eV
        Photon energies, strictly increasing.
    mu : ndarray, shape (E,), float64
        Absorption, no NaN.
    width : float, eV
        Core-hole width of the edge.

    Returns
    -------
    ndarray, shape (n,), int64
        Their places, increasing.
    """
    kept = np.arange(energy.size)
    found: list[int] = []
    rise = float(np.subtract(*np.percentile(mu, [95, 5])))
    while len(found) <= _MOST and kept.size > 4 * _AROUND:
        run = _largest(energy[kept], mu[kept], width, rise)
        if run is None:
            break
        found.extend(kept[run].tolist())
        kept = np.delete(kept, run)
    return np.array(sorted(found) if len(found) <= _MOST else [], dtype=np.int64)


def _largest(energy: Floats, mu: Floats, width: float, rise: float) -> Wholes | None:
    """Return the places of the glitch that stands out most, or None."""
    noise = scatter(energy, mu)
    best, largest = None, 1.0
    for points in range(1, WIDEST + 1):
        missed, gain = _missed(energy, mu, points)
        size = np.abs(missed).min(axis=1)
        same = (np.sign(missed) == np.sign(missed[:, :1])).all(axis=1)
        span = energy[_NEIGHBORS + points - 1 : energy.size - _NEIGHBORS] - energy[_NEIGHBORS : 1 - _NEIGHBORS - points]
        outside = (
            energy[_NEIGHBORS + points : energy.size - _NEIGHBORS + 1] - energy[_NEIGHBORS - 1 : -_NEIGHBORS - points]
        )
        narrow = (span < WIDEST_FEATURE * width / 2) & (outside < 2 * WIDEST_FEATURE * width)
        across = np.abs(mu[_NEIGHBORS + points : mu.size - _NEIGHBORS + 1] - mu[_NEIGHBORS - 1 : -_NEIGHBORS - points])
        threshold = np.maximum(_OF_NOISE * noise * gain, np.maximum(_OF_RISE * rise, _OF_SLOPE * across))
        scores = np.where(same & narrow, size / threshold, 0.0)
        for start in np.argsort(scores)[::-1][:5]:
            if scores[start] <= largest:
                break
            run = np.arange(start + _NEIGHBORS, start + _NEIGHBORS + points)
            if size[start] > _OF_NEIGHBORS * _left(energy, mu, run):
                best, largest = run, float(scores[start])
                break
    return best


def _missed(energy: Floats, mu: Floats, points: int) -> tuple[Floats, Floats]:
    """Return what a cubic through two points on either side misses of each run, and the noise of that, per point's."""
    total = points + 2 * _NEIGHBORS
    x = np.lib.stride_tricks.sliding_window_view(energy, total)
    y = np.lib.stride_tricks.sliding_window_view(mu, total)
    outer = [*range(_NEIGHBORS), *range(total - _NEIGHBORS, total)]
    inner = list(range(_NEIGHBORS, total - _NEIGHBORS))
    nodes, values = x[:, outer], y[:, outer]
    missed, gains = [], []
    for place in inner:
        weights = _lagrange(nodes, x[:, place])
        missed.append(y[:, place] - (weights * values).sum(axis=1))
        gains.append(np.sqrt(1 + (weights**2).sum(axis=1)))
    return np.stack(missed, axis=1), np.max(gains, axis=0)


def _lagrange(nodes: Floats, at: Floats) -> Floats:
    """Return the weights, shape (n, k), of values at nodes, (n, k), in the polynomial through them at (n,) places."""
    count = nodes.shape[1]
    weights = np.ones_like(nodes)
    for j in range(count):
        for k in range(count):
            if k != j:
                weights[:, j] *= (at - nodes[:, k]) / (nodes[:, j] - nodes[:, k])
    return weights


def _left(energy: Floats, mu: Floats, run: Wholes) -> float:
    """Return the largest miss of a single point around a run once that is gone."""
    first, last = max(0, run[0] - _AROUND - _NEIGHBORS), min(energy.size, run[-1] + 1 + _AROUND + _NEIGHBORS)
    around = np.setdiff1d(np.arange(first, last), run)
    missed, _ = _missed(energy[around], mu[around], 1)
    return float(np.abs(missed).max())
