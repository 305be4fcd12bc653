r"""Labels of samples from their differences from a reference, as conditional means of normal distributions.

Mixtures s of a pool and mixtures r that may be the reference give differences of spectra x = μ_s − μ_r and of labels
y = y_s − y_r, with means and covariances. To those of the spectra come the errors of a measurement:

    x_measured = (1 + g) ∘ x + a μ_r + b (E − E₀) + c + d μ_r' + ε

with a smooth g, what theory gets wrong of a difference, the same for all samples of a session; errors of gain a,
slope b, offset c and shift d; and noise ε. Given x, and y of samples whose labels are known, the labels of the others
are normal:  ŷ = E y + Σ_yx Σ_xx⁻¹ (x − E x), and Σ_yy − Σ_yx Σ_xx⁻¹ Σ_xy what is not known of them. The reference's own
mixture and g are common to all samples, so a second sample of known disorder tells of both.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from xanesml.files.arrays import Floats

#: Added to a covariance's diagonal, shares of its mean: what rounding needs.
_RIDGE = 1e-12


@dataclass(frozen=True)
class Moments:
    """Means and covariances of features x, (m,), and labels y, (3,), of mixtures.

    Attributes
    ----------
    x, y : ndarray, shape (m,) and (3,)
        Means.
    xx, yx, yy : ndarray, shape (m, m), (3, m) and (3, 3)
        Covariances.
    """

    x: Floats
    y: Floats
    xx: Floats
    yx: Floats
    yy: Floats

    @classmethod
    def of(cls, features: Floats, labels: Floats, weights: Floats) -> Moments:
        """Return those of mixtures, (n, m) and (n, 3), with weights (n,)."""
        weights = weights / weights.sum()
        x, y = weights @ features, weights @ labels
        dx, dy = features - x, labels - y
        scaled = dx * weights[:, np.newaxis]
        return cls(x, y, dx.T @ scaled, dy.T @ scaled, dy.T @ (dy * weights[:, np.newaxis]))


def smooth(energy: Floats, length: float) -> Floats:
    """Return the correlation of a smooth function at energies, (m,), eV: (m, m)."""
    return np.asarray(np.exp(-0.5 * ((energy[:, np.newaxis] - energy) / length) ** 2))


@dataclass(frozen=True)
class Conditioned:
    """What is known of samples once their spectra are.

    Attributes
    ----------
    mean : ndarray, shape (S, 3)
        Differences of labels from the reference's.
    covariance : ndarray, shape (S, 3, S, 3)
        Of what is not known of them.
    signal : ndarray, shape (S, m, S, m)
        Second moments of the differences that theory would have without its error.
    """

    mean: Floats
    covariance: Floats
    signal: Floats


def conditioned(
    measured: Floats,
    sample: Moments,
    reference: Moments,
    known: Floats,
    known_error: Floats,
    *,
    noise: Floats,
    theory: Floats,
    shown: Floats | None = None,
    signal: Floats | None = None,
) -> Conditioned:
    """Condition the labels of samples on their spectra and on what is known of some.

    Parameters
    ----------
    measured : ndarray, shape (S, m)
        Differences of the samples' features from the reference's.
    sample, reference : Moments
        Of mixtures that samples and the reference may be.
    known, known_error : ndarray, shape (S,)
        Difference of a sample's MSD from the reference's and its standard uncertainty, Å²; NaN if it is not known.
    noise : ndarray, shape (m, m)
        Covariance of the errors of a measurement.
    theory : ndarray, shape (m, m)
        Covariance of the relative error of theory. It multiplies a difference that is not known itself.
    shown : ndarray, shape (S · m, S · m), optional
        Covariance of the noise that the spectra themselves show.
    signal : ndarray, shape (S, m, S, m), optional
        Second moments of that difference, from a call before. Default: those of the mixtures.

    Returns
    -------
    Conditioned
        Means and covariances.
    """
    count, size = measured.shape
    own = np.eye(count)
    # Every difference has the reference in common.
    xx = _spread(sample.xx, own) + _spread(reference.xx, np.ones((count, count)))
    yx = _spread(sample.yx, own) + _spread(reference.yx, np.ones((count, count)))
    yy = _spread(sample.yy, own) + _spread(reference.yy, np.ones((count, count)))
    x, y = np.tile(sample.x - reference.x, count), np.tile(sample.y - reference.y, count)
    if signal is None:
        signal = (xx + np.outer(x, x)).reshape(count, size, count, size)
    errors = np.tile(theory, (count, count)) * signal.reshape(count * size, -1) + _spread(noise / 2, own + 1)
    if shown is not None:
        errors = errors + shown

    rows = np.flatnonzero(np.isfinite(known))
    picked = 3 * rows
    observed = np.block(
        [[xx + errors, yx[picked].T], [yx[picked], yy[np.ix_(picked, picked)] + np.diag(known_error[rows] ** 2)]]
    )
    factor = cho_factor(observed + _RIDGE * np.trace(observed) / len(observed) * np.eye(len(observed)))
    away = np.concatenate((measured.ravel() - x, known[rows] - y[picked]))
    of_labels = np.concatenate((yx, yy[:, picked]), axis=1)
    of_signal = np.concatenate((xx, yx[picked].T), axis=1)
    mean = y + of_labels @ cho_solve(factor, away)
    expected = x + of_signal @ cho_solve(factor, away)
    left = xx - of_signal @ cho_solve(factor, of_signal.T)
    return Conditioned(
        mean.reshape(count, 3),
        (yy - of_labels @ cho_solve(factor, of_labels.T)).reshape(count, 3, count, 3),
        (left + np.outer(expected, expected)).reshape(count, size, count, size),
    )


def _spread(block: Floats, shares: Floats) -> Floats:
    """Return a matrix of blocks, (S · a, S · b), each a share of one block, (a, b)."""
    return np.asarray(np.kron(shares, block))
