"""The extent of a structure file: sizes that only a damaged file or another unit has are refused.

A search for neighbors would take endless time and memory on them.
"""

from __future__ import annotations

import numpy as np
from ase import Atoms

from xanesml.errors import StructureError

#: Largest coordinate and cell vector, and smallest height of a periodic cell, Å.
LARGEST, THINNEST = 1e4, 0.5


def check_extent(atoms: Atoms, source: str) -> None:
    """Refuse atoms and cells of impossible size.

    Parameters
    ----------
    atoms : ase.Atoms
        A structure.
    source : str
        The file, for the message.

    Raises
    ------
    StructureError
        If a coordinate or a cell vector is not finite or longer than 10⁴ Å, or a periodic cell has no volume or is
        thinner than an atom.
    """
    sizes = np.abs(np.concatenate((atoms.positions.ravel(), atoms.cell.array.ravel())))
    if not (np.isfinite(sizes).all() and sizes.max() <= LARGEST):
        raise StructureError(f"{source} has coordinates or cell vectors beyond {LARGEST:g} Å; give lengths in Å")
    if not atoms.pbc.any():
        return
    # ase completes cells that are periodic along fewer than three axes.
    cell = atoms.cell.complete().array
    areas = np.linalg.norm(np.cross(np.roll(cell, -1, axis=0), np.roll(cell, -2, axis=0)), axis=1)
    heights = np.abs(np.linalg.det(cell)) / np.where(areas > 0, areas, np.inf)
    if not (heights[atoms.pbc] >= THINNEST).all():
        raise StructureError(
            f"{source} is periodic, and its cell is {heights[atoms.pbc].min():.2g} Å thin, less than {THINNEST:g} Å; "
            "correct its cell"
        )
