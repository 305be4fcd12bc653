"""The choice of the central absorber: by the geometry, never by the order of a file."""

from __future__ import annotations

import numpy as np
from ase import Atoms

from xanesml.files.arrays import Floats, Indices
from xanesml.structures.connected import Pieces

#: Distances that differ by less are equal, decimals of 1 Å.
_DECIMALS = 6

#: Surroundings within this distance are compared, Å.
_SURROUNDINGS = 6.0

#: Surroundings whose distances differ by less are alike, Å.
_SAME = 0.01


def central_absorber(atoms: Atoms, candidates: Indices, found: Pieces) -> tuple[int, bool]:
    """Choose the central absorber.

    It is the candidate nearest to the center of mass of its connected piece, of pieces of different size the
    largest. Among equally near ones, as all are in a crystal, it is the one whose distances to the atoms around it
    are nearest to the mean over these candidates, and among equal ones the first by coordinates.

    Parameters
    ----------
    atoms : Atoms
        The structure, its atoms where they are connected.
    candidates : ndarray of int, shape (n,)
        Atoms of the absorber's element, at least one.
    found : Pieces
        Connected pieces of the structure.

    Returns
    -------
    absorber : int
        Index of the chosen atom.
    alike : bool
        Whether all equally near candidates have the same distances around them.
    """
    sizes = found.sizes[found.label[candidates]]
    candidates = candidates[sizes == sizes.max()]
    distances = np.round(found.from_center(atoms)[candidates], _DECIMALS)
    equal = candidates[distances <= distances.min() + 10.0**-_DECIMALS]
    if len(equal) == 1:
        return int(equal[0]), True
    around = _surroundings(atoms, equal)
    apart = np.round(np.abs(around - around.mean(axis=0)).max(axis=1, initial=0.0), 3)
    places = np.round(_places(atoms)[equal], _DECIMALS)
    order = np.lexsort((*places.T[::-1], *np.round(around, 3).T[::-1], apart))
    alike = bool(np.ptp(around, axis=0).max(initial=0.0) < _SAME)
    return int(equal[order[0]]), alike


def _places(atoms: Atoms) -> Floats:
    """Return coordinates that do not depend on how atoms are wrapped into the cell, (A, 3)."""
    if not atoms.pbc.any():
        return np.asarray(atoms.positions - atoms.get_center_of_mass())
    fractions: Floats = np.round(atoms.cell.complete().scaled_positions(atoms.positions), _DECIMALS)
    fractions[:, atoms.pbc] %= 1.0
    return fractions


def _surroundings(atoms: Atoms, chosen: Indices) -> Floats:
    """Return distances from some atoms to the others, element by element, ascending, (n, D), Å.

    Of each element as many are compared as all of the chosen atoms have within reach.
    """
    from ase.neighborlist import neighbor_list  # noqa: PLC0415 (slow to import, and not needed on every rank)

    first, second, lengths = neighbor_list("ijd", atoms, _SURROUNDINGS)
    wanted = np.isin(first, chosen)
    first, second, lengths = first[wanted], second[wanted], lengths[wanted]
    order = np.lexsort((lengths, first))
    first, second, lengths = first[order], second[order], lengths[order]
    columns = [np.empty((len(chosen), 0))]
    for number in np.unique(atoms.numbers):
        of_element = atoms.numbers[second] == number
        owners, own = first[of_element], lengths[of_element]
        starts, stops = np.searchsorted(owners, chosen), np.searchsorted(owners, chosen, side="right")
        lists = [own[start:stop] for start, stop in zip(starts, stops, strict=True)]
        common = min(map(len, lists))
        columns.append(np.array([one[:common] for one in lists]).reshape(len(chosen), common))
    return np.column_stack(columns)
