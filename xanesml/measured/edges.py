"""Where a spectrum has edges: its own, those tabulated nearby, and further steps in the data."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

import numpy as np

from xanesml.errors import SpectrumError
from xanesml.files.arrays import Floats
from xanesml.measured.screening import LARGEST_OFFSET, scatter, tabulated_edge, tabulated_edges
from xanesml.measured.steepest import steepest

#: Smallest scale of the slope, eV: the resolution of a monochromator.
_LEAST_SCALE = 1.0
#: Least spacings of points in the scale of the slope.
_SPACINGS = 3.0
#: The largest slope stands out by this many of the standard deviations that noise gives it.
_STANDS_OUT = 5.0
#: Fewest points in which larch's definition of the edge holds: with fewer there is no mean of small spacings.
_FEWEST_FOR_LARCH = 101
#: Smallest rise at an edge, of the range of absorption.
_LEAST_RISE = 0.01
#: An edge near the tabulated energy counts if it has this share of the largest slope: another may be larger.
_SHARE = 0.3
#: A further step is looked for this far from the edge, eV below and above.
_BELOW, _ABOVE = 25.0, 140.0
#: Its window on either side, eV, at most this times the photoelectron's wavenumber in 1/Å, fewest points in each half,
#: and how many windows these may reach.
_WINDOW, _PER_WAVENUMBER, _FEWEST, _TOO_COARSE = 25.0, 2.2, 4, 1.5
#: k² in 1/Å² for each eV above the edge.
_K_SQUARED = 0.262468
#: Smallest step: of the edge step, of what the filter finds elsewhere, and of its noise.
_SMALLEST_STEP, _OF_OTHERS, _OF_NOISE = 0.012, 8.0, 6.0
#: The same of the largest that fine structure makes of it up to this distance, eV.
_OF_SWING, _BESIDE = 3.0, 200.0
#: Closer points are averaged before steps are looked for, eV.
_SPACING = 1.5
#: The fits keep this far from a further edge, eV: its pre-edge features and an error of calibration.
MARGIN = 20.0
#: Distance within which a step is named after a tabulated edge, eV.
_NAMED = 15.0


@dataclass(frozen=True)
class OtherEdge:
    """A further edge in the range of a spectrum.

    Attributes
    ----------
    energy : float, eV
        Where.
    what : str
        What it is, for messages.
    """

    energy: float
    what: str


@cache
def core_width(element: str, edge: str) -> float:
    """Return the core-hole width of an edge, eV.

    References
    ----------
    M. O. Krause and J. H. Oliver, J. Phys. Chem. Ref. Data 8, 329 (1979).
    """
    import xraydb  # noqa: PLC0415 (slow to import)

    width = xraydb.core_width(element, edge)
    return float(width) if width else _LEAST_SCALE


def find_edge(source: str, energy: Floats, mu: Floats, element: str, edge: str) -> float:
    """Return the energy of the largest slope near the tabulated edge, eV.

    The slope at the scale of the core-hole width decides where the edge is; larch's energy is taken
    where it lies there too, and else the largest of these slopes. Structure narrower than that is noise.

    Parameters
    ----------
    source : str
        The spectrum, for messages.
    energy, mu : ndarray, shape (E,), float64
        Photon energies, eV, strictly increasing, and absorption; no NaN.
    element, edge : str
        Absorber and edge.

    Raises
    ------
    SpectrumError
        If no slope stands out of the noise, or the largest is more than 25 eV from the tabulated edge.
    """
    tabulated = tabulated_edge(element, edge)
    near = np.abs(energy - tabulated) < LARGEST_OFFSET
    spacing = float(np.median(np.diff(energy[near]))) if np.count_nonzero(near) > 2 else 0.0
    scale = max(core_width(element, edge), _LEAST_SCALE, _SPACINGS * spacing)
    slopes = _slopes(energy, mu, scale)
    best = int(np.argmax(slopes))
    within = np.flatnonzero(near)
    if within.size > 2:
        place = int(within[np.argmax(slopes[within])])
        inside = within[0] < place < within[-1]
        if inside and slopes[place] >= _SHARE * slopes[best]:
            best = place
    _check_noise(source, energy, mu, slopes[best], scale, spacing)
    coarse = float(energy[best])
    return _refined(energy, mu, coarse, scale)


def _slopes(energy: Floats, mu: Floats, scale: float) -> Floats:
    """Return the slope of the mean over `scale` above each energy minus that below; −inf near the ends."""
    area = np.concatenate([[0.0], np.cumsum(np.diff(energy) * (mu[1:] + mu[:-1]) / 2)])

    def integral(at: Floats) -> Floats:
        place = np.clip(np.searchsorted(energy, at, side="right") - 1, 0, energy.size - 2)
        along = at - energy[place]
        rise = (mu[place + 1] - mu[place]) / (energy[place + 1] - energy[place])
        return np.asarray(area[place] + along * (mu[place] + rise * along / 2))

    slopes: Floats = (integral(energy + scale) - 2 * area + integral(energy - scale)) / scale**2
    slopes[(energy < energy[0] + scale) | (energy > energy[-1] - scale)] = -np.inf
    return slopes


def _check_noise(source: str, energy: Floats, mu: Floats, slope: float, scale: float, spacing: float) -> None:
    if not slope * scale > _LEAST_RISE * max(float(np.ptp(mu)), float(np.abs(mu).max()) * 1e-12):
        raise SpectrumError(f"{source} has no edge: it rises nowhere; give an absorption spectrum mu(E)")
    # The mean of n points on either side, over the scale.
    uncertainty = scatter(energy, mu) * np.sqrt(2 / max(scale / spacing, 1.0)) / scale if spacing else 0.0
    if slope < _STANDS_OUT * uncertainty:
        raise SpectrumError(
            f"{source} is too noisy to find its edge: its largest slope, {slope:.3g} per eV, is "
            f"{slope / uncertainty:.1f} times what its noise gives at this scale, {scale:.1f} eV; average more scans"
        )


def _refined(energy: Floats, mu: Floats, coarse: float, scale: float) -> float:
    """Return larch's energy of the edge if it lies within the scale of the coarse one, else the coarse one."""
    place = int(np.searchsorted(energy, coarse))
    around = slice(max(0, place - _FEWEST_FOR_LARCH), place + _FEWEST_FOR_LARCH)
    if energy[around].size < _FEWEST_FOR_LARCH:
        gradient = np.gradient(mu, energy)
        gradient[np.abs(energy - coarse) > scale] = -np.inf
        return float(energy[np.argmax(gradient)])
    e0 = steepest(energy[around], mu[around])
    return coarse if e0 is None or abs(e0 - coarse) > scale else e0


