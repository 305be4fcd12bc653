"""Clusters, their distortion and disorder, and the bonds that the labels come from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
from ase import Atoms
from ase.cluster import Octahedron
from ase.data import atomic_numbers, chemical_symbols
from ase.io import read
from ase.neighborlist import neighbor_list
from numpy.typing import ArrayLike, NDArray
from scipy import stats
from scipy.spatial import cKDTree

from xanesml.campaign import CUBOCTAHEDRA, DisorderSection, DistortionSection, StructureSection
from xanesml.errors import StructureError

#: Default first-shell cutoff over the absorber's shortest bond; fcc's second shell lies at √2.
FIRST_SHELL_REACH = 1.2

#: Bonds with an end among the center and its 12 neighbors: in the 13-atom cuboctahedron, and in every larger one.
CUBOCTAHEDRON_BONDS = (36, 120)


@dataclass(frozen=True)
class Cluster:
    """An undistorted cluster around one absorber.

    Attributes
    ----------
    numbers : ndarray of int32, shape (A,)
        Atomic numbers.
    positions : ndarray of float64, shape (A, 3)
        Positions, Å, finite; the absorber is at the origin.
    absorber : int
        Index of the central absorber.
    first_shell : float
        Reference length of the first shell, Å: a/√2 for a cuboctahedron, for a file the
        mean length of the absorber's bonds up to `first_shell_cutoff`.
    first_shell_cutoff : float
        Largest bond length of the first shell, Å.
    minimum_distance : float
        Atoms closer than this overlap, Å.
    """

    numbers: NDArray[np.int32]
    positions: NDArray[np.float64]
    absorber: int
    first_shell: float
    first_shell_cutoff: float
    minimum_distance: float


def build_cluster(section: StructureSection) -> Cluster:
    """Build the undistorted cluster of a campaign.

    Parameters
    ----------
    section : StructureSection
        A cuboctahedron, or a file that ase reads (of several frames the last). From a
        periodic file a sphere is cut around the absorber: the absorber first, the other
        atoms by distance.

    Returns
    -------
    Cluster
        The cluster, centered on its absorber.

    Raises
    ------
    StructureError
        If the file cannot be read, lacks the element or the absorber, is periodic without
        a radius, or if atoms overlap or the absorber has no neighbors.
    """
    if section.file is None:
        shells = CUBOCTAHEDRA.index(section.atoms) + 1
        atoms = Octahedron(
            section.element, length=2 * shells + 1, cutoff=shells, latticeconstant=section.lattice_constant
        )
        source = f"{section.atoms}-atom cuboctahedron"
    else:
        atoms = _read(section.file)
        source = str(section.file)
    absorber = _find_absorber(atoms, section, source)
    if section.file is not None and atoms.pbc.any():
        numbers, positions = _cut_sphere(atoms, absorber, section.radius, source)
        absorber = 0
    elif section.radius is not None:
        raise StructureError(f"structure.radius is {section.radius}, but {source} is not periodic; remove radius")
    else:
        numbers = atoms.numbers
        positions = atoms.positions - atoms.positions[absorber]
    check_overlap(positions, section.minimum_distance, source)
    bond_lengths_found = _first_shell_lengths(positions, absorber, section.first_shell_cutoff, source)
    cutoff = section.first_shell_cutoff or FIRST_SHELL_REACH * float(bond_lengths_found.min())
    if section.file is None:
        first_shell = section.lattice_constant / np.sqrt(2.0)
    else:
        first_shell = bond_lengths_found[bond_lengths_found <= cutoff].mean()
    return Cluster(
        numbers=np.asarray(numbers, dtype=np.int32),
        positions=np.asarray(positions, dtype=np.float64),
        absorber=absorber,
        first_shell=float(first_shell),
        first_shell_cutoff=cutoff,
        minimum_distance=section.minimum_distance,
    )


def first_neighbors(positions: NDArray[np.float64], index: int, cutoff: float) -> NDArray[np.intp]:
    """Find the atoms within a distance of one atom.

    Parameters
    ----------
    positions : ndarray of float64, shape (A, 3)
        Positions, Å, finite.
    index : int
        The atom whose neighbors are wanted.
    cutoff : float
        Largest distance, Å.

    Returns
    -------
    ndarray of int, shape (n,)
        Indices in rising order, `index` itself left out.
    """
    near = np.linalg.norm(positions - positions[index], axis=1) <= cutoff
    near[index] = False
    return np.flatnonzero(near)


def deltas(section: DistortionSection) -> NDArray[np.float64]:
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
    shifts: NDArray[np.float64] = np.round(np.linspace(section.minimum, section.maximum, count), 10) + 0.0
    return shifts


def distort(cluster: Cluster, delta: float, reference: str = "first_shell") -> NDArray[np.float64]:
    """Scale a cluster about its absorber.

    Parameters
    ----------
    cluster : Cluster
        The undistorted cluster, first shell r1.
    delta : float
        Shift δ, Å.
    reference : {"first_shell", "lattice_constant"}
        The length that δ is added to: r1, or r1·√2, the fcc lattice constant, which shifts
        the first shell by δ/√2.

    Returns
    -------
    ndarray of float64, shape (A, 3)
        r_abs + (r_i − r_abs)(r + δ)/r with r the reference length, Å.

    Raises
    ------
    StructureError
        If δ is so negative that the cluster collapses.
    ValueError
        If the reference is neither of the two.
    """
    lengths = {"first_shell": cluster.first_shell, "lattice_constant": cluster.first_shell * np.sqrt(2.0)}
    if reference not in lengths:
        raise ValueError(f"reference is {reference!r}; accepted: {', '.join(lengths)}")
    length = lengths[reference]
    if delta <= -length:
        raise StructureError(f"the distortion {delta} Å collapses the cluster; it must lie above −{length:.4f} Å")
    center = cluster.positions[cluster.absorber]
    scaled: NDArray[np.float64] = center + (cluster.positions - center) * ((length + delta) / length)
    return scaled


def sigmas(section: DisorderSection) -> NDArray[np.float64]:
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


def structure_rng(seed: int, index: int) -> np.random.Generator:
    """Return the random generator of one structure.

    Parameters
    ----------
    seed : int
        Seed of the campaign, 0 or more.
    index : int
        Index of the structure, 0 or more.

    Returns
    -------
    numpy.random.Generator
        Depends on the two numbers only, not on how many structures or ranks there are.
    """
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(index,)))


def disorder(
    cluster: Cluster, sigma: float, rng: np.random.Generator, directions: str = "sphere"
) -> NDArray[np.float64]:
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
    count = len(cluster.positions)
    length = rng.normal(0.0, sigma, count)
    azimuth = rng.uniform(0.0, 2.0 * np.pi, count)
    if directions == "sphere":
        cosine = rng.uniform(-1.0, 1.0, count)
    elif directions == "uniform_angles":
        cosine = np.cos(rng.uniform(0.0, np.pi, count))
    else:
        raise ValueError(f"directions is {directions!r}; accepted: sphere, uniform_angles")
    sine = np.sqrt(1.0 - cosine**2)
    unit = np.stack((sine * np.cos(azimuth), sine * np.sin(azimuth), cosine), axis=1)
    displaced: NDArray[np.float64] = cluster.positions + length[:, np.newaxis] * unit
    return displaced


def absorbers(cluster: Cluster, section: DisorderSection) -> NDArray[np.intp]:
    """Return the absorbers of a particle average.

    Parameters
    ----------
    cluster : Cluster
        The undistorted cluster.
    section : DisorderSection
        `first_shell`, or a list of atoms.

    Returns
    -------
    ndarray of int, shape (n,)
        The central absorber first, then its first neighbors of the same element by index;
        or the list as given.

    Raises
    ------
    StructureError
        If a listed atom is not in the cluster or not of the absorber's element.
    """
    element = cluster.numbers[cluster.absorber]
    if section.absorbers == "first_shell":
        neighbors = first_neighbors(cluster.positions, cluster.absorber, cluster.first_shell_cutoff)
        return np.concatenate(([cluster.absorber], neighbors[cluster.numbers[neighbors] == element]))
    for index in section.absorbers:
        if index >= len(cluster.numbers):
            raise StructureError(f"disorder.absorbers lists atom {index}; the cluster's atoms are {_span(cluster)}")
        if cluster.numbers[index] != element:
            raise StructureError(
                f"disorder.absorbers lists atom {index}, {chemical_symbols[cluster.numbers[index]]}; "
                f"an average takes one element, the central absorber's {chemical_symbols[element]}"
            )
    return np.array(section.absorbers, dtype=np.intp)


def expected_bonds(structure: StructureSection, section: DisorderSection) -> int | None:
    """Return the number of bonds that `bonds` has to find, where it is known beforehand.

    Parameters
    ----------
    structure : StructureSection
        The undistorted cluster.
    section : DisorderSection
        The absorbers.

    Returns
    -------
    int or None
        With the central atom of a cuboctahedron and its first shell as absorbers, 36 for
        13 atoms and 120 = 12 + 24 + 84 for more; otherwise None.
    """
    if structure.file is not None or structure.absorber is not None or section.absorbers != "first_shell":
        return None
    return CUBOCTAHEDRON_BONDS[structure.atoms != CUBOCTAHEDRA[0]]


def bonds(cluster: Cluster, absorbers: NDArray[np.intp], expected: int | None = None) -> NDArray[np.intp]:
    """Find the bonds of the absorbers on the undistorted cluster.

    Parameters
    ----------
    cluster : Cluster
        The undistorted cluster.
    absorbers : ndarray of int, shape (n,)
        The absorbers of the particle average.
    expected : int, optional
        The number of bonds there must be; see `expected_bonds`.

    Returns
    -------
    ndarray of int, shape (B, 2)
        Pairs of atoms no further apart than the first-shell cutoff with at least one end
        among the absorbers, each once, the smaller index first, sorted.

    Raises
    ------
    StructureError
        If there is no bond, or not the expected number.
    """
    pairs = cKDTree(cluster.positions).query_pairs(cluster.first_shell_cutoff, output_type="ndarray")
    pairs = pairs[np.isin(pairs, absorbers).any(axis=1)]
    if len(pairs) == 0 or (expected is not None and len(pairs) != expected):
        wanted = "at least one" if expected is None else str(expected)
        raise StructureError(
            f"the absorbers have {len(pairs)} first-shell bonds up to {cluster.first_shell_cutoff:.4f} Å, "
            f"{wanted} needed; change structure.first_shell_cutoff"
        )
    found: NDArray[np.intp] = pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]
    return found


def bond_lengths(positions: NDArray[np.float64], bonds: NDArray[np.intp]) -> NDArray[np.float64]:
    """Measure bonds.

    Parameters
    ----------
    positions : ndarray of float64, shape (..., A, 3)
        Positions of one or many structures, Å.
    bonds : ndarray of int, shape (B, 2)
        Pairs of atoms.

    Returns
    -------
    ndarray of float64, shape (..., B)
        Lengths, Å.
    """
    ends = positions[..., bonds, :]
    lengths: NDArray[np.float64] = np.linalg.norm(ends[..., 1, :] - ends[..., 0, :], axis=-1)
    return lengths


def mean_squared_displacement(lengths: NDArray[np.float64], axis: int = -1) -> NDArray[np.float64]:
    """Return mean (b − mean b)², the label.

    Parameters
    ----------
    lengths : ndarray of float64, shape (..., B)
        Bond lengths, Å.
    axis : int
        Axis of the bonds.

    Returns
    -------
    ndarray of float64, shape (...)
        MSD, Å²; divided by the number of bonds, not by one less.
    """
    return np.asarray(np.var(lengths, axis=axis), dtype=np.float64)


def skewness(lengths: NDArray[np.float64], axis: int = -1) -> NDArray[np.float64]:
    """Return the skewness of bond lengths.

    Parameters
    ----------
    lengths : ndarray of float64, shape (..., B)
        Bond lengths, Å, not all equal.
    axis : int
        Axis of the bonds.

    Returns
    -------
    ndarray of float64, shape (...)
        Third central moment over the second's power 3/2; undefined, NaN with a warning,
        where all lengths are equal.
    """
    return np.asarray(stats.skew(lengths, axis=axis), dtype=np.float64)


def radial_distribution(lengths: NDArray[np.float64], edges: ArrayLike) -> NDArray[np.float64]:
    """Return g(r), the histogram of bond lengths.

    Parameters
    ----------
    lengths : ndarray of float64, any shape
        Bond lengths, Å.
    edges : array_like, shape (K + 1,)
        Edges of the bins, rising, Å.

    Returns
    -------
    ndarray of float64, shape (K,)
        Density, Å⁻¹; its integral over the bins is 1.

    Raises
    ------
    StructureError
        If no bond length lies in the bins.
    """
    bins = np.asarray(edges, dtype=np.float64)
    if not np.any((lengths >= bins[0]) & (lengths <= bins[-1])):
        raise StructureError(
            f"no bond length lies between {bins[0]:.3f} and {bins[-1]:.3f} Å; "
            f"they range from {np.min(lengths):.3f} to {np.max(lengths):.3f} Å"
        )
    return np.histogram(lengths, bins=bins, density=True)[0].astype(np.float64)


def check_overlap(positions: NDArray[np.float64], minimum_distance: float, label: str) -> None:
    """Refuse a structure whose atoms overlap.

    Parameters
    ----------
    positions : ndarray of float64, shape (A, 3)
        Positions, Å, finite.
    minimum_distance : float
        Smallest distance accepted, Å.
    label : str
        The structure's name in the message.

    Raises
    ------
    StructureError
        If two atoms are closer; the message names the closest pair and its distance.
    """
    pairs = cKDTree(positions).query_pairs(minimum_distance, output_type="ndarray")
    lengths = bond_lengths(positions, pairs)
    # The tree's ball is closed, the condition is not.
    if not np.any(lengths < minimum_distance):
        return
    first, second = np.sort(pairs[np.argmin(lengths)])
    raise StructureError(
        f"{label}: atoms {first} and {second} are {lengths.min():.3f} Å apart, closer than "
        f"structure.minimum_distance = {minimum_distance} Å; change the structure or the limit"
    )


def _span(cluster: Cluster) -> str:
    return f"0 to {len(cluster.numbers) - 1}"


def _read(path: Path) -> Atoms:
    try:
        # ase promises a list or one frame; an integer index gives one frame.
        atoms = cast(Atoms, read(path, index=-1))
    except Exception as error:
        # ase's readers let through whatever a malformed file makes them stumble over.
        reason = getattr(error, "strerror", None) or " ".join(str(error).split()) or type(error).__name__
        raise StructureError(f"cannot read the structure file {path} with ase: {reason}") from error
    if len(atoms) == 0 or not np.isfinite(atoms.positions).all() or (atoms.numbers < 1).any():
        raise StructureError(f"{path} must hold atoms of known elements at finite positions")
    return atoms


def _find_absorber(atoms: Atoms, section: StructureSection, source: str) -> int:
    if section.absorber is not None:
        if section.absorber >= len(atoms):
            raise StructureError(f"structure.absorber is {section.absorber}; {source} has atoms 0 to {len(atoms) - 1}")
        symbol = atoms.symbols[section.absorber]
        if symbol != section.element:
            raise StructureError(
                f"structure.absorber {section.absorber} in {source} is {symbol}, "
                f"structure.element is {section.element}; change either"
            )
        return section.absorber
    candidates = np.flatnonzero(atoms.numbers == atomic_numbers[section.element])
    if candidates.size == 0:
        present = ", ".join(sorted(set(atoms.symbols)))
        raise StructureError(f"{source} holds no {section.element}, only {present}; set structure.element")
    distances = np.linalg.norm(atoms.positions[candidates] - atoms.positions.mean(axis=0), axis=1)
    # Rounded so that equally near atoms do not depend on the last bit: the first of them is taken.
    return int(candidates[np.argmin(np.round(distances, 6))])


def _cut_sphere(
    atoms: Atoms, absorber: int, radius: float | None, source: str
) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    if radius is None:
        raise StructureError(f"{source} is periodic; set structure.radius, the sphere to cut around the absorber, Å")
    if (atoms.cell.lengths()[atoms.pbc] == 0).any():
        raise StructureError(f"{source} is periodic along an axis whose cell vector is zero; correct its cell")
    centers, others, vectors = neighbor_list("ijD", atoms, radius)
    others, vectors = others[centers == absorber], vectors[centers == absorber]
    # Rounded so that the order of equally distant atoms does not depend on the last bit.
    keys = np.round(np.column_stack((np.linalg.norm(vectors, axis=1), vectors)), 6)
    order = np.lexsort(keys.T[::-1])
    numbers = atoms.numbers[np.concatenate(([absorber], others[order]))]
    return numbers, np.concatenate((np.zeros((1, 3)), vectors[order]))


def _first_shell_lengths(
    positions: NDArray[np.float64], absorber: int, cutoff: float | None, source: str
) -> NDArray[np.float64]:
    lengths: NDArray[np.float64] = np.delete(np.linalg.norm(positions - positions[absorber], axis=1), absorber)
    if lengths.size == 0:
        raise StructureError(f"{source}: the absorber {absorber} has no neighbors; give a larger structure or radius")
    if cutoff is not None and lengths.min() > cutoff:
        raise StructureError(
            f"{source}: the absorber {absorber} has no neighbors within structure.first_shell_cutoff = {cutoff} Å; "
            f"the nearest atom is {lengths.min():.4f} Å away"
        )
    return lengths
