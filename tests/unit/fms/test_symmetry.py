"""Point groups of clusters, and the bases in which small solves give the absorber's Green's function."""

from __future__ import annotations

from itertools import permutations, product
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from xanesml.fms import irreps
from xanesml.fms.harmonics import real_gaunt, real_harmonics
from xanesml.fms.irreps import irreducible_parts, rotation_matrices
from xanesml.fms.orbits import SymmetricCluster
from xanesml.fms.point_group import PointGroup, point_group

Array = NDArray[Any]

WAVE_NUMBER = 1.7 + 0.1j


def turn(axis: list[float], angle: float) -> Array:
    """Rodrigues' formula, angle in degrees."""
    x, y, z = np.array(axis, dtype=float) / np.linalg.norm(axis)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    angle = np.deg2rad(angle)
    return np.asarray(np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross)


INVERSION = -np.eye(3)
MIRROR_X, MIRROR_Z = np.diag([-1.0, 1, 1]), np.diag([1.0, 1, -1])
GOLDEN = (1 + np.sqrt(5)) / 2

#: Generators and order of point groups, by their Schoenflies symbols.
GROUPS: dict[str, tuple[list[Array], int]] = {
    "C1": ([np.eye(3)], 1),
    "Ci": ([INVERSION], 2),
    "Cs": ([MIRROR_Z], 2),
    "C2": ([turn([0, 0, 1], 180)], 2),
    "C3": ([turn([0, 0, 1], 120)], 3),
    "C4": ([turn([0, 0, 1], 90)], 4),
    "C5": ([turn([0, 0, 1], 72)], 5),
    "C6": ([turn([0, 0, 1], 60)], 6),
    "S4": ([turn([0, 0, 1], 90) @ MIRROR_Z], 4),
    "S6": ([turn([0, 0, 1], 60) @ MIRROR_Z], 6),
    "C2v": ([turn([0, 0, 1], 180), MIRROR_X], 4),
    "C3v": ([turn([0, 0, 1], 120), MIRROR_X], 6),
    "C4v": ([turn([0, 0, 1], 90), MIRROR_X], 8),
    "C2h": ([turn([0, 0, 1], 180), MIRROR_Z], 4),
    "C3h": ([turn([0, 0, 1], 120), MIRROR_Z], 6),
    "D2": ([turn([0, 0, 1], 180), turn([1, 0, 0], 180)], 4),
    "D3": ([turn([0, 0, 1], 120), turn([1, 0, 0], 180)], 6),
    "D2d": ([turn([0, 0, 1], 90) @ MIRROR_Z, MIRROR_X], 8),
    "D2h": ([MIRROR_X, MIRROR_Z, INVERSION], 8),
    "D3d": ([turn([0, 0, 1], 60) @ MIRROR_Z, MIRROR_X], 12),
    "D6h": ([turn([0, 0, 1], 60), MIRROR_X, MIRROR_Z], 24),
    "T": ([turn([0, 0, 1], 180), turn([1, 1, 1], 120)], 12),
    "Th": ([turn([0, 0, 1], 180), turn([1, 1, 1], 120), INVERSION], 24),
    "Td": ([turn([1, 1, 1], 120), turn([0, 0, 1], 90) @ MIRROR_Z], 24),
    "O": ([turn([1, 1, 1], 120), turn([0, 0, 1], 90)], 24),
    "Oh": ([turn([1, 1, 1], 120), turn([0, 0, 1], 90), INVERSION], 48),
    "Ih": ([turn([0, 1, GOLDEN], 72), turn([1, 1, 1], 120), INVERSION], 120),
}


def generated(name: str) -> Array:
    """All products of the generators."""
    generators, order = GROUPS[name]
    found = [np.eye(3)]
    for matrix in found:
        for generator in generators:
            image = generator @ matrix
            if min(np.abs(image - other).max() for other in found) > 1e-6:
                found.append(image)
    assert len(found) == order
    return np.array(found)


def random_rotation(seed: int) -> Array:
    orthogonal, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))
    return np.asarray(orthogonal * np.linalg.det(orthogonal))


