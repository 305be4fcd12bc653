"""From spectra to averages: statistical ones over the distorted series, particle ones over absorbers.

Averages are of spectra on FEFF's absolute scale and are normalized once, by the average of
their edge steps. Spectra that FEFF normalized itself are averaged with edge steps of 1.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from xanesml.distributions import Distributions, Moments, distribution_moments, skew_normal_weights
from xanesml.errors import StoreError

#: Photon energy above the edge at which μ0 is the edge step, eV: FEFF's own convention.
NORMALIZATION_OFFSET = 50.0

#: A mesh with fewer points than this holds no near-edge structure.
SMALLEST_MESH = 10

Floats = NDArray[np.float64]


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
