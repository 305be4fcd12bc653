"""The sites of clusters against multiplicities worked out by hand, and against distances counted naively."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from ase import Atoms
from ase.cluster import Icosahedron, Octahedron
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from xanesml.campaign import MAGIC_NUMBERS, DisorderSection, DistortionSection, StructureSection
from xanesml.errors import StructureError
from xanesml.structures import Cluster, Sites, absorbers, build_cluster, describe_sites, series_sites, sites
from xanesml.structures.bonds import bonds, coordination, expected_bonds

R1 = 4.0782 / np.sqrt(2)
CUBOCTAHEDRA = MAGIC_NUMBERS[:5]

#: Atoms at each distance from the center, in halves of the lattice constant: (0 0 0), (1 1 0), (2 0 0), (2 1 1),
#: (2 2 0), (3 1 0), (2 2 2), (3 2 1) and (3 3 0), each with all its permutations and signs.
BY_HAND = {13: [1, 12], 55: [1, 12, 6, 24, 12], 147: [1, 12, 6, 24, 12, 24, 8, 48, 12]}

#: Neighbors of these in the 55-atom cluster: 12 inside, 8 in a square face, 7 on an edge, 5 at a vertex.
NEIGHBORS_55 = [12, 12, 8, 7, 5]

PENTAGONAL_BIPYRAMID = Atoms(
    "Au7",
    [(0, 0, 1.5), (0, 0, -1.5), *((2.4 * np.cos(a), 2.4 * np.sin(a), 0) for a in 0.4 * np.pi * np.arange(5))],
)


def cuboctahedron(atoms: int) -> Cluster:
    return build_cluster(StructureSection(atoms=atoms))


def of(atoms: Atoms, absorber: int = 0) -> Cluster:
    """A cluster of these atoms; positions as given, not centered on the absorber."""
    return replace(cuboctahedron(13), numbers=atoms.numbers, positions=atoms.positions, absorber=absorber)


def surroundings(cluster: Cluster) -> list[tuple[object, ...]]:
    """Of every atom, its element and those of the others with their distances: alike where a symmetry exists."""
    distances = np.round(np.linalg.norm(cluster.positions[:, np.newaxis] - cluster.positions, axis=2), 1)
    return [
        (int(number), *sorted(zip(row.tolist(), cluster.numbers.tolist(), strict=True)))
        for number, row in zip(cluster.numbers, distances, strict=True)
    ]


def multiplicities_by_surroundings(cluster: Cluster) -> list[int]:
    """Multiplicities of the absorber's element, ascending, from the surroundings alone."""
    like = [one for one in surroundings(cluster) if one[0] == cluster.numbers[cluster.absorber]]
    return sorted(like.count(one) for one in set(like))


def permuted(cluster: Cluster, order: np.ndarray) -> Cluster:
    return replace(
        cluster,
        numbers=cluster.numbers[order],
        positions=cluster.positions[order],
        absorber=int(np.flatnonzero(order == cluster.absorber)[0]),
    )


@pytest.mark.parametrize("atoms", BY_HAND)
def test_the_sites_of_a_cuboctahedron_are_its_shells(atoms: int) -> None:
    cluster = cuboctahedron(atoms)
    found = sites(cluster)
    assert found.multiplicity.tolist() == BY_HAND[atoms]
    distances = np.linalg.norm(cluster.positions, axis=1)
    for atom, count in zip(found.atoms, found.multiplicity, strict=True):
        assert np.isclose(distances, distances[atom]).sum() == count
    assert np.all(np.diff(distances[found.atoms]) > 0)
    assert found.atoms[0] == cluster.absorber
    assert (found.atoms.dtype, found.multiplicity.dtype) == (np.int32, np.int32)


@pytest.mark.parametrize("atoms", CUBOCTAHEDRA)
def test_multiplicities_sum_to_the_absorbing_atoms_and_are_those_of_like_surroundings(atoms: int) -> None:
    cluster = cuboctahedron(atoms)
    found = sites(cluster)
    assert found.multiplicity.sum() == atoms
    assert len(set(found.atoms.tolist())) == len(found)
    assert sorted(found.multiplicity.tolist()) == multiplicities_by_surroundings(cluster)
    # Atoms are equivalent whose coordinates, in halves of the lattice constant, differ in order and signs: those of
    # (3 3 0) and (4 1 1), equally far from the center, do not.
    halves = np.sort(np.abs(np.rint(cluster.positions / (4.0782 / 2)).astype(int)), axis=1).tolist()
    assert found.multiplicity.tolist() == [halves.count(halves[atom]) for atom in found.atoms]
    assert len(found) == len(set(map(tuple, halves)))


