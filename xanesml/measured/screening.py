"""Checks of a measured spectrum: its range, its noise, and how far its edge is from the tabulated one."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import numpy as np

from xanesml.errors import SpectrumError
from xanesml.files.arrays import Floats

#: Least reach below and above the edge that the two background fits need, eV.
MINIMUM_PRE_EDGE = 30.0
MINIMUM_POST_EDGE = 100.0
#: Largest distance of the steepest point from the tabulated edge, eV: calibration and chemical shift.
LARGEST_OFFSET = 25.0
#: Distance that is doubtful.
DOUBTFUL_OFFSET = 15.0
#: The same above the K edge of a metal from Sc to Ni, where the tabulated energy is the metal's first rise and the
#: steepest point of an oxide lies at its 1s → 4p transition: up to 20.5 eV above in the XAS Data Library (CrO2).
_DOUBTFUL_OXIDE = 23.0
_SCANDIUM, _NICKEL = 21, 28
#: Largest noise accepted, edge steps.
LARGEST_NOISE = 0.05
#: Noise that is doubtful, edge steps: bond-length disorder changes a spectrum by as much.
DOUBTFUL_NOISE = 0.01
#: Where noise is estimated, eV above the edge.
_NOISE_RANGE = 100.0
#: Fewest estimates for a median.
_FEWEST_ESTIMATES = 10
#: Points of a divided difference: of fourth order, which spectra hardly have.
_WINDOW = 5
#: Where absorption counts as below the edge and above it whatever the chemical shift, eV from the tabulated one.
_CLEAR_BELOW, _CLEAR_ABOVE = 15.0, 25.0
#: Smallest step that is seen, standard deviations of the noise of a point.
SMALLEST_VISIBLE = 3.0
#: Median absolute value of a standard normal number.
_NORMAL_MEDIAN = 0.6744897501960817


def tabulated_edge(element: str, edge: str) -> float:
    """Return the energy, eV, in xraydb of an absorption edge, such as "Au" and "L3".

    Raises
    ------
    SpectrumError
        If there is no such element or edge.

    References
    ----------
    W. T. Elam, B. D. Ravel and J. R. Sieber, Radiat. Phys. Chem. 63, 121 (2002).
    """
    edges = tabulated_edges(element)
    if edge not in edges:
        raise SpectrumError(f"{element} has no {edge} edge; it has {', '.join(edges)}")
    return edges[edge]


@cache
def tabulated_edges(element: str) -> dict[str, float]:
    """Return the energies, eV, of all edges of an element by their names; see `tabulated_edge`."""
    import xraydb  # noqa: PLC0415 (slow to import)

    try:
        return {name: float(edge.energy) for name, edge in xraydb.xray_edges(element).items()}
    except ValueError as error:
        raise SpectrumError(f"there is no element {element!r}; give its symbol, such as Au") from error


def edge_offset(source: str, e0: float, element: str, edge: str) -> float:
    """Return the steepest point `e0` of a spectrum minus the tabulated energy of its stated edge, eV.

    Raises
    ------
    SpectrumError
        If the offset exceeds 25 eV: another edge, or energies without calibration; or if there is
        no such edge. The message names the `source`.
    """
    tabulated = tabulated_edge(element, edge)
    offset = e0 - tabulated
    if abs(offset) > LARGEST_OFFSET:
        raise SpectrumError(
            f"{source} rises most steeply at {e0:.1f} eV, {offset:+.1f} eV from the tabulated {element} {edge} edge "
            f"at {tabulated:.1f} eV, where it has no edge within {LARGEST_OFFSET:g} eV; "
            "check its element, edge and energy calibration"
        )
    return offset


def check_range(source: str, energy: Floats, e0: float, *, step_offset: float) -> None:
    """Refuse a spectrum that is too short for the fits before and after its edge.

    Parameters
    ----------
    source, energy, e0
        As in `noise_level`.
    step_offset : float
        Where the edge step is to be taken, eV above the edge.

    Raises
    ------
    SpectrumError
        With less than 30 eV or 4 points before the edge, less than 100 eV after it, or an
        end before the energy of the edge step.
    """
    before, after = e0 - energy[0], energy[-1] - e0
    if before < MINIMUM_PRE_EDGE:
        raise SpectrumError(
            f"{source} has no pre-edge: {before:.1f} eV below its steepest point at {e0:.1f} eV; "
            f"measure from at least {MINIMUM_PRE_EDGE:.0f} eV below the edge"
        )
    if after < MINIMUM_POST_EDGE:
        raise SpectrumError(
            f"{source} ends {after:.1f} eV above its steepest point at {e0:.1f} eV; "
            f"normalization needs at least {MINIMUM_POST_EDGE:.0f} eV"
        )
    if not 0 <= step_offset <= after:
        raise SpectrumError(
            f"{source} ends {after:.1f} eV above its steepest point at {e0:.1f} eV; "
            f"the edge step is to be taken {step_offset:.1f} eV above it; measure further"
        )


def noise_level(source: str, energy: Floats, mu: Floats, e0: float) -> float:
    """Estimate the noise of a spectrum from the edge to 100 eV above it.

    Fourth divided differences of neighboring points cancel smooth functions on any grid;
    scaled to unit variance for white noise, the median of their absolute values ignores
    the few points where the spectrum bends sharply. Noise that is correlated from point to
    point, as in smoothed or interpolated data, is underestimated.

    Parameters
    ----------
    source : str
        The spectrum, for messages.
    energy : ndarray, shape (E,), float64, eV
        Photon energies, strictly increasing.
    mu : ndarray, shape (E,), float64, edge steps
        Absorption, no NaN; its background need not be subtracted.
    e0 : float, eV
        Energy of the edge.

    Returns
    -------
    float, edge steps
        Standard deviation.

    Raises
    ------
    SpectrumError
        If it exceeds 0.05, or there are fewer than 14 points.
    """
    chosen = (energy >= e0) & (energy <= e0 + _NOISE_RANGE)
    points, fewest = int(np.count_nonzero(chosen)), _FEWEST_ESTIMATES + _WINDOW - 1
    if points < fewest:
        raise SpectrumError(
            f"{source} has {points} points in the {_NOISE_RANGE:g} eV above its edge, "
            f"at least {fewest} are needed; measure in finer steps"
        )
    noise = scatter(energy[chosen], mu[chosen])
    if noise > LARGEST_NOISE:
        raise SpectrumError(
            f"{source} is too noisy: {noise:.3f} edge steps above the edge, at most {LARGEST_NOISE:g} are accepted; "
            "average more scans"
        )
    return noise


def scatter(energy: Floats, mu: Floats) -> float:
    """Return the standard deviation of the noise, as in `noise_level`, in the unit of `mu`; at least 5 points."""
    x = np.lib.stride_tricks.sliding_window_view(energy, _WINDOW)
    y = np.lib.stride_tricks.sliding_window_view(mu, _WINDOW)
    distances = x[:, :, np.newaxis] - x[:, np.newaxis, :] + np.eye(_WINDOW)
    weights = 1.0 / distances.prod(axis=2)
    differences = (weights * y).sum(axis=1) / np.sqrt((weights**2).sum(axis=1))
    return float(np.median(np.abs(differences)) / _NORMAL_MEDIAN)


def edge_visibility(energy: Floats, mu: Floats, edge: float) -> float:
    """Return the noise of an absorption against its step at an edge.

    Parameters
    ----------
    energy, mu : ndarray, shape (E,), float64
        Photon energies, eV, in any order, and absorption; may be not finite.
    edge : float, eV
        Tabulated energy of the edge.

    Returns
    -------
    float, edge steps
        Noise above the edge; infinite where absorption does not rise there, or points are not finite or too few.
    """
    energy, place = np.unique(energy, return_index=True)
    mu = mu[place]
    below = (energy < edge - _CLEAR_BELOW) & np.isfinite(mu)
    above = (energy > edge + _CLEAR_ABOVE) & (energy < edge + _CLEAR_ABOVE + _NOISE_RANGE) & np.isfinite(mu)
    finite = np.isfinite(mu).all() and np.isfinite(energy).all()
    if not finite or np.count_nonzero(below) < 2 or np.count_nonzero(above) < _FEWEST_ESTIMATES:
        return float(np.inf)
    line = np.polyfit(energy[below] - edge, mu[below], 1)
    step = float(np.median(mu[above] - np.polyval(line, energy[above] - edge)))
    noise = scatter(energy[above], mu[above])
    return noise / step if step > SMALLEST_VISIBLE * noise else float(np.inf)


def doubts(offset: float, noise: float, element: str = "", edge: str = "") -> Iterator[str]:
    """Yield the reasons to doubt a usable spectrum.

    Parameters
    ----------
    offset : float, eV
        Steepest point minus tabulated edge.
    noise : float, edge steps
        Noise above the edge.
    element, edge : str, optional
        Absorber and edge, for the chemical shift that is known of it.
    """
    from ase.data import atomic_numbers  # noqa: PLC0415 (slow)

    oxide = edge == "K" and _SCANDIUM <= atomic_numbers.get(element, 0) <= _NICKEL
    if not -DOUBTFUL_OFFSET <= offset <= (_DOUBTFUL_OXIDE if oxide else DOUBTFUL_OFFSET):
        yield f"its edge lies {offset:+.1f} eV from the tabulated one: check the calibration and the edge"
    if noise > DOUBTFUL_NOISE:
        yield f"its noise, {noise:.3f} edge steps, is as large as the effect of disorder: average more scans"
