"""The distorted series, its averages, and how smooth it is in δ."""

from __future__ import annotations

from dataclasses import dataclass

import h5py
import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtri

from xanesml.averages.distributions import series_step, skew_normal_weights, weighted_moments
from xanesml.campaign import AveragingSection
from xanesml.errors import StoreError
from xanesml.files.arrays import Floats, Indices
from xanesml.files.notebook import Card, Entry
from xanesml.structures.bonds import shares_in_series

#: A distortion with more than this many times the series' median roughness is an outlier.
OUTLIER = 3.0

#: Degree of the polynomials that smooth.
SMOOTHING_DEGREE = 3

#: Largest mass outside the series of a Gaussian of given MSD.
TRUNCATED = AveragingSection().truncation_limit


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Series(Card):
    """The distorted series on the common mesh. No array holds NaN.

    Attributes
    ----------
    energy : ndarray of float64, shape (M,)
        Photon energies of the mesh, eV.
    delta : ndarray of float64, shape (D,)
        Shifts of the first shell, ascending, Å.
    mu : ndarray of float64, shape (D, M)
        Spectra, not normalized.
    edge_step : ndarray of float64, shape (D,)
        Their edge steps; ones where FEFF has normalized the spectra.
    r : ndarray of float64, shape (R,)
        Centers of the bins of bond length, Å.
    first_shell : float
        Length of the undistorted first shell, from which δ is measured, Å.
    """

    energy: Floats
    delta: Floats
    mu: Floats
    edge_step: Floats
    r: Floats
    first_shell: float

    @classmethod
    def read(cls, file: h5py.File) -> Series:
        """Read the series of an open tensor file."""
        return cls(
            energy=file["mesh/energy"][:],
            delta=file["series/delta"][:],
            mu=file["series/mu"][:],
            edge_step=file["series/edge_step"][:],
            r=file["mesh/r"][:],
            first_shell=float(file.attrs["first_shell"]),
        )

    def card(self) -> tuple[str, list[Entry]]:
        """Return what is printed: the range of δ and of the mesh."""
        delta, energy = self.delta, self.energy
        reach = f", δ = {delta[0]:+.2f} … {delta[-1]:+.2f} Å" if len(delta) else ""
        return f"Series of {len(delta)} distorted spectra{reach}", [
            ("mesh", f"{len(energy)} energies, {energy[0]:.1f} … {energy[-1]:.1f} eV"),
            ("first shell", f"{self.first_shell:.3f} Å, undistorted"),
        ]

    @property
    def normalized(self) -> Floats:
        """The spectra divided by their edge steps, shape (D, M)."""
        return self.mu / self.edge_step[:, np.newaxis]

    def average(self, weights: ArrayLike | None = None, *, msd: float | None = None, mean_shift: float = 0.0) -> Floats:
        """Average the spectra, then normalize once: Σ w μ / Σ w s with the edge steps s.

        Parameters
        ----------
        weights : array_like, shape (D,) or (n, D), optional
            Weights of the distortions; only their ratios count.
        msd : float, optional
            Instead of weights: the MSD of a Gaussian, Å². See `gaussian`.
        mean_shift : float, optional
            Center of that Gaussian, Å.

        Returns
        -------
        ndarray of float64, shape (M,) or (n, M)
            Normalized spectra.

        Raises
        ------
        ValueError
            If not exactly one of `weights` and `msd` is given, if weights have another shape, are not
            finite or have a sum that is not positive, or if the series cannot hold the Gaussian.
        StoreError
            If `msd` is given and the series is not evenly spaced.
        """
        if (weights is None) == (msd is None):
            raise ValueError("give either weights, or the MSD of a Gaussian")
        given = self.gaussian(msd, mean_shift) if msd is not None else np.asarray(weights, dtype=np.float64)
        count = len(self.delta)
        if given.ndim not in (1, 2) or given.shape[-1] != count:
            raise ValueError(f"the weights have shape {given.shape}; give ({count},) or (n, {count})")
        if not (np.isfinite(given).all() and (given.sum(axis=-1) > 0).all()):
            raise ValueError("the weights of an average have to be finite and their sum positive")
        return np.asarray(given @ self.mu / (given @ self.edge_step)[..., np.newaxis], dtype=np.float64)

    def gaussian(self, msd: float, mean_shift: float = 0.0, *, truncated: float = TRUNCATED) -> Floats:
        """Return the weights of the Gaussian whose label is a given MSD.

        The label is the MSD of the weights on the shifts of this series, as in the tensor file. It
        differs from σ² where σ is close to the step of the series or the series cuts the Gaussian off.

        Parameters
        ----------
        msd : float
            Σ w (δ − m)² with m = Σ w δ, Å².
        mean_shift : float
            Center of the Gaussian, Å.
        truncated : float, optional
            Largest mass of the Gaussian that may lie outside the series, below 1.

        Returns
        -------
        ndarray of float64, shape (D,)
            Weights of sum 1.

        Raises
        ------
        ValueError
            If the series cannot hold the Gaussian: σ would be below half a step, or more than `truncated`
            of the Gaussian might lie outside. The message names the smallest and the largest MSD.
        StoreError
            If the series is not evenly spaced.
        """
        scale = self.gaussian_scale(msd, mean_shift, truncated=truncated)
        return self._gaussian(scale, mean_shift)

    def gaussian_scale(self, msd: float, mean_shift: float = 0.0, *, truncated: float = TRUNCATED) -> float:
        """Return the scale σ, Å, of the Gaussian whose label is a given MSD; see `gaussian`."""
        from scipy.optimize import brentq  # noqa: PLC0415 (slow to import, and rarely needed)

        def label(scale: float) -> float:
            return float(weighted_moments(self._gaussian(scale, mean_shift)[np.newaxis], self.delta).msd[0])

        step = series_step(self.delta)
        reach = min(mean_shift - self.delta[0], self.delta[-1] - mean_shift)
        narrow, wide = step / 2, float(reach / -ndtri(truncated / 2))
        on = f"about {mean_shift:g} Å on a series of {self.delta[0]:g} to {self.delta[-1]:g} Å in steps of {step:g} Å"
        if not narrow < wide:
            raise ValueError(f"no Gaussian fits {on}; give a mean shift farther from its ends")
        smallest, largest = label(narrow), label(wide)
        if not smallest <= msd <= largest:
            raise ValueError(
                f"an MSD of {msd:g} Å² cannot be had {on}; give {smallest:.3g} to {largest:.3g} Å², "
                "or another mean shift"
            )
        return float(brentq(lambda scale: label(scale) - msd, narrow, wide, xtol=1e-15))

    def _gaussian(self, scale: float, mean_shift: float) -> Floats:
        of_one = skew_normal_weights(self.delta, np.array([mean_shift]), np.array([scale]), np.zeros(1))
        return np.asarray(of_one[0], dtype=np.float64)

    @property
    def has_undistorted(self) -> bool:
        """Whether δ = 0 lies within the series."""
        return len(self.delta) > 1 and bool(self.delta[0] <= 0 <= self.delta[-1])

    def undistorted(self) -> Floats:
        """Return the normalized spectrum at δ = 0, shape (M,), linear in δ between two distortions.

        Raises
        ------
        StoreError
            If δ = 0 lies outside the series.
        """
        if not self.has_undistorted:
            reach = f"reaches from {self.delta[0]:g} to {self.delta[-1]:g} Å" if len(self.delta) else "is empty"
            raise StoreError(
                f"the distorted series {reach} and has no undistorted spectrum; "
                "let distortion.minimum and distortion.maximum span 0"
            )
        weights, _ = shares_in_series(np.zeros((1, 1)), np.ones(1), self.delta)
        return self.average(weights[0])


