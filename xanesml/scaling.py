"""The scaling between spectra in edge steps, labels in Å², and what the network sees."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xanesml.errors import StoreError

Floats = NDArray[np.float64]
Spectra = NDArray[np.float32]


@dataclass(frozen=True)
class Scaling:
    """The transforms between spectra and labels and what the network sees.

    Attributes
    ----------
    feature_mean, feature_scale : ndarray
        Mean and standard deviation of the training spectra, shape (M,), float64, edge steps.
    label_minimum, label_maximum : float
        Range of the training labels, Å².
    """

    feature_mean: Floats
    feature_scale: Floats
    label_minimum: float
    label_maximum: float

    @classmethod
    def fit(cls, spectra: Spectra, labels: Floats, *, noise: float) -> Scaling:
        """Take the scaling from the training split.

        Parameters
        ----------
        spectra : ndarray
            Training spectra without noise, shape (n, M), edge steps, no NaN.
        labels : ndarray
            Training labels, shape (n,), Å².
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
            If all labels are equal.
        """
        minimum, maximum = float(labels.min()), float(labels.max())
        if maximum <= minimum:
            raise StoreError(
                f"all {labels.size} training labels are {minimum} Å²; widen averaging.sigma and run `xanesml average`"
            )
        mean = spectra.mean(axis=0, dtype=np.float64)
        scale = np.hypot(spectra.std(axis=0, dtype=np.float64), noise)
        # A constant float32 column can have a standard deviation of a rounding error.
        constant = scale <= np.finfo(np.float32).eps * np.abs(mean)
        return cls(mean, np.where(constant, 1.0, scale), minimum, maximum)

    def scale_features(self, spectra: NDArray[np.floating[Any]]) -> Spectra:
        """Return z-scores, shape (n, M), float32, of spectra on the same mesh, edge steps."""
        return ((spectra - self.feature_mean) / self.feature_scale).astype(np.float32)

    def scale_labels(self, labels: Floats) -> Spectra:
        """Return z = (y − min)/(max − min), shape (n,), float32, of labels y, Å²."""
        return ((labels - self.label_minimum) / (self.label_maximum - self.label_minimum)).astype(np.float32)

    def unscale_labels(self, scaled: NDArray[np.floating[Any]]) -> Floats:
        """Return y = z(max − min) + min, shape (n,), float64, Å², of scaled labels z."""
        return scaled.astype(np.float64) * (self.label_maximum - self.label_minimum) + self.label_minimum

    def to_dict(self) -> dict[str, Any]:
        """Return the numbers as JSON can hold them, without loss."""
        return {
            "feature_mean": self.feature_mean.tolist(),
            "feature_scale": self.feature_scale.tolist(),
            "label_minimum": self.label_minimum,
            "label_maximum": self.label_maximum,
        }

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> Scaling:
        """Return the scaling that `to_dict` described."""
        return cls(
            feature_mean=np.asarray(content["feature_mean"], dtype=np.float64),
            feature_scale=np.asarray(content["feature_scale"], dtype=np.float64),
            label_minimum=float(content["label_minimum"]),
            label_maximum=float(content["label_maximum"]),
        )
