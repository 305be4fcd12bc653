"""From spectra to averages: statistical ones over the distorted series, particle ones over absorbers.

Averages are of spectra on FEFF's absolute scale and are normalized once, by the average of
their edge steps. Spectra that FEFF normalized itself are averaged with edge steps of 1.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import DTypeLike
from scipy.special import ndtr

from xanesml.averages.distributions import ROUNDING, Distributions, Moments, moments_from_sums, series_step
from xanesml.errors import StoreError
from xanesml.files.arrays import Booleans, Floats, Reals, Singles

#: Averages in work at a time, so that they stay in the processor's cache.
_CHUNK = 2048

#: Ends of the table of Φ in single precision, beyond which Φ or 1 − Φ is below the table's error.
_TABLE_END = 6.0
_TABLE_PER_UNIT = 1024

#: Exponents below this count as this: weights of 1e-26 of the largest are none.
_LEAST_EXPONENT = -60.0


@dataclass(frozen=True)
class StatisticalAverages:
    """Statistical averages of some families, numbered family by family.

    Attributes
    ----------
    spectra : ndarray, shape (n, M)
        Normalized spectra, in the precision asked for.
    moments : Moments
        Labels, each of shape (n,).
    weights : ndarray of float64, shape (n, D), or None
        The weights, where asked for; rows sum to 1.
    distribution : ndarray of float64, shape (n, R), or None
        Share of the first shell in each bin of bond length, where asked for; rows sum to 1.
    """

    spectra: Reals
    moments: Moments
    weights: Floats | None = None
    distribution: Floats | None = None


class SeriesAverager:
    """Averages a distorted series under skew-normal distributions, at the cost of a matrix product.

    The weights of a family are pieces of one curve, evaluated once. Averages of all its
    members are then one product of the curve with the series, written side by side and
    shifted against each other. Weights are not normalized before it: the spectra are divided
    by Σ w s afterwards, and the sums that the labels follow from are a further product.

    Parameters
    ----------
    delta : ndarray of float64, shape (D,)
        Shifts of the series, evenly spaced, Å.
    series : ndarray of float64, shape (D, M)
        Distorted spectra, not normalized, finite.
    steps : ndarray of float64, shape (D,)
        Their edge steps; ones where FEFF has normalized the spectra.
    dtype : dtype
        float64, or float32 for spectra in single precision; labels are float64.
    keep_weights : bool
        Whether the weights are wanted.
    bins : ndarray of float64, shape (D, R), optional
        Share of each δ in each bin of bond length, where that distribution is wanted; see
        `bins_of_series`.

    Raises
    ------
    StoreError
        If the series is not evenly spaced.
    """

    def __init__(
        self,
        delta: Floats,
        series: Floats,
        steps: Floats,
        *,
        dtype: DTypeLike = np.float64,
        keep_weights: bool = False,
        bins: Floats | None = None,
    ) -> None:
        self._delta, self._step = delta, series_step(delta)
        self._dtype = np.dtype(dtype)
        self._keep_weights = keep_weights
        self._series = np.ascontiguousarray(series, dtype=self._dtype)
        # What is summed in double precision: edge steps, powers of δ for the moments, bins of bond length.
        powers = delta[:, np.newaxis] ** np.arange(5)
        self._summed = np.column_stack([steps, powers, *([] if bins is None else [bins])])
        self._windows_before: list[slice] = []
        self._table = _cdf_table() if self._dtype == np.float32 else None

    def average(self, distributions: Distributions) -> StatisticalAverages:
        """Average the series under every distribution.

        Parameters
        ----------
        distributions : Distributions
            F families of K, chosen for this series; none so far outside it that no weight is
            left on it.

        Returns
        -------
        StatisticalAverages
            n = F·K spectra Σ w_i μ_i / Σ w_i s_i with their labels.

        Raises
        ------
        ValueError
            If the distributions were chosen for a series of another step.
        """
        if abs(distributions.step * distributions.divisor - self._step) > ROUNDING:
            raise ValueError("the distributions were chosen for a series of another step")
        families, members = len(distributions.scale), len(distributions.steps)
        series, summed = self._side_by_side(distributions)
        spectra = np.empty((families, members, self._series.shape[1]), self._dtype)
        sums = np.empty((families, members, self._summed.shape[1]))
        weights = np.empty((families, members, len(self._delta))) if self._keep_weights else None
        step = max(1, _CHUNK // members)
        for start in range(0, families, step):
            chunk = slice(start, min(start + step, families))
            curves = self._curves(distributions[chunk])
            doubles = curves.astype(np.float64, copy=False)
            np.matmul(doubles, summed, out=sums[chunk].reshape(len(curves), -1))
            np.matmul(curves, series, out=spectra[chunk].reshape(len(curves), -1))
            spectra[chunk] *= (1 / sums[chunk, :, :1]).astype(self._dtype)
            if weights is not None:
                for member, window in enumerate(self._windows(distributions)):
                    np.divide(doubles[:, window], sums[chunk, member, 1:2], out=weights[chunk, member])
        count = families * members
        sums = sums.reshape(count, -1)
        return StatisticalAverages(
            spectra=spectra.reshape(count, -1),
            moments=moments_from_sums(sums[:, 1:6]),
            weights=None if weights is None else weights.reshape(count, -1),
            distribution=sums[:, 6:] / sums[:, 1:2] if sums.shape[1] > 6 else None,
        )

    def blocks(self, distributions: Distributions, families: int) -> Iterator[StatisticalAverages]:
        """Yield the averages of so many families at a time, in memory that does not depend on how many there are."""
        for start in range(0, len(distributions.scale), families):
            yield self.average(distributions[start : start + families])

    def _windows(self, distributions: Distributions) -> list[slice]:
        """Return which points of a family's curve are the weights of each member."""
        reach = (len(self._delta) - 1) * distributions.divisor + 1
        starts = (distributions.steps[-1] - distributions.steps).tolist()
        return [slice(start, start + reach, distributions.divisor) for start in starts]

    def _side_by_side(self, distributions: Distributions) -> tuple[Reals, Floats]:
        """Return the series, and what is summed over it, for each member where its weights lie, (points, K·columns)."""
        windows = self._windows(distributions)
        if self._windows_before != windows:
            points = windows[0].stop
            series = np.zeros((points, len(windows), self._series.shape[1]), self._dtype)
            summed = np.zeros((points, len(windows), self._summed.shape[1]))
            for member, window in enumerate(windows):
                series[window, member] = self._series
                summed[window, member] = self._summed
            self._windows_before = windows
            self._spread = series.reshape(points, -1), summed.reshape(points, -1)
        return self._spread

    def _curves(self, distributions: Distributions) -> Reals:
        """Return φ(z)Φ(αz) of each family, (F, points), of which its weights are pieces."""
        last = (len(self._delta) - 1) * distributions.divisor
        positions = self._delta[0] + distributions.step * np.arange(-distributions.steps[-1], last + 1)
        z: Reals = positions - distributions.first[:, np.newaxis]
        z /= distributions.scale[:, np.newaxis]
        if self._table is not None:
            z = z.astype(np.float32)
        slope = distributions.alpha[:, np.newaxis].astype(z.dtype)
        cumulated = ndtr(z * slope) if self._table is None else _tabulated(z * slope, self._table)
        np.square(z, out=z)
        z *= -0.5
        # Numbers too small for their precision would make the products many times slower.
        np.exp(np.maximum(z, _LEAST_EXPONENT, out=z), out=z)
        np.multiply(z, cumulated, out=z)
        return z


