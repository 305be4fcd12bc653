"""Clusters, distortion, disorder and bonds against values worked out by hand."""

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.io import write
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from xanesml.campaign import CUBOCTAHEDRA, DisorderSection, DistortionSection, StructureSection
from xanesml.errors import StructureError
from xanesml.structures import (
    Cluster,
    absorbers,
    bond_lengths,
    bonds,
    build_cluster,
    check_overlap,
    deltas,
    disorder,
    distort,
    expected_bonds,
    first_neighbors,
    mean_squared_displacement,
    radial_distribution,
    sigmas,
    skewness,
    structure_rng,
)

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


@pytest.mark.parametrize("atoms", CUBOCTAHEDRA)
def test_bond_counts_of_the_cuboctahedra(atoms: int) -> None:
    structure, section = StructureSection(atoms=atoms), DisorderSection()
    cluster = build_cluster(structure)
    chosen = absorbers(cluster, section)
    assert len(cluster.numbers) == atoms
    assert len(chosen) == 13
    assert chosen[0] == cluster.absorber
    assert np.all(np.diff(chosen[1:]) > 0)
    pairs = bonds(cluster, chosen, expected_bonds(structure, section))
    naive = [
        (i, j)
        for i, j in combinations(range(atoms), 2)
        if (i in chosen or j in chosen) and np.linalg.norm(cluster.positions[i] - cluster.positions[j]) < 1.1 * R1
    ]
    assert pairs.tolist() == [list(pair) for pair in naive]
    ends = np.isin(pairs, chosen).sum(axis=1)
    from_center = (pairs == cluster.absorber).any(axis=1).sum()
    between_neighbors = (ends == 2).sum() - from_center
    assert (from_center, between_neighbors, (ends == 1).sum()) == (12, 24, 0 if atoms == 13 else 84)


def test_a_cutoff_that_takes_in_the_second_shell_is_refused(au55: Cluster) -> None:
    structure, section = StructureSection(atoms=55, first_shell_cutoff=4.2), DisorderSection()
    cluster = build_cluster(structure)
    with pytest.raises(StructureError, match=r"bonds up to 4\.2000 Å, 120 needed"):
        bonds(cluster, absorbers(cluster, section), expected_bonds(structure, section))
    with pytest.raises(StructureError, match=r"have 0 first-shell bonds .* at least one needed"):
        bonds(au55, np.array([], dtype=np.intp))


@pytest.mark.parametrize("delta", [-0.45, 0.0, 0.01, 0.45])
@pytest.mark.parametrize(("reference", "share"), [("first_shell", 1.0), ("lattice_constant", 1 / np.sqrt(2))])
def test_distortion_shifts_the_first_shell(au55: Cluster, delta: float, reference: str, share: float) -> None:
    moved = distort(au55, delta, reference)
    shell = first_neighbors(au55.positions, au55.absorber, au55.first_shell_cutoff)
    lengths = np.linalg.norm(moved[shell] - moved[au55.absorber], axis=1)
    np.testing.assert_allclose(lengths, R1 + delta * share, rtol=0, atol=1e-12)
    # The second shell, at a, moves √2 times as far.
    second = np.isclose(np.linalg.norm(au55.positions, axis=1), 4.0782)
    assert second.sum() == 6
    expected = 4.0782 + np.sqrt(2) * delta * share
    np.testing.assert_allclose(np.linalg.norm(moved[second], axis=1), expected, rtol=0, atol=1e-12)


def test_no_distortion_is_the_reference_itself(au55: Cluster) -> None:
    np.testing.assert_array_equal(distort(au55, 0.0), au55.positions)


def test_distortions_that_make_no_sense_are_refused(au55: Cluster) -> None:
    with pytest.raises(StructureError, match=r"-3.0 Å collapses the cluster; it must lie above −2.8837"):
        distort(au55, -3.0)
    with pytest.raises(ValueError, match="reference is 'a'; accepted: first_shell, lattice_constant"):
        distort(au55, 0.1, "a")


def test_deltas_are_clean_decimals() -> None:
    series = deltas(DistortionSection())
    assert series.tolist() == [float(f"{i / 100:.2f}") for i in range(-45, 46)]
    assert not np.signbit(series[45])
    np.testing.assert_array_equal(series, -series[::-1])


@given(st.integers(1, 60), st.integers(1, 60), st.sampled_from([0.005, 0.01, 0.02, 0.03, 0.1]))
def test_deltas_are_multiples_of_the_step(below: int, above: int, step: float) -> None:
    series = deltas(DistortionSection(minimum=-below * step, maximum=above * step, step=step))
    assert len(series) == below + above + 1
    assert series[below] == 0
    np.testing.assert_allclose(series, np.arange(-below, above + 1) * step, rtol=0, atol=1e-9)


