"""Skew-normal distributions of the first-shell shift: drawn, weighed on the series, and their moments."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import log_ndtr, ndtr, owens_t
from scipy.stats import qmc

from xanesml.campaign import AveragingSection
from xanesml.errors import CampaignError, StoreError

#: Blocks of candidate families drawn before `draw_distributions` gives up.
MOST_BLOCKS = 16

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Distributions:
    """Skew-normal distributions of the first-shell shift.

    Attributes
    ----------
    family : ndarray of int32, shape (N,)
        Index of the shape (σ, α).
    location, scale : ndarray of float64, shape (N,)
        Location μ and scale σ, Å.
    alpha : ndarray of float64, shape (N,)
        Shape α.
    truncated : ndarray of float64, shape (N,)
        Mass outside the series.
    """

    family: NDArray[np.int32]
    location: Floats
    scale: Floats
    alpha: Floats
    truncated: Floats


@dataclass(frozen=True)
class Moments:
    """Moments of weights over the series, the labels.

    Attributes
    ----------
    mean_shift : ndarray of float64, shape (N,)
        m = Σ w_i δ_i, Å.
    msd : ndarray of float64, shape (N,)
        Σ w_i (δ_i − m)², Å².
    skewness : ndarray of float64, shape (N,)
        Σ w_i (δ_i − m)³ / msd^(3/2); NaN where the MSD is 0.
    """

    mean_shift: Floats
    msd: Floats
    skewness: Floats


def skew_normal_weights(delta: Floats, location: Floats, scale: Floats, alpha: Floats) -> Floats:
    """Weigh the series by skew-normal distributions.

    Parameters
    ----------
    delta : ndarray of float64, shape (D,)
        Shifts of the series, evenly spaced, Å.
    location, scale : ndarray of float64, shape (N,)
        Location μ and scale σ > 0, Å.
    alpha : ndarray of float64, shape (N,)
        Shape α; 0 is the Gaussian.

    Returns
    -------
    ndarray of float64, shape (N, D)
        w_i ∝ 2φ(z_i)Φ(αz_i)/σ with z_i = (δ_i − μ)/σ; rows sum to 1.

    Raises
    ------
    StoreError
        If the series is not evenly spaced, so that densities are no weights.

    References
    ----------
    A. Azzalini, A class of distributions which includes the normal ones, Scand. J. Stat.
    12, 171 (1985).
    """
    _step_of(delta)
    z = (delta - location[:, np.newaxis]) / scale[:, np.newaxis]
    # In logarithms, so that distributions far outside the series still sum to 1.
    logarithm = log_ndtr(alpha[:, np.newaxis] * z) - 0.5 * z**2
    weights: Floats = np.exp(logarithm - logarithm.max(axis=1, keepdims=True))
    weights /= weights.sum(axis=1, keepdims=True)
    return weights


def truncated_mass(delta: Floats, location: ArrayLike, scale: ArrayLike, alpha: ArrayLike) -> Floats:
    """Return the mass of skew-normal distributions outside the series.

    Parameters
    ----------
    delta : ndarray of float64, shape (D,)
        Shifts of the series, Å.
    location, scale, alpha : array_like, shapes that broadcast to (N,)
        Location μ and scale σ, Å; shape α.

    Returns
    -------
    ndarray of float64, shape (N,)
        Mass of the continuous distribution below the smallest and above the largest δ,
        without any margin of half a step.

    References
    ----------
    The distribution function is Φ(z) − 2T(z, α) with T Owen's function: D. B. Owen, Ann.
    Math. Stat. 27, 1075 (1956).
    """
    low = (delta[0] - np.asarray(location)) / np.asarray(scale)
    high = (delta[-1] - np.asarray(location)) / np.asarray(scale)
    mass = ndtr(low) - 2 * owens_t(low, alpha) + ndtr(-high) + 2 * owens_t(high, alpha)
    return np.asarray(np.clip(mass, 0.0, 1.0), dtype=np.float64)


def distribution_moments(weights: Floats, delta: Floats) -> Moments:
    """Return the moments of weights over the series.

    Parameters
    ----------
    weights : ndarray of float64, shape (N, D)
        Weights; rows sum to 1.
    delta : ndarray of float64, shape (D,)
        Shifts of the series, Å.

    Returns
    -------
    Moments
        Mean shift, MSD and skewness.
    """
    mean = weights @ delta
    deviation = delta - mean[:, np.newaxis]
    msd = np.einsum("ij,ij->i", weights, deviation**2)
    third = np.einsum("ij,ij->i", weights, deviation**3)
    skewness = np.divide(third, msd**1.5, out=np.full_like(msd, np.nan), where=msd > 0)
    return Moments(mean_shift=mean, msd=msd, skewness=skewness)


def draw_distributions(section: AveragingSection, delta: Floats, seed: int) -> Distributions:
    """Draw families of distributions, each a shape (σ, α) at several locations.

    `sobol` takes successive points of one scrambled Sobol sequence in σ, α and the offset
    of the family's evenly spaced locations; `random` draws everything independently. A
    family with a location at which more than the truncation limit falls outside the series
    is passed over and the next one taken.

    Parameters
    ----------
    section : AveragingSection
        Numbers, ranges, sampler and truncation limit.
    delta : ndarray of float64, shape (D,)
        Shifts of the series, evenly spaced, Å.
    seed : int
        Seed of the campaign.

    Returns
    -------
    Distributions
        N = families × means per family, a family's members together. Depends on the
        arguments only.

    Raises
    ------
    CampaignError
        If the scales are too small for the series' step, or too many families are passed
        over.
    StoreError
        If the series is not evenly spaced.
    """
    step = _step_of(delta)
    if section.sigma[0] < step / 2:
        raise CampaignError(
            f"averaging.sigma starts at {section.sigma[0]} Å, below half the series' step of {step:g} Å; "
            f"raise it to {step / 2:g} Å or more, or compute a finer series"
        )
    rng = np.random.default_rng(np.random.SeedSequence(seed))
    means = section.means_per_family
    # A Sobol sequence is balanced in blocks of powers of two.
    block = 1 << (section.families - 1).bit_length()
    sobol = qmc.Sobol(d=3, scramble=True, seed=rng) if section.sampler == "sobol" else None
    accepted: list[tuple[Floats, Floats, Floats, Floats]] = []
    count = 0
    for _ in range(MOST_BLOCKS):
        if sobol is not None:
            unit = sobol.random(block)
            position = (np.arange(means) + unit[:, 2:]) / means
        else:
            unit = rng.random((block, 2 + means))
            position = unit[:, 2:]
        scale = _stretch(unit[:, :1], section.sigma)
        alpha = _stretch(unit[:, 1:2], section.alpha)
        location = _stretch(position, section.location)
        truncated = truncated_mass(delta, location, scale, alpha)
        good = (truncated <= section.truncation_limit).all(axis=1)
        accepted.append((scale[good, 0], alpha[good, 0], location[good], truncated[good]))
        count += int(good.sum())
        if count >= section.families:
            break
    else:
        raise CampaignError(
            f"only {count / (MOST_BLOCKS * block):.1%} of the distributions' shapes keep all but "
            f"{section.truncation_limit:g} of their mass within the series ({delta[0]:g} to {delta[-1]:g} Å); "
            "narrow averaging.sigma or averaging.location, raise averaging.truncation_limit or widen the series"
        )
    scale, alpha, location, truncated = (
        np.concatenate(parts)[: section.families] for parts in zip(*accepted, strict=True)
    )
    return Distributions(
        family=np.repeat(np.arange(section.families, dtype=np.int32), means),
        location=location.ravel(),
        scale=np.repeat(scale, means),
        alpha=np.repeat(alpha, means),
        truncated=truncated.ravel(),
    )


def _step_of(delta: Floats) -> float:
    gaps = np.diff(delta)
    if len(gaps) == 0 or not np.allclose(gaps, gaps.min(), rtol=0, atol=1e-8) or gaps[0] <= 0:
        widest = int(np.argmax(gaps)) if len(gaps) else 0
        between = f" between {delta[widest]:g} and {delta[widest + 1]:g} Å" if len(gaps) else ""
        raise StoreError(
            f"the distorted series of {len(delta)} spectra is not evenly spaced{between}; run the missing tasks"
        )
    return float(np.mean(gaps))


def _stretch(unit: Floats, limits: tuple[float, float]) -> Floats:
    return limits[0] + unit * (limits[1] - limits[0])
