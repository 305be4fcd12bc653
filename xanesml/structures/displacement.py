"""The structures of a campaign: the cluster distorted isotropically, and disordered at random."""

from __future__ import annotations

import numpy as np

from xanesml.campaign import DisorderSection, DistortionSection
from xanesml.errors import StructureError
from xanesml.files.arrays import Floats
from xanesml.seeds import structure_rng
from xanesml.structures.cluster import Cluster


def deltas(section: DistortionSection) -> Floats:
    """Return the shifts δ of an isotropic series, shape (D,), ascending, Å.

    They are rounded to 1e-10 Å: 0 is exact, and the shifts of a symmetric range differ by their signs only.
    """
    count = round((section.maximum - section.minimum) / section.step) + 1
    # Adding zero turns the −0 that rounding may leave into 0.
    shifts: Floats = np.round(np.linspace(section.minimum, section.maximum, count), 10) + 0.0
    return shifts


def distort(cluster: Cluster, deltas: Floats, length: str = "first_shell") -> Floats:
    """Scale a cluster about its absorber, once for each shift.

    Parameters
    ----------
    cluster : Cluster
        The undistorted cluster, first shell r1.
    deltas : ndarray of float64, shape (n,)
        Shifts δ, Å.
    length : {"first_shell", "lattice_constant"}
        The length r that δ is added to: r1, or r1·√2, the fcc lattice constant, which shifts
        the first shell by δ/√2.

    Returns
    -------
    ndarray of float64, shape (n, A, 3)
        r_abs + (r_i − r_abs)(r + δ)/r, Å.

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
    """Return the displacement σ of each disordered structure, shape (S,), evenly spaced from smallest to largest, Å."""
    return np.linspace(section.sigma_minimum, section.sigma_maximum, section.structures)


def disorder(cluster: Cluster, sigmas: Floats, *, seed: int, first: int, directions: str = "sphere") -> Floats:
    """Displace every atom of a cluster at random, once for each of several consecutive structures.

    Every structure draws from its own stream, `structure_rng`: it does not depend on how a
    campaign is cut into blocks.

    Parameters
    ----------
    cluster : Cluster
        The undistorted cluster.
    sigmas : ndarray of float64, shape (n,)
        Standard deviation of the signed displacement along its direction, for every structure, Å.
    seed : int
        Seed of the campaign, 0 or more.
    first : int
        Index of the first structure, 0 or more.
    directions : {"sphere", "uniform_angles"}
        Directions uniform on the sphere, or with both polar angles uniform, which favors
        the poles.

    Returns
    -------
    ndarray of float64, shape (n, A, 3)
        Displaced positions, Å.

    Raises
    ------
    ValueError
        If `directions` is neither of the two.
    """
    if directions not in ("sphere", "uniform_angles"):
        raise ValueError(f"directions is {directions!r}; accepted: sphere, uniform_angles")
    shape = (len(sigmas), len(cluster.positions))
    lengths = np.empty(shape)
    fractions = np.empty((shape[0], 2, shape[1]))
    for row in range(len(sigmas)):
        rng = structure_rng(seed, first + row)
        rng.standard_normal(out=lengths[row])
        rng.random(out=fractions[row])
    lengths *= sigmas[:, np.newaxis]
    azimuth, polar = 2.0 * np.pi * fractions[:, 0], fractions[:, 1]
    cosine = 2.0 * polar - 1.0 if directions == "sphere" else np.cos(np.pi * polar)
    sine = np.sqrt(1.0 - cosine**2)
    displaced = np.empty((*shape, 3))
    for axis, unit in enumerate((sine * np.cos(azimuth), sine * np.sin(azimuth), cosine)):
        displaced[..., axis] = cluster.positions[:, axis] + lengths * unit
    return displaced
