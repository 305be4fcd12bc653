"""Normalization of measured spectra, and their interpolation on the energies of theory.

A theoretical spectrum ends some 50 eV past the edge and is divided by its atomic
background μ0 there. A measured one has no μ0: it is divided by the difference of its
post-edge polynomial and pre-edge line, at the same distance from the edge.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from xanesml.errors import SpectrumError
from xanesml.files.arrays import Floats
from xanesml.measured.screening import check_range, doubts, edge_offset, noise_level
from xanesml.measured.spectrum import MeasuredSpectrum, import_larch

#: Energy above the edge at which FEFF takes μ0 for the edge step, eV.
STEP_OFFSET = 50.0
#: Smallest edge step, standard deviations of the pre-edge noise.
SMALLEST_STEP = 10.0
#: Fewest points in which larch finds the edge.
_LARCH_FINDS_EDGES = 101
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
        file, the larch version, the ranges of both fits relative to `e0` (eV), the
        polynomial's degree, where the step was taken (eV above `e0`), and the step
        extrapolated to `e0` itself for comparison.
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


class Alignment(NamedTuple):
    """The shift, eV, of a measured spectrum, and the root mean square difference, edge steps, from a simulated one."""

    shift: float
    rms: float


def normalize(spectrum: MeasuredSpectrum, *, step_offset: float = STEP_OFFSET) -> NormalizedSpectrum:
    """Subtract the pre-edge line and divide by the edge step.

    The fits and the edge energy are larch's. The step is the post-edge polynomial minus
    the pre-edge line at `step_offset` above the edge, where FEFF takes its own; at the
    edge itself, the usual place, it would be 1.3 % larger for gold L3. Theory is
    divided by its μ0 there, without fits.

    Parameters
    ----------
    spectrum : MeasuredSpectrum
        If measured, at least 30 eV of pre-edge and 100 eV of post-edge.
    step_offset : float, optional
        Where the step is taken, eV above the edge. Default 50.

    Returns
    -------
    NormalizedSpectrum
        Not flattened, as theory is not.

    Raises
    ------
    EnvironmentProblem
        If xraylarch is not installed.
    SpectrumError
        If the steepest point is far from the stated edge, the range before or after it is
        too short, there is no upward step, or the noise is too large.

    References
    ----------
    M. Newville, Journal of Physics: Conference Series 430, 012007 (2013); FEFF10 manual, xmu.dat.
    """
    if spectrum.background is not None and spectrum.edge_energy is not None:
        return _normalize_theory(spectrum, spectrum.background, spectrum.edge_energy, step_offset)
    larch = import_larch()
    energy, mu = spectrum.energy, spectrum.mu
    # With fewer points larch fails: it takes the smallest step of an empty list.
    few = energy.size < _LARCH_FINDS_EDGES
    fit = larch.xafs.preedge(energy, mu, e0=float(energy[np.argmax(np.gradient(mu, energy))]) if few else None)
    e0 = float(fit["e0"])
    offset = edge_offset(spectrum.source, e0, spectrum.element, spectrum.edge)
    in_fit = (energy >= e0 + fit["pre1"]) & (energy <= e0 + fit["pre2"])
    check_range(spectrum.source, energy, e0, fitted=int(np.count_nonzero(in_fit)), step_offset=step_offset)
    steps = fit["post_edge"] - fit["pre_edge"]
    edge_step = float(np.interp(e0 + step_offset, energy, steps))
    scatter = float(np.std((mu - fit["pre_edge"])[in_fit]))
    if edge_step <= max(SMALLEST_STEP * scatter, 1e-6 * float(np.ptp(mu))):
        raise SpectrumError(
            f"{spectrum.source} has no edge step: {edge_step:.3g} against a pre-edge noise of {scatter:.3g}; "
            "give an absorption spectrum mu(E) that rises at the edge"
        )
    noise = noise_level(spectrum.source, energy, mu / edge_step, e0)
    parameters: dict[str, Any] = {name: float(fit[name]) for name in ("pre1", "pre2", "norm1", "norm2")}
    parameters |= {
        "columns": spectrum.columns,
        "nnorm": int(fit["nnorm"]),
        "nvict": int(fit["nvict"]),
        "step_offset": step_offset,
        "edge_step_at_e0": float(np.interp(e0, energy, steps)),
        "larch": str(larch.__version__),
    }
    return NormalizedSpectrum(
        energy=energy,
        mu=np.asarray((mu - fit["pre_edge"]) / edge_step, dtype=np.float64),
        e0=e0,
        edge_step=edge_step,
        parameters=parameters,
        element=spectrum.element,
        edge=spectrum.edge,
        source=spectrum.source,
        noise=noise,
        edge_offset=offset,
        doubts=tuple(doubts(offset, noise)),
    )


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
