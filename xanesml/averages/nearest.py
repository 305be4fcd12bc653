"""The simulated spectrum nearest to a measured one: a skew-normal average of the series, by least squares."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import log_ndtr

from xanesml.averages.distributions import skew_normal_weights, weighted_moments
from xanesml.averages.mesh import SLOPE_RANGE
from xanesml.averages.series import Series
from xanesml.campaign import AveragingSection
from xanesml.errors import SpectrumError
from xanesml.files.arrays import Floats

#: Numbers of locations, scales and shapes tried before the fit, evenly spaced over their ranges.
SCANNED = (9, 8, 7)
#: Largest number of the best of these from which the fit starts.
STARTS = 3
#: A parameter within this share of its range from a bound counts as being at it.
AT_BOUND = 1e-3

_NAMES = ("location", "scale", "alpha", "gain", "shift", "broadening", "slope")

#: Relative change of the sum of squares that ends a fit, and its largest number of evaluations: from each
#: start, and once more from the best end. Fits are slow near α = 0, where α is hard to tell from location and scale.
_ROUGH, _FINE = (1e-4, 12), (1e-8, 100)
_TINY_STEP = 1e-12

#: Indices of parameters of a fit.
_GAIN, _SHIFT, _VARIANCE = 3, 4, 5


@dataclass(frozen=True)
class Nearest:
    """The average of a series that is nearest to a spectrum.

    Attributes
    ----------
    spectrum : ndarray
        The average with gain, shift, broadening and slope, shape (M,), float64, edge steps, no NaN.
    msd : float
        Mean squared displacement of its distribution, Å².
    mean_shift : float
        Mean first-shell shift, Å.
    location, scale, alpha : float
        Location and scale, Å, and shape of the skew-normal distribution.
    gain : float
        Factor of the average.
    shift : float
        Shift added to the energies of the spectrum, eV.
    broadening : float
        Standard deviation of the Gaussian that broadens it, eV.
    slope : float
        Slope of the background under it, edge steps per 50 eV.
    rms : float
        Root mean square difference from the spectrum, edge steps.
    at_bounds : tuple of str
        Names of the parameters, location to slope, that lie at a bound, so that a wider range may fit
        better; not a broadening of 0.
    """

    spectrum: Floats
    msd: float
    mean_shift: float
    location: float
    scale: float
    alpha: float
    gain: float
    shift: float
    broadening: float
    slope: float
    rms: float
    at_bounds: tuple[str, ...] = ()


def nearest(
    spectrum: Floats,
    series: Series,
    section: AveragingSection,
    *,
    largest_gain: float = 0.0,
    largest_shift: float = 0.0,
    largest_broadening: float = 0.0,
    largest_slope: float = 0.0,
    edge: float | None = None,
) -> Nearest:
    """Find the skew-normal average that is nearest to a spectrum.

    The fit minimizes the sum over the mesh of the squares of

        y(E) − g [x(E + s) + v x''(E + s)/2] − b (E − E_edge)/50 eV,   x(E) = Σ w μ(E) / Σ w e,

    with e the edge steps and w the weights of a skew-normal distribution within the ranges of the
    training averages. The second derivative broadens x by a Gaussian of the small variance v. The
    fit starts from the best local minima on a grid of distributions, for each of which g, s, v and
    b follow from linear fits, and the best end counts. Between mesh points x is a natural cubic
    spline.

    Parameters
    ----------
    spectrum : ndarray
        Normalized spectrum y on the mesh, shape (M,), edge steps.
    series : Series
        The distorted series.
    section : AveragingSection
        Ranges of location, scale and shape.
    largest_gain, largest_shift, largest_broadening, largest_slope : float, optional
        Largest |g − 1|, |s| (eV), standard deviation √v (eV) and |b| (edge steps per 50 eV). Default 0.
    edge : float, optional
        E_edge, where the background is 0, eV. Default: the first point of the mesh.

    Returns
    -------
    Nearest
        The average and its distribution.

    Raises
    ------
    SpectrumError
        If the spectrum has another number of points than the series or is not finite.

    References
    ----------
    C. Voglis, I. E. Lagaris, A rectangular trust region dogleg approach for unconstrained and bound constrained
    nonlinear optimization, WSEAS International Conference on Applied Mathematics (2004).
    """
    from scipy.optimize import least_squares  # noqa: PLC0415 (slow)

    points = len(series.energy)
    if spectrum.shape != (points,):
        raise SpectrumError(
            f"the spectrum has shape {spectrum.shape}, the series ({points},); interpolate it onto that mesh"
        )
    if not np.isfinite(spectrum).all():
        raise SpectrumError("the spectrum holds numbers that are not finite; give finite edge steps")
    zero = series.energy[0] if edge is None else edge
    ends = (
        section.location,
        section.sigma,
        section.alpha,
        (1 - largest_gain, 1 + largest_gain),
        (-largest_shift, largest_shift),
        (0.0, largest_broadening**2),
        (-largest_slope, largest_slope),
    )
    fit = _Fit(np.asarray(spectrum, dtype=np.float64), series, np.array(ends), (series.energy - zero) / SLOPE_RANGE)

    def refined(start: Floats, tolerance: float, evaluations: int) -> Any:
        return least_squares(
            fit.residuals,
            start,
            fit.jacobian,
            bounds=fit.bounds,
            method="dogbox",
            x_scale=fit.bounds[1] - fit.bounds[0],
            ftol=tolerance,
            xtol=_TINY_STEP,
            gtol=None,
            max_nfev=evaluations,
        )

    best = min((refined(start, *_ROUGH) for start in fit.starts()), key=lambda result: float(result.cost))
    return fit.described(np.asarray(refined(best.x, *_FINE).x, dtype=np.float64))


class _Fit:
    """Residuals of one spectrum, and their derivatives by the free parameters."""

    def __init__(self, spectrum: Floats, series: Series, limits: Floats, line: Floats) -> None:
        self._spectrum, self._series, self._mesh = spectrum, series, series.energy
        self._limits, self._line = limits, line
        self._free = limits[:, 0] < limits[:, 1]
        self._curves: Any = None
        if self._free[_SHIFT] or self._free[_VARIANCE]:
            from scipy.interpolate import CubicSpline  # noqa: PLC0415 (slow)

            self._curves = np.ascontiguousarray(CubicSpline(self._mesh, series.mu, axis=1, bc_type="natural").c)
        self._at, self._found = np.empty(0), (np.empty(0), np.empty(0))

    @property
    def bounds(self) -> tuple[Floats, Floats]:
        """Lower and upper bounds of the free parameters."""
        low, high = self._limits[self._free].T
        return low, high

    def starts(self) -> list[Floats]:
        """Return the free parameters at the best local minima of the scan."""
        from scipy.ndimage import minimum_filter  # noqa: PLC0415 (slow)

        ranges = zip(self._limits[:3], SCANNED, strict=True)
        axes = [np.unique(np.linspace(low, high, count)) for (low, high), count in ranges]
        grid = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
        weights = skew_normal_weights(self._series.delta, *np.ascontiguousarray(grid.T))
        averages = self._series.average(weights)
        slopes = np.gradient(averages, self._mesh, axis=1)
        changes = averages, slopes, np.gradient(slopes, self._mesh, axis=1) / 2, self._line[np.newaxis]
        left, found = self._spectrum - averages, []
        for change, (low, high), usual in zip(changes, self._limits[_GAIN:], (1.0, 0.0, 0.0, 0.0), strict=True):
            amount = np.clip((left * change).sum(axis=1) / np.square(change).sum(axis=1), low - usual, high - usual)
            left = left - amount[:, np.newaxis] * change
            found.append(usual + amount)
        costs = np.square(left).sum(axis=1)
        shape = [len(axis) for axis in axes]
        minima = np.flatnonzero(costs == minimum_filter(costs.reshape(shape), size=3, mode="nearest").ravel())
        numbers = np.column_stack([grid, *found])[:, self._free]
        return list(numbers[minima[np.argsort(costs[minima])][:STARTS]])

    def residuals(self, free: Floats) -> Floats:
        """Return average minus spectrum, shape (M,)."""
        return self._evaluated(free)[0] - self._spectrum

    def jacobian(self, free: Floats) -> Floats:
        """Return the derivatives of the average, shape (M, free parameters)."""
        return np.ascontiguousarray(self._evaluated(free)[1][self._free].T)

    def described(self, free: Floats) -> Nearest:
        """Return the average at given free parameters."""
        numbers = self._whole(free)
        location, scale, alpha, gain, shift, variance, slope = numbers.tolist()
        spectrum = self._evaluated(free)[0]
        weights = skew_normal_weights(self._series.delta, *numbers[:3, np.newaxis])
        moments = weighted_moments(weights, self._series.delta)
        near = np.abs(self._limits - numbers[:, np.newaxis]) <= AT_BOUND * np.ptp(self._limits, axis=1, keepdims=True)
        near[_VARIANCE, 0] = False
        return Nearest(
            spectrum=spectrum,
            msd=float(moments.msd[0]),
            mean_shift=float(moments.mean_shift[0]),
            location=location,
            scale=scale,
            alpha=alpha,
            gain=gain,
            shift=shift,
            broadening=float(np.sqrt(variance)),
            slope=slope,
            rms=float(np.sqrt(np.mean(np.square(spectrum - self._spectrum)))),
            at_bounds=tuple(np.array(_NAMES)[self._free & near.any(axis=1)].tolist()),
        )

    def _whole(self, free: Floats) -> Floats:
        numbers = self._limits[:, 0].copy()
        numbers[self._free] = free
        return numbers

    def _evaluated(self, free: Floats) -> tuple[Floats, Floats]:
        """Return the average, shape (M,), and its derivatives by all parameters, shape (7, M), cached for one point."""
        if not np.array_equal(free, self._at):
            self._at, self._found = free.copy(), self._average(self._whole(free))
        return self._found

    def _average(self, numbers: Floats) -> tuple[Floats, Floats]:
        location, scale, alpha, gain, shift, variance, background = numbers
        z = (self._series.delta - location) / scale
        logarithm = log_ndtr(alpha * z)
        # Derivative of ln Φ, from logarithms, as Φ and its density may both underflow.
        steepness = np.exp(-0.5 * (alpha * z) ** 2 - logarithm) / np.sqrt(2 * np.pi)
        by_z = alpha * steepness - z
        # The ratio of two averages depends neither on the sum of the weights nor on a constant in d ln w.
        weights = np.exp(logarithm - 0.5 * z**2 - (logarithm - 0.5 * z**2).max())
        rows = weights * np.array([np.ones_like(z), -by_z / scale, -by_z * z / scale, z * steepness])
        steps = rows @ self._series.edge_step
        sums, by_shift, by_variance = self._sums(rows, shift, variance)
        average = sums[0] / steps[0]
        derivatives = (sums[1:] - np.outer(steps[1:], average)) / steps[0]
        others = average, gain * by_shift / steps[0], gain * by_variance / steps[0], self._line
        return gain * average + background * self._line, np.vstack([gain * derivatives, *others])

    def _sums(self, rows: Floats, shift: float, variance: float) -> tuple[Floats, Floats, Floats]:
        """Return sums of the series, (n, M), shifted and broadened, and the first's derivatives, (M,), by either."""
        if self._curves is None:
            return rows @ self._series.mu, np.zeros(self._mesh.size), np.zeros(self._mesh.size)
        from scipy.interpolate import PPoly  # noqa: PLC0415 (slow)

        spline, energies = PPoly(np.tensordot(self._curves, rows, (2, 1)), self._mesh), self._mesh + shift
        values, first, second, third = (spline(energies, order).T for order in range(4))
        return values + variance / 2 * second, first[0] + variance / 2 * third[0], second[0] / 2