def other_edges(
    energy: Floats, mu: Floats, e0: float, *, element: str, edge: str, others: Iterable[str] = ()
) -> list[OtherEdge]:
    """Find the further edges within a spectrum: tabulated ones of its elements, and steps in the data.

    Parameters
    ----------
    energy, mu : ndarray, shape (E,), float64
        Photon energies, eV, strictly increasing, and absorption in edge steps; no NaN.
    e0 : float, eV
        Energy of the edge.
    element, edge : str
        Absorber and edge.
    others : iterable of str
        Other elements of the sample.

    Returns
    -------
    list of OtherEdge
        By their energy.
    """
    found = []
    offset = e0 - tabulated_edge(element, edge)
    for symbol in dict.fromkeys((element, *others)):
        for name, tabulated in tabulated_edges(symbol).items():
            place = tabulated + offset
            if energy[0] < place < energy[-1] and (symbol, name) != (element, edge) and abs(place - e0) > MARGIN:
                found.append(OtherEdge(place, f"the {symbol} {name} edge at {tabulated:.0f} eV"))
    for place, size in _steps(energy, mu, e0):
        if all(abs(place - known.energy) > MARGIN for known in found):
            named = _nearest_edge(place - offset)
            found.append(OtherEdge(place, f"a step of {size:+.3f} edge steps at {place:.0f} eV{named}"))
    return sorted(found, key=lambda one: one.energy)


