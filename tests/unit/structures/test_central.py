"""The central absorber is chosen by the geometry, whatever the order of the atoms."""

from __future__ import annotations

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, fcc111
from ase.cluster import Octahedron

from xanesml.structures.central import central_absorber
from xanesml.structures.connected import pieces


def choose(atoms: Atoms, symbol: str = "Au") -> tuple[int, bool]:
    return central_absorber(atoms, np.flatnonzero(atoms.symbols == symbol), pieces(atoms))


def test_the_center_of_mass_is_that_of_masses() -> None:
    # A chain Li–Au–Au: the center of mass is 1.40 Å from the first gold, 1.40 Å + … from the second.
    chain = Atoms("LiAuAu", positions=[[0, 0, 0], [2.8, 0, 0], [5.6, 0, 0]])
    assert chain.get_center_of_mass()[0] == pytest.approx(2.8 * (197 + 394) / (2 * 196.97 + 6.94), abs=0.01)
    heavy = Atoms("LiLiAuAu", positions=[[0, 0, 0], [2.8, 0, 0], [5.6, 0, 0], [8.2, 0, 0]])
    # Of both golds the first is nearer to the centroid 4.15, but also to the center of mass, 6.7.
    assert choose(heavy) == (2, True)
    assert choose(heavy, "Li") == (1, True)


def test_equally_near_atoms_are_told_apart_by_coordinates_not_by_their_order() -> None:
    # A truncated octahedron of 38 atoms has an octahedral hole in its middle, with six equal atoms around.
    atoms = Octahedron("Au", 4, cutoff=1, latticeconstant=4.08)
    atoms = Atoms(numbers=atoms.numbers, positions=atoms.positions)
    chosen = atoms.positions[choose(atoms)[0]] - atoms.get_center_of_mass()
    assert np.linalg.norm(chosen) == pytest.approx(4.08 / 2)
    rng = np.random.default_rng(3)
    for _ in range(4):
        shuffled = atoms[rng.permutation(38)]
        shuffled.translate(rng.uniform(-5, 5, 3))
        place = shuffled.positions[choose(shuffled)[0]] - shuffled.get_center_of_mass()
        np.testing.assert_allclose(place, chosen, atol=1e-9)


def test_in_a_crystal_it_is_the_one_with_common_surroundings() -> None:
    # Four golds, of which one lies off its place: the other three are nearer to the mean.
    atoms = bulk("Au", cubic=True).repeat(2)
    atoms.positions[0] += [0.2, 0.1, 0.0]
    chosen, alike = choose(atoms)
    assert not alike
    distances = [np.sort(atoms.get_distances(index, range(32), mic=True))[1] for index in range(32)]
    assert np.argmin(distances) != chosen
    assert choose(bulk("Au", cubic=True))[1]


def test_in_a_slab_it_lies_in_the_middle() -> None:
    slab = fcc111("Au", (2, 2, 5), vacuum=6.0, periodic=True)
    chosen, alike = choose(slab)
    assert alike
    assert slab.positions[chosen, 2] == pytest.approx(np.median(slab.positions[:, 2]))
