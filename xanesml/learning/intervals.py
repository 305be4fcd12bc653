"""Conformal prediction intervals around an ensemble's answer."""

from __future__ import annotations

import numpy as np
from pydantic.dataclasses import dataclass

from xanesml.files.arrays import Floats
from xanesml.files.records import RECORD


@dataclass(frozen=True, config=RECORD)
class Interval:
    """A split conformal interval, scaled by the spread of an ensemble.

    An answer m of networks with the standard deviation s becomes m ± q √(s² + f²). q is the
    quantile of |y − m| / √(s² + f²) on held-out spectra, so that the interval of a further such
    spectrum holds its label y with at least the requested confidence, however good the networks
    are. Particle averages are simulated in another way than the training spectra; if there are
    enough of them, q is determined on them too. A measured spectrum gets the larger of the two.

    Attributes
    ----------
    confidence : float
        Share of labels that must lie inside.
    floor : float
        f, the median spread on the held-out spectra, Å².
    quantile : float
        q on held-out statistical averages.
    count : int
        Number of held-out statistical averages.
    particle_quantile : float or None
        q on held-out particle averages; None if there are too few.
    particle_count : int
        Number of held-out particle averages.

    References
    ----------
    J. Lei, M. G'Sell, A. Rinaldo, R. J. Tibshirani, L. Wasserman, Distribution-free predictive
    inference for regression, J. Am. Stat. Assoc. 113, 1094 (2018), section 5.2.
    """

    confidence: float
    floor: float
    quantile: float
    count: int
    particle_quantile: float | None = None
    particle_count: int = 0

    @classmethod
    def fit(cls, confidence: float, *, held_out: tuple[Floats, Floats], particles: tuple[Floats, Floats]) -> Interval:
        """Calibrate an interval.

        Parameters
        ----------
        confidence : float
            Share of labels that must lie inside.
        held_out : (ndarray, ndarray)
            Absolute residuals and spreads on held-out statistical averages, each of shape (n,), Å², n > 0.
        particles : (ndarray, ndarray)
            The same on held-out particle averages; may be empty.
        """
        residuals, spreads = held_out
        # A single network has no spread; all intervals are then equally wide.
        floor = float(np.median(spreads)) or float(np.median(residuals)) or 1.0
        scores = residuals / np.hypot(spreads, floor)
        quantile = conformal_quantile(scores, confidence)
        more = conformal_quantile(particles[0] / np.hypot(particles[1], floor), confidence)
        return cls(
            confidence=confidence,
            floor=floor,
            # Too few spectra for the confidence: the largest error is the best estimate.
            quantile=float(scores.max()) if quantile is None else quantile,
            count=len(scores),
            particle_quantile=more,
            particle_count=len(particles[0]),
        )

    def half_width(self, spread: Floats, *, statistical: bool = False) -> Floats:
        """Return half the width of each interval, shape (n,), Å².

        Parameters
        ----------
        spread : ndarray of float64, shape (n,)
            Standard deviations over the networks, Å².
        statistical : bool, optional
            Whether the spectra are statistical averages, for which the quantile on particle averages is ignored.
        """
        quantile = self.quantile if statistical else max(self.quantile, self.particle_quantile or 0.0)
        return np.asarray(quantile * np.hypot(spread, self.floor), dtype=np.float64)


def conformal_quantile(scores: Floats, confidence: float) -> float | None:
    """Return the score that the next score exceeds with a probability of at most 1 − confidence.

    Of n exchangeable scores, shape (n,), no NaN, it is the ⌈(n + 1) confidence⌉-th smallest; None if there are fewer.
    """
    rank = int(np.ceil(round((len(scores) + 1) * confidence, 9)))
    return float(np.sort(scores)[rank - 1]) if 0 < rank <= len(scores) else None
