"""The undistorted cluster of a campaign: a cuboctahedron, or cut from a structure file."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers

from xanesml.campaign import CUBOCTAHEDRA, StructureSection
from xanesml.errors import StructureError
from xanesml.files.arrays import Floats, Wholes
from xanesml.structures.cluster import Cluster
from xanesml.structures.extent import check_extent
from xanesml.structures.overlap import check_overlap

#: Default first-shell cutoff over the absorber's shortest bond; fcc's second shell lies at √2.
FIRST_SHELL_REACH = 1.2


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
        from ase.cluster import Octahedron  # noqa: PLC0415 (slow to import, and not needed on every rank)

        shells = CUBOCTAHEDRA.index(section.atoms) + 1
        atoms = Octahedron(
            section.element, length=2 * shells + 1, cutoff=shells, latticeconstant=section.lattice_constant
        )
        source = f"{section.atoms}-atom cuboctahedron"
    else:
        atoms = _read(section.file)
        source = str(section.file)
    absorber = _find_absorber(atoms, section, source)
    kept: Wholes = np.arange(len(atoms))
    if section.file is not None and atoms.pbc.any():
        kept, positions = _cut_sphere(atoms, absorber, section.radius, source)
        absorber = 0
    elif section.radius is not None:
        raise StructureError(f"structure.radius is {section.radius}, but {source} is not periodic; remove radius")
    else:
        positions = atoms.positions - atoms.positions[absorber]
    check_overlap(positions, section.minimum_distance, source)
    bond_lengths_found = _first_shell_lengths(positions, absorber, section.first_shell_cutoff, source)
    cutoff = section.first_shell_cutoff or FIRST_SHELL_REACH * float(bond_lengths_found.min())
    if section.file is None:
        first_shell = section.lattice_constant / np.sqrt(2.0)
    else:
        first_shell = bond_lengths_found[bond_lengths_found <= cutoff].mean()
    return Cluster(
        numbers=np.asarray(atoms.numbers[kept], dtype=np.int32),
        positions=np.asarray(positions, dtype=np.float64),
        absorber=absorber,
        first_shell=float(first_shell),
        first_shell_cutoff=cutoff,
        minimum_distance=section.minimum_distance,
        coordination=_coordination(atoms, cutoff)[kept],
        radius=section.radius,
    )


def _read(path: Path) -> Atoms:
    from ase.io import read  # noqa: PLC0415 (slow to import, and not needed on every rank)

    try:
        # ase promises a list or one frame; an integer index gives one frame.
        atoms = cast(Atoms, read(path, index=-1))
    except Exception as error:
        # On a malformed file ase's readers raise errors of any kind.
        reason = getattr(error, "strerror", None) or " ".join(str(error).split()) or type(error).__name__
        raise StructureError(f"cannot read the structure file {path} with ase: {reason}") from error
    if len(atoms) == 0 or not np.isfinite(atoms.positions).all() or (atoms.numbers < 1).any():
        raise StructureError(f"{path} must hold atoms of known elements at finite positions")
    check_extent(atoms, str(path))
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
    # Rounded, so that the last bit does not choose among equally near atoms: the first is taken.
    return int(candidates[np.argmin(np.round(distances, 6))])


def _cut_sphere(atoms: Atoms, absorber: int, radius: float | None, source: str) -> tuple[Wholes, Floats]:
    """Return the indices and the positions of the atoms in a sphere, the absorber first."""
    if radius is None:
        raise StructureError(f"{source} is periodic; set structure.radius, the sphere to cut around the absorber, Å")
    if (atoms.cell.lengths()[atoms.pbc] == 0).any():
        raise StructureError(f"{source} is periodic along an axis whose cell vector is zero; correct its cell")
    from ase.neighborlist import neighbor_list  # noqa: PLC0415 (slow to import, and not needed on every rank)

    centers, others, vectors = neighbor_list("ijD", atoms, radius)
    others, vectors = others[centers == absorber], vectors[centers == absorber]
    # Rounded, so that the last bit does not order equally distant atoms.
    keys = np.round(np.column_stack((np.linalg.norm(vectors, axis=1), vectors)), 6)
    order = np.lexsort(keys.T[::-1])
    kept: Wholes = np.concatenate(([absorber], others[order]))
    return kept, np.concatenate((np.zeros((1, 3)), vectors[order]))


def _coordination(atoms: Atoms, cutoff: float) -> Wholes:
    """Return the number of neighbors of every atom up to the cutoff, shape (A,), periodic images counted."""
    from ase.neighborlist import neighbor_list  # noqa: PLC0415 (slow to import, and not needed on every rank)

    neighbors: Wholes = np.bincount(neighbor_list("i", atoms, cutoff), minlength=len(atoms)).astype(np.int32)
    return neighbors


def _first_shell_lengths(positions: Floats, absorber: int, cutoff: float | None, source: str) -> Floats:
    lengths: Floats = np.delete(np.linalg.norm(positions - positions[absorber], axis=1), absorber)
    if lengths.size == 0:
        raise StructureError(f"{source}: the absorber {absorber} has no neighbors; give a larger structure or radius")
    if cutoff is not None and lengths.min() > cutoff:
        raise StructureError(
            f"{source}: the absorber {absorber} has no neighbors within structure.first_shell_cutoff = {cutoff} Å; "
            f"the nearest atom is {lengths.min():.4f} Å away"
        )
    return lengths
