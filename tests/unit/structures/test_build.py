"""Clusters, from magic numbers and from files, against values worked out by hand."""

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.io import write

from xanesml.campaign import DisorderSection, StructureSection
from xanesml.errors import StructureError
from xanesml.structures import Cluster, absorbers, build_cluster
from xanesml.structures.bonds import bonds

R1 = 2.883722875034978  # 4.0782 / √2


@pytest.fixture(scope="module")
def au55() -> Cluster:
    return build_cluster(StructureSection(atoms=55))


def write_structure(folder: Path, atoms: Atoms, name: str = "cluster.xyz") -> Path:
    path = folder / name
    write(path, atoms)
    return path


def test_thirteen_atoms_are_the_center_and_twelve_face_diagonals() -> None:
    cluster = build_cluster(StructureSection(atoms=13))
    half = 4.0782 / 2
    by_hand = {(0.0, 0.0, 0.0)}
    for i, j in combinations(range(3), 2):
        for x in (-half, half):
            for y in (-half, half):
                corner = [0.0, 0.0, 0.0]
                corner[i], corner[j] = x, y
                by_hand.add(tuple(corner))
    found = {tuple(map(float, row)) for row in np.round(cluster.positions, 9) + 0.0}
    assert found == by_hand
    assert not cluster.positions[cluster.absorber].any()
    assert cluster.first_shell == pytest.approx(R1, abs=1e-12)
    assert cluster.first_shell_cutoff == pytest.approx(1.2 * R1, abs=1e-9)
    assert set(cluster.numbers.tolist()) == {79}
    assert cluster.numbers.dtype == np.int32


def test_absorbers_as_listed(au55: Cluster) -> None:
    assert absorbers(au55, DisorderSection(absorbers=[4, 2])).tolist() == [4, 2]
    with pytest.raises(StructureError, match="lists atom 55; the cluster's atoms are 0 to 54"):
        absorbers(au55, DisorderSection(absorbers=[4, 55]))


def test_absorbers_are_of_one_element(tmp_path: Path) -> None:
    cluster = Atoms("AuPtAuPt", positions=[[0, 0, 0], [2.8, 0, 0], [0, 2.8, 0], [0, 0, 2.8]])
    alloy = build_cluster(StructureSection(file=write_structure(tmp_path, cluster), element="Au", absorber=0))
    assert absorbers(alloy, DisorderSection()).tolist() == [0, 2]
    with pytest.raises(StructureError, match=r"lists atom 1, Pt; .* the central absorber's Au"):
        absorbers(alloy, DisorderSection(absorbers=[0, 1]))


def test_a_cuboctahedron_whose_atoms_overlap_is_refused() -> None:
    with pytest.raises(StructureError, match=r"13-atom cuboctahedron: atoms \d+ and \d+ are 0\.354 Å apart"):
        build_cluster(StructureSection(atoms=13, lattice_constant=0.5))


def test_a_cluster_from_a_file(tmp_path: Path) -> None:
    atoms = Atoms("CuAuCuCu", positions=[[7.5, 5, 5], [5, 5, 5], [5, 7.7, 5], [5, 5, 8.5]])
    path = write_structure(tmp_path, atoms)
    cluster = build_cluster(StructureSection(file=path, element="Au"))
    assert cluster.absorber == 1
    assert cluster.numbers.tolist() == [29, 79, 29, 29]
    np.testing.assert_allclose(cluster.positions, [[2.5, 0, 0], [0, 0, 0], [0, 2.7, 0], [0, 0, 3.5]], atol=1e-7)
    # Bonds 2.5 and 2.7; 3.5 lies beyond 1.2 × 2.5.
    assert cluster.first_shell_cutoff == pytest.approx(3.0, abs=1e-7)
    assert cluster.first_shell == pytest.approx(2.6, abs=1e-7)
    wider = build_cluster(StructureSection(file=path, element="Au", first_shell_cutoff=3.6))
    assert wider.first_shell == pytest.approx((2.5 + 2.7 + 3.5) / 3, abs=1e-7)


