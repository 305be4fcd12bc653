"""The undistorted cluster of a campaign: a particle of a shape, or cut from a structure file."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers, chemical_symbols

from xanesml.campaign import StructureSection
from xanesml.errors import StructureError
from xanesml.files.arrays import Booleans, Floats, Indices, Integers, Wholes
from xanesml.seeds import Stream, generator
from xanesml.structures.central import central_absorber
from xanesml.structures.cluster import Cluster
from xanesml.structures.connected import VACUUM, Pieces, pieces, vacuum
from xanesml.structures.feff_inp import is_feff_input, read_feff_input
from xanesml.structures.first_shell import FirstShell, find_first_shell, given_first_shell
from xanesml.structures.neighbors import neighbor_counts
from xanesml.structures.overlap import check_overlap
from xanesml.structures.reading import Site, fill, images, last_image, refuse_shared_sites, shared_sites, unused
from xanesml.structures.shapes import describe, particle
from xanesml.structures.sphere import sphere

#: Distances to the first neighbors are searched up to these, Å.
_SEARCH = (8.0, 20.0, 50.0)


@dataclass(frozen=True)
class _Structure:
    """A structure before it is cut: whole, its absorber chosen."""

    atoms: Atoms
    sites: list[Site] | None
    absorber: int
    source: str
    notes: list[str] = field(default_factory=list)


def build_cluster(section: StructureSection, seed: int | None = None) -> Cluster:
    """Build the undistorted cluster of a campaign.

    Parameters
    ----------
    section : StructureSection
        A particle of a shape, or a file that ase reads. A particle that lies across the faces of its cell is made
        whole. From a periodic structure a sphere is cut around the absorber: the absorber first, the other atoms by
        distance.
    seed : int, optional
        Seed of the campaign, needed for `occupancy = "random"`.

    Returns
    -------
    Cluster
        The cluster, centered on its absorber, with notes on what was decided about a file.

    Raises
    ------
    StructureError
        If the file cannot be read, lacks the element or the absorber, is periodic without a radius or has shared
        sites, or if atoms overlap, or if the absorber has no neighbors or no gap beyond its first shell.
    """
    structure = _particle(section) if section.file is None else _from_file(section)
    atoms, source = structure.atoms, structure.source
    kept, positions = sphere(atoms, structure.absorber, section.radius if atoms.pbc.any() else None)
    check_overlap(positions, section.minimum_distance, source)
    shell = _first_shell(structure, section)
    if (radius := section.radius if atoms.pbc.any() else None) is not None:
        if radius < shell.lengths[-1]:
            raise StructureError(
                f"{source}: the absorber {structure.absorber} has no neighbors within structure.radius = {radius} Å; "
                f"its first shell reaches to {shell.lengths[-1]:.4f} Å; give a larger radius"
            )
        # Neighbors of the outermost atoms, too, so that all are counted as in the uncut structure.
        kept, positions = sphere(atoms, structure.absorber, radius + shell.cutoff)
    numbers = atoms.numbers[kept]
    if structure.sites is not None:
        numbers = _filled(structure.sites, kept, positions, section.element, seed)
    inside = np.linalg.norm(positions, axis=1) <= (np.inf if radius is None else radius)
    notes = list(structure.notes)
    if structure.sites is not None:
        notes.append(
            f"{source}: shared sites are filled at random, the same in all structures: {_content(numbers[inside])}"
        )
    there = numbers > 0
    kept, numbers, positions, inside = kept[there], numbers[there], positions[there], inside[there]
    like = section.first_shell == "element"
    coordination = neighbor_counts(numbers, positions, shell.cutoff, like=like)
    first_shell = float(shell.lengths.mean())
    if section.file is None and section.shape == "cuboctahedron" and section.lattice_constant is not None:
        first_shell = float(section.lattice_constant / np.sqrt(2.0))
    return Cluster(
        numbers=np.asarray(numbers[inside], dtype=np.int32),
        positions=np.asarray(positions[inside], dtype=np.float64),
        absorber=int(np.flatnonzero(kept == structure.absorber)[0]) if radius is None else 0,
        first_shell=first_shell,
        first_shell_cutoff=shell.cutoff,
        minimum_distance=section.minimum_distance,
        coordination=coordination[inside],
        radius=radius,
        like_bonds=like,
        source=np.asarray(kept[inside]),
        notes=tuple(notes),
    )


def _particle(section: StructureSection) -> _Structure:
    atoms = particle(section)
    source = describe(section, len(atoms))
    if section.radius is not None:
        raise StructureError(f"structure.radius is {section.radius}, but {source} is not periodic; remove radius")
    found = pieces(atoms)
    return _Structure(atoms, None, _absorber(atoms, None, section, found, source, []), source)


def _from_file(section: StructureSection) -> _Structure:
    assert section.file is not None  # noqa: S101 (the caller's choice)
    source, notes = str(section.file), []
    if section.images is None:
        atoms, count = last_image(section.file)
        if count > 1:
            notes.append(f"{source} holds {count} images, of which the last is used; structure.images takes several")
    else:
        atoms = next(images(section.file))
        notes.append(f"{source}: the first image is the undistorted cluster")
    if ignored := unused(atoms):
        notes.append(f"{source}: its {', '.join(ignored)} are not used")
    sites = shared_sites(atoms)
    if sites is not None and section.occupancy is None:
        refuse_shared_sites(atoms, sites, source)
    found = pieces(atoms, section.first_shell_cutoff or 0.0)
    placed = _placed(atoms, found, section, source, notes)
    absorber = _absorber(placed, sites, section, found, source, notes)
    if atoms.pbc.any() and not placed.pbc.any() and section.radius is not None:
        reach = float(np.linalg.norm(placed.positions - placed.positions[absorber], axis=1).max())
        if section.radius < reach:
            raise StructureError(
                f"structure.radius = {section.radius} Å would cut the particle in {source}, which reaches to "
                f"{reach:.2f} Å from its absorber; remove radius"
            )
    return _Structure(placed, sites, absorber, source, notes)


def _placed(atoms: Atoms, found: Pieces, section: StructureSection, source: str, notes: list[str]) -> Atoms:
    """Return a structure at the positions that connect it, periodic along the axes that it is periodic along."""
    if not atoms.pbc.any():
        if section.radius is not None:
            raise StructureError(f"structure.radius is {section.radius}, but {source} is not periodic; remove radius")
        if len(found) > 1:
            notes.append(f"{source}: its {len(atoms)} atoms are {len(found)} pieces that are not connected")
        return atoms
    placed = Atoms(numbers=atoms.numbers, positions=found.positions, cell=atoms.cell, pbc=atoms.pbc)
    isolated = len(found) == 1 and not found.periodic.any()
    free = vacuum(atoms, found.positions) if isolated else 0.0
    if isolated and free >= VACUUM:
        placed.pbc = False
        notes.append(
            f"{source}: its {len(atoms)} atoms are one particle with {free:.1f} Å of vacuum to its periodic images, "
            "which are left out"
        )
    elif len(found) == 1 and found.periodic.any() and (found.periodic[0] != atoms.pbc).any():
        placed.pbc = found.periodic[0]
        axes = ", ".join(name for name, periodic in zip("abc", found.periodic[0], strict=True) if periodic)
        notes.append(f"{source}: its atoms are connected along {axes} only; along the others it is not repeated")
    if placed.pbc.any() and section.radius is None:
        raise StructureError(f"{source} is periodic; set structure.radius, the sphere to cut around the absorber, Å")
    return placed


def _absorber(
    atoms: Atoms, sites: list[Site] | None, section: StructureSection, found: Pieces, source: str, notes: list[str]
) -> int:
    """Return the index of the central absorber; a note tells where it might as well be another."""
    held = _may_hold(atoms, sites, atomic_numbers[section.element])
    if section.file is not None and section.absorber is None and is_feff_input(section.file):
        section = section.model_copy(update={"absorber": read_feff_input(section.file).absorber})
    if section.absorber is not None:
        if section.absorber >= len(atoms):
            raise StructureError(f"structure.absorber is {section.absorber}; {source} has atoms 0 to {len(atoms) - 1}")
        if not held[section.absorber]:
            raise StructureError(
                f"structure.absorber {section.absorber} in {source} is {atoms.symbols[section.absorber]}, "
                f"structure.element is {section.element}; change either"
            )
        return section.absorber
    candidates: Indices = np.flatnonzero(held)
    if candidates.size == 0:
        present = ", ".join(sorted(set(atoms.symbols)))
        raise StructureError(f"{source} holds no {section.element}, only {present}; set structure.element")
    absorber, alike = central_absorber(atoms, candidates, found)
    if not alike and atoms.pbc.any():
        notes.append(
            f"{source}: its {section.element} atoms have different surroundings; the absorber is atom {absorber}, "
            "whose distances are nearest to their mean; structure.absorber chooses another"
        )
    return absorber


def _may_hold(atoms: Atoms, sites: list[Site] | None, number: int) -> Booleans:
    """Return whether each site may hold an element, shape (A,)."""
    if sites is None:
        return np.asarray(atoms.numbers == number)
    return np.array([site.get(number, 0.0) > 0 for site in sites], dtype=np.bool_)


def _first_shell(structure: _Structure, section: StructureSection) -> FirstShell:
    """Return the first shell of the absorber in the uncut structure."""
    atoms, absorber, source = structure.atoms, structure.absorber, structure.source
    number = atomic_numbers[section.element]
    counted = _may_hold(atoms, structure.sites, number) | (section.first_shell == "any")
    kind = f" of {section.element}" if section.first_shell == "element" else ""
    positions: Floats = np.empty((0, 3))
    for reach in _SEARCH if atoms.pbc.any() else (None,):
        kept, positions = sphere(atoms, absorber, reach)
        positions = positions[counted[kept]]
        lengths = np.sort(np.linalg.norm(positions, axis=1))[1:]
        # Far enough for the distances that follow the first shell.
        if reach is None or (len(lengths) and reach > 2.5 * lengths[0]):
            break
    if not len(lengths):
        raise StructureError(
            f"{source}: the absorber {absorber} has no neighbors{kind}; give a larger structure or radius"
        )
    if section.first_shell_cutoff is not None:
        return given_first_shell(lengths, section.first_shell_cutoff, source)
    others: Floats = np.empty(0)
    if not atoms.pbc.any() and lengths[-1] <= 2.0 * lengths[0]:
        from scipy.spatial.distance import pdist  # noqa: PLC0415 (slow to import, and not needed on every rank)

        others = np.sort(pdist(positions))
    return find_first_shell(lengths, others, source)


def _filled(sites: list[Site], kept: Wholes, positions: Floats, element: str, seed: int | None) -> Integers:
    """Return atomic numbers that fill the sites around an absorber at random, 0 where a site stays empty."""
    if seed is None:
        raise ValueError('occupancy = "random" needs the seed of the campaign')
    # By distance, so that neither the order of a file nor a larger sphere changes what is on a site.
    keys = np.round(np.column_stack((np.linalg.norm(positions, axis=1), positions)), 6)
    order = np.lexsort(keys.T[::-1])
    draws = np.empty(len(kept))
    draws[order] = generator(seed, Stream.OCCUPANCY).random(len(kept))
    numbers = fill([sites[index] for index in kept.tolist()], draws)
    numbers[order[0]] = atomic_numbers[element]
    return numbers


def _content(numbers: Wholes) -> str:
    """Return how many sites hold each element, and how many are empty, as text."""
    found, counts = np.unique(numbers, return_counts=True)
    names = (chemical_symbols[number] if number else "empty" for number in found[::-1].tolist())
    return ", ".join(f"{count} {name}" for name, count in zip(names, counts[::-1].tolist(), strict=True))