@pytest.mark.parametrize(
    ("atoms", "expected"),
    [
        (Icosahedron("Au", 2), [1, 12]),
        # The center, 12 between it and the vertices, 30 at the middles of edges, 12 vertices.
        (Icosahedron("Au", 3), [1, 12, 30, 12]),
        # The truncated octahedron: its inner octahedron, 8 middles of hexagons, 24 vertices.
        (Octahedron("Au", 4, 1), [6, 8, 24]),
        # A pentagonal bipyramid, from its middle outwards: two tips, then five.
        (PENTAGONAL_BIPYRAMID, [2, 5]),
        # Flat, and along a line.
        (Atoms("Au4", [(1, 1, 0), (-1, 1, 0), (1, -1, 0), (-1, -1, 0)]), [4]),
        (Atoms("Au3", [(2.8, 0, 0), (0, 0, 0), (-2.8, 0, 0)]), [1, 2]),
        (Atoms("Au2Pt", [(2.8, 0, 0), (0, 0, 0), (-2.8, 0, 0)]), [1, 1]),
    ],
    ids=["icosahedron 13", "icosahedron 55", "truncated octahedron", "bipyramid", "square", "line", "alloyed line"],
)
def test_other_clusters_have_the_sites_of_their_groups(atoms: Atoms, expected: list[int]) -> None:
    found = sites(of(atoms))
    assert found.multiplicity.tolist() == expected
    assert found.multiplicity.sum() == np.count_nonzero(atoms.numbers == 79)


def test_only_atoms_of_the_absorbing_element_have_sites_and_others_lower_the_symmetry() -> None:
    cluster = cuboctahedron(55)
    shell = np.round(np.linalg.norm(cluster.positions, axis=1) / (4.0782 / 2), 3)
    # Platinum in the first shell keeps the group.
    numbers = np.where(np.isclose(shell, 1.414), 78, 79).astype(np.int32)
    core = sites(replace(cluster, numbers=numbers))
    assert core.multiplicity.tolist() == [1, 6, 24, 12]
    assert set(numbers[core.atoms]) == {79}
    platinum = int(np.flatnonzero(numbers == 78)[0])
    assert sites(replace(cluster, numbers=numbers, absorber=platinum)).multiplicity.tolist() == [12]
    # One atom in the middle of a square face leaves the axis through it, with four mirrors.
    numbers = cluster.numbers.copy()
    numbers[np.flatnonzero(np.isclose(shell, 2.0))[0]] = 78
    alone = sites(replace(cluster, numbers=numbers))
    assert alone.multiplicity.sum() == 54
    assert max(alone.multiplicity) == 8
    assert sorted(alone.multiplicity.tolist()) == multiplicities_by_surroundings(replace(cluster, numbers=numbers))


def test_atoms_of_a_cluster_without_symmetry_are_sites_of_their_own() -> None:
    cluster = cuboctahedron(55)
    moved = cluster.positions + np.random.default_rng(3).normal(0, 0.05, (55, 3))
    found = sites(replace(cluster, positions=moved))
    assert sorted(found.atoms.tolist()) == list(range(55))
    assert found.multiplicity.tolist() == [1] * 55


def test_the_symmetry_of_a_file_with_three_decimals_is_found() -> None:
    cluster = cuboctahedron(147)
    turned = cluster.positions @ Rotation.from_rotvec([0.3, -1.1, 0.7]).as_matrix().T
    assert sites(replace(cluster, positions=np.round(turned, 3))).multiplicity.tolist() == BY_HAND[147]
    # One atom moved by a tenth of the disorder of a foil is no longer like the others.
    moved = turned.copy()
    moved[cluster.absorber - 1] += [0.01, 0.0, 0.0]
    assert len(sites(replace(cluster, positions=moved))) > len(BY_HAND[147])


def test_sites_do_not_depend_on_which_atom_the_series_is_scaled_about() -> None:
    cluster = cuboctahedron(55)
    vertex = int(np.argmax(np.linalg.norm(cluster.positions, axis=1)))
    about = replace(cluster, positions=cluster.positions - cluster.positions[vertex], absorber=vertex)
    assert sites(about).atoms.tolist() == sites(cluster).atoms.tolist()
    assert sites(about).multiplicity.tolist() == BY_HAND[55]


@settings(max_examples=40)
@given(st.randoms(use_true_random=False), st.booleans())
def test_sites_are_the_same_in_any_order_place_and_orientation(random: object, alloyed: bool) -> None:
    rng = np.random.default_rng(random.getrandbits(32))  # type: ignore[attr-defined]
    cluster = cuboctahedron(55)
    if alloyed:
        cluster = replace(cluster, numbers=np.where(cluster.positions[:, 2] > 0.1, 78, 79).astype(np.int32))
    like = surroundings(cluster)
    first = sites(cluster)
    order = rng.permutation(55)
    again = sites(permuted(cluster, order))
    # The very same atoms stand for their sites.
    assert order[again.atoms].tolist() == first.atoms.tolist()
    assert again.multiplicity.tolist() == first.multiplicity.tolist()
    frame = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    turned = sites(
        replace(permuted(cluster, order), positions=cluster.positions[order] @ frame.T + rng.normal(0, 9, 3))
    )
    assert sorted(turned.multiplicity.tolist()) == sorted(first.multiplicity.tolist())
    assert {like[order[atom]] for atom in turned.atoms} == {like[atom] for atom in first.atoms}