def symmetrized(name: str, *seeds: list[float]) -> tuple[Array, Array]:
    """An absorber and the images of seed atoms, one potential for each seed."""
    operations = generated(name)
    positions, potentials = [np.zeros(3)], [0]
    for potential, seed in enumerate(seeds, start=1):
        for image in operations @ np.array(seed):
            if min(np.linalg.norm(image - other) for other in positions) > 1e-3:
                positions.append(image)
                potentials.append(potential)
    return np.array(positions), np.array(potentials)


def general(name: str) -> tuple[Array, Array]:
    """A cluster of exactly the symmetry named: three sets of atoms in general positions, one for large groups."""
    seeds = [[1.31, 0.72, 2.05], [-2.9, 1.53, 0.64], [0.41, -3.2, -1.1]]
    return symmetrized(name, *(seeds if GROUPS[name][1] <= 12 else seeds[:1]))


def cuboctahedron(shells: int) -> Array:
    """Gold, from the center outwards."""
    steps = range(-shells, shells + 1)
    sites = np.array([site for site in product(steps, repeat=3) if sum(site) % 2 == 0])
    sites = sites[np.abs(sites).sum(axis=1) <= 2 * shells]
    return np.asarray(sites[np.argsort((sites**2).sum(axis=1), kind="stable")] * 4.0782 / 2)


def around(positions: Array, absorber: int) -> tuple[Array, int]:
    """The potentials of a pure cluster, and the absorber."""
    return np.where(np.arange(len(positions)) == absorber, 0, 1), absorber


def propagator(positions: Array, potentials: Array, lmax: int | Array) -> tuple[Array, Array]:
    """A G0 that turns with the cluster by construction, and a T that depends on potential and l."""
    atoms = len(positions)
    each = np.broadcast_to(np.asarray(lmax), atoms)
    largest = int(each.max())
    size = (largest + 1) ** 2
    pairs = positions[:, None] - positions
    distances = np.linalg.norm(pairs, axis=-1)
    same = np.eye(atoms, dtype=bool)
    pairs[same], distances[same] = [0.0, 0.0, 1.0], 1.0
    momenta = np.repeat(np.arange(2 * largest + 1), 2 * np.arange(2 * largest + 1) + 1)
    reach = WAVE_NUMBER * distances[..., None]
    radial = np.exp(1j * reach) / reach * (1 + 0.3j * momenta / reach) ** (momenta / 2) * (1 + 0.2 * momenta)
    radial[same] = 0
    coupled = np.einsum(
        "ijk,abk->iajb",
        radial * real_harmonics(pairs, 2 * largest),
        real_gaunt(largest, 2 * largest),
        optimize=True,
    ).reshape(atoms * size, atoms * size)
    # A spectral radius below 1 keeps the comparison free of ill-conditioned cases.
    coupled *= 8 / np.abs(coupled).sum(axis=1).max()
    present = (np.arange(size) < (each[:, None] + 1) ** 2).ravel()
    angular = np.repeat(np.arange(largest + 1), 2 * np.arange(largest + 1) + 1)
    phases = 1 + 0.7 * np.asarray(potentials)[:, None] + 0.6 * angular
    scattering = (np.exp(1j * phases) * np.sin(phases)).ravel()
    return coupled[np.ix_(present, present)], scattering[present]


def blocks(
    positions: Array, potentials: Array, lmax: int | Array, absorber: int = 0
) -> list[tuple[list[Array], Array, Array]]:
    """For each representation, the basis of each row, the absorber's rows, and the labels of the columns."""
    cluster = SymmetricCluster(positions, potentials, lmax, absorber, 1e-4)
    size = (int(cluster.lmax.max()) + 1) ** 2
    present = (np.arange(size) < (cluster.lmax[:, None] + 1) ** 2).ravel()
    found = []
    for irrep in cluster.irreps():
        basis, labels = cluster.columns(irrep)
        flat = basis.reshape(len(basis), present.size, -1)
        assert not flat[:, ~present].any()
        found.append((list(flat[:, present]), cluster.absorber_rows(irrep), labels))
    return found


