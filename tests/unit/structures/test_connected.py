"""Particles across the faces of a cell, slabs and crystals: what is connected with what."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, fcc111, molecule
from ase.io import read, write
from conftest import ROOT

from xanesml.campaign import StructureSection
from xanesml.errors import StructureError
from xanesml.structures import Cluster, build_cluster
from xanesml.structures.connected import pieces, vacuum

CASES = ROOT / "tests" / "data" / "structures"


def from_atoms(folder: Path, atoms: Atoms, **section: object) -> Cluster:
    write(folder / "structure.extxyz", Atoms(atoms.symbols, atoms.positions, cell=atoms.cell, pbc=atoms.pbc))
    return build_cluster(StructureSection(file=folder / "structure.extxyz", **section))


def test_pieces_and_the_axes_along_which_they_repeat() -> None:
    gold = bulk("Au", cubic=True)
    assert pieces(gold).periodic.tolist() == [[True, True, True]]
    slab = fcc111("Au", (2, 2, 3), vacuum=6.0, periodic=True)
    assert pieces(slab).periodic.tolist() == [[True, True, False]]
    chain = Atoms("Au", cell=[2.8, 20, 20], pbc=True)
    assert pieces(chain).periodic.tolist() == [[True, False, False]]
    water = molecule("H2O", vacuum=5.0)
    water.pbc = True
    water.translate([7.0, 3.0, 9.0])
    water.wrap()
    found = pieces(water)
    assert (len(found), found.periodic.any()) == (1, False)
    # O–H 0.969 Å, H–H 1.527 Å.
    spread = np.linalg.norm(found.positions[:, np.newaxis] - found.positions, axis=-1)
    np.testing.assert_allclose(spread[np.triu_indices(3, 1)], [0.9686, 0.9686, 1.5264], atol=1e-3)
    two = Atoms("Au4", positions=[[0, 0, 0], [2.8, 0, 0], [10, 0, 0], [12.8, 0, 0]])
    assert pieces(two).label.tolist() == [0, 0, 1, 1]
    assert pieces(two, bond=7.3).label.tolist() == [0, 0, 0, 0]


def test_the_vacuum_is_measured_between_the_outermost_atoms() -> None:
    atoms = Atoms("Au2", positions=[[0, 0, 0], [2.8, 0, 0]], cell=[10.0, 9.0, 0.0], pbc=[True, True, False])
    assert vacuum(atoms, atoms.positions) == pytest.approx(7.2)
    # Sheared by 45°, faces across a are 10/√2 apart, and the dumbbell takes 2.8/√2 of it.
    oblique = Atoms("Au2", positions=[[0, 0, 0], [2.8, 0, 0]], cell=[[10, 0, 0], [20, 20, 0], [0, 0, 30]], pbc=True)
    assert vacuum(oblique, oblique.positions) == pytest.approx(7.2 / np.sqrt(2))


def test_a_wrapped_particle_is_the_centred_one() -> None:
    wrapped, centred = (
        build_cluster(StructureSection(file=CASES / f"np_{name}.vasp")) for name in ("wrapped", "centred")
    )
    assert wrapped.absorber == centred.absorber
    assert wrapped.coordination[wrapped.absorber] == 12
    np.testing.assert_allclose(wrapped.positions, centred.positions, rtol=0, atol=1e-9)
    assert wrapped.radius is None
    assert "one particle with 15.8 Å of vacuum" in wrapped.notes[0]


def test_a_radius_that_holds_the_particle_is_not_needed_and_one_that_cuts_it_refused() -> None:
    whole = build_cluster(StructureSection(file=CASES / "np_wrapped.vasp", radius=9.0))
    assert (len(whole.numbers), whole.radius) == (55, None)
    with pytest.raises(StructureError, match=r"radius = 5\.0 Å would cut the particle .* to 5\.77 Å .*; remove radius"):
        build_cluster(StructureSection(file=CASES / "np_wrapped.vasp", radius=5.0))


def test_a_slab_across_the_cell_s_faces_is_cut_as_the_slab_in_its_middle(tmp_path: Path) -> None:
    slab = fcc111("Au", (2, 2, 3), a=4.0782, vacuum=8.0, periodic=True)
    middle = from_atoms(tmp_path, slab, radius=6.0)
    # The middle one of three layers has 6 neighbors in its plane, and 3 in either other; the outer ones have 9.
    assert middle.coordination[0] == 12
    assert np.ptp(middle.positions[:, 2]) == pytest.approx(2 * 4.0782 / np.sqrt(3))
    assert set(middle.coordination.tolist()) == {9, 12}
    slab.positions[:, 2] += 0.5 * slab.cell[2, 2]
    slab.wrap()
    across = from_atoms(tmp_path, slab, radius=6.0)
    np.testing.assert_allclose(across.positions, middle.positions, atol=1e-6)
    assert "connected along a, b only" in across.notes[0]
    with pytest.raises(StructureError, match=r"is periodic; set structure\.radius"):
        from_atoms(tmp_path, slab)


def test_a_molecule_in_a_box_needs_no_radius(tmp_path: Path) -> None:
    complex_ = Atoms("FeN4", positions=[[0, 0, 0], [2, 0, 0], [-2, 0, 0], [0, 2, 0], [0, -2, 0]], cell=[14, 14, 12])
    complex_.pbc = True
    complex_.wrap()
    cluster = from_atoms(tmp_path, complex_, element="Fe")
    assert sorted(np.linalg.norm(cluster.positions, axis=1).round(6).tolist()) == [0, 2, 2, 2, 2]
    complex_.set_cell([7.5, 14, 12])
    with pytest.raises(StructureError, match="is periodic; set"):
        from_atoms(tmp_path, complex_, element="Fe")
    # A crystal of such molecules: the neighbors' nitrogen, 5.5 Å away, is in the sphere.
    assert len(from_atoms(tmp_path, complex_, element="Fe", radius=6.0).numbers) == 7


def test_pieces_of_a_file_that_is_not_periodic_are_told(tmp_path: Path) -> None:
    particle = build_cluster(StructureSection(atoms=13))
    atoms = Atoms("Au13", positions=particle.positions) + Atoms("Au", positions=[[30.0, 0, 0]])
    cluster = from_atoms(tmp_path, atoms)
    # The center of mass of the larger piece, not of all.
    assert cluster.absorber == particle.absorber
    assert "its 14 atoms are 2 pieces that are not connected" in cluster.notes[0]


@pytest.mark.parametrize("name", ["Fe_bcc.cif", "np_wrapped.vasp"])
def test_wrapping_and_permuting_change_nothing(name: str, tmp_path: Path) -> None:
    atoms = read(CASES / name)
    if name == "Fe_bcc.cif":
        atoms = atoms.repeat(2)
    first = from_atoms(tmp_path, atoms, element=atoms.symbols[0], radius=9.5)
    rng = np.random.default_rng(5)
    for _ in range(3):
        atoms.translate(rng.uniform(-9, 9, 3))
        atoms.wrap()
        atoms = atoms[rng.permutation(len(atoms))]
        again = from_atoms(tmp_path, atoms, element=atoms.symbols[0], radius=9.5)
        np.testing.assert_allclose(by_distance(again), by_distance(first), atol=1e-6)


def by_distance(cluster: Cluster) -> np.ndarray:
    columns = np.round(np.column_stack((cluster.positions, cluster.coordination)), 5) + 0.0
    return columns[np.lexsort(columns.T)]