def test_the_center_is_the_only_absorber_of_a_series_unless_sites_are_asked_for() -> None:
    cluster = cuboctahedron(55)
    center = series_sites(cluster, DistortionSection())
    assert (center.atoms.tolist(), center.multiplicity.tolist()) == ([cluster.absorber], [1])
    assert series_sites(cluster, DistortionSection(absorbers="sites")).multiplicity.tolist() == BY_HAND[55]
    assert isinstance(center, Sites)


@pytest.mark.parametrize("atoms", CUBOCTAHEDRA)
def test_all_atoms_have_all_bonds_each_once(atoms: int) -> None:
    structure, section = StructureSection(atoms=atoms), DisorderSection(absorbers="all")
    cluster = build_cluster(structure)
    everything = absorbers(cluster, section)
    assert everything.tolist() == list(range(atoms))
    pairs = bonds(cluster, everything, expected_bonds(structure, section))
    shells = CUBOCTAHEDRA.index(atoms) + 1
    inside, edges, squares = (1, *CUBOCTAHEDRA)[shells - 1], 24 * (shells - 1), 6 * (shells - 1) ** 2
    triangles = 4 * (shells - 1) * (shells - 2)
    assert inside + 12 + edges + squares + triangles == atoms
    assert 2 * len(pairs) == 12 * inside + 5 * 12 + 7 * edges + 8 * squares + 9 * triangles
    if atoms <= 147:
        near = combinations(range(atoms), 2)
        naive = [list(p) for p in near if np.linalg.norm(np.subtract(*cluster.positions[list(p)])) < 1.1 * R1]
        assert pairs.tolist() == naive


@pytest.mark.parametrize("atoms", [13, 55, 147, 561])
def test_sites_have_the_mean_coordination_of_all_atoms(atoms: int) -> None:
    cluster = cuboctahedron(atoms)
    everything = np.arange(atoms)
    found = sites(cluster)
    mean = coordination(bonds(cluster, everything), everything, np.ones(atoms))
    assert coordination(bonds(cluster, found.atoms), found.atoms, found.multiplicity) == pytest.approx(mean, abs=1e-12)
    if atoms == 55:
        assert mean == pytest.approx(np.dot(BY_HAND[55], NEIGHBORS_55) / 55)


def test_all_absorbers_are_of_one_element_and_their_bonds_lead_to_others() -> None:
    alloy = Atoms("AuPtAuPt", positions=[[0, 0, 0], [2.8, 0, 0], [0, 2.8, 0], [2.8, 2.8, 0]])
    cluster = replace(of(alloy), first_shell_cutoff=3.0)
    chosen = absorbers(cluster, DisorderSection(absorbers="all"))
    assert chosen.tolist() == [0, 2]
    # The bond between the two platinum atoms has no absorbing end.
    assert bonds(cluster, chosen).tolist() == [[0, 1], [0, 2], [2, 3]]


def test_a_sample_is_drawn_by_the_seed_whatever_the_order_of_the_atoms() -> None:
    cluster, section = cuboctahedron(147), DisorderSection(absorbers="sample", sample=12)
    drawn = absorbers(cluster, section, 5)
    assert len(set(drawn.tolist())) == 12
    assert absorbers(cluster, section, 5).tolist() == drawn.tolist()
    assert absorbers(cluster, section, 6).tolist() != drawn.tolist()
    order = np.random.default_rng(1).permutation(147)
    shuffled = replace(cluster, positions=cluster.positions[order], absorber=int(np.argsort(order)[cluster.absorber]))
    again = shuffled.positions[absorbers(shuffled, section, 5)]
    np.testing.assert_allclose(sorted(again.tolist()), sorted(cluster.positions[drawn].tolist()))
    # Over many draws every atom is as likely as another: a fair sample has the particle's mean coordination.
    counts = [cluster.coordination[absorbers(cluster, section, seed)].mean() for seed in range(200)]
    spread = cluster.coordination.std() / np.sqrt(12 * 200)
    assert abs(np.mean(counts) - cluster.coordination.mean()) < 4 * spread


def test_a_sample_larger_than_the_particle_is_refused() -> None:
    with pytest.raises(StructureError, match=r"disorder\.sample is 14, but the cluster has 13 atoms of Au"):
        absorbers(cuboctahedron(13), DisorderSection(absorbers="sample", sample=14), 1)
    with pytest.raises(ValueError, match="sample is of no use with absorbers = 'all'"):
        DisorderSection(absorbers="all", sample=5)


@pytest.mark.parametrize(
    ("multiplicity", "text"),
    [([1, 12, 6], "3, multiplicities 1 12 6"), ([1, 1, 1], "3, one atom each"), ([2], "1, multiplicities 2")],
)
def test_sites_are_described(multiplicity: list[int], text: str) -> None:
    assert describe_sites(np.array(multiplicity)) == text