def test_a_sphere_from_a_periodic_file(tmp_path: Path) -> None:
    path = write_structure(tmp_path, bulk("Au", a=4.0782), "gold.cif")
    with pytest.raises(StructureError, match=r"gold.cif is periodic; set structure\.radius"):
        build_cluster(StructureSection(file=path))
    cluster = build_cluster(StructureSection(file=path, radius=6.0))
    # fcc shells: 1 + 12 at a/√2, 6 at a, 24 at a√(3/2), 12 at a√2 = 5.77 Å.
    distances = np.linalg.norm(cluster.positions, axis=1)
    assert len(distances) == 1 + 12 + 6 + 24 + 12
    assert cluster.absorber == 0
    assert np.all(np.diff(distances) > -1e-5)
    assert cluster.first_shell == pytest.approx(R1, abs=1e-4)
    section = DisorderSection()
    assert len(bonds(cluster, absorbers(cluster, section))) == 120


def test_coordination_of_a_whole_particle_is_that_of_its_own_atoms(au55: Cluster) -> None:
    # 13 atoms inside with 12, then 12 vertices with 5, 24 on edges with 7, 6 in the middle of square faces with 8.
    assert au55.coordination.dtype == np.int32
    assert sorted(au55.coordination.tolist()) == [5] * 12 + [7] * 24 + [8] * 6 + [12] * 13
    assert au55.coordination[au55.absorber] == 12
    assert au55.radius is None


def test_coordination_in_a_sphere_is_that_of_the_crystal_it_was_cut_from(tmp_path: Path) -> None:
    path = write_structure(tmp_path, bulk("Au", a=4.0782), "gold.cif")
    cluster = build_cluster(StructureSection(file=path, radius=6.0))
    assert cluster.coordination.tolist() == [12] * 55
    assert cluster.radius == 6.0


def test_a_slab_repeats_along_its_periodic_axes_only(tmp_path: Path) -> None:
    layer = Atoms("Au", positions=[[0, 0, 5]], cell=[3.0, 3.0, 3.0], pbc=[True, True, False])
    cluster = build_cluster(StructureSection(file=write_structure(tmp_path, layer), radius=3.5))
    assert len(cluster.positions) == 5
    assert not cluster.positions[:, 2].any()


def test_structures_that_cannot_be_used(tmp_path: Path) -> None:
    pair = write_structure(tmp_path, Atoms("Au2", positions=[[0, 0, 0], [2.8, 0, 0]]))
    single = write_structure(tmp_path, Atoms("Au"), "single.xyz")
    overlapping = write_structure(tmp_path, Atoms("Au2", positions=[[0, 0, 0], [0.3, 0, 0]]), "overlap.xyz")
    nonsense = tmp_path / "nonsense.xyz"
    nonsense.write_text("this is no structure\n")
    flat = write_structure(tmp_path, Atoms("Au", cell=[3, 3, 0], pbc=True), "flat.xyz")
    cases = {
        "cannot read the structure file .*none.xyz with ase: No such file": {"file": tmp_path / "none.xyz"},
        "cannot read the structure file .*nonsense.xyz with ase: .*Expected xyz header": {"file": nonsense},
        "structure.absorber is 2; .*cluster.xyz has atoms 0 to 1": {"file": pair, "absorber": 2},
        "cluster.xyz holds no Pt, only Au": {"file": pair, "element": "Pt"},
        "structure.absorber 1 in .* is Au, structure.element is Pt": {"file": pair, "element": "Pt", "absorber": 1},
        "is 4.0, but .*cluster.xyz is not periodic; remove radius": {"file": pair, "radius": 4.0},
        "13-atom cuboctahedron is not periodic": {"atoms": 13, "radius": 4.0},
        "absorber 0 has no neighbors; give a larger": {"file": single},
        "no neighbors within structure.first_shell_cutoff = 2.0 Å; the nearest atom is 2.8000": {
            "file": pair,
            "first_shell_cutoff": 2.0,
        },
        "atoms 0 and 1 are 0.300 Å apart": {"file": overlapping},
        "cell vector is zero": {"file": flat, "radius": 4.0},
    }
    for message, fields in cases.items():
        with pytest.raises(StructureError, match=message) as caught:
            build_cluster(StructureSection(**fields))
        assert "\n" not in str(caught.value)