def _nearest_edge(energy: float) -> str:
    import xraydb  # noqa: PLC0415 (slow to import)

    found = xraydb.guess_edge(energy)
    if found is None:
        return ""
    symbol, edge = found
    distance = abs(float(xraydb.xray_edge(symbol, edge).energy) - energy)
    return f", near the {symbol} {edge} edge" if distance < _NAMED else ""


def _steps(energy: Floats, mu: Floats, e0: float) -> list[tuple[float, float]]:
    """Return energy and size of the steps that are far sharper than the oscillations around them."""
    found = []
    for region in (energy < e0 - _BELOW, energy > e0 + _ABOVE):
        x, y = _coarser(energy[region], mu[region])
        if x.size < 4 * _FEWEST:
            continue
        places, sizes, errors = _filtered(x, y, e0)
        while sizes.size > 4 * _FEWEST:
            best = int(np.argmax(np.abs(sizes)))
            apart = np.abs(places - places[best]) > 2 * _WINDOW
            usual = float(np.median(np.abs(sizes[apart]))) if apart.any() else np.inf
            # Fine structure rises and falls alike; an edge only rises.
            beside = apart & (np.abs(places - places[best]) < _BESIDE)
            swing = float(np.abs(sizes[beside]).max(initial=0.0))
            size = float(sizes[best])
            if size < max(_SMALLEST_STEP, _OF_OTHERS * usual, _OF_SWING * swing, _OF_NOISE * errors[best]):
                break
            found.append((float(places[best]), size))
            places, sizes, errors = places[apart], sizes[apart], errors[apart]
    return found


def _coarser(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """Return means over bins of 1.5 eV."""
    bins = np.floor((x - x[0]) / _SPACING).astype(np.int64) if x.size else np.empty(0, dtype=np.int64)
    starts = np.flatnonzero(np.diff(bins, prepend=-1))
    counts = np.diff(np.append(starts, x.size))
    return (np.add.reduceat(x, starts) / counts, np.add.reduceat(y, starts) / counts) if x.size else (x, y)


def _filtered(x: Floats, y: Floats, e0: float) -> tuple[Floats, Floats, Floats]:
    """Return the jump between two sides of one cubic at each gap between points, with its uncertainty by noise.

    The window is narrower than a quarter of the usual period of the fine structure; where the points
    are too far apart for that, nothing is returned.
    """
    gaps = np.arange(_FEWEST, x.size - _FEWEST + 1)
    middles = (x[gaps - 1] + x[gaps]) / 2
    wavenumbers = np.where(middles > e0, np.sqrt(_K_SQUARED * np.abs(middles - e0)), np.inf)
    windows = np.minimum(_WINDOW, _PER_WAVENUMBER * wavenumbers)
    first = np.minimum(np.searchsorted(x, middles - windows), gaps - _FEWEST)
    last = np.maximum(np.searchsorted(x, middles + windows), gaps + _FEWEST)
    fine = np.maximum(middles - x[first], x[last - 1] - middles) <= _TOO_COARSE * windows
    gaps, middles, windows, first, last = (values[fine] for values in (gaps, middles, windows, first, last))
    if gaps.size == 0:
        return middles, np.empty(0), np.empty(0)
    # All windows at once, as long as the longest; points beyond the end of a shorter one weigh nothing.
    points = first[:, np.newaxis] + np.arange((last - first).max())
    inside = points < last[:, np.newaxis]
    points = np.minimum(points, x.size - 1)
    along = (x[points] - middles[:, np.newaxis]) / windows[:, np.newaxis]
    above = (points >= gaps[:, np.newaxis]).astype(np.float64)
    design = np.stack([above, np.ones_like(along), along, along**2, along**3], axis=-1) * inside[..., np.newaxis]
    inverse = np.linalg.inv(design.transpose(0, 2, 1) @ design)
    sums = (design.transpose(0, 2, 1) @ y[points][..., np.newaxis])[..., 0]
    sizes = (inverse[:, 0] * sums).sum(axis=1)
    return middles, sizes, scatter(x, y) * np.sqrt(inverse[:, 0, 0])
