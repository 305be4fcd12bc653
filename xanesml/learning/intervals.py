"""Conformal prediction intervals around an ensemble's answer."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from pydantic.dataclasses import dataclass

from xanesml.files.arrays import Floats, Wholes
from xanesml.files.records import RECORD


class Judged(NamedTuple):
    """Answers to held-out spectra beside their labels, each of shape (n,), no NaN.

    Attributes
    ----------
    msd, spread, label : ndarray of float64
        Answers, their standard deviations over the networks, and the true values, Å², none negative.
    cluster : ndarray of int
        The family of weights or the structure that each spectrum is of. Spectra of one cluster resemble each
        other; clusters are exchangeable.
    """

    msd: Floats
    spread: Floats
    label: Floats
    cluster: Wholes

    def scores(self, floor: float) -> Floats:
        """Return |y − m| / √(s² + f²), shape (n,)."""
        return np.asarray(np.abs(self.msd - self.label) / np.hypot(self.spread, floor), dtype=np.float64)


@dataclass(frozen=True, config=RECORD)
class Interval:
    """A split conformal interval, scaled by the spread of an ensemble, with clusters as its unit.

    An answer m of networks with the standard deviation s gets the interval from m − q √(s² + f²), but not
    below 0, to m + q √(s² + f²): a mean squared displacement is not negative, so what is cut off holds no
    label. q is a quantile of the scores |y − m| / √(s² + f²) over calibration clusters, in which every cluster
    has the same weight: the interval of a spectrum of a further cluster holds its label y with at least the
    requested confidence, however good the networks are and however alike the spectra of a cluster. Particle
    averages are simulated in another way than the training spectra; if there are enough of them, q is
    determined on them too. A measured spectrum gets the larger of the two.

    Attributes
    ----------
    confidence : float
        Share of labels that must lie inside.
    floor : float
        f, the median spread on the validation split, Å².
    quantile : float
        q on the calibration families.
    families : int
        Number of calibration families.
    particle_quantile : float or None
        q on the calibration structures; None if there are too few.
    structures : int
        Number of calibration structures.

    References
    ----------
    J. Lei, M. G'Sell, A. Rinaldo, R. J. Tibshirani, L. Wasserman, Distribution-free predictive
    inference for regression, J. Am. Stat. Assoc. 113, 1094 (2018), section 5.2: scores scaled by a spread.

    Y. Lee, R. F. Barber, R. Willett, Distribution-free inference with hierarchical data, arXiv:2306.06342
    (2023): hierarchical conformal prediction, the quantile over clusters.
    """

    confidence: float
    floor: float
    quantile: float
    families: int
    particle_quantile: float | None = None
    structures: int = 0

    @classmethod
    def fit(cls, confidence: float, *, validation: Judged, calibration: Judged, particles: Judged) -> Interval:
        """Calibrate an interval.

        Parameters
        ----------
        confidence : float
            Share of labels that must lie inside.
        validation : Judged
            Statistical averages that f is taken from; n > 0.
        calibration : Judged
            Statistical averages of other families, for q; n > 0.
        particles : Judged
            Particle averages for q; may be empty.
        """
        # A single network has no spread; all intervals are then equally wide.
        residuals = np.abs(validation.msd - validation.label)
        floor = float(np.median(validation.spread)) or float(np.median(residuals)) or 1.0
        scores = calibration.scores(floor)
        quantile = conformal_quantile(scores, confidence, calibration.cluster)
        return cls(
            confidence=confidence,
            floor=floor,
            # Too few families for the confidence: the largest error is the best estimate.
            quantile=float(scores.max()) if quantile is None else quantile,
            families=np.unique(calibration.cluster).size,
            particle_quantile=conformal_quantile(particles.scores(floor), confidence, particles.cluster),
            structures=np.unique(particles.cluster).size,
        )

    @property
    def sufficient(self) -> bool:
        """Whether there were enough families for the confidence; else the interval is that of the largest error."""
        return suffice(self.families, self.confidence)

    def half_width(self, spread: Floats, *, statistical: bool = False) -> Floats:
        """Return half the width of each interval, before it ends at 0, shape (n,), Å².

        Parameters
        ----------
        spread : ndarray of float64, shape (n,)
            Standard deviations over the networks, Å².
        statistical : bool, optional
            Whether the spectra are statistical averages, for which the quantile on particle averages is ignored.
        """
        quantile = self.quantile if statistical else max(self.quantile, self.particle_quantile or 0.0)
        return np.asarray(quantile * np.hypot(spread, self.floor), dtype=np.float64)

    def coverage(self, judged: Judged, *, statistical: bool = False) -> float:
        """Return the share of labels inside their intervals, over clusters of equal weight; NaN without spectra."""
        inside = np.abs(judged.msd - judged.label) <= self.half_width(judged.spread, statistical=statistical)
        return mean_over_clusters(inside, judged.cluster)


def ends(msd: Floats, half_width: Floats) -> tuple[Floats, Floats]:
    """Return the ends of intervals about answers, shape (n,), Å²: no mean squared displacement is negative."""
    return np.maximum(msd - half_width, 0.0), msd + half_width


def suffice(clusters: int, confidence: float) -> bool:
    """Whether so many clusters can give a quantile of this confidence."""
    return round(clusters - (clusters + 1) * confidence, 9) >= 0


def conformal_quantile(scores: Floats, confidence: float, cluster: Wholes) -> float | None:
    """Return the score that a score of a further cluster exceeds with a probability of at most 1 − confidence.

    With K exchangeable clusters, cluster k has the weight 1/(K + 1), shared evenly by its n_k scores, and the
    further one the same at infinity. The smallest score counts at which the weights reach the confidence.

    Parameters
    ----------
    scores : ndarray of float64, shape (n,)
        The scores, no NaN; n may be 0.
    confidence : float
        From 0 to 1.
    cluster : ndarray of int, shape (n,)
        The cluster of each score.

    Returns
    -------
    float or None
        The quantile; None if there are too few clusters.
    """
    _, place, sizes = np.unique(cluster, return_inverse=True, return_counts=True)
    if not len(scores) or not suffice(len(sizes), confidence):
        return None
    order = np.argsort(scores)
    reached = np.cumsum(1 / ((len(sizes) + 1) * sizes[place[order]]))
    first = int(np.searchsorted(reached, confidence - 1e-9))
    return float(scores[order[min(first, len(scores) - 1)]])


def mean_over_clusters(values: Floats, cluster: Wholes) -> float:
    """Return the mean over clusters of the means of their values, each of shape (n,); NaN where n is 0."""
    if not len(values):
        return float("nan")
    _, place, sizes = np.unique(cluster, return_inverse=True, return_counts=True)
    return float(np.mean(np.bincount(place, weights=values) / sizes))