def roughness(normalized: Floats) -> Floats:
    """Return the largest second difference of every spectrum of a series along δ.

    FEFF's radial grids change with the muffin-tin radii, and shells cross fixed radii, so
    that a series is not perfectly smooth in δ. Averages inherit its jumps as errors.

    Parameters
    ----------
    normalized : ndarray of float64, shape (D, M)
        Spectra at evenly spaced δ, edge steps.

    Returns
    -------
    ndarray of float64, shape (D,)
        Largest |μ(δ − h) − 2μ(δ) + μ(δ + h)| over energy, edge steps; NaN at both ends.
    """
    rough = np.full(len(normalized), np.nan)
    if len(normalized) > 2:
        rough[1:-1] = np.abs(np.diff(normalized, 2, axis=0)).max(axis=1)
    return rough


def outliers(rough: Floats) -> Indices:
    """Return the indices, ascending, at which the roughness, (D,), is above `OUTLIER` times its median."""
    inner = rough[1:-1]
    if not len(inner):
        return np.empty(0, np.intp)
    return 1 + np.flatnonzero(inner > OUTLIER * np.median(inner))


def smoothed(values: Floats, window: int) -> Floats:
    """Smooth along δ by cubics fitted in a moving window.

    Parameters
    ----------
    values : ndarray of float64, shape (D, ...)
        Spectra or edge steps at evenly spaced δ.
    window : int
        Points of the window, odd, at least 5 and at most D; 0 leaves the values as they are.

    Returns
    -------
    ndarray of float64, shape (D, ...)
        Smoothed values; cubics in δ are left unchanged, at the ends too.

    References
    ----------
    A. Savitzky and M. J. E. Golay, Anal. Chem. 36, 1627 (1964).
    """
    if not window:
        return values
    from scipy.signal import savgol_filter  # noqa: PLC0415 (slow to import, and rarely asked for)

    return np.asarray(savgol_filter(values, window, SMOOTHING_DEGREE, axis=0, mode="interp"), dtype=np.float64)