def check_blocks(
    positions: Array, potentials: Array, lmax: int | Array, absorber: int = 0, accuracy: float = 1e-10
) -> list[int]:
    """Compare with the solve of the whole, and return the sizes of the blocks."""
    g0, t = propagator(positions, potentials, lmax)
    each = (np.broadcast_to(np.asarray(lmax), len(positions)) + 1) ** 2
    start = int(each[:absorber].sum())
    own = slice(start, start + int(each[absorber]))
    exact = np.linalg.solve(np.eye(len(g0)) - g0 * t, g0[:, own])[own]
    total = np.zeros_like(exact)
    sizes = []
    for bases, rows, labels in blocks(positions, potentials, lmax, absorber):
        count, width = len(labels), rows.shape[2]
        inner = [basis.T @ g0 @ basis for basis in bases]
        for basis, reduced in zip(bases, inner, strict=True):
            assert np.abs(basis.T @ basis - np.eye(count)).max() < 1e-12
            assert np.abs((basis.T * t) @ basis - np.diag(t[labels])).max() < 1e-12
            assert np.abs(reduced - inner[0]).max() < 10 * accuracy
            others = np.delete(np.arange(len(g0)), np.arange(own.start, own.stop))
            assert not basis[own, width:].any()
            assert not basis[others, :width].any()
        solution = np.linalg.solve(np.eye(count) - inner[0] * t[labels], inner[0])[:width, :width]
        total += np.einsum("rim,mn,rjn->ij", rows, solution, rows)
        sizes.append(count)
    assert np.abs(total - exact).max() < accuracy * np.abs(exact).max()
    return sizes


def operations_of(positions: Array, kinds: Array, **options: Any) -> PointGroup:
    """The point group, after the checks that any answer must pass."""
    group = point_group(positions, kinds, **options)
    center = positions[options.get("absorber", 0)]
    products = (group.matrices[:, None] @ group.matrices).reshape(-1, 3, 3)
    gaps = np.abs(products[:, None] - group.matrices).max(axis=(2, 3))
    assert gaps.min(axis=1).max() < 1e-12
    assert np.abs(group.matrices @ group.matrices.swapaxes(1, 2) - np.eye(3)).max() < 1e-12
    for matrix, images in zip(group.matrices, group.images, strict=True):
        assert sorted(images) == list(range(len(positions)))
        assert np.array_equal(kinds[images], kinds)
        misfits = (positions - center) @ matrix.T - (positions - center)[images]
        assert np.linalg.norm(misfits, axis=1).max() < 2 * options.get("tolerance", 1e-4)
    return group


@pytest.mark.parametrize("name", GROUPS)
@pytest.mark.parametrize("seed", [None, 3])
def test_a_cluster_in_general_positions_has_the_group_that_made_it(name: str, seed: int | None) -> None:
    positions, kinds = general(name)
    frame = np.eye(3) if seed is None else random_rotation(seed)
    group = operations_of(positions @ frame.T, kinds)
    expected = frame @ generated(name) @ frame.T
    assert len(group.matrices) == len(expected)
    assert np.abs(group.matrices[:, None] - expected).max(axis=(2, 3)).min(axis=1).max() < 1e-9


@pytest.mark.parametrize(
    ("site", "order"),
    [
        ((0, 0, 0), 48),
        ((1, 1, 0), 4),  # between center and vertex
        ((2, 0, 0), 8),  # middle of a square face
        ((2, 1, 1), 2),  # middle of an edge
        ((2, 2, 0), 4),  # vertex
    ],
)
def test_the_sites_of_a_cuboctahedron_have_their_groups(site: tuple[int, int, int], order: int) -> None:
    positions = cuboctahedron(2)
    index = int(np.argmin(np.linalg.norm(positions - np.array(site) * 4.0782 / 2, axis=1)))
    kinds, absorber = around(positions, index)
    assert len(operations_of(positions, kinds, absorber=absorber).matrices) == order


