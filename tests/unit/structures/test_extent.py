from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

from xanesml.errors import StructureError
from xanesml.structures.extent import check_extent


def test_crystals_and_clusters_pass() -> None:
    check_extent(bulk("Au"), "a crystal")
    check_extent(bulk("Au", cubic=True) * (5, 5, 5), "a crystal")
    check_extent(Atoms("Au2", [[0, 0, 0], [9000, 0, 0]]), "two atoms")
    check_extent(Atoms("Au", cell=[3, 0, 0], pbc=[True, False, False]), "a chain")


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        (np.diag([4, 4, 1e-3]), "is 0.001 Å thin"),
        ([[4, 0, 0], [4, 1e-9, 0], [0, 0, 4]], "Å thin"),
        (np.diag([4, 4, 1e15]), "beyond 10000 Å"),
        (np.diag([4, 4, np.inf]), "beyond 10000 Å"),
        ([[4, 0, 0], [8, 0, 0], [0, 0, 4]], "is 0 Å thin"),
    ],
)
def test_cells_of_no_crystal_are_refused(cell: np.ndarray, message: str) -> None:
    with pytest.raises(StructureError, match=message):
        check_extent(Atoms("Au", cell=cell, pbc=True), "it")


def test_atoms_far_away_are_refused() -> None:
    with pytest.raises(StructureError, match="beyond 10000 Å"):
        check_extent(Atoms("Au2", [[0, 0, 0], [1e300, 0, 0]]), "it")
