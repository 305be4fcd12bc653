"""What a campaign's labels rest on, in lines for the user: absorbers, first shell, bonds, atoms that FEFF sees."""

from __future__ import annotations

import numpy as np
from ase.data import chemical_symbols

from xanesml import structures
from xanesml.campaign import StructureSection
from xanesml.feff.cards import fms_radius
from xanesml.files.arrays import Floats, Wholes
from xanesml.files.notebook import Entry
from xanesml.files.rows_text import stretches
from xanesml.store.cost import atoms_in_sphere
from xanesml.store.kinds import Kind
from xanesml.store.tasks import TaskTable
from xanesml.structures import bonds

#: Lengths that differ by less are printed as one, Å.
_SAME = 5e-4


def geometry(table: TaskTable, section: StructureSection) -> list[Entry]:
    """Describe the geometry that defines a campaign's labels.

    Parameters
    ----------
    table : TaskTable
        The campaign's structures and tasks.
    section : StructureSection
        Its structure section.

    Returns
    -------
    list of (str, str)
        Names and values; the notes of a structure file come last.
    """
    cluster, source = table.cluster, structures.describe(section, len(table.cluster.numbers))
    symbol = chemical_symbols[cluster.numbers[cluster.absorber]]
    lengths = neighbor_lengths(cluster, cluster.absorber)
    inside, beyond = (lengths[lengths <= cluster.first_shell_cutoff], lengths[lengths > cluster.first_shell_cutoff])
    kind = f"{symbol} neighbors" if cluster.like_bonds else "neighbors"
    following = f"; the next is {beyond[0]:.4f} Å away" if len(beyond) else ""
    entries = [
        ("structure", f"{source}; absorber {cluster.absorber} ({symbol}) of {len(cluster.numbers)} atoms"),
        (
            "first shell",
            f"r1 {cluster.first_shell:.4f} Å; {len(inside)} {kind} at {_range(inside)} Å, up to a cutoff of "
            f"{cluster.first_shell_cutoff:.4f} Å{following}",
        ),
    ]
    disordered = np.flatnonzero(table.kind != Kind.DISTORTED)
    if len(disordered):
        several = table.own.absorber[table.own.structure == disordered[0]]
        entries.append(("absorbers", f"{len(several)} in a disordered structure, with {_bonds(table, several)} bonds"))
    return [*entries, ("FMS sphere", _spheres(table)), *(("note", note) for note in cluster.notes)]


def neighbor_lengths(cluster: structures.Cluster, atom: int) -> Floats:
    """Return the distances of an atom from those that count as its neighbors, ascending, Å."""
    lengths = np.linalg.norm(cluster.positions - cluster.positions[atom], axis=1)
    counted = np.full(len(lengths), True)
    if cluster.like_bonds:
        counted = cluster.numbers == cluster.numbers[atom]
    counted[atom] = False
    return np.sort(lengths[counted])


def _range(values: Floats) -> str:
    low, high = float(values[0]), float(values[-1])
    return f"{low:.4f}" if high - low < _SAME else f"{low:.4f} … {high:.4f}"


def _bonds(table: TaskTable, absorbers: Wholes) -> str:
    """Return the number of bonds, or its range over the images of a trajectory."""
    images = np.flatnonzero(table.kind == Kind.IMAGE)
    counts = [
        len(bonds.bonds(table.cluster, absorbers, positions=positions))
        for positions in ([table.positions[int(image)] for image in images] if len(images) else [None])
    ]
    return str(min(counts)) if min(counts) == max(counts) else f"{min(counts)} … {max(counts)}"


def _spheres(table: TaskTable) -> str:
    """Return how many atoms of the undistorted cluster lie in the FMS sphere of each absorber."""
    cluster, radius, absorbers = table.cluster, fms_radius(table.feff), np.unique(table.absorber)
    atoms = atoms_in_sphere(cluster.positions[np.newaxis], absorbers, radius)[0]
    parts = [f"{count} around {_listed(absorbers[atoms == count])}" for count in np.unique(atoms)[::-1]]
    return f"atoms within {radius:g} Å: {'; '.join(parts)}"


def _listed(atoms: Wholes) -> str:
    found = stretches(atoms.astype(np.int64))
    return ", ".join(str(low) if low == high else f"{low}–{high}" for low, high in found)
