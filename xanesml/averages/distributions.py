"""Skew-normal distributions of the first-shell shift: their choice, their weights on the series, their moments."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import log_ndtr, ndtr, owens_t

from xanesml.campaign import AveragingSection
from xanesml.errors import CampaignError, StoreError
from xanesml.files.arrays import Booleans, Floats, Integers
from xanesml.seeds import seed_of_families

#: Blocks of candidate families tried before giving up.
MOST_BLOCKS = 16

#: Smallest distance between a family's locations, Å.
MINIMUM_DISTANCE = 1e-4

#: A number of steps closer to a whole number than this is rounded to it.
ROUNDING = 1e-9

#: Candidate families that an endless stream draws at a time.
STREAM_BLOCK = 1024

#: Largest skewness of a skew-normal distribution that is fitted; the limit, of half a Gaussian, is 0.9953.
LARGEST_SKEWNESS = 0.99


@dataclass(frozen=True)
class Distributions:
    """Families of skew-normal distributions of the first-shell shift, each one shape at several locations.

    The locations of a family lie a whole number of steps of the series apart, or of fractions
    of a step where the series is coarse, so that its weights are pieces of one curve. The
    N = F·K distributions are numbered family by family.

    Attributes
    ----------
    scale, alpha : ndarray of float64, shape (F,)
        Scale σ, Å, and shape α of each family.
    first : ndarray of float64, shape (F,)
        Location μ of a family's first distribution, Å.
    steps : ndarray of int, shape (K,)
        Distance of its distributions from the first, ascending from 0, in units of `step`.
    step : float
        The series' step over the divisor, Å.
    divisor : int
        Fractions that a step of the series is divided into.
    """

    scale: Floats
    alpha: Floats
    first: Floats
    steps: Integers
    step: float
    divisor: int = 1

    def __len__(self) -> int:
        return len(self.scale) * len(self.steps)

    def __getitem__(self, families: slice | Booleans) -> Distributions:
        """Select families."""
        scale, alpha, first = (values[families] for values in (self.scale, self.alpha, self.first))
        return replace(self, scale=scale, alpha=alpha, first=first)

    @property
    def locations(self) -> Floats:
        """Location μ of every distribution, shape (F, K), Å."""
        return self.first[:, np.newaxis] + self.step * self.steps

    def truncated(self, delta: Floats) -> Floats:
        """Return the mass of every distribution outside a series; see `skew_normal_truncated`; shape (F, K)."""
        scale, alpha = self.scale[:, np.newaxis], self.alpha[:, np.newaxis]
        return skew_normal_truncated(delta, self.locations, scale, alpha)


@dataclass(frozen=True)
class Moments:
    """Moments of weighted values, the labels.

    Attributes
    ----------
    mean_shift : ndarray of float64, shape (N,)
        m = Σ w_i x_i, Å.
    msd : ndarray of float64, shape (N,)
        Σ w_i (x_i − m)², Å².
    skewness : ndarray of float64, shape (N,)
        Σ w_i (x_i − m)³ / msd^(3/2); NaN where the MSD is 0.
    kurtosis : ndarray of float64, shape (N,)
        Σ w_i (x_i − m)⁴ / msd² − 3, which is 0 for a Gaussian; NaN where the MSD is 0.
    """

    mean_shift: Floats
    msd: Floats
    skewness: Floats
    kurtosis: Floats


def skew_normal_weights(delta: Floats, location: Floats, scale: Floats, alpha: Floats) -> Floats:
    """Return the weights of skew-normal distributions on the series.

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
        If the series is not evenly spaced, so that densities cannot serve as weights.

    References
    ----------
    A. Azzalini, A class of distributions which includes the normal ones, Scand. J. Stat.
    12, 171 (1985).
    """
    series_step(delta)
    z = (delta - location[:, np.newaxis]) / scale[:, np.newaxis]
    # In logarithms, so that distributions far outside the series still sum to 1.
    logarithm = log_ndtr(alpha[:, np.newaxis] * z) - 0.5 * z**2
    weights: Floats = np.exp(logarithm - logarithm.max(axis=1, keepdims=True))
    weights /= weights.sum(axis=1, keepdims=True)
    return weights


def weighted_moments(weights: Floats, values: Floats) -> Moments:
    """Return the moments of weighted values.

    Parameters
    ----------
    weights : ndarray of float64, shape (N, D) or one that broadcasts to it
        Weights; rows sum to 1.
    values : ndarray of float64, shape (N, D) or one that broadcasts to it
        Shifts, Å.

    Returns
    -------
    Moments
        Mean shift, MSD, skewness and kurtosis.
    """
    mean = (weights * values).sum(axis=-1)
    deviation = values - mean[:, np.newaxis]
    return _moments(mean, *((weights * deviation**power).sum(axis=-1) for power in (2, 3, 4)))


def skew_normal_of_moments(mean: Floats, variance: Floats, skewness: Floats) -> tuple[Floats, Floats, Floats]:
    """Return the skew-normal distributions of given moments.

    Parameters
    ----------
    mean, variance, skewness : ndarray of float64, shape (N,)
        Mean, Å, variance > 0, Å², and skewness. NaN, as of a single value, counts as a skewness of 0, and one beyond
        ±`LARGEST_SKEWNESS` as that.

    Returns
    -------
    location, scale, alpha : ndarray of float64, shape (N,)
        Location μ and scale σ, Å, and shape α.

    References
    ----------
    A. Azzalini, Scand. J. Stat. 12, 171 (1985): mean μ + σ d √(2/π), variance σ² (1 − 2d²/π) and skewness
    (4 − π)/2 · (d √(2/π))³ / (1 − 2d²/π)^(3/2), with d = α/√(1 + α²).
    """
    lean = np.clip(np.nan_to_num(skewness), -LARGEST_SKEWNESS, LARGEST_SKEWNESS)
    # The mean over the standard deviation of a skew-normal distribution of location 0.
    ratio = np.cbrt(2 * lean / (4 - np.pi))
    standard = ratio / np.sqrt(1 + ratio**2)
    d = np.sqrt(np.pi / 2) * standard
    scale = np.sqrt(variance / (1 - standard**2))
    return mean - scale * standard, scale, d / np.sqrt(1 - d**2)


def skew_normal_truncated(delta: Floats, location: Floats, scale: Floats, alpha: Floats) -> Floats:
    """Return the mass of skew-normal distributions, (N,) each, Å, outside a series of shifts, (D,), Å; shape (N,).

    The mass of the continuous distribution below the smallest and above the largest δ, without any margin of
    half a step. The distribution function is Φ(z) − 2T(z, α) with T Owen's function: D. B. Owen, Ann. Math.
    Stat. 27, 1075 (1956).
    """
    low, high = ((end - location) / scale for end in (delta[0], delta[-1]))
    mass = ndtr(low) - 2 * owens_t(low, alpha) + ndtr(-high) + 2 * owens_t(high, alpha)
    return np.asarray(np.clip(mass, 0.0, 1.0), dtype=np.float64)


def moments_from_sums(sums: Floats) -> Moments:
    """Return the moments of weights from their power sums.

    Parameters
    ----------
    sums : ndarray of float64, shape (N, 5)
        Σ w, Σ w x, Σ w x², Σ w x³ and Σ w x⁴, x in Å. Values far from 0 beside their width
        lose digits: of width 0.02 Å at 0.1 Å, three of sixteen.

    Returns
    -------
    Moments
        Mean shift, MSD, skewness and kurtosis of the normalized weights.
    """
    mean, second, third, fourth = np.ascontiguousarray(sums.T)[1:] / sums[:, 0]
    # By Horner's scheme, as powers are slow.
    return _moments(
        mean,
        np.maximum(second - mean * mean, 0.0),
        third - mean * (3 * second - 2 * mean * mean),
        fourth - mean * (4 * third - mean * (6 * second - 3 * mean * mean)),
    )


def _moments(mean: Floats, second: Floats, third: Floats, fourth: Floats) -> Moments:
    def over(numerator: Floats, denominator: Floats) -> Floats:
        return np.divide(numerator, denominator, out=np.full_like(second, np.nan), where=second > 0)

    return Moments(mean_shift=mean, msd=second, skewness=over(third, second**1.5), kurtosis=over(fourth, second**2) - 3)


def choose_distributions(section: AveragingSection, delta: Floats, seed: int) -> Distributions:
    """Choose the families of a campaign.

    `sobol` takes successive points of one scrambled Sobol sequence in σ, α and the offset
    of a family's locations, `random` draws these three independently, `grid` takes evenly
    spaced σ and α. A family is skipped if one of its distributions has more than the truncation
    limit outside the series; except on a grid, the next one replaces it.

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
        `section.families` families, on a grid perhaps fewer. Depends on the arguments only.

    Raises
    ------
    CampaignError
        If the scales are too small for the series' step, the locations too many for their
        range, or too many families skipped.
    StoreError
        If the series is not evenly spaced.
    """
    choice = _Choice(section, delta)
    if section.grid is not None:
        found = choice.of(_grid(section.grid))
        if not len(found):
            raise choice.too_few(0.0)
        return found
    # A Sobol sequence is balanced in blocks of powers of two.
    block = 1 << (section.families - 1).bit_length()
    draw = _sampler(section, seed_of_families(seed))
    parts: list[Distributions] = []
    for _ in range(MOST_BLOCKS):
        parts.append(choice.of(draw(block)))
        if sum(len(part.scale) for part in parts) >= section.families:
            return _joined(parts)[: section.families]
    raise choice.too_few(sum(len(part.scale) for part in parts) / (MOST_BLOCKS * block))


def endless_distributions(
    section: AveragingSection, delta: Floats, seed: np.random.SeedSequence
) -> Iterator[Distributions]:
    """Yield new families without end, none twice.

    Parameters
    ----------
    section : AveragingSection
        Ranges, sampler (`sobol` in place of `grid`) and truncation limit.
    delta : ndarray of float64, shape (D,)
        Shifts of the series, evenly spaced, Å.
    seed : numpy.random.SeedSequence
        Seed, a different one for every stream.

    Yields
    ------
    Distributions
        About a thousand families.

    Raises
    ------
    CampaignError, StoreError
        As `choose_distributions`.
    """
    choice = _Choice(section, delta)
    draw = _sampler(section, seed)
    fruitless = 0
    while True:
        found = choice.of(draw(STREAM_BLOCK))
        fruitless = 0 if len(found) else fruitless + 1
        if fruitless == MOST_BLOCKS:
            raise choice.too_few(0.0)
        if len(found):
            yield found


def series_step(delta: Floats) -> float:
    """Return the step of a series' shifts, Å.

    Raises
    ------
    StoreError
        If they are not evenly spaced and ascending.
    """
    gaps = np.diff(delta)
    if len(gaps) == 0 or not np.allclose(gaps, gaps.min(), rtol=0, atol=1e-8) or gaps[0] <= 0:
        widest = int(np.argmax(gaps)) if len(gaps) else 0
        between = f" between {delta[widest]:g} and {delta[widest + 1]:g} Å" if len(gaps) else ""
        raise StoreError(
            f"the distorted series of {len(delta)} spectra is not evenly spaced{between}; run the missing tasks"
        )
    return float(np.mean(gaps))


class _Choice:
    """Maps points of the unit cube to the families within the limits."""

    def __init__(self, section: AveragingSection, delta: Floats) -> None:
        self._section, self._delta, self._step = section, delta, series_step(delta)
        if section.sigma[0] < self._step / 2:
            raise CampaignError(
                f"averaging.sigma starts at {section.sigma[0]} Å, below half the series' step of {self._step:g} Å; "
                f"raise it to {self._step / 2:g} Å or more, or compute a finer series"
            )
        low, high = section.location
        members = section.means_per_family
        # A grid includes both ends and has one gap less.
        gaps = max(1, members - 1) if section.grid is not None else members
        self._room = (high - low) / gaps
        if members > 1 and self._room < MINIMUM_DISTANCE:
            raise CampaignError(
                f"averaging.location, {low:g} to {high:g} Å, has no room for averaging.means_per_family = {members} "
                "locations; widen the range, or give 1"
            )
        self._divisor = int(np.ceil(self._step / self._room - ROUNDING)) if members > 1 else 1
        self._divisor = max(1, self._divisor)
        steps = np.arange(members) * self._room / self._step * self._divisor
        self._steps = np.floor(steps + ROUNDING).astype(np.int64)

    def of(self, unit: Floats) -> Distributions:
        """Return the families, in order, of points (n, 3): scale, shape, offset of the locations."""
        section = self._section
        found = Distributions(
            scale=_stretch(unit[:, 0], section.sigma),
            alpha=_stretch(unit[:, 1], section.alpha),
            first=section.location[0] + unit[:, 2] * self._room,
            steps=self._steps,
            step=self._step / self._divisor,
            divisor=self._divisor,
        )
        # The density is log-concave: the mass inside is smallest at the first or the last location.
        ends = replace(found, steps=self._steps[[0, -1]])
        return found[(ends.truncated(self._delta) <= section.truncation_limit).all(axis=1)]

    def too_few(self, share: float) -> CampaignError:
        section, delta = self._section, self._delta
        return CampaignError(
            f"only {share:.1%} of the distributions' shapes keep all but {section.truncation_limit:g} of their mass "
            f"within the series ({delta[0]:g} to {delta[-1]:g} Å); narrow averaging.sigma or averaging.location, "
            "raise averaging.truncation_limit or widen the series"
        )


def _sampler(section: AveragingSection, seed: np.random.SeedSequence) -> Callable[[int], Floats]:
    rng = np.random.default_rng(seed)
    if section.sampler == "random":
        return lambda count: rng.random((count, 3))
    from scipy.stats import qmc  # noqa: PLC0415 (slow to import, and series need none of it)

    sobol = qmc.Sobol(d=3, scramble=True, seed=rng)
    return lambda count: np.asarray(sobol.random(count), dtype=np.float64)


def _grid(shape: tuple[int, int]) -> Floats:
    # A single value lies in the middle of its range.
    scale, alpha = (np.linspace(0, 1, count) if count > 1 else np.array([0.5]) for count in shape)
    points = np.stack(np.meshgrid(scale, alpha, indexing="ij"), axis=-1).reshape(-1, 2)
    return np.column_stack([points, np.zeros(len(points))])


def _joined(parts: list[Distributions]) -> Distributions:
    scale, alpha, first = (
        np.concatenate([getattr(part, name) for part in parts]) for name in ("scale", "alpha", "first")
    )
    return replace(parts[0], scale=scale, alpha=alpha, first=first)


def _stretch(unit: Floats, limits: tuple[float, float]) -> Floats:
    return limits[0] + unit * (limits[1] - limits[0])