def test_sigmas() -> None:
    section = DisorderSection(structures=4, sigma_minimum=0.02, sigma_maximum=0.14)
    np.testing.assert_allclose(sigmas(section), [0.02, 0.06, 0.10, 0.14], rtol=0, atol=1e-15)
    assert sigmas(DisorderSection(structures=1)).tolist() == [0.02]


def displacements(cluster: Cluster, sigma: float, directions: str) -> np.ndarray:
    moved = [disorder(cluster, sigma, structure_rng(7, index), directions) for index in range(60)]
    return np.concatenate(moved) - np.tile(cluster.positions, (60, 1))


def test_disorder_is_isotropic_with_normal_lengths() -> None:
    cluster = build_cluster(StructureSection(atoms=561))
    moves = displacements(cluster, 0.1, "sphere")
    lengths = np.linalg.norm(moves, axis=1)
    assert stats.kstest(lengths, stats.halfnorm(scale=0.1).cdf).pvalue > 0.01
    units = moves / lengths[:, np.newaxis]
    count = len(units)
    # Components are uniform on [−1, 1]: variance 1/3, and var(u²) = 1/5 − 1/9.
    assert np.all(np.abs(units.mean(axis=0)) < 4 * np.sqrt(1 / 3 / count))
    second = units.T @ units / count
    assert np.all(np.abs(second - np.eye(3) / 3) < 4 * np.sqrt((1 / 5 - 1 / 9) / count))


def test_uniform_angles_favor_the_poles() -> None:
    cluster = build_cluster(StructureSection(atoms=561))
    moves = displacements(cluster, 0.1, "uniform_angles")
    units = moves / np.linalg.norm(moves, axis=1)[:, np.newaxis]
    # The mean of cos²θ over a uniform θ is 1/2, on the sphere 1/3.
    np.testing.assert_allclose((units**2).mean(axis=0), [0.25, 0.25, 0.5], rtol=0, atol=0.01)


def test_a_structure_depends_on_seed_and_index_only(au55: Cluster) -> None:
    alone = disorder(au55, 0.05, structure_rng(11, 3))
    among_others = [disorder(au55, 0.05, structure_rng(11, index)) for index in (5, 4, 3)][-1]
    np.testing.assert_array_equal(alone, among_others)
    assert not np.array_equal(alone, disorder(au55, 0.05, structure_rng(11, 4)))
    assert not np.array_equal(alone, disorder(au55, 0.05, structure_rng(12, 3)))
    with pytest.raises(ValueError, match="directions is 'up'; accepted: sphere, uniform_angles"):
        disorder(au55, 0.05, structure_rng(11, 3), "up")


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


def test_bond_statistics_of_a_set_made_by_hand() -> None:
    lengths = np.array([[1.0, 2.0, 3.0, 6.0], [2.0, 2.0, 4.0, 4.0]])
    # Means 3 and 3; deviations −2 −1 0 3 and −1 −1 1 1.
    assert mean_squared_displacement(lengths).tolist() == [14 / 4, 1.0]
    assert mean_squared_displacement(lengths, axis=0).tolist() == [0.25, 0.0, 0.25, 1.0]
    np.testing.assert_allclose(skewness(lengths), [(27 - 8 - 1) / 4 / 3.5**1.5, 0.0], rtol=1e-14, atol=1e-15)


def test_radial_distribution() -> None:
    lengths = np.array([2.81, 2.82, 2.91, 2.95, 3.5])
    np.testing.assert_allclose(radial_distribution(lengths, [2.8, 2.9, 3.0]), [5.0, 5.0])
    with pytest.raises(StructureError, match=r"no bond length lies between 1.000 and 2.000 Å; they range from 2.810"):
        radial_distribution(lengths, [1.0, 2.0])


def test_bond_lengths_of_one_and_of_many_structures() -> None:
    one = np.array([[0.0, 0, 0], [3, 4, 0], [3, 4, 12]])
    pairs = np.array([[0, 1], [1, 2], [0, 2]])
    assert bond_lengths(one, pairs).tolist() == [5, 12, 13]
    assert bond_lengths(np.stack([one, 2 * one]), pairs).tolist() == [[5, 12, 13], [10, 24, 26]]


def test_overlap_names_the_closest_pair() -> None:
    positions = np.array([[0.0, 0, 0], [2.0, 0, 0], [2.0, 0.4, 0], [0, 0.45, 0]])
    with pytest.raises(StructureError, match=r"structure 8: atoms 1 and 2 are 0\.400 Å apart"):
        check_overlap(positions, 0.5, "structure 8")
    check_overlap(positions, 0.4, "structure 8")


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