def test_a_flat_cluster_keeps_the_mirror_of_its_plane() -> None:
    positions, kinds = symmetrized("D6h", [1.4, 0.0, 0.0])
    assert len(operations_of(positions @ random_rotation(5).T, kinds).matrices) == 24
    # Nitrogen dioxide: two mirrors and the axis between them.
    bent = np.array([[0, 0, 0], [1.1, 0.5, 0], [-1.1, 0.5, 0]])
    assert len(operations_of(bent, np.array([0, 1, 1])).matrices) == 4


def test_a_linear_cluster_has_a_finite_part_of_its_group() -> None:
    ends = np.array([[0, 0, 0], [0.7, 0.7, 0.1], [-0.7, -0.7, -0.1]])
    assert len(operations_of(ends, np.array([0, 1, 1]), axial_order=8).matrices) == 32
    assert len(operations_of(ends, np.array([0, 1, 2]), axial_order=8).matrices) == 16
    assert len(operations_of(np.zeros((1, 3)), np.array([0])).matrices) == 32


def test_kinds_lower_the_symmetry() -> None:
    positions = cuboctahedron(1)
    kinds = np.ones(13, dtype=int)
    kinds[0] = 0
    assert len(operations_of(positions, kinds).matrices) == 48
    kinds[1] = 2
    assert len(operations_of(positions, kinds).matrices) == 4


def test_operations_within_tolerance_that_do_not_close_leave_a_subgroup() -> None:
    # At 2.5 Å a turn by 30° misses by 0.9e-4 Å and one by 60° by 1.8e-4 Å; that by 120° and the mirror are exact.
    angles = np.arange(12) * np.pi / 6 + np.tile([0, 0.36e-4, 0.72e-4, 0.36e-4], 3)
    # A second ring tells the sense of rotation.
    rings = [(2.5, 0.0, 0.7), (2.5, 0.0, -0.7), (2.0, 0.2, 1.9), (2.0, 0.2, -1.9)]
    positions = np.array(
        [[0.0, 0.0, 0.0]] + [[r * np.cos(a + shift), r * np.sin(a + shift), z] for r, shift, z in rings for a in angles]
    )
    kinds = np.repeat([0, 1, 2], [1, 24, 24])
    group = operations_of(positions, kinds, tolerance=1.5e-4)
    expected = generated("C3h")
    assert len(group.matrices) == len(expected)
    assert np.abs(group.matrices[:, None] - expected).max(axis=(2, 3)).min(axis=1).max() < 1e-12
    assert len(operations_of(positions, kinds, tolerance=5e-4).matrices) == 24


@pytest.mark.parametrize("name", ["C2v", "D3d", "Ih"])
def test_inaccurate_positions_give_exact_operations(name: str) -> None:
    positions, kinds = general(name)
    noise = np.random.default_rng(0).uniform(-2e-5, 2e-5, size=positions.shape)
    positions = ((positions @ random_rotation(7).T) + noise).astype(np.float32)
    assert len(operations_of(positions, kinds).matrices) == GROUPS[name][1]


def test_rotation_matrices_turn_the_harmonics() -> None:
    one, other = random_rotation(1), -random_rotation(2)
    directions = np.random.default_rng(0).normal(size=(7, 3))
    matrices = rotation_matrices(np.array([one, other, one @ other]), 4)
    assert np.allclose(real_harmonics(directions @ one.T, 4), real_harmonics(directions, 4) @ matrices[0].T, atol=1e-13)
    assert np.allclose(matrices[0] @ matrices[1], matrices[2], atol=1e-13)
    assert np.allclose(matrices @ matrices.swapaxes(1, 2), np.eye(25), atol=1e-13)
    # l = 1 is (y, z, x).
    cycle = [1, 2, 0]
    assert np.allclose(matrices[:, 1:4, 1:4], np.array([one, other, one @ other])[:, cycle][:, :, cycle], atol=1e-13)


