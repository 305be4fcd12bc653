"""The scaling between spectra in edge steps, labels in their units, and what the network sees."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from xanesml.errors import StoreError
from xanesml.files.arrays import Floats, Reals, Singles

#: Labels that are scaled to their range; the distribution of bond lengths is left as it is.
SCALED_LABELS = ("msd", "mean_shift", "skewness")


@dataclass(frozen=True)
class Scaling:
    """The transforms between spectra and labels and what the network sees.

    Attributes
    ----------
    feature_mean, feature_scale : ndarray
        Mean and standard deviation of the training spectra, shape (M,), float64, edge steps.
    ranges : dict of str to (float, float)
        Smallest and largest training label by name: msd, Å², mean_shift, Å, and skewness.
    """

    feature_mean: Floats
    feature_scale: Floats
    ranges: dict[str, tuple[float, float]]

    @classmethod
    def fit(cls, sums: FeatureSums, labels: dict[str, Floats], *, noise: float) -> Scaling:
        """Take the scaling from the training split.

        Parameters
        ----------
        sums : FeatureSums
            Of the training spectra without errors of a measurement, edge steps.
        labels : dict of str to ndarray
            Training labels by name, each of shape (n,).
        noise : float
            Standard deviation of the noise that training adds, edge steps. Its variance
            is added to that of the spectra: where the spectra hardly differ, before the
            edge, noise would otherwise be blown up to many standard deviations.

        Returns
        -------
        Scaling
            With a feature scale of 1 wherever a feature is constant.

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

    def to_dict(self) -> dict[str, Any]:
        """Return the numbers as JSON can hold them, without loss."""
        return {
            "feature_mean": self.feature_mean.tolist(),
            "feature_scale": self.feature_scale.tolist(),
            "ranges": {name: list(limits) for name, limits in self.ranges.items()},
        }

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> Scaling:
        """Return the scaling that `to_dict` described."""
        return cls(
            feature_mean=np.asarray(content["feature_mean"], dtype=np.float64),
            feature_scale=np.asarray(content["feature_scale"], dtype=np.float64),
            ranges={name: (float(low), float(high)) for name, (low, high) in content["ranges"].items()},
        )


@dataclass(frozen=True)
class FeatureSums:
    """Sums over spectra from which their mean and standard deviation follow; those of disjoint sets add up.

    Attributes
    ----------
    center : ndarray
        What is subtracted from every spectrum, shape (M,), so that no digits are lost; the same in all that are added.
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
