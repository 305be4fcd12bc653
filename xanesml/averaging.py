"""From spectra to averages: statistical ones over the distorted series, particle ones over absorbers.

Averages are of spectra on FEFF's absolute scale and are normalized once, by the average of
their edge steps. Spectra that FEFF normalized itself are averaged with edge steps of 1.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray
from scipy.special import log_ndtr, ndtr, owens_t
from scipy.stats import qmc

from xanesml.campaign import AveragingSection
from xanesml.errors import CampaignError, StoreError

#: Photon energy above the edge at which μ0 is the edge step, eV: FEFF's own convention.
NORMALIZATION_OFFSET = 50.0

#: A mesh with fewer points than this holds no near-edge structure.
SMALLEST_MESH = 10

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


@dataclass(frozen=True)
class StatisticalAverages:
    """A block of statistical averages.

    Attributes
    ----------
    rows : slice
        Which of the distributions.
    spectra : ndarray, shape (n, M)
        Normalized spectra.
    moments : Moments
        Labels, each of shape (n,).
    """

    rows: slice
    spectra: NDArray[np.floating[Any]]
    moments: Moments


@dataclass(frozen=True)
class ParticleAverages:
    """Particle averages, and the structures that have none.

    Attributes
    ----------
    structure : ndarray of int32, shape (P,)
        Indices of the structures, rising.
    absorbers : ndarray of int32, shape (P,)
        Number of absorbers averaged.
    spectra : ndarray of float64, shape (P, M)
        Normalized spectra.
    refused : dict of int to str
        Structures with too many absorbers missing, and the reason.
    """

    structure: NDArray[np.int32]
    absorbers: NDArray[np.int32]
    spectra: Floats
    refused: dict[int, str] = field(default_factory=dict)


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


def common_mesh(energies: Floats, points: NDArray[np.integer[Any]], edge: float, step: float) -> Floats:
    """Make the mesh that lies inside every spectrum.

    Parameters
    ----------
    energies : ndarray of float64, shape (T, E)
        Photon energies, eV, rising along a row; anything beyond `points`.
    points : ndarray of int, shape (T,)
        Number of energies in each row, at least 1.
    edge : float
        Photon energy of the edge, eV.
    step : float
        Step of the mesh, eV.

    Returns
    -------
    ndarray of float64, shape (M,)
        The multiples of `step` within the range common to all rows, eV.

    Raises
    ------
    StoreError
        If there are no spectra, too few points result, or they do not span the edge.
    """
    if len(points) == 0 or np.min(points) < 1:
        raise StoreError("no common energy mesh: there is no spectrum, or one without points; run the campaign first")
    start = energies[:, 0].max()
    end = energies[np.arange(len(points)), points - 1].min()
    mesh: Floats = np.arange(np.floor(start / step), np.ceil(end / step) + 1) * step
    # Trimmed by comparison, so that rounding in the multiples never reaches outside.
    mesh = mesh[(mesh >= start) & (mesh <= end)]
    if len(mesh) < SMALLEST_MESH:
        raise StoreError(
            f"the spectra share {start:.2f} to {end:.2f} eV, which holds {len(mesh)} mesh points of {step:g} eV; "
            f"{SMALLEST_MESH} are needed; reduce averaging.mesh_step or check the spectra"
        )
    if not mesh[0] <= edge < mesh[-1]:
        raise StoreError(f"the spectra share {start:.2f} to {end:.2f} eV, outside which the edge lies, {edge:.2f} eV")
    return mesh


def onto_mesh(energy: Floats, values: Floats, points: NDArray[np.integer[Any]], mesh: Floats) -> Floats:
    """Interpolate spectra linearly onto the common mesh.

    Parameters
    ----------
    energy, values : ndarray of float64, shape (T, E)
        Photon energies, eV, and the values there; anything beyond `points`.
    points : ndarray of int, shape (T,)
        Number of energies in each row, at least 1.
    mesh : ndarray of float64, shape (M,)
        Photon energies wanted, rising, eV.

    Returns
    -------
    ndarray of float64, shape (T, M)
        Interpolated values, finite.

    Raises
    ------
    StoreError
        If a row does not cover the mesh, its energies do not rise or its values are not
        finite.
    """
    result = np.empty((len(points), len(mesh)))
    for row, count in enumerate(points):
        grid, column = energy[row, :count], values[row, :count]
        # Written so that a NaN among the energies fails too.
        if count < 1 or not (np.diff(grid) > 0).all() or not np.isfinite(column).all():
            raise StoreError(f"spectrum {row} of {len(points)} has energies that do not rise, or values not finite")
        if not (grid[0] <= mesh[0] and mesh[-1] <= grid[-1]):
            raise StoreError(
                f"spectrum {row} of {len(points)} covers {grid[0]:.2f} to {grid[-1]:.2f} eV, "
                f"not the mesh of {mesh[0]:.2f} to {mesh[-1]:.2f} eV; spectra are never extrapolated"
            )
        result[row] = np.interp(mesh, grid, column)
    return result


def edge_step(mu0: Floats, mesh: Floats, edge: float) -> tuple[Floats, float]:
    """Return the edge steps of atomic backgrounds.

    Parameters
    ----------
    mu0 : ndarray of float64, shape (..., M)
        Atomic backgrounds μ0 on the mesh.
    mesh : ndarray of float64, shape (M,)
        Photon energies, rising, eV.
    edge : float
        Photon energy of the edge, eV.

    Returns
    -------
    steps : ndarray of float64, shape (...)
        μ0 at `energy`, linear between mesh points; positive.
    energy : float
        50 eV above the edge, or the mesh's end if that lies below, eV.

    Raises
    ------
    StoreError
        If the mesh does not span the edge, or a step is not a positive number.

    References
    ----------
    FEFF's own choice, in the header of its xmu.dat: "xsedge+ 50, used to normalize mu".
    """
    if not mesh[0] <= edge < mesh[-1]:
        raise StoreError(f"the edge, {edge:.2f} eV, lies outside the mesh of {mesh[0]:.2f} to {mesh[-1]:.2f} eV")
    energy = float(min(edge + NORMALIZATION_OFFSET, mesh[-1]))
    right = int(np.clip(np.searchsorted(mesh, energy), 1, len(mesh) - 1))
    share = (energy - mesh[right - 1]) / (mesh[right] - mesh[right - 1])
    steps = np.asarray((1 - share) * mu0[..., right - 1] + share * mu0[..., right], dtype=np.float64)
    if not np.all(np.isfinite(steps) & (steps > 0)):
        raise StoreError(f"μ0 at {energy:.2f} eV is not positive in every spectrum, so there is no edge step")
    return steps, energy


def normalize(mu: Floats, step: ArrayLike) -> Floats:
    """Divide spectra by their edge steps.

    Parameters
    ----------
    mu : ndarray of float64, shape (..., M)
        Spectra.
    step : array_like, shape (...)
        Edge step of each.

    Returns
    -------
    ndarray of float64, shape (..., M)
        Normalized spectra.
    """
    return np.asarray(mu / np.asarray(step)[..., np.newaxis], dtype=np.float64)


def statistical_averages(weights: Floats, series: Floats, steps: Floats) -> Floats:
    """Average the series under many weights, then normalize each average once.

    Parameters
    ----------
    weights : ndarray of float64, shape (N, D)
        Weights; rows sum to 1.
    series : ndarray of float64, shape (D, M)
        Distorted spectra, not normalized, finite.
    steps : ndarray of float64, shape (D,)
        Edge steps; ones where FEFF has normalized the spectra.

    Returns
    -------
    ndarray of float64, shape (N, M)
        Σ w_i μ_i / Σ w_i s_i.
    """
    return normalize(weights @ series, weights @ steps)


def average_block(
    distributions: Distributions,
    rows: slice,
    delta: Floats,
    series: Floats,
    steps: Floats,
    *,
    dtype: DTypeLike = np.float32,
) -> StatisticalAverages:
    """Average the series under some of the distributions.

    Parameters
    ----------
    distributions : Distributions
        The N distributions.
    rows : slice
        Which of them.
    delta : ndarray of float64, shape (D,)
        Shifts of the series, evenly spaced, Å.
    series : ndarray of float64, shape (D, M)
        Distorted spectra, not normalized, finite.
    steps : ndarray of float64, shape (D,)
        Edge steps; ones where FEFF has normalized the spectra.
    dtype : dtype
        Type of the spectra; labels stay float64.

    Returns
    -------
    StatisticalAverages
        Spectra and labels of these rows.
    """
    weights = skew_normal_weights(
        delta, distributions.location[rows], distributions.scale[rows], distributions.alpha[rows]
    )
    return StatisticalAverages(
        rows=rows,
        spectra=statistical_averages(weights, series, steps).astype(dtype),
        moments=distribution_moments(weights, delta),
    )


def iter_statistical_averages(
    distributions: Distributions,
    delta: Floats,
    series: Floats,
    steps: Floats,
    *,
    chunk: int = 4096,
    dtype: DTypeLike = np.float32,
) -> Iterator[StatisticalAverages]:
    """Average the series under many distributions, block by block.

    Memory is bounded by `chunk`. A matrix product's last bit may depend on its shape, so
    results agree bit for bit between runs with the same chunk only.

    Parameters
    ----------
    distributions : Distributions
        The N distributions.
    delta : ndarray of float64, shape (D,)
        Shifts of the series, evenly spaced, Å.
    series : ndarray of float64, shape (D, M)
        Distorted spectra, not normalized, finite.
    steps : ndarray of float64, shape (D,)
        Edge steps; ones where FEFF has normalized the spectra.
    chunk : int
        Distributions in a block.
    dtype : dtype
        Type of the spectra; labels stay float64.

    Yields
    ------
    StatisticalAverages
        Blocks in order.

    Raises
    ------
    StoreError
        If a spectrum of the series is not finite, or the series not evenly spaced.
    """
    finite = np.isfinite(series).all(axis=1) & np.isfinite(steps)
    if not finite.all():
        shift = delta[np.argmin(finite)]
        raise StoreError(f"the distorted spectrum at δ = {shift:g} Å is not finite; run that task again")
    for start in range(0, len(distributions.family), chunk):
        rows = slice(start, min(start + chunk, len(distributions.family)))
        yield average_block(distributions, rows, delta, series, steps, dtype=dtype)


def particle_averages(
    structure: NDArray[np.integer[Any]],
    spectra: Floats,
    steps: Floats,
    *,
    asked: NDArray[np.integer[Any]],
    missing: int = 0,
) -> ParticleAverages:
    """Average the spectra of each structure's absorbers, then normalize once.

    Parameters
    ----------
    structure : ndarray of int, shape (R,)
        Structure of each finished run, in any order.
    spectra : ndarray of float64, shape (R, M)
        Spectra on the mesh, not normalized, finite.
    steps : ndarray of float64, shape (R,)
        Edge steps; ones where FEFF has normalized the spectra.
    asked : ndarray of int, shape (T,)
        Structure of each run asked for, finished or not: says how many absorbers each has.
    missing : int
        Absorbers that may be missing from an average.

    Returns
    -------
    ParticleAverages
        Mean spectra, and the structures refused.

    Raises
    ------
    StoreError
        If a finished run was not asked for.
    """
    ids, wanted = np.unique(asked, return_counts=True)
    if not np.isin(structure, ids).all():
        stray = structure[~np.isin(structure, ids)][0]
        raise StoreError(f"structure {stray} has a finished run that the task table does not ask for")
    place = np.searchsorted(ids, structure)
    found = np.bincount(place, minlength=len(ids))
    if (found > wanted).any():
        stray = ids[np.argmax(found > wanted)]
        raise StoreError(f"structure {stray} has more finished runs than the task table asks for")
    total, step = np.zeros((len(ids), spectra.shape[1])), np.zeros(len(ids))
    np.add.at(total, place, spectra)
    np.add.at(step, place, steps)
    kept = (found >= wanted - missing) & (found > 0)
    return ParticleAverages(
        structure=ids[kept].astype(np.int32),
        absorbers=found[kept].astype(np.int32),
        spectra=normalize(total[kept], step[kept]),
        refused={
            int(ids[i]): f"{found[i]} of {wanted[i]} absorbers are done, {missing} may be missing"
            for i in np.flatnonzero(~kept)
        },
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