def test_irreducible_parts_are_those_of_the_character_tables() -> None:
    def dimensions(name: str, angular: int) -> list[tuple[int, bool]]:
        part = slice(angular**2, (angular + 1) ** 2)
        parts = irreducible_parts(rotation_matrices(generated(name), angular)[:, part, part])
        return sorted((irrep.matrices.shape[1], irrep.splits) for _, irrep in parts)

    assert dimensions("Oh", 2) == [(2, False), (3, False)]
    assert dimensions("Oh", 3) == [(1, False), (3, False), (3, False)]
    assert dimensions("Th", 2) == [(2, True), (3, False)]
    assert dimensions("C3v", 2) == [(1, False), (2, False), (2, False)]
    assert dimensions("C3", 2) == [(1, False), (2, True), (2, True)]
    assert dimensions("Ih", 2) == [(5, False)]
    assert dimensions("Ih", 3) == [(3, False), (4, False)]
    assert dimensions("C2v", 2) == [(1, False)] * 5


def test_eigenvalues_that_agree_by_chance_are_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    distinct = irreps._eigenspaces

    def agreeing(representation: Array, seed: int) -> list[tuple[Array, Array]]:
        return distinct(representation, seed) if seed else [(np.eye(5), representation)]

    monkeypatch.setattr(irreps, "_eigenspaces", agreeing)
    parts = irreducible_parts(rotation_matrices(generated("Oh"), 2)[:, 4:, 4:])
    assert sorted(space.shape[1] for space, _ in parts) == [2, 3]


def test_matrices_that_are_no_group_have_no_irreducible_parts() -> None:
    with pytest.raises(ArithmeticError, match="no group"):
        irreducible_parts(np.array([np.eye(3), turn([1, 2, 3], 40.0), turn([2, -1, 1], 77.0)]))


@pytest.mark.parametrize("name", [name for name in GROUPS if name != "C1"])
@pytest.mark.parametrize("seed", [None, 11])
def test_blocks_solve_as_the_whole_does_in_every_point_group(name: str, seed: int | None) -> None:
    lmax = 1 if name == "Ih" else 2
    positions, potentials = general(name)
    frame = np.eye(3) if seed is None else random_rotation(seed)
    check_blocks(positions @ frame.T, potentials, lmax)


@pytest.mark.parametrize("absorber", [1, 13, 19, 43])
def test_blocks_solve_as_the_whole_does_off_the_center_of_a_cuboctahedron(absorber: int) -> None:
    positions = cuboctahedron(2)
    potentials, absorber = around(positions, absorber)
    check_blocks(positions, potentials, 2, absorber)


@pytest.mark.parametrize("seed", [None, 2])
@pytest.mark.parametrize("absorber", [0, 1])
def test_blocks_solve_as_the_whole_does_for_f_electrons(absorber: int, seed: int | None) -> None:
    positions = cuboctahedron(1) @ (np.eye(3) if seed is None else random_rotation(seed)).T
    potentials, absorber = around(positions, absorber)
    check_blocks(positions, potentials, 3, absorber)


CLUSTERS: dict[str, tuple[Array, Array]] = {
    "octahedral molecule": symmetrized("Oh", [1.95, 0, 0], [3.1, 0, 0]),
    "icosahedron": symmetrized("Ih", [0, 1.5, 1.5 * GOLDEN]),
    "hexagonal prism": symmetrized("D6h", [2.1, 0, 1.3]),
    "carbon dioxide": (np.array([[0, 0, 0], [0.6, 0.8, 0.5], [-0.6, -0.8, -0.5]]), np.array([0, 1, 1])),
    "carbon monoxide": (np.array([[0, 0, 0], [0.6, 0.8, 0.5]]), np.array([0, 1])),
    "planar square": (
        np.array([[0, 0, 0], [2.3, 0, 0], [-2.3, 0, 0], [0, 2.3, 0], [0, -2.3, 0]]),
        np.array([0, 1, 1, 1, 1]),
    ),
    "water": (np.array([[0, 0, 0], [0.76, 0.59, 0], [-0.76, 0.59, 0]]), np.array([0, 1, 1])),
    "ammonia": symmetrized("C3v", [0.94, 0, 0.38]),
    "methane": symmetrized("Td", [0.63, 0.63, 0.63]),
    "rock salt": (
        np.array(sorted(product(range(-1, 2), repeat=3), key=lambda site: sum(abs(step) for step in site))) * 2.1,
        np.array([0, *[1] * 6, *[2] * 12, *[1] * 8]),
    ),
}


