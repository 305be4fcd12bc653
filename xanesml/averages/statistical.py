"""Statistical averages over the distorted series, particle averages over the absorbers of a structure.

Spectra are averaged on FEFF's absolute scale and normalized once, by the average of their
edge steps. Spectra that FEFF normalized itself are averaged with edge steps of 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr

from xanesml.averages.distributions import ROUNDING, Distributions, Moments, moments_from_sums, series_step
from xanesml.averages.series import Series
from xanesml.errors import StoreError
from xanesml.files.arrays import Booleans, Floats

#: Averages computed at a time, so that they stay in the processor's cache.
_CHUNK = 2048

#: Smaller exponents are set to this: weights of 1e-26 of the largest do not count.
_LEAST_EXPONENT = -60.0


@dataclass(frozen=True)
class StatisticalAverages:
    """Statistical averages of some families, numbered family by family.

    Attributes
    ----------
    spectra : ndarray of float64, shape (n, M)
        Normalized spectra.
    moments : Moments
        Labels, each of shape (n,).
    weights : ndarray of float64, shape (n, D), or None
        The weights, with `keep_weights`; rows sum to 1.
    distribution : ndarray of float64, shape (n, R), or None
        Share of the first shell in each bin of bond length, with `keep_distribution`; rows sum to 1.
    """

    spectra: Floats
    moments: Moments
    weights: Floats | None = None
    distribution: Floats | None = None


class SeriesAverager:
    """Averages a distorted series under skew-normal distributions, at the cost of a matrix product.

    The weights of a family are pieces of one curve, evaluated once. Averages of all its
    members are then one product of the curve with copies of the series, shifted against each
    other. Weights are not normalized beforehand: the spectra are divided by Σ w s afterwards,
    and the sums that the labels follow from are a further product.

    Parameters
    ----------
    series : Series
        The distorted series, evenly spaced.
    keep_weights : bool
        Whether to return the weights.
    keep_distribution : bool
        Whether to return the distribution of the bond length.

    Raises
    ------
    StoreError
        If the series is not evenly spaced.
    """

    def __init__(self, series: Series, *, keep_weights: bool = False, keep_distribution: bool = False) -> None:
        self._delta, self._step = series.delta, series_step(series.delta)
        self._keep_weights = keep_weights
        self._mu = np.ascontiguousarray(series.mu, dtype=np.float64)
        # Edge steps, powers of δ for the moments, bins of bond length.
        powers = series.delta[:, np.newaxis] ** np.arange(5)
        bins = [bins_of_series(series)] if keep_distribution else []
        self._summed = np.column_stack([series.edge_step, powers, *bins])
        self._windows_before: list[slice] = []

    def average(self, distributions: Distributions) -> StatisticalAverages:
        """Average the series under every distribution.

        Parameters
        ----------
        distributions : Distributions
            F families of K, chosen for this series; none so far outside it that all its weights
            vanish.

        Returns
        -------
        StatisticalAverages
            n = F·K spectra Σ w μ / Σ w s with their labels.

        Raises
        ------
        ValueError
            If the distributions were chosen for a series of another step.
        """
        if abs(distributions.step * distributions.divisor - self._step) > ROUNDING:
            raise ValueError("the distributions were chosen for a series of another step")
        families, members = len(distributions.scale), len(distributions.steps)
        mu, summed = self._side_by_side(distributions)
        spectra = np.empty((families, members, self._mu.shape[1]))
        sums = np.empty((families, members, self._summed.shape[1]))
        weights = np.empty((families, members, len(self._delta))) if self._keep_weights else None
        step = max(1, _CHUNK // members)
        for start in range(0, families, step):
            chunk = slice(start, min(start + step, families))
            curves = self._curves(distributions[chunk])
            np.matmul(curves, summed, out=sums[chunk].reshape(len(curves), -1))
            np.matmul(curves, mu, out=spectra[chunk].reshape(len(curves), -1))
            spectra[chunk] *= 1 / sums[chunk, :, :1]
            if weights is not None:
                for member, window in enumerate(self._windows(distributions)):
                    np.divide(curves[:, window], sums[chunk, member, 1:2], out=weights[chunk, member])
        count = families * members
        sums = sums.reshape(count, -1)
        return StatisticalAverages(
            spectra=spectra.reshape(count, -1),
            moments=moments_from_sums(sums[:, 1:6]),
            weights=None if weights is None else weights.reshape(count, -1),
            distribution=sums[:, 6:] / sums[:, 1:2] if sums.shape[1] > 6 else None,
        )

    def _windows(self, distributions: Distributions) -> list[slice]:
        """Return the points of a family's curve that are the weights of each member."""
        reach = (len(self._delta) - 1) * distributions.divisor + 1
        starts = (distributions.steps[-1] - distributions.steps).tolist()
        return [slice(start, start + reach, distributions.divisor) for start in starts]

    def _side_by_side(self, distributions: Distributions) -> tuple[Floats, Floats]:
        """Return the spectra and the further summands at each member's window, (points, K·columns)."""
        windows = self._windows(distributions)
        if self._windows_before != windows:
            points = windows[0].stop
            mu = np.zeros((points, len(windows), self._mu.shape[1]))
            summed = np.zeros((points, len(windows), self._summed.shape[1]))
            for member, window in enumerate(windows):
                mu[window, member] = self._mu
                summed[window, member] = self._summed
            self._windows_before = windows
            self._spread = mu.reshape(points, -1), summed.reshape(points, -1)
        return self._spread

    def _curves(self, distributions: Distributions) -> Floats:
        """Return φ(z)Φ(αz) of each family, (F, points); the weights of its members are pieces of it."""
        last = (len(self._delta) - 1) * distributions.divisor
        positions = self._delta[0] + distributions.step * np.arange(-distributions.steps[-1], last + 1)
        z: Floats = positions - distributions.first[:, np.newaxis]
        z /= distributions.scale[:, np.newaxis]
        cumulated = ndtr(z * distributions.alpha[:, np.newaxis])
        np.square(z, out=z)
        z *= -0.5
        # Subnormal numbers would make the products many times slower.
        np.exp(np.maximum(z, _LEAST_EXPONENT, out=z), out=z)
        np.multiply(z, cumulated, out=z)
        return z