def bins_of_series(delta: Floats, first_shell: float, centers: Floats) -> Floats:
    """Return which bins of bond length a series' distortions stand for.

    Parameters
    ----------
    delta : ndarray of float64, shape (D,)
        Shifts of the series, evenly spaced, Å; each stands for all within half a step.
    first_shell : float
        Reference length of the first shell, Å.
    centers : ndarray of float64, shape (R,)
        Centers of the bins, evenly spaced, Å; they cover the series.

    Returns
    -------
    ndarray of float64, shape (D, R)
        Share of each distortion in each bin; rows sum to 1.
    """
    half, width = series_step(delta) / 2, centers[1] - centers[0]
    lengths = first_shell + delta[:, np.newaxis]
    low = np.maximum(lengths - half, centers - width / 2)
    high = np.minimum(lengths + half, centers + width / 2)
    overlap: Floats = np.maximum(high - low, 0.0)
    overlap /= overlap.sum(axis=1, keepdims=True)
    return overlap


def bin_centers(delta: Floats, first_shell: float, width: float) -> Floats:
    """Return the centers, (R,), Å, of the bins of bond length of a width that cover a series; at least 2."""
    half = series_step(delta) / 2
    low = first_shell + delta[0] - half
    count = max(2, int(np.ceil((delta[-1] - delta[0] + 2 * half) / width - 1e-9)))
    return np.asarray(low + width * (np.arange(count) + 0.5), dtype=np.float64)


def particle_averages(spectra: Floats, steps: Floats, multiplicity: Floats, present: Booleans) -> Floats:
    """Average the spectra of each structure's absorbers, then normalize once.

    Parameters
    ----------
    spectra : ndarray of float64, shape (n, B, M)
        Spectra of the absorbers on the mesh, not normalized; anything where absent.
    steps : ndarray of float64, shape (n, B)
        Their edge steps; ones where FEFF has normalized the spectra.
    multiplicity : ndarray of float64, shape (B,)
        How much each absorber counts.
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


def _cdf_table() -> Singles:
    nodes = np.arange(-_TABLE_END, _TABLE_END + 2 / _TABLE_PER_UNIT, 1 / _TABLE_PER_UNIT)
    return np.asarray(ndtr(nodes), dtype=np.float32)


def _tabulated(u: Singles, table: Singles) -> Singles:
    """Return Φ(u) within 6e-8, linear between the entries of the table; a fifth of the time of `ndtr`."""
    place = np.clip(u, -_TABLE_END, _TABLE_END)
    place += np.float32(_TABLE_END)
    place *= np.float32(_TABLE_PER_UNIT)
    index = place.astype(np.int32)
    place -= index
    left = table[index]
    right = table[index + 1]
    right -= left
    right *= place
    left += right
    return left
