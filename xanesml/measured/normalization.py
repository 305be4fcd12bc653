"""Normalization of measured spectra, and their interpolation on the energies of theory.

A theoretical spectrum ends some 50 eV past the edge and is divided by its atomic
background μ0 there. A measured one has no μ0: it is divided by the difference of its
post-edge polynomial and pre-edge line, at the same distance from the edge.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np

from xanesml.errors import SpectrumError
from xanesml.files.arrays import Floats, Wholes
from xanesml.measured.background import EXPONENTS, FitRanges, default_ranges, fitted
from xanesml.measured.edges import MARGIN, OtherEdge, core_width, find_edge, other_edges
from xanesml.measured.glitches import find_glitches
from xanesml.measured.screening import (
    MINIMUM_POST_EDGE,
    check_range,
    doubts,
    edge_offset,
    noise_level,
)
from xanesml.measured.spectrum import MeasuredSpectrum

#: Energy above the edge at which FEFF takes μ0 for the edge step, eV.
STEP_OFFSET = 50.0
#: Smallest edge step, standard deviations of the pre-edge noise.
SMALLEST_STEP = 10.0
#: Edge step that is one, whatever is wrong with the spectrum besides.
_SURE_STEP = 3.0
#: Steps near the edge wider than this are doubtful, eV, from this far below it to this far above.
_WIDE_STEP, _STEPS_FROM, _STEPS_TO = 4.0, -10.0, 55.0
#: Spacing of the coarse scan of shifts, eV: finer than any XANES feature.
SCAN_STEP = 0.25
#: Largest shift of a measured spectrum onto the theory's energies, either way, eV.
LARGEST_SHIFT = 15.0
#: Energies this close count as equal, eV.
TINY_ENERGY = 1e-6


@dataclass(frozen=True)
class NormalizedSpectrum:
    """A spectrum with zero pre-edge and unit edge step.

    Attributes
    ----------
    energy : ndarray, shape (E,), float64, eV
        Photon energies as measured, strictly increasing, no NaN.
    mu : ndarray, shape (E,), float64, edge steps
        Normalized absorption, no NaN.
    e0 : float, eV
        Energy of the largest slope; for theory, FEFF's edge.
    edge_step : float
        Divisor of the absorption, in the unit of that.
    parameters : dict
        Everything that the normalization depends on, ready for JSON: the columns of the
        file, what was said while it was read, the ranges of both fits relative to `e0` (eV), the
        polynomial's degree, where the step was taken (eV above `e0`), the step
        extrapolated to `e0` itself for comparison, energies of glitches, whether these were left out, and
        further edges.
    element, edge, source : str
        As in `MeasuredSpectrum`.
    noise : float, edge steps
        Standard deviation of the noise above the edge; 0 for theory.
    edge_offset : float, eV
        `e0` minus the tabulated energy of the edge; 0 for theory.
    theory : bool
        Whether it was calculated.
    doubts : tuple of str
        Reasons to doubt the spectrum, one sentence each.
    ranges : FitRanges or None
        Ranges of the fits; None for theory.
    foil : ndarray, shape (E,), float64, or None
        Absorption of a foil measured at the same time, not normalized; no NaN.
    """

    energy: Floats
    mu: Floats
    e0: float
    edge_step: float
    parameters: dict[str, Any]
    element: str
    edge: str
    source: str
    noise: float = 0.0
    edge_offset: float = 0.0
    theory: bool = False
    doubts: tuple[str, ...] = ()
    ranges: FitRanges | None = None
    foil: Floats | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Treatment:
    """How spectra are treated before they are compared with theory.

    Attributes
    ----------
    pre_edge, post_edge : (float, float) or None
        First and last energy of the fits, eV from the edge. Default: what the spectrum has.
    project_ranges : bool
        Whether the ranges that an Athena project holds are taken.
    leave_out_glitches : bool
        Whether glitches are left out, and not only told.
    others : tuple of str
        Elements in the sample besides the absorber and those that a file states.
    nvict : int or None
        Exponent n of a pre-edge (a + b E)/Eⁿ, from 0, a line, to 4, Victoreen's formula. Default: 0, or the project's.
    """

    pre_edge: tuple[float, float] | None = None
    post_edge: tuple[float, float] | None = None
    project_ranges: bool = False
    leave_out_glitches: bool = False
    others: tuple[str, ...] = ()
    nvict: int | None = None

    def __post_init__(self) -> None:
        if self.nvict is not None and self.nvict not in EXPONENTS:
            raise SpectrumError(
                f"the exponent of the pre-edge is {self.nvict}; give {EXPONENTS[0]}, a line, to {EXPONENTS[-1]}, "
                "Victoreen's formula"
            )


class Alignment(NamedTuple):
    """The shift, eV, of a measured spectrum, and the root mean square difference, edge steps, from a simulated one."""

    shift: float
    rms: float


def normalize(
    spectrum: MeasuredSpectrum, *, step_offset: float = STEP_OFFSET, treatment: Treatment | None = None
) -> NormalizedSpectrum:
    """Subtract the pre-edge, a line or Victoreen's formula, and divide by the edge step.

    The default ranges of the fits are larch's, ended before further edges: those tabulated of the
    elements in the sample, and steps found in the data. The step is the post-edge polynomial minus
    the pre-edge line at `step_offset` above the edge, where FEFF takes its own; at the
    edge itself, the usual place, it would be 1.3 % larger for gold L3. Theory is
    divided by its μ0 there, without fits.

    Parameters
    ----------
    spectrum : MeasuredSpectrum
        If measured, at least 30 eV of pre-edge and 100 eV of post-edge.
    step_offset : float, optional
        Where the step is taken, eV above the edge. Default 50.
    treatment : Treatment, optional
        Ranges of the fits, and what is to be done about glitches.

    Returns
    -------
    NormalizedSpectrum
        Not flattened, as theory is not.

    Raises
    ------
    SpectrumError
        If the steepest point is far from the stated edge, the range before or after it is
        too short, there is no upward step, or the noise is too large.

    References
    ----------
    M. Newville, Journal of Physics: Conference Series 430, 012007 (2013); FEFF10 manual, xmu.dat.
    """
    if spectrum.background is not None and spectrum.edge_energy is not None:
        return _normalize_theory(spectrum, spectrum.background, spectrum.edge_energy, step_offset)
    treatment = treatment or Treatment()
    energy, mu, foil = spectrum.energy, spectrum.mu, spectrum.foil
    glitches = find_glitches(energy, mu, core_width(spectrum.element, spectrum.edge))
    glitched = energy[glitches].tolist()
    clean_energy, clean = np.delete(energy, glitches), np.delete(mu, glitches)
    e0 = find_edge(spectrum.source, clean_energy, clean, spectrum.element, spectrum.edge)
    offset = edge_offset(spectrum.source, e0, spectrum.element, spectrum.edge)
    if treatment.leave_out_glitches:
        energy, mu = clean_energy, clean
        foil = None if foil is None else np.delete(foil, glitches)
    check_range(spectrum.source, energy, e0, step_offset=step_offset)
    others = _other_edges(spectrum, clean_energy, clean, e0, (*spectrum.others, *treatment.others))
    ranges, told = _ranges(spectrum, energy, e0, others, treatment)
    # Fits go through what is left without glitches, whether or not these stay in the spectrum.
    background = fitted(spectrum.source, clean_energy, clean, e0, ranges)
    edge_step = background.edge_step(e0 + step_offset)
    line = background.below(energy)
    before = (energy >= e0 + ranges.pre1) & (energy <= e0 + ranges.pre2)
    scatter = float(np.std((mu - line)[before]))
    if edge_step > _SURE_STEP * scatter:
        noise = noise_level(spectrum.source, energy, mu / edge_step, e0)
    if edge_step <= max(SMALLEST_STEP * scatter, 1e-6 * float(np.ptp(mu))):
        raise SpectrumError(
            f"{spectrum.source} has no edge step: {edge_step:.3g} against a pre-edge noise of {scatter:.3g}; "
            "give an absorption spectrum mu(E) that rises at the edge"
        )
    parameters: dict[str, Any] = {
        "columns": spectrum.columns,
        "time": spectrum.time,
        "remarks": [*spectrum.remarks, *told],
        **ranges.as_dict(),
        "step_offset": step_offset,
        "edge_step_at_e0": background.edge_step(e0),
        "glitches": glitched,
        "glitches_left_out": treatment.leave_out_glitches,
        "other_edges": [other.what for other in others],
    }
    return NormalizedSpectrum(
        energy=energy,
        mu=np.asarray((mu - line) / edge_step, dtype=np.float64),
        e0=e0,
        edge_step=edge_step,
        parameters=parameters,
        element=spectrum.element,
        edge=spectrum.edge,
        source=spectrum.source,
        noise=noise,
        edge_offset=offset,
        doubts=(
            *spectrum.doubts,
            *doubts(offset, noise, spectrum.element, spectrum.edge),
            *_more_doubts(energy, e0, edge_step, glitches, spectrum, treatment),
            *told,
        ),
        ranges=ranges,
        foil=foil,
    )


def _other_edges(
    spectrum: MeasuredSpectrum, energy: Floats, mu: Floats, e0: float, others: tuple[str, ...]
) -> list[OtherEdge]:
    # The size of a step needs a rough edge step only.
    rough = float(np.median(mu[energy > e0 + 20]) - np.median(mu[energy < e0 - 15]))
    if not rough > 0:
        return []
    return other_edges(energy, mu / rough, e0, element=spectrum.element, edge=spectrum.edge, others=others)


def _ranges(
    spectrum: MeasuredSpectrum, energy: Floats, e0: float, others: list[OtherEdge], treatment: Treatment
) -> tuple[FitRanges, list[str]]:
    """Return the ranges of the fits, and what is to be told of them."""
    told = []
    ranges = default_ranges(energy, e0)
    if treatment.project_ranges:
        if spectrum.ranges is None:
            raise SpectrumError(f"{spectrum.source} holds no fit ranges; only groups of Athena projects do")
        ranges = spectrum.ranges
    if treatment.pre_edge is not None:
        ranges = replace(ranges, pre1=min(treatment.pre_edge), pre2=max(treatment.pre_edge))
    if treatment.post_edge is not None:
        first, last = sorted(treatment.post_edge)
        ranges = replace(ranges, norm1=first, norm2=last)
    if treatment.nvict is not None:
        ranges = replace(ranges, nvict=treatment.nvict)
    ranges = ranges.within(float(energy[0] - e0), float(energy[-1] - e0))
    if not (ranges.pre1 < ranges.pre2 <= 0 <= ranges.norm1 < ranges.norm2):
        raise SpectrumError(
            f"{spectrum.source} covers {energy[0] - e0:+.0f} … {energy[-1] - e0:+.0f} eV of its edge, which leaves "
            f"fits of {ranges}; give a pre-edge range below 0 and a post-edge range above it within the spectrum"
        )
    for other in others:
        place = other.energy - e0
        if place > 0 and place - MARGIN < ranges.norm2 and treatment.post_edge is None:
            if place - MARGIN < MINIMUM_POST_EDGE:
                told.append(f"the post-edge fit goes over {other.what}, too near to end before it; give --post-edge")
                continue
            told.append(f"the post-edge fit ends before {other.what}")
            ranges = ranges.within(ranges.pre1, place - MARGIN)
        elif place > 0 and ranges.norm1 < place < ranges.norm2:
            told.append(f"the post-edge fit, as asked, goes over {other.what}")
        elif ranges.pre1 < place + MARGIN and place < ranges.pre2:
            told.append(f"the pre-edge fit goes over {other.what}: check it, and give --pre-edge")
    return ranges, told


def _more_doubts(
    energy: Floats,
    e0: float,
    edge_step: float,
    glitches: Wholes,
    spectrum: MeasuredSpectrum,
    treatment: Treatment,
) -> Iterator[str]:
    if glitches.size:
        places = ", ".join(f"{place - e0:+.1f}" for place in spectrum.energy[glitches])
        kept = np.delete(np.arange(spectrum.energy.size), glitches)
        off = spectrum.mu[glitches] - np.interp(spectrum.energy[glitches], spectrum.energy[kept], spectrum.mu[kept])
        size = off[np.argmax(np.abs(off))] / edge_step
        what = f"{glitches.size} point{'s' * (glitches.size > 1)} out of line with the neighbors, by up to {size:+.3f}"
        done = "left out" if treatment.leave_out_glitches else "kept: leave glitches out if they are none of the sample"
        yield f"{what} edge steps at {places} eV of the edge; {done}"
    near = energy[(energy >= e0 + _STEPS_FROM) & (energy <= e0 + _STEPS_TO)]
    widest = float(np.diff(near).max(initial=0.0))
    if widest > _WIDE_STEP:
        place = float(near[np.argmax(np.diff(near))])
        yield f"it has no energies from {place:.1f} to {place + widest:.1f} eV, near its edge"


def _normalize_theory(
    spectrum: MeasuredSpectrum, background: Floats, edge_energy: float, step_offset: float
) -> NormalizedSpectrum:
    at = edge_energy + step_offset
    if not spectrum.energy[0] <= at <= spectrum.energy[-1] + TINY_ENERGY:
        raise SpectrumError(
            f"{spectrum.source} covers {spectrum.energy[0]:.1f} … {spectrum.energy[-1]:.1f} eV, but its edge step is "
            f"to be taken at {at:.1f} eV; calculate further (FEFF's XANES card)"
        )
    edge_step = float(np.interp(at, spectrum.energy, background))
    if not edge_step > 0:
        raise SpectrumError(f"{spectrum.source} has no edge step: its mu0 is {edge_step:.3g} at {at:.1f} eV")
    return NormalizedSpectrum(
        energy=spectrum.energy,
        mu=spectrum.mu / edge_step,
        e0=edge_energy,
        edge_step=edge_step,
        parameters={"columns": spectrum.columns, "step_offset": step_offset},
        element=spectrum.element,
        edge=spectrum.edge,
        source=spectrum.source,
        theory=True,
    )


def align(measured: NormalizedSpectrum, mesh: Floats, simulated: Floats) -> Alignment:
    """Find the shift of the measured energies, up to 15 eV, that brings it closest to a simulated spectrum.

    Theory places the edge only to a few eV, and monochromators follow another
    convention, so one number is fitted: the shift. A coarse scan finds the global minimum,
    a bounded search refines it. A calculated spectrum is not shifted.

    Parameters
    ----------
    measured : NormalizedSpectrum
        The measured spectrum.
    mesh : ndarray, shape (M,), float64, eV
        Energies of the simulated spectrum, increasing.
    simulated : ndarray, shape (M,), float64, edge steps
        The simulated spectrum, no NaN.

    Returns
    -------
    Alignment
        The shift, to 0.001 eV, and the difference left.

    Raises
    ------
    SpectrumError
        If no shift within the bound makes the spectrum cover the mesh, or the best one
        lies at the end of those that do; if a calculated spectrum does not cover it.
    """
    from scipy.optimize import minimize_scalar  # noqa: PLC0415 (slow)

    if measured.theory:
        return Alignment(shift=0.0, rms=float(np.sqrt(np.mean((on_mesh(measured, mesh, 0.0) - simulated) ** 2))))
    lowest = max(-LARGEST_SHIFT, float(mesh[-1] - measured.energy[-1]))
    highest = min(LARGEST_SHIFT, float(mesh[0] - measured.energy[0]))
    if lowest > highest:
        raise SpectrumError(_not_covered(measured, mesh, 0.0, f"with shifts up to {LARGEST_SHIFT:g} eV"))

    def misfit(shift: float) -> float:
        difference = np.interp(mesh, measured.energy + shift, measured.mu) - simulated
        return float(np.sqrt(np.mean(difference**2)))

    shifts = np.linspace(lowest, highest, max(3, int(np.ceil((highest - lowest) / SCAN_STEP)) + 1))
    best = int(np.argmin([misfit(shift) for shift in shifts]))
    if best in (0, shifts.size - 1):
        raise SpectrumError(
            f"{measured.source} cannot be aligned: the best shift, {shifts[best]:.2f} eV, lies at the end of the "
            f"range {lowest:.2f} … {highest:.2f} eV; check its element, edge and energy calibration"
        )
    found = minimize_scalar(misfit, bounds=(shifts[best - 1], shifts[best + 1]), options={"xatol": 1e-4})
    return Alignment(shift=float(found.x), rms=float(found.fun))


def on_mesh(measured: NormalizedSpectrum, mesh: Floats, shift: float) -> Floats:
    """Interpolate a spectrum, shifted in eV, linearly on a mesh of increasing energies, never beyond its own range.

    Returns
    -------
    ndarray, shape (M,), float64, edge steps
        The spectrum on the mesh, no NaN.

    Raises
    ------
    SpectrumError
        If the shifted spectrum does not cover the mesh.
    """
    energy = measured.energy + shift
    if mesh[0] < energy[0] - TINY_ENERGY or mesh[-1] > energy[-1] + TINY_ENERGY:
        raise SpectrumError(_not_covered(measured, mesh, shift, f"shifted by {shift:.2f} eV"))
    return np.interp(mesh, energy, measured.mu)


def _not_covered(measured: NormalizedSpectrum, mesh: Floats, shift: float, how: str) -> str:
    first, last = measured.energy[0] + shift, measured.energy[-1] + shift
    return (
        f"{measured.source} covers {first:.1f} … {last:.1f} eV ({how}), but the network needs "
        f"{mesh[0]:.1f} … {mesh[-1]:.1f} eV; give a spectrum that covers it"
    )
