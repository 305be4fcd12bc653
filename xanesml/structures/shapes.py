"""Particles of a shape, as `ase.cluster` makes them."""

from __future__ import annotations

import numpy as np
from ase import Atoms
from ase.data import atomic_numbers, reference_states

from xanesml.campaign import MAGIC_NUMBERS, StructureSection, miller_indices
from xanesml.errors import StructureError

#: Structures other than fcc that a Wulff construction follows.
_OWN_STRUCTURES = ("bcc", "sc")


def particle(section: StructureSection) -> Atoms:
    """Make the particle of a structure section without a file.

    Returns
    -------
    Atoms
        Not periodic; in the order of ase.

    Raises
    ------
    StructureError
        If ase cannot make it.
    """
    from ase import cluster  # noqa: PLC0415 (slow to import, and not needed on every rank)

    symbol, constant, size = section.element, section.lattice_constant, section.size or []
    try:
        match section.shape:
            case "cuboctahedron":
                shells = MAGIC_NUMBERS.index(section.atoms or 0) + 1
                atoms = cluster.Octahedron(symbol, 2 * shells + 1, cutoff=shells, latticeconstant=constant)
            case "icosahedron":
                # ase counts the central atom as a shell.
                shells = MAGIC_NUMBERS.index(section.atoms or 0) + 2
                atoms = cluster.Icosahedron(symbol, shells, latticeconstant=constant)
            case "octahedron":
                atoms = cluster.Octahedron(symbol, size[0], cutoff=size[1], latticeconstant=constant)
            case "decahedron":
                p, q, r = size
                atoms = cluster.Decahedron(symbol, p, q, r, latticeconstant=constant)
            case "wulff":
                atoms = _wulff(section)
    except Exception as error:
        # A Wulff construction that comes to nothing ends in errors of any kind, assertions among them.
        reason = " ".join(str(error).split()) or type(error).__name__
        raise StructureError(
            f"ase makes no {section.shape} of {symbol} with these numbers: {reason}; change the structure section"
        ) from error
    if not len(atoms) or not np.isfinite(atoms.positions).all():
        raise StructureError(f"ase makes an empty {section.shape} of {symbol} with these numbers; change them")
    return Atoms(numbers=atoms.numbers, positions=atoms.positions)


def describe(section: StructureSection, atoms: int) -> str:
    """Return a particle or file with its number of atoms as text, such as ``55-atom cuboctahedron``."""
    if section.file is not None:
        return str(section.file)
    return f"{atoms}-atom {'Wulff particle' if section.shape == 'wulff' else section.shape}"


def _wulff(section: StructureSection) -> Atoms:
    from ase.cluster import wulff_construction  # noqa: PLC0415

    surfaces = section.surfaces or {}
    symmetry = (reference_states[atomic_numbers[section.element]] or {}).get("symmetry")
    atoms: Atoms = wulff_construction(
        section.element,
        surfaces=[miller_indices(name) for name in surfaces],
        energies=list(surfaces.values()),
        size=section.atoms or 0,
        structure=symmetry if symmetry in _OWN_STRUCTURES else "fcc",
        rounding="closest",
        latticeconstant=section.lattice_constant,
    )
    return atoms