def bins_of_series(series: Series) -> Floats:
    """Return the share of each distortion in each bin of bond length.

    Parameters
    ----------
    series : Series
        Evenly spaced; each distortion stands for all lengths within half a step. Its bins are evenly
        spaced and cover it.

    Returns
    -------
    ndarray of float64, shape (D, R)
        Shares; rows sum to 1.
    """
    half, width = series_step(series.delta) / 2, series.r[1] - series.r[0]
    lengths = series.first_shell + series.delta[:, np.newaxis]
    low = np.maximum(lengths - half, series.r - width / 2)
    high = np.minimum(lengths + half, series.r + width / 2)
    overlap: Floats = np.maximum(high - low, 0.0)
    overlap /= overlap.sum(axis=1, keepdims=True)
    return overlap


def bin_centers(delta: Floats, first_shell: float, width: float) -> Floats:
    """Return the centers, (R,), Å, of bins of bond length of a given width that cover a series; at least 2."""
    half = series_step(delta) / 2
    low = first_shell + delta[0] - half
    count = max(2, int(np.ceil((delta[-1] - delta[0] + 2 * half) / width - 1e-9)))
    return np.asarray(low + width * (np.arange(count) + 0.5), dtype=np.float64)


def particle_averages(spectra: Floats, steps: Floats, multiplicity: Floats, present: Booleans) -> Floats:
    """Average the spectra of each structure's absorbers, then normalize once.

    Parameters
    ----------
    spectra : ndarray of float64, shape (n, B, M)
        Spectra of the absorbers on the mesh, not normalized; any value where absent.
    steps : ndarray of float64, shape (n, B)
        Their edge steps; ones where FEFF has normalized the spectra.
    multiplicity : ndarray of float64, shape (B,)
        Multiplicity of each absorber.
    present : ndarray of bool, shape (n, B)
        Whether there is a spectrum.

    Returns
    -------
    ndarray of float64, shape (n, M)
        Σ m_b μ_b / Σ m_b s_b over those present.

    Raises
    ------
    StoreError
        If a structure has no spectrum.
    """
    if not present.any(axis=1).all():
        raise StoreError(f"structure {int(np.argmin(present.any(axis=1)))} of the block has no spectrum to average")
    counts = multiplicity * present
    total = np.einsum("nb,nbm->nm", counts, np.where(present[..., np.newaxis], spectra, 0.0))
    step = np.einsum("nb,nb->n", counts, np.where(present, steps, 0.0))
    return np.asarray(total / step[:, np.newaxis], dtype=np.float64)
