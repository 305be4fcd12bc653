r"""The calibration of reference mode: it puts a beamline's spectra on the theory's mesh.

A measured spectrum of known disorder, the reference, is fitted with the simulated one of
the same disorder. The fitted numbers hold for every spectrum of the same session.

Let θ(E; s) be theory at disorder s, g(E) its error, and B the additional broadening of
the experiment. The calibration T puts a spectrum on the mesh as

    T(s) = B θ(s) + g + ε,      ε = d θ' + t (E − E0) θ' + a θ + ½ v θ''

with the errors, caused by g, of the fitted shift (d), stretch (t), amplitude (a) and
variance of the broadening (v). Reference mode uses differences from the reference r,

    θ(r) + T(s) − T(r) = θ(r) + B [θ(s) − θ(r)] + O(ε [θ(s) − θ(r)]) + O(∂g/∂s (s − r))

- g cancels, and ε cancels to first order: its product with the difference of the spectra
  remains, which is small against the difference itself. Without a reference both count in
  full.
- The change of g with disorder does not cancel; it is of the same, second, order.
- The amplitude error scales the difference, and so the predicted minus the known MSD.
- B does not cancel, because data cannot be sharpened: a network for such spectra must be
  trained on theory broadened by `broadening`.
- Differences between the two measurements do not cancel: noise, and drift of the
  monochromator from scan to scan. Measure the foil behind the sample in the same scan.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from pydantic.dataclasses import dataclass

from xanesml.errors import SpectrumError
from xanesml.files.arrays import Floats
from xanesml.files.records import RECORD
from xanesml.measured.broadening import broadened
from xanesml.measured.normalization import LARGEST_SHIFT, TINY_ENERGY, NormalizedSpectrum, align

#: Bounds of the fit: relative stretch; Gaussian sigma, eV; and amplitude, a factor either way.
LARGEST_STRETCH = 0.1
LARGEST_BROADENING = 5.0
LARGEST_AMPLITUDE = 1.5
#: Prior means and widths of shift (none), stretch, variance of the broadening (eV²) and amplitude.
_EXPECTED = np.array([0.0, 0.0, 0.0, 1.0])
_EXPECTED_WIDTHS = np.array([np.inf, 0.02, 1.0, 0.05])
#: Sizes of the four with similar effects on the misfit.
_SCALES = (1.0, 0.01, 1.0, 0.1)
#: A fitted number within this share of its range from a bound counts as at the bound.
_AT_BOUND = 1e-4
#: Distance from the prior mean that is doubtful, widths.
DOUBTFUL_WIDTHS = 2.0
#: Largest root mean square difference from theory that is accepted, edge steps.
LARGEST_MISFIT = 0.15
#: Variance of the broadening at the start of the fit, eV².
_FIRST_VARIANCE = 0.5
#: The fit is repeated until the misfit's size changes by less than this share; its least size, edge steps.
_SAME = 0.01
_SMALLEST_MISFIT = 1e-6
_LARGEST_REPEATS = 20
_NAMES = ("shift", "stretch", "broadening", "amplitude")
_FITTED = ("shift", "stretch", "variance of the broadening", "amplitude")


@dataclass(frozen=True, config=RECORD)
class Calibration:
    """The transformation of one session's measured spectra onto the theory's mesh.

    Attributes
    ----------
    shift : float, eV
        Added to measured energies.
    stretch : float
        Relative stretch of the shifted energies about the edge.
    broadening : float, eV
        Gaussian sigma to broaden theory by; at least 0.
    amplitude : float
        Factor of normalized measured spectra.
    edge : float, eV
        Energy on the mesh that the stretch keeps.
    rms_before : float, edge steps
        Root mean square difference from the reference after the best shift alone.
    rms_after : float, edge steps
        The same after the fit of all four.
    uncertainties : dict of str to float
        Standard uncertainty of each of the four, from the misfit's size and correlation
        over energy; see `calibrate`.
    source : str
        The file of the reference.
    doubts : tuple of str
        Reasons to doubt it, one sentence each.
    """

    shift: float
    stretch: float
    broadening: float
    amplitude: float
    edge: float
    rms_before: float
    rms_after: float
    uncertainties: dict[str, float]
    source: str
    doubts: tuple[str, ...] = ()

    def apply(self, measured: NormalizedSpectrum, mesh: Floats) -> Floats:
        """Put a measured spectrum of the same session on the mesh, never beyond its own range.

        Parameters
        ----------
        measured : NormalizedSpectrum
            Normalized as the reference was.
        mesh : ndarray, shape (M,), float64, eV
            The theory's energies, increasing.

        Returns
        -------
        ndarray, shape (M,), float64, edge steps
            Shifted, stretched and scaled; no NaN.

        Raises
        ------
        SpectrumError
            If the spectrum does not cover the mesh.
        """
        wanted = _measured_energies(mesh, self.edge, self.shift, self.stretch)
        first, last = measured.energy[0], measured.energy[-1]
        if wanted[0] < first - TINY_ENERGY or wanted[-1] > last + TINY_ENERGY:
            raise SpectrumError(
                f"{measured.source} covers {first:.1f} … {last:.1f} eV, but the network needs {wanted[0]:.1f} … "
                f"{wanted[-1]:.1f} eV of it (shifted by {self.shift:+.2f} eV and stretched by {self.stretch:+.2%}); "
                "give a spectrum that covers it"
            )
        return self.amplitude * np.interp(wanted, measured.energy, measured.mu)


def calibrate(measured: NormalizedSpectrum, mesh: Floats, simulated: Floats, *, edge: float) -> Calibration:
    """Fit shift, stretch, broadening and amplitude of a measured reference to the simulated one.

    The fit starts at the best shift alone and maximizes the posterior probability. The
    misfit counts as Gaussian, with the size and the correlation over energy that it turns out
    to have. Priors are a stretch of 0 ± 2 %, a variance of the broadening of 0 ± 1 eV² and an
    amplitude of 1 ± 5 %. They do not matter if theory and experiment agree. As far as these
    differ in practice, a fit without priors would stretch the energies until unrelated
    features coincide.

    The fit uses the variance of the broadening: the misfit does not depend on sigma to first
    order at 0.

    Parameters
    ----------
    measured : NormalizedSpectrum
        The reference as measured. A calculated one is not changed.
    mesh : ndarray, shape (M,), float64, eV
        The theory's energies, evenly spaced.
    simulated : ndarray, shape (M,), float64, edge steps
        The spectrum simulated with the disorder of the reference, no NaN.
    edge : float, eV
        The theory's edge energy.

    Returns
    -------
    Calibration
        With a doubt if the measured spectrum is sharper than theory, or a number is far from
        its prior mean.

    Raises
    ------
    SpectrumError
        If the spectra cannot be aligned, a number ends at its bound (other than a broadening
        of 0), the calibrated spectra differ by more than 0.15 edge steps, or the measured one
        does not cover the mesh.
    """
    start = align(measured, mesh, simulated)
    if measured.theory:
        nothing = dict.fromkeys(_NAMES, 0.0)
        return Calibration(0.0, 0.0, 0.0, 1.0, float(edge), start.rms, start.rms, nothing, measured.source)

    def misfit(values: Floats) -> Floats:
        shift, stretch, variance, amplitude = values
        spectrum = np.interp(_measured_energies(mesh, edge, shift, stretch), measured.energy, measured.mu)
        return np.asarray(amplitude * spectrum - broadened(simulated, mesh, float(np.sqrt(variance))))

    lower = np.array([-LARGEST_SHIFT, -LARGEST_STRETCH, 0.0, 1 / LARGEST_AMPLITUDE])
    upper = np.array([LARGEST_SHIFT, LARGEST_STRETCH, LARGEST_BROADENING**2, LARGEST_AMPLITUDE])
    values, errors, pull = _fitted(misfit, np.array([start.shift, 0.0, _FIRST_VARIANCE, 1.0]), lower, upper)
    near = _AT_BOUND * (upper - lower)
    for name, value, low, high, margin in zip(_FITTED, values, lower, upper, near, strict=True):
        # No broadening, the only bound at 0, is a result.
        if value > high - margin or (value < low + margin and low != 0):
            raise SpectrumError(
                f"{measured.source} cannot be calibrated: its {name} reaches a bound of the range "
                f"{low:.4g} … {high:.4g}; check that it is the reference, and its element and edge"
            )
    left = float(np.sqrt(np.mean(misfit(values) ** 2)))
    if left > LARGEST_MISFIT:
        raise SpectrumError(
            f"{measured.source} differs by {left:.3f} edge steps (root mean square) from the simulated reference "
            f"after calibration, more than {LARGEST_MISFIT:g}; "
            "check that it is the reference, and its element and edge"
        )
    sharper = bool(pull[2] < -DOUBTFUL_WIDTHS * errors[2])
    sigma = float(np.sqrt(values[2])) if values[2] > near[2] else 0.0
    # From variance to sigma: dσ = dv/2σ, at most √dv, its value at σ = 0.
    errors[2] = min(np.sqrt(errors[2]), errors[2] / (2 * sigma) if sigma else np.inf)
    calibration = Calibration(
        shift=float(values[0]),
        stretch=float(values[1]),
        broadening=sigma,
        amplitude=float(values[3]),
        edge=float(edge),
        rms_before=start.rms,
        rms_after=left,
        uncertainties={name: float(error) for name, error in zip(_NAMES, errors, strict=True)},
        source=measured.source,
        doubts=tuple(_doubts(values, sharper=sharper)),
    )
    calibration.apply(measured, mesh)
    return calibration


def _measured_energies(mesh: Floats, edge: float, shift: float, stretch: float) -> Floats:
    """Return the measured energies that the mesh corresponds to."""
    return np.asarray(edge - shift + (mesh - edge) / (1 + stretch), dtype=np.float64)


def _doubts(values: Floats, *, sharper: bool) -> Iterator[str]:
    if sharper:
        yield "it is sharper than theory, whose own broadening is too large"
    for name, value, expected, width in zip(_FITTED, values, _EXPECTED, _EXPECTED_WIDTHS, strict=True):
        if abs(value - expected) > DOUBTFUL_WIDTHS * width:
            yield f"its {name}, {value:.3g}, lies further from {expected:g} than {DOUBTFUL_WIDTHS:g} times {width:g}"


def _fitted(
    misfit: Callable[[Floats], Floats], first: Floats, lower: Floats, upper: Floats
) -> tuple[Floats, Floats, Floats]:
    """Return the most likely numbers, their standard uncertainties, and how far each would go beyond its bound.

    The misfit is not white noise: with a correlation length of τ points, τ points count as one. Its size
    and τ are known only after the fit, so that is repeated.
    """
    from scipy.optimize import least_squares  # noqa: PLC0415 (slow)

    values, counted = first, _SMALLEST_MISFIT
    for _ in range(_LARGEST_REPEATS):

        def weighted(now: Floats, counted: float = counted) -> Floats:
            return np.concatenate([misfit(now) / counted, (now[1:] - _EXPECTED[1:]) / _EXPECTED_WIDTHS[1:]])

        fit = least_squares(weighted, values, bounds=(lower, upper), x_scale=_SCALES, xtol=1e-10)
        values = np.asarray(fit.x, dtype=np.float64)
        before, counted = counted, max(_misfit_of_one(misfit(values)), _SMALLEST_MISFIT)
        if abs(counted - before) <= _SAME * before:
            break
    covariance = np.linalg.inv(fit.jac.T @ fit.jac)
    return values, np.sqrt(np.diag(covariance)), -covariance @ fit.grad


def _misfit_of_one(misfit: Floats) -> float:
    """Return the standard deviation per point with which the points count as independent.

    τ is the sum of the autocorrelation up to its first zero, on both sides. Of the points divided by τ,
    the fit has used one for each of its numbers.
    """
    size = misfit.size
    correlation = np.correlate(misfit, misfit, mode="full")[size - 1 :]
    if correlation[0] == 0:
        return 0.0
    first_zero = int(np.argmax(correlation <= 0)) or size
    time = 2 * correlation[:first_zero].sum() / correlation[0] - 1
    independent = size / time
    return float(np.sqrt(np.mean(misfit**2) * time * independent / max(independent - len(_NAMES), 1.0)))
