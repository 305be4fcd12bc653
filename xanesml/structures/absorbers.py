"""The absorbers of a campaign: the center and its first shell, all atoms, or one atom for each class of sites."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from ase.data import chemical_symbols

from xanesml.campaign import DisorderSection, DistortionSection
from xanesml.errors import StructureError
from xanesml.files.arrays import Indices, Wholes
from xanesml.fms.point_group import point_group
from xanesml.seeds import Stream, generator
from xanesml.structures.cluster import Cluster, first_neighbors

#: Largest distance between an atom and the image of an equivalent one, Å: files with three decimals keep their
#: symmetry, and a spectrum does not change noticeably over such a distance.
SITE_TOLERANCE = 3e-3

#: Decimals of the distance from the center by which sites are ordered, Å.
_DECIMALS = 2

#: Of equivalent atoms, the one farthest along this direction stands for all: no two coordinates of a lattice
#: are equally far along it.
_GENERAL = np.array([1.0, 1 / np.pi, 1 / np.pi**2])


@dataclass(frozen=True)
class Sites:
    """Atoms that stand for the absorbing atoms of a cluster.

    Attributes
    ----------
    atoms : ndarray of int32, shape (n,)
        One atom of each site.
    multiplicity : ndarray of int32, shape (n,)
        Number of atoms that it stands for, itself included.
    """

    atoms: Wholes
    multiplicity: Wholes

    def __len__(self) -> int:
        return len(self.atoms)


def absorbers(cluster: Cluster, section: DisorderSection, seed: int | None = None) -> Indices:
    """Return the absorbers of a particle average.

    Parameters
    ----------
    cluster : Cluster
        The undistorted cluster.
    section : DisorderSection
        Its `absorbers` and `sample`.
    seed : int, optional
        Seed of the campaign, needed for a sample.

    Returns
    -------
    ndarray of int, shape (n,)
        The central absorber first, then its first neighbors of the same element by index; or
        all atoms of that element by index; or a sample of them, drawn by the campaign's seed; or the list as given.

    Raises
    ------
    StructureError
        If a listed atom is not in the cluster or not of the absorber's element, or a sample is larger than what it is
        drawn from.
    """
    element = cluster.numbers[cluster.absorber]
    every = np.flatnonzero(cluster.numbers == element)
    if section.absorbers == "all":
        return every
    if section.absorbers == "sample":
        if seed is None:
            raise ValueError("a sample of absorbers needs the seed of the campaign")
        if section.sample > len(every):
            raise StructureError(
                f"disorder.sample is {section.sample}, but the cluster has {len(every)} atoms of "
                f'{chemical_symbols[element]}; give fewer, or disorder.absorbers = "all"'
            )
        # By distance from the central absorber, so that the order of a file draws no other atoms.
        away = np.linalg.norm(cluster.positions[every], axis=1)
        ordered = every[np.lexsort((*np.round(cluster.positions[every].T, _DECIMALS), np.round(away, _DECIMALS)))]
        drawn = generator(seed, Stream.ABSORBERS).choice(len(every), section.sample, replace=False)
        return np.sort(ordered[drawn])
    if section.absorbers == "first_shell":
        neighbors = first_neighbors(cluster.positions, cluster.absorber, cluster.first_shell_cutoff)
        return np.concatenate(([cluster.absorber], neighbors[cluster.numbers[neighbors] == element]))
    for index in section.absorbers:
        if index >= len(cluster.numbers):
            raise StructureError(
                f"disorder.absorbers lists atom {index}; the cluster's atoms are 0 to {len(cluster.numbers) - 1}"
            )
        if cluster.numbers[index] != element:
            raise StructureError(
                f"disorder.absorbers lists atom {index}, {chemical_symbols[cluster.numbers[index]]}; "
                f"an average takes one element, the central absorber's {chemical_symbols[element]}"
            )
    return np.array(section.absorbers, dtype=np.intp)


def series_sites(cluster: Cluster, section: DistortionSection) -> Sites:
    """Return the absorbers of a distorted structure: the central one, or those of `sites`."""
    if section.absorbers == "center":
        return Sites(np.array([cluster.absorber], dtype=np.int32), np.ones(1, dtype=np.int32))
    return sites(cluster)


def sites(cluster: Cluster) -> Sites:
    """Find the classes of atoms of the absorber's element that the cluster's point group makes equivalent.

    The group is that of the operations about the centroid of all atoms, where every symmetry of a
    finite cluster leaves it. An isotropic distortion keeps it. Atoms of a cluster without symmetry are
    sites of their own.

    Parameters
    ----------
    cluster : Cluster
        The undistorted cluster.

    Returns
    -------
    Sites
        By distance from the centroid, then by multiplicity, then along a fixed direction. Of each class the
        atom farthest along that direction. Neither depends on the order of the atoms.
    """
    vectors = cluster.positions - cluster.positions.mean(axis=0)
    group = point_group(vectors, cluster.numbers, center=np.zeros(3), tolerance=SITE_TOLERANCE)
    # An orbit is named by the smallest of its atoms, which all of them have among their images.
    orbits, orbit, counts = np.unique(group.images.min(axis=0), return_inverse=True, return_counts=True)
    along = vectors @ _GENERAL
    farthest = np.lexsort((-along, orbit))[np.concatenate(([0], np.cumsum(counts)[:-1]))]
    absorbing = cluster.numbers[orbits] == cluster.numbers[cluster.absorber]
    atoms, multiplicity = farthest[absorbing], counts[absorbing]
    distances = np.round(np.linalg.norm(vectors[atoms], axis=1), _DECIMALS)
    order = np.lexsort((-along[atoms], multiplicity, distances))
    return Sites(atoms[order].astype(np.int32), multiplicity[order].astype(np.int32))


def describe_sites(multiplicity: Wholes) -> str:
    """Return sites as printed, such as ``5, multiplicities 1 12 6 24 12``."""
    if np.all(multiplicity == 1):
        return f"{len(multiplicity)}, one atom each"
    return f"{len(multiplicity)}, multiplicities {' '.join(map(str, multiplicity.tolist()))}"
