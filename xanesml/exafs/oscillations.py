"""The oscillations χ(k) of a measured spectrum: its background removed by larch's autobk."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from xanesml.errors import SpectrumError
from xanesml.files.arrays import Floats
from xanesml.measured import MeasuredSpectrum, Treatment
from xanesml.measured.alike import clean
from xanesml.measured.edges import MARGIN, other_edges
from xanesml.measured.normalization import NormalizedSpectrum, normalize
from xanesml.measured.xraylarch import import_larch

#: Distance below which oscillations count as background, Å, and the power of k that weighs them: Athena's defaults.
R_BACKGROUND, _BACKGROUND_WEIGHT = 1.0, 2
#: Energy above the edge over k², eV Å².
K_SQUARED = 3.809982
#: Shortest reach of a scan for EXAFS, Å⁻¹: a fit to k = 10, and half a unit for the window's end.
LEAST_REACH = 10.5
#: Reach that a fit by the default range wants, Å⁻¹.
_FULL_REACH = 12.5


@dataclass(frozen=True)
class Oscillations:
    """The oscillations of a measured spectrum.

    Attributes
    ----------
    source, element, edge : str
        As in `MeasuredSpectrum`.
    energy, mu : ndarray, shape (E,), float64
        Photon energies, eV, and absorption in edge steps, up to a further edge and without glitches; no NaN.
    e0 : float, eV
        Zero of the photoelectron's energy: the largest slope.
    edge_step : float, edge steps
        The step at `e0`.
    k, chi : ndarray, shape (K,), float64
        Wavenumbers in steps of 0.05 Å⁻¹, and the oscillations in units of the step at `e0`; no NaN.
    doubts : tuple of str
        Reasons to doubt them, one sentence each.
    """

    source: str
    element: str
    edge: str
    energy: Floats
    mu: Floats
    e0: float
    edge_step: float
    k: Floats
    chi: Floats
    doubts: tuple[str, ...] = ()

    def with_background(self, r_background: float) -> Oscillations:
        """Return the oscillations with another distance below which they count as background, Å."""
        k, chi = _background_removed(self.energy, self.mu, self.e0, self.edge_step, r_background)
        return Oscillations(**{**vars(self), "k": k, "chi": chi})


def oscillations(measured: MeasuredSpectrum, treatment: Treatment | None = None) -> Oscillations:
    """Remove the background of a measured spectrum.

    Parameters
    ----------
    measured : MeasuredSpectrum
        The spectrum, from 30 eV or more below its edge to 420 eV or more above it.
    treatment : Treatment, optional
        How it is normalized.

    Raises
    ------
    EnvironmentProblem
        If xraylarch is not installed.
    SpectrumError
        If the spectrum is calculated, cannot be normalized, or ends too early.

    References
    ----------
    M. Newville, P. Līviņš, Y. Yacoby, J. J. Rehr and E. A. Stern, Phys. Rev. B 47, 14126 (1993).
    """
    if measured.theory:
        raise SpectrumError(f"{measured.source} is calculated; EXAFS is fitted to measured spectra")
    treatment = treatment or Treatment()
    normalized = normalize(measured, treatment=treatment)
    energy, mu = clean(normalized)
    last, why = _end(normalized, energy, mu, (*measured.others, *treatment.others))
    _check_reach(normalized, last, why)
    kept = energy <= last
    energy, mu = energy[kept], mu[kept]
    e0, step = normalized.e0, float(normalized.parameters["edge_step_at_e0"]) / normalized.edge_step
    k, chi = _background_removed(energy, mu, e0, step, R_BACKGROUND)
    return Oscillations(
        measured.source, measured.element, measured.edge, energy, mu, e0, step, k, chi, normalized.doubts
    )


def wavenumber(energy: float) -> float:
    """Return the photoelectron's wavenumber, Å⁻¹, at an energy above the edge, eV."""
    return float(np.sqrt(max(energy, 0.0) / K_SQUARED))


def _end(normalized: NormalizedSpectrum, energy: Floats, mu: Floats, others: tuple[str, ...]) -> tuple[float, str]:
    """Return the last energy before a further edge, eV, and what ends the spectrum there; empty if it ends itself."""
    found = other_edges(energy, mu, normalized.e0, element=normalized.element, edge=normalized.edge, others=others)
    behind = next((other for other in found if other.energy > normalized.e0 + MARGIN), None)
    return (float(energy[-1]), "") if behind is None else (behind.energy - MARGIN, f", before {behind.what}")


def _check_reach(normalized: NormalizedSpectrum, last: float, why: str) -> None:
    reach = last - normalized.e0
    if wavenumber(reach) < LEAST_REACH:
        needed, full = (K_SQUARED * k**2 for k in (LEAST_REACH, _FULL_REACH))
        raise SpectrumError(
            f"{normalized.source} ends {reach:.0f} eV above its edge{why}, at k = {wavenumber(reach):.1f} 1/Å, too "
            f"early for EXAFS: measure to {needed:.0f} eV above the edge (k = {LEAST_REACH:g} 1/Å) at least, better to "
            f"{full:.0f} eV ({_FULL_REACH:g} 1/Å)"
        )


def _background_removed(
    energy: Floats, mu: Floats, e0: float, edge_step: float, r_background: float
) -> tuple[Floats, Floats]:
    larch = import_larch()
    group = larch.Group(energy=energy, mu=mu)
    # The spectrum is normalized: larch's own normalization is not used, but wants to have been made.
    larch.xafs.autobk(
        group, rbkg=r_background, kweight=_BACKGROUND_WEIGHT, e0=e0, edge_step=edge_step, calc_uncertainties=False
    )
    return np.asarray(group.k, dtype=np.float64), np.asarray(group.chi, dtype=np.float64)