@pytest.mark.parametrize("seed", [None, 4])
@pytest.mark.parametrize("name", CLUSTERS)
def test_blocks_solve_as_the_whole_does_for_molecules_and_oxides(name: str, seed: int | None) -> None:
    positions, potentials = CLUSTERS[name]
    check_blocks(positions @ (np.eye(3) if seed is None else random_rotation(seed)).T, potentials, 2)


def test_angular_momenta_may_differ_between_atoms() -> None:
    positions, potentials = CLUSTERS["rock salt"]
    check_blocks(positions, potentials, np.array([3, 1, 2])[potentials])
    check_blocks(positions, potentials, np.array([1, 0, 2])[potentials])


def test_other_potentials_or_angular_momenta_lower_the_symmetry() -> None:
    positions, potentials = CLUSTERS["rock salt"]
    lmax = np.full(len(positions), 2)
    whole = check_blocks(positions, potentials, lmax)
    lmax[5] = 1
    assert max(check_blocks(positions, potentials, lmax)) > max(whole)
    assert max(check_blocks(positions, np.where(np.arange(27) == 5, 2, potentials), 2)) > max(whole)


def test_the_absorber_need_not_come_first() -> None:
    positions, potentials = general("C2v")
    order = np.random.default_rng(0).permutation(len(positions))
    check_blocks(positions[order] + [5.0, -3, 2], potentials[order], 2, int(np.argmin(order)))


@pytest.mark.parametrize("name", ["C2v", "C3v", "D3d"])
def test_rounded_positions_cost_no_more_than_the_rounding(name: str) -> None:
    positions, potentials = general(name)
    check_blocks((positions @ random_rotation(9).T).round(6), potentials, 2, accuracy=1e-5)


def test_a_disordered_cluster_has_the_identity_only() -> None:
    positions = cuboctahedron(2)
    potentials, absorber = around(positions, 0)
    disordered = positions + np.random.default_rng(1).normal(scale=0.05, size=positions.shape)
    assert len(operations_of(disordered, potentials, absorber=absorber).matrices) == 1
    check_blocks(disordered[:20], potentials[:20], 1, absorber)


def test_a_lone_atom_has_blocks_of_its_own_orbitals_only() -> None:
    parts = blocks(np.zeros((1, 3)), np.array([0]), 3)
    unit = sum(np.einsum("rim,rjm->ij", rows, rows) for _, rows, _ in parts)
    assert np.allclose(unit, np.eye(16), atol=1e-13)
    assert all(rows.shape[2] == len(labels) for _, rows, labels in parts)


def signed_permutations() -> Array:
    return np.array(
        [np.eye(3)[list(order)] * signs for order in permutations(range(3)) for signs in product([1, -1], repeat=3)]
    )


def character(matrix: Array, angular: int) -> float:
    """Of the harmonics of one l under a proper or improper rotation."""
    sign = np.linalg.det(matrix)
    angle = np.arccos(np.clip((np.trace(matrix) * sign - 1) / 2, -1, 1))
    rotation = sum(np.cos(m * angle) for m in range(-angular, angular + 1))
    return float(rotation * sign**angular)


def test_blocks_of_the_reference_cluster_are_as_small_as_group_theory_allows() -> None:
    positions = cuboctahedron(2)
    potentials, absorber = around(positions, 0)
    operations = signed_permutations()
    fixed = [np.sum(np.all(np.abs(positions @ matrix.T - positions) < 1e-6, axis=1)) for matrix in operations]
    total = np.array(
        [
            n * sum(character(matrix, angular) for angular in range(4))
            for n, matrix in zip(fixed, operations, strict=True)
        ]
    )
    # Eg permutes the axes, less their sum; T2g is what else there is in l = 2. A2u is xyz, and T1u x, y and z.
    parity = np.array([np.linalg.det(np.abs(matrix)) for matrix in operations])
    eg = np.array([np.trace(np.abs(matrix)) - 1 for matrix in operations])
    t1u = np.array([np.trace(matrix) for matrix in operations])
    a2u = np.array([np.linalg.det(matrix) for matrix in operations]) * parity
    t2g = np.array([character(matrix, 2) for matrix in operations]) - eg
    sizes = {
        round(np.mean(total * chi)): dimension
        for chi, dimension in ((np.ones(48), 1), (eg, 2), (t2g, 3), (a2u, 1), (t1u, 3), (t1u * parity, 3))
    }
    assert len(sizes) == 6
    assert {size: sizes[size] for size in (27, 43, 57)} == {27: 1, 43: 2, 57: 3}
    for frame in (np.eye(3), random_rotation(3)):
        found = blocks(positions @ frame.T, potentials, 3, absorber)
        assert {len(labels): len(bases) for bases, _, labels in found} == sizes
        assert all(len(rows) == len(bases) for bases, rows, _ in found)


