"""Scaling of spectra and labels to the features and targets of the network."""

from __future__ import annotations

import dataclasses

import numpy as np
from pydantic.dataclasses import dataclass

from xanesml.errors import StoreError
from xanesml.files.arrays import Floats, Reals, Singles
from xanesml.files.records import RECORD, FloatArray

#: Labels that are scaled to their range; the distribution of bond lengths is not scaled.
SCALED_LABELS = ("msd", "mean_shift", "skewness")


@dataclass(frozen=True, config=RECORD)
class Scaling:
    """Scaling of spectra to z-scores and of labels to their range.

    Attributes
    ----------
    feature_mean, feature_scale : ndarray
        Mean and standard deviation of the training spectra, shape (M,), float64, edge steps.
    ranges : dict of str to (float, float)
        Smallest and largest training label by name: msd, Å², mean_shift, Å, and skewness.
    """

    feature_mean: FloatArray
    feature_scale: FloatArray
    ranges: dict[str, tuple[float, float]]

    @classmethod
    def fit(cls, sums: FeatureSums, labels: dict[str, Floats], *, noise: float) -> Scaling:
        """Fit the scaling to the training split.

        Parameters
        ----------
        sums : FeatureSums
            Sums over the training spectra without errors of measurement, edge steps.
        labels : dict of str to ndarray
            Training labels by name, each of shape (n,).
        noise : float
            Standard deviation of the noise that training adds, edge steps. Its variance
            is added to the variance of the spectra. Otherwise noise would become many
            standard deviations before the edge, where the spectra hardly differ.

        Returns
        -------
        Scaling
            The feature scale is 1 where a feature is constant.

        Raises
        ------
        StoreError
            If all labels of a name are equal.
        """
        ranges = {name: (float(values.min()), float(values.max())) for name, values in labels.items()}
        for name, (low, high) in ranges.items():
            if high <= low:
                raise StoreError(
                    f"all {labels[name].size} training labels {name} are {low}; widen averaging.sigma, location and "
                    "alpha and run `xanesml average`, or leave the label out of training.heads"
                )
        mean, deviation = sums.mean_and_deviation()
        scale = np.hypot(deviation, noise)
        # A constant float32 column can have a standard deviation of a rounding error.
        constant = scale <= np.finfo(np.float32).eps * np.abs(mean)
        return cls(mean, np.where(constant, 1.0, scale), ranges)

    def scale_features(self, spectra: Reals) -> Singles:
        """Return z-scores, shape (n, M), float32, of spectra on the same mesh, edge steps."""
        return ((spectra - self.feature_mean) / self.feature_scale).astype(np.float32)

    def scale_labels(self, labels: Floats, name: str = "msd") -> Singles:
        """Return z = (y − min)/(max − min), shape (n,), float32, of labels y in their unit."""
        low, high = self.ranges[name]
        return ((labels - low) / (high - low)).astype(np.float32)

    def unscale_labels(self, scaled: Reals, name: str = "msd") -> Floats:
        """Return y = z(max − min) + min, shape (n,), float64, in the label's unit, of scaled labels z."""
        low, high = self.ranges[name]
        return scaled.astype(np.float64) * (high - low) + low


@dataclasses.dataclass(frozen=True)
class FeatureSums:
    """Sums over spectra that give their mean and standard deviation; the sums of disjoint sets add up.

    Attributes
    ----------
    center : ndarray
        Subtracted from every spectrum so that no digits are lost, shape (M,); the same for all sets that are added.
    sums : ndarray
        Number of spectra, their sum and the sum of their squares, one after the other, shape (1 + 2 M,).
    """

    center: Floats
    sums: Floats

    @classmethod
    def of(cls, spectra: Singles, center: Floats) -> FeatureSums:
        """Sum over spectra, shape (n, M), edge steps, no NaN; n may be 0."""
        shifted = spectra - center
        return cls(center, np.concatenate([[len(spectra)], shifted.sum(axis=0), np.square(shifted).sum(axis=0)]))

    def mean_and_deviation(self) -> tuple[Floats, Floats]:
        """Return the mean and the standard deviation, each of shape (M,), edge steps."""
        first, second = np.split(self.sums[1:] / self.sums[0], 2)
        return self.center + first, np.sqrt(np.maximum(second - first**2, 0.0))


def distances(features: Reals) -> Floats:
    """Return the distance of scaled spectra, (n, M), from the training spectra: their root mean square, shape (n,)."""
    return np.asarray(np.sqrt(np.mean(np.square(features, dtype=np.float64), axis=1)))
