"""A sample and its reference treated alike: one choice of fit ranges and fitted energies, one energy scale.

What normalization gets wrong of two spectra in the same way cancels in their difference. That holds
for fits over the same ranges, at the same energies, and not for fits over what each spectrum happens to have.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from xanesml.errors import SpectrumError
from xanesml.files.arrays import Floats
from xanesml.measured.background import FEWEST_POINTS, SHORTEST_PRE_EDGE, FitRanges, fitted
from xanesml.measured.normalization import TINY_ENERGY, NormalizedSpectrum

#: Reach of the mean of a finer spectrum around an energy of a coarser one, eV.
_REACH = 5.0
#: Ranges that differ by more from a spectrum's own are told, eV.
_TOLD = 15.0
#: Where two spectra are compared to find their shift, eV from the edge; and the largest shift, eV.
_COMPARED = (-15.0, 45.0)
_LARGEST_SHIFT = 10.0
#: Largest root mean square difference of two spectra of one foil, shares of its rise.
_SAME_FOIL = 0.05
#: Smallest uncertainty of a shift, eV: what interpolation leaves.
_LEAST_ERROR = 0.005


@dataclass(frozen=True)
class Pair:
    """A sample and its reference, normalized alike.

    Attributes
    ----------
    sample, reference : NormalizedSpectrum
        The two.
    ranges : FitRanges
        Ranges of the fits from the edge of the reference, eV.
    before, behind : ndarray, shape (n,), float64, eV
        Energies of the fits.
    """

    sample: NormalizedSpectrum
    reference: NormalizedSpectrum
    ranges: FitRanges
    before: Floats
    behind: Floats

    def varied(self) -> list[Pair]:
        """Return the pair normalized by other choices of the ranges that are as good."""
        return [
            _normalized(self.sample, self.reference, ranges, self.before, self.behind)
            for ranges in self.ranges.variations()
            if _usable(ranges, self.reference.e0, self.before, self.behind)
        ]

    def told(self, *alone: NormalizedSpectrum) -> str:
        """Return what to tell of ranges that differ from those of the spectra alone; empty if they do not."""
        names = ("pre1", "pre2", "norm1", "norm2")
        differs = any(
            abs(getattr(self.ranges, name) - getattr(one.ranges, name)) > _TOLD for one in alone for name in names
        )
        return f"normalized like the reference over {self.ranges}, which both cover" if differs else ""


def paired(sample: NormalizedSpectrum, reference: NormalizedSpectrum) -> Pair | None:
    """Normalize a sample and its reference over the ranges that both cover, at the energies of the coarser one.

    Parameters
    ----------
    sample, reference : NormalizedSpectrum
        From `normalize`, with the edge step taken at the same distance from the edge.

    Returns
    -------
    Pair or None
        None where one is theory, which has no fits.

    Raises
    ------
    SpectrumError
        If they have no range before or behind the edge in common.
    """
    if sample.ranges is None or reference.ranges is None:
        return None
    e0 = reference.e0
    # The sample's ranges count from its own edge.
    moved = sample.e0 - e0
    own = replace(
        sample.ranges,
        pre1=sample.ranges.pre1 + moved,
        pre2=sample.ranges.pre2 + moved,
        norm1=sample.ranges.norm1 + moved,
        norm2=sample.ranges.norm2 + moved,
    )
    ranges = own.common(reference.ranges)
    before = _coarser(sample, reference, e0 + ranges.pre1, e0 + ranges.pre2)
    if ranges.pre2 - ranges.pre1 < SHORTEST_PRE_EDGE or before.size < FEWEST_POINTS:
        # Each default takes the far half of its own pre-edge: the halves need not meet.
        first = max(sample.energy[0], reference.energy[0]) - e0
        ranges = replace(ranges, pre1=float(first), pre2=float(max(own.pre2, reference.ranges.pre2)))
        before = _coarser(sample, reference, e0 + ranges.pre1, e0 + ranges.pre2)
    if ranges.norm1 >= ranges.norm2 or ranges.pre1 >= ranges.pre2:
        raise SpectrumError(
            f"{sample.source} and the reference {reference.source} have no range in common to normalize them alike: "
            f"{sample.ranges} and {reference.ranges}; measure both over the same energies"
        )
    behind = _coarser(sample, reference, e0 + ranges.norm1, e0 + ranges.norm2)
    return _normalized(sample, reference, ranges, before, behind)


def _coarser(sample: NormalizedSpectrum, reference: NormalizedSpectrum, first: float, last: float) -> Floats:
    """Return the energies in a range of the spectrum that has fewer there, covered by both."""
    first = max(first, sample.energy[0], reference.energy[0])
    last = min(last, sample.energy[-1], reference.energy[-1])
    within = [clean(one)[0] for one in (reference, sample)]
    chosen = [energy[(energy >= first) & (energy <= last)] for energy in within]
    return min(chosen, key=len)


def clean(spectrum: NormalizedSpectrum) -> tuple[Floats, Floats]:
    """Return energies, eV, and absorption without the glitches that were kept."""
    glitches = spectrum.parameters.get("glitches", [])
    if not glitches:
        return spectrum.energy, spectrum.mu
    measured = spectrum.energy - spectrum.parameters.get("aligned_by", 0.0)
    kept = (np.abs(measured[:, np.newaxis] - np.array(glitches)) > TINY_ENERGY).all(axis=1)
    return spectrum.energy[kept], spectrum.mu[kept]


def _usable(ranges: FitRanges, e0: float, before: Floats, behind: Floats) -> bool:
    return bool(
        np.count_nonzero((before >= e0 + ranges.pre1) & (before <= e0 + ranges.pre2)) >= FEWEST_POINTS
        and np.count_nonzero((behind >= e0 + ranges.norm1) & (behind <= e0 + ranges.norm2)) >= FEWEST_POINTS
    )


def _normalized(
    sample: NormalizedSpectrum, reference: NormalizedSpectrum, ranges: FitRanges, before: Floats, behind: Floats
) -> Pair:
    both = [renormalized(one, reference.e0, ranges, (before, behind)) for one in (sample, reference)]
    return Pair(both[0], both[1], ranges, before, behind)


def renormalized(
    spectrum: NormalizedSpectrum, e0: float, ranges: FitRanges, nodes: tuple[Floats, Floats] | None = None
) -> NormalizedSpectrum:
    """Normalize a normalized spectrum over other ranges.

    Parameters
    ----------
    spectrum : NormalizedSpectrum
        The spectrum.
    e0 : float, eV
        Energy that the ranges count from.
    ranges : FitRanges
        Ranges of the fits.
    nodes : (ndarray, ndarray), shape (n,), float64, eV
        Energies of the fit before the edge, and of that behind it. Default: those of the spectrum.

    Raises
    ------
    SpectrumError
        If a range holds too few energies, or the edge step is not positive.
    """
    energy, mu = clean(spectrum)
    if nodes is not None:
        mu = np.concatenate([_means(energy, mu, some) for some in nodes])
        energy = np.concatenate(nodes)
    background = fitted(spectrum.source, energy, mu, e0, ranges)
    step = background.edge_step(e0 + spectrum.parameters["step_offset"])
    if step <= 0:
        raise SpectrumError(f"{spectrum.source} has no edge step with fits over {ranges}; give other ranges")
    return replace(
        spectrum,
        mu=(spectrum.mu - background.below(spectrum.energy)) / step,
        edge_step=spectrum.edge_step * step,
        parameters=spectrum.parameters
        | ranges.as_dict()
        | {"edge_step_at_e0": spectrum.edge_step * background.edge_step(e0)},
        ranges=ranges,
    )


def _means(energy: Floats, mu: Floats, nodes: Floats) -> Floats:
    """Return a spectrum at energies: lines through its points up to half-way to the next, so that noise averages."""
    if nodes.size < FEWEST_POINTS:
        return np.interp(nodes, energy, mu)
    middles = (nodes[1:] + nodes[:-1]) / 2
    low = np.maximum(np.concatenate([[2 * nodes[0] - middles[0]], middles]), nodes - _REACH)
    high = np.minimum(np.concatenate([middles, [2 * nodes[-1] - middles[-1]]]), nodes + _REACH)
    first, last = np.searchsorted(energy, low, side="right"), np.searchsorted(energy, high, side="right")
    # Sums over each window, of energies counted from a middle so that nothing cancels.
    x = energy - energy.mean()
    powers = np.stack([np.ones_like(x), x, x**2, mu, x * mu])
    sums = np.concatenate([np.zeros((5, 1)), np.cumsum(powers, axis=1)], axis=1)
    count, sx, sxx, sy, sxy = sums[:, last] - sums[:, first]
    values = np.interp(nodes, energy, mu)
    several = count >= FEWEST_POINTS
    with np.errstate(divide="ignore", invalid="ignore"):
        mean_x, mean_y = sx / count, sy / count
        slope = (sxy / count - mean_x * mean_y) / (sxx / count - mean_x**2)
        lines = mean_y + slope * (nodes - energy.mean() - mean_x)
    return np.where(several & np.isfinite(lines), lines, values)


class Shift(NamedTuple):
    """A shift, eV, added to one spectrum's energies to put it on another, its uncertainty, eV, and the misfit left.

    The misfit is a root mean square difference, in shares of the rise of the spectrum.
    """

    shift: float
    error: float
    misfit: float


def relative_shift(energy: Floats, mu: Floats, other_energy: Floats, other: Floats, e0: float) -> Shift | None:
    """Find the shift that puts the edge of one spectrum on that of another.

    Factor, offset and slope of the background are free.

    Parameters
    ----------
    energy, mu : ndarray, shape (E,), float64
        Photon energies, eV, strictly increasing, and absorption; no NaN.
    other_energy, other : ndarray, shape (F,), float64
        The same of the other.
    e0 : float, eV
        Energy of the other's edge.

    Returns
    -------
    Shift or None
        None if either does not cover the edge, or no shift up to 10 eV fits.
    """
    from scipy.interpolate import CubicSpline  # noqa: PLC0415 (slow)
    from scipy.optimize import minimize_scalar  # noqa: PLC0415 (slow)

    inside = (other_energy >= e0 + _COMPARED[0]) & (other_energy <= e0 + _COMPARED[1])
    x, y = other_energy[inside], other[inside]
    if x.size < 2 * FEWEST_POINTS or energy[0] > x[0] - _LARGEST_SHIFT or energy[-1] < x[-1] + _LARGEST_SHIFT:
        return None
    spline = CubicSpline(energy, mu)
    background = np.column_stack([np.ones_like(x), (x - e0) / _COMPARED[1]])
    projector = background @ np.linalg.pinv(background)
    target = y - projector @ y

    def fit(shift: float) -> tuple[float, float]:
        shape = spline(x - shift)
        shape = shape - projector @ shape
        factor = float(shape @ target) / float(shape @ shape)
        return float(np.sqrt(np.mean((target - factor * shape) ** 2))), factor

    scan = np.arange(-_LARGEST_SHIFT, _LARGEST_SHIFT + 0.1, 0.5)
    misfits = [fit(shift)[0] for shift in scan]
    best = int(np.argmin(misfits))
    if best in (0, scan.size - 1):
        return None
    found = minimize_scalar(
        lambda shift: fit(shift)[0], bounds=(scan[best - 1], scan[best + 1]), method="bounded", options={"xatol": 1e-4}
    )
    left, factor = fit(float(found.x))
    slopes = factor * spline(x - found.x, 1)
    slopes = slopes - projector @ slopes
    error = left / float(np.sqrt(slopes @ slopes))
    return Shift(float(found.x), max(error, _LEAST_ERROR), left / max(abs(factor) * float(np.ptp(spline(x))), 1e-300))


def foil_shift(sample: NormalizedSpectrum, reference: NormalizedSpectrum) -> Shift | None:
    """Find the shift of a sample onto its reference by the foil that was measured with each.

    Returns
    -------
    Shift or None
        None if a foil is missing, or the two are no spectra of one foil.
    """
    if sample.foil is None or reference.foil is None:
        return None
    found = relative_shift(sample.energy, sample.foil, reference.energy, reference.foil, reference.e0)
    return found if found is not None and found.misfit <= _SAME_FOIL else None


def shifted(spectrum: NormalizedSpectrum, shift: float) -> NormalizedSpectrum:
    """Return a spectrum with a shift, eV, added to its energies."""
    before = spectrum.parameters.get("aligned_by", 0.0)
    return replace(
        spectrum,
        energy=spectrum.energy + shift,
        e0=spectrum.e0 + shift,
        parameters=spectrum.parameters | {"aligned_by": before + shift},
    )