@pytest.mark.parametrize("name", ["Ci", "Cs", "C2", "C2v", "C3", "C3v", "D2", "D2h", "S4"])
def test_dimensions_add_up_where_the_absorber_has_every_representation(name: str) -> None:
    positions, potentials = general(name)
    found = blocks(positions, potentials, 3)
    assert sum(len(labels) * len(rows) for _, rows, labels in found) == 16 * len(positions)
    everything = np.concatenate([basis for bases, rows, _ in found for basis in bases[: len(rows)]], axis=1)
    assert np.linalg.matrix_rank(everything) == everything.shape[1]


@st.composite
def symmetric_clusters(draw: st.DrawFn) -> tuple[Array, Array, str]:
    """Atoms in general and special positions, spread by a group in a random frame."""
    name = draw(st.sampled_from([name for name, (_, order) in GROUPS.items() if 1 < order <= 24]))
    operations = generated(name)
    coordinate = st.floats(-3.5, 3.5).map(lambda value: round(value, 2))
    positions, potentials = [np.zeros(3)], [0]
    for _ in range(draw(st.integers(1, 3))):
        seed = np.array(draw(st.tuples(coordinate, coordinate, coordinate)))
        keeper = operations[draw(st.integers(0, len(operations) - 1))]
        if draw(st.booleans()):
            # The mean over the powers of one operation lies on its axis, in its plane or at the center.
            powers = [np.linalg.matrix_power(keeper, power) for power in range(12)]
            seed = np.mean(powers, axis=0) @ seed
        potential = draw(st.integers(1, 2))
        images = list(operations @ seed)
        orbit: list[Array] = []
        for image in images:
            if not orbit or min(np.linalg.norm(image - other) for other in orbit) > 1e-3:
                orbit.append(image)
        apart = [np.linalg.norm(one - other) for one, other in permutations([*positions, *orbit], 2)]
        if len(positions) + len(orbit) <= 40 and min(apart) > 0.7:
            positions += orbit
            potentials += [potential] * len(orbit)
    return np.array(positions) @ random_rotation(draw(st.integers(0, 99))).T, np.array(potentials), name


#: Two pairs of atoms at 1.00000 and 0.99995 Å: of more symmetry, within the tolerance, than was put in.
NEARLY_SQUARE = np.array([[0, 0, 0], [1, 0, 0], [-1, 0, 0], [0, 0.99995, 0], [0, -0.99995, 0]])


@settings(max_examples=40, deadline=None)
@example((NEARLY_SQUARE, np.array([0, 1, 1, 1, 1]), "Ci"))
@given(symmetric_clusters())
def test_blocks_solve_as_the_whole_does_for_any_symmetric_cluster(cluster: tuple[Array, Array, str]) -> None:
    positions, potentials, name = cluster
    group = operations_of(positions, potentials)
    if len(positions) > 1:
        images = np.einsum("gij,aj->gai", group.matrices, positions)
        misfit = np.linalg.norm(images - positions[group.images], axis=2).max()
        check_blocks(positions, potentials, 2 if len(positions) < 25 else 1, accuracy=max(1e-10, 10 * misfit))
    flat = np.linalg.matrix_rank(positions, tol=1e-3) < 2
    assert flat or len(group.matrices) % GROUPS[name][1] == 0
