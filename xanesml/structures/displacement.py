"""The structures of a campaign: the cluster distorted isotropically, and disordered at random."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from xanesml.campaign import DisorderSection, DistortionSection
from xanesml.errors import StructureError
from xanesml.files.arrays import Floats
from xanesml.seeds import structure_rng
from xanesml.structures.cluster import Cluster


def deltas(section: DistortionSection) -> Floats:
    """Return the shifts of an isotropic series.

    Parameters
    ----------
    section : DistortionSection
        Smallest and largest shift, and the step.

    Returns
    -------
    ndarray of float64, shape (D,)
        Shifts δ in rising order, Å, rounded to 1e-10 Å, so that 0 is exact and the shifts
        of a symmetric range differ by their signs only.
    """
    count = round((section.maximum - section.minimum) / section.step) + 1
    # Adding zero turns the −0 that rounding may leave into 0.
    shifts: Floats = np.round(np.linspace(section.minimum, section.maximum, count), 10) + 0.0
    return shifts


def distort(cluster: Cluster, delta: float, length: str = "first_shell") -> Floats:
    """Scale a cluster about its absorber.

    Parameters
    ----------
    cluster : Cluster
        The undistorted cluster, first shell r1.
    delta : float
        Shift δ, Å.
    length : {"first_shell", "lattice_constant"}
        The length that δ is added to: r1, or r1·√2, the fcc lattice constant, which shifts
        the first shell by δ/√2.

    Returns
    -------
    ndarray of float64, shape (A, 3)
        r_abs + (r_i − r_abs)(r + δ)/r with r that length, Å.

    Raises
    ------
    StructureError
        If δ is so negative that the cluster collapses.
    ValueError
        If `length` is neither of the two.
    """
    scaled: Floats = distort_block(cluster, np.array([delta], dtype=np.float64), length)[0]
    return scaled


def distort_block(cluster: Cluster, deltas: Floats, length: str = "first_shell") -> Floats:
    """Scale a cluster about its absorber by each of several shifts.

    Parameters
    ----------
    cluster : Cluster
        The undistorted cluster.
    deltas : ndarray of float64, shape (n,)
        Shifts δ, Å.
    length : {"first_shell", "lattice_constant"}
        The length that δ is added to; see `distort`.

    Returns
    -------
    ndarray of float64, shape (n, A, 3)
        What `distort` gives for every shift, bit for bit, Å.

    Raises
    ------
    StructureError
        If a δ is so negative that the cluster collapses; the message names the first.
    ValueError
        If `length` is neither of the two.
    """
    lengths = {"first_shell": cluster.first_shell, "lattice_constant": cluster.first_shell * np.sqrt(2.0)}
    if length not in lengths:
        raise ValueError(f"length is {length!r}; accepted: {', '.join(lengths)}")
    unscaled = lengths[length]
    collapsing = deltas[deltas <= -unscaled]
    if len(collapsing):
        raise StructureError(
            f"the distortion {collapsing[0]} Å collapses the cluster; it must lie above −{unscaled:.4f} Å"
        )
    center = cluster.positions[cluster.absorber]
    scales = ((unscaled + deltas) / unscaled)[:, np.newaxis, np.newaxis]
    scaled: Floats = center + (cluster.positions - center) * scales
    return scaled


def sigmas(section: DisorderSection) -> Floats:
    """Return the displacement σ of each disordered structure.

    Parameters
    ----------
    section : DisorderSection
        Number of structures, smallest and largest σ.

    Returns
    -------
    ndarray of float64, shape (S,)
        Evenly spaced from smallest to largest, Å; a single structure has the smallest.
    """
    return np.linspace(section.sigma_minimum, section.sigma_maximum, section.structures)


def disorder(cluster: Cluster, sigma: float, rng: np.random.Generator, directions: str = "sphere") -> Floats:
    """Displace every atom of a cluster at random.

    Parameters
    ----------
    cluster : Cluster
        The undistorted cluster.
    sigma : float
        Standard deviation of the signed displacement along its direction, Å.
    rng : numpy.random.Generator
        Source of the draws; see `structure_rng`.
    directions : {"sphere", "uniform_angles"}
        Directions uniform on the sphere, or with both polar angles uniform, which favors
        the poles.

    Returns
    -------
    ndarray of float64, shape (A, 3)
        Displaced positions, Å.

    Raises
    ------
    ValueError
        If the directions are neither of the two.
    """
    displaced: Floats = _displaced(cluster, np.array([sigma], dtype=np.float64), [rng], directions)[0]
    return displaced


def disorder_block(cluster: Cluster, sigmas: Floats, *, seed: int, first: int, directions: str = "sphere") -> Floats:
    """Displace every atom of a cluster at random, for a run of consecutive structures.

    Parameters
    ----------
    cluster : Cluster
        The undistorted cluster.
    sigmas : ndarray of float64, shape (n,)
        Standard deviation of the displacements in every structure, Å.
    seed : int
        Seed of the campaign, 0 or more.
    first : int
        Index of the first structure, 0 or more; the others follow.
    directions : {"sphere", "uniform_angles"}
        Distribution of the directions; see `disorder`.

    Returns
    -------
    ndarray of float64, shape (n, A, 3)
        What `disorder` gives for every structure with its own `structure_rng`, bit for bit,
        Å: a campaign's structures do not depend on how it is cut into blocks.

    Raises
    ------
    ValueError
        If the directions are neither of the two.
    """
    rngs = (structure_rng(seed, index) for index in range(first, first + len(sigmas)))
    return _displaced(cluster, sigmas, rngs, directions)


def _displaced(cluster: Cluster, sigmas: Floats, rngs: Iterable[np.random.Generator], directions: str) -> Floats:
    if directions not in ("sphere", "uniform_angles"):
        raise ValueError(f"directions is {directions!r}; accepted: sphere, uniform_angles")
    shape = (len(sigmas), len(cluster.positions))
    lengths = np.empty(shape)
    fractions = np.empty((shape[0], 2, shape[1]))
    for row, rng in enumerate(rngs):
        rng.standard_normal(out=lengths[row])
        rng.random(out=fractions[row])
    lengths *= sigmas[:, np.newaxis]
    azimuth = 2.0 * np.pi * fractions[:, 0]
    polar = fractions[:, 1]
    cosine = 2.0 * polar - 1.0 if directions == "sphere" else np.cos(np.pi * polar)
    sine = np.sqrt(1.0 - cosine**2)
    displaced = np.empty((*shape, 3))
    for axis, unit in enumerate((sine * np.cos(azimuth), sine * np.sin(azimuth), cosine)):
        displaced[..., axis] = cluster.positions[:, axis] + lengths * unit
    return displaced
