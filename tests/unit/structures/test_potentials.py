from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xanesml.campaign import Campaign, StructureSection
from xanesml.errors import StructureError
from xanesml.store.plan import expand
from xanesml.structures import Cluster, build_cluster, disorder
from xanesml.structures.potentials import (
    DECAY,
    MARGIN,
    MOST_CLASSES,
    REACH,
    Representatives,
    classify,
    grouped,
    numbered,
)

REACH_OF_SCF = 4.6


def cuboctahedron(atoms: int) -> Cluster:
    return build_cluster(StructureSection(atoms=atoms))


def chooser(cluster: Cluster, rule: str = "coordination") -> Representatives:
    return Representatives(cluster, classify(cluster, rule), reach=REACH_OF_SCF)


@pytest.mark.parametrize(
    ("atoms", "rule", "names", "sizes"),
    [
        # 13: a center of 12 neighbors, and a shell whose atoms have 5.
        (13, "coordination", ("Au 5", "Au 12"), [12, 1]),
        # 55: 12 vertices, 24 edges, 6 square faces, and the 13 inside.
        (55, "coordination", ("Au 5", "Au 7", "Au 8", "Au 12"), [12, 24, 6, 13]),
        # 147: 12 vertices, 24 edges of 2 atoms, 6 square faces of 4, 8 triangular ones of 1, and the 55 inside.
        (147, "coordination", ("Au 5", "Au 7", "Au 8", "Au 9", "Au 12"), [12, 48, 24, 8, 55]),
        (55, "shell", ("Au 0", "Au 1", "Au 2"), [1, 12, 42]),
        (55, "element", ("Au",), [55]),
    ],
)
def test_the_classes_of_cuboctahedra(atoms: int, rule: str, names: tuple[str, ...], sizes: list[int]) -> None:
    classes = classify(cuboctahedron(atoms), rule)
    assert classes.names == names
    assert classes.sizes.tolist() == sizes


def test_every_element_has_classes_of_its_own() -> None:
    classes = grouped(np.array([79, 29, 79, 29, 79]), np.array([12, 12, 9, 12, 12]))
    assert classes.names == ("Cu 12", "Au 9", "Au 12")
    assert classes.of_atom.tolist() == [2, 0, 1, 0, 2]


def test_the_smallest_neighboring_classes_are_merged() -> None:
    # Numbers of neighbors 3 … 13; 4 and 5, with one atom each, are the smallest pair, then 12 and 13.
    counts = {3: 5, 4: 1, 5: 1, 6: 9, 7: 9, 8: 9, 9: 9, 10: 9, 11: 9, 12: 2, 13: 1}
    level = np.repeat(list(counts), list(counts.values()))
    classes = grouped(np.full(len(level), 79), level)
    assert len(classes.names) == MOST_CLASSES
    assert classes.names == ("Au 3", "Au 4-5", "Au 6", "Au 7", "Au 8", "Au 9", "Au 10", "Au 11", "Au 12-13")
    assert classes.sizes.tolist() == [5, 2, 9, 9, 9, 9, 9, 9, 3]


def test_elements_are_never_merged() -> None:
    numbers = np.arange(20, 20 + MOST_CLASSES + 1)
    with pytest.raises(StructureError, match="has 10 elements, and FEFF has room for 9 potentials"):
        grouped(numbers, np.zeros(len(numbers), dtype=int))


def naive(cluster: Cluster, rule: str, positions: np.ndarray, absorber: int) -> list[set[int]]:
    """The atoms that may stand for each class, by loops over atoms."""
    classes = classify(cluster, rule)
    density = []
    for i, here in enumerate(positions):
        total = 0.0
        for j, there in enumerate(positions):
            away = np.linalg.norm(cluster.positions[i] - cluster.positions[j])
            if i != j and away <= REACH * cluster.first_shell:
                total += np.exp(-np.linalg.norm(here - there) / DECAY)
        density.append(np.log(total))
    best = []
    for place in range(len(classes.names)):
        members = [atom for atom in range(len(positions)) if classes.of_atom[atom] == place]
        mean = sum(density[atom] for atom in members) / len(members)
        others = [atom for atom in members if atom != absorber]
        least = min((abs(density[atom] - mean) for atom in others), default=0.0)
        best.append({atom for atom in others if abs(density[atom] - mean) <= least + MARGIN})
    return best


@pytest.mark.parametrize("rule", ["element", "coordination", "shell"])
@pytest.mark.parametrize("sigma", [0.001, 0.12])
def test_the_most_typical_atom_stands_for_its_class(rule: str, sigma: float) -> None:
    cluster = cuboctahedron(55)
    positions = disorder(cluster, np.array([sigma]), seed=3, first=0)[0]
    absorbers = np.arange(55)
    for absorber, chosen in zip(absorbers, chooser(cluster, rule).typical(positions, absorbers), strict=True):
        for atom, allowed in zip(chosen.tolist(), naive(cluster, rule, positions, int(absorber)), strict=True):
            assert atom in allowed if allowed else atom == -1


def test_of_equally_typical_atoms_the_one_at_the_median_distance_of_the_absorber() -> None:
    cluster = cuboctahedron(55)
    away = np.linalg.norm(cluster.positions, axis=1)
    vertex = int(np.argmax(away))
    (chosen,) = chooser(cluster).typical(cluster.positions, np.array([vertex]))
    # Eleven vertices: 4 at one edge's length, 2 at √2, 4 at √3 and 1 at 2 of it. The sixth is at √2.
    distance = np.linalg.norm(cluster.positions[chosen[0]] - cluster.positions[vertex])
    assert distance == pytest.approx(2 * 4.0782, abs=1e-6)


def test_no_class_is_represented_by_the_absorber() -> None:
    cluster = cuboctahedron(55)
    chosen = chooser(cluster).typical(cluster.positions, np.arange(55))
    assert not (chosen == np.arange(55)[:, np.newaxis]).any()
    assert (chosen >= 0).all()
    alone = chooser(cluster, "shell").typical(cluster.positions, np.array([cluster.absorber]))[0]
    assert alone[0] == -1


@given(seed=st.integers(0, 2**32 - 1), sigma=st.sampled_from([0.0, 0.05, 0.12]))
def test_a_millionth_of_an_angstrom_changes_no_choice(seed: int, sigma: float) -> None:
    cluster = cuboctahedron(55)
    base = cluster.positions if sigma == 0 else disorder(cluster, np.array([sigma]), seed=1, first=0)[0]
    moved = base + np.random.default_rng(seed).uniform(-1e-6, 1e-6, base.shape)
    absorbers = np.array([0, 7, cluster.absorber, 54])
    np.testing.assert_array_equal(chooser(cluster).typical(base, absorbers), chooser(cluster).typical(moved, absorbers))


@given(order=st.permutations(range(55)))
def test_the_order_of_the_atoms_changes_no_choice(order: list[int]) -> None:
    cluster = cuboctahedron(55)
    positions = disorder(cluster, np.array([0.1]), seed=5, first=0)[0]
    shuffled = replace(
        cluster,
        numbers=cluster.numbers[order],
        positions=cluster.positions[order],
        coordination=cluster.coordination[order],
        absorber=order.index(cluster.absorber),
    )
    for rule in ("coordination", "shell"):
        for places in (cluster.positions, positions):
            (expected,) = chooser(cluster, rule).typical(places, np.array([cluster.absorber]))
            (chosen,) = chooser(shuffled, rule).typical(places[order], np.array([shuffled.absorber]))
            assert [order[atom] if atom >= 0 else -1 for atom in chosen] == expected.tolist()


def test_an_atom_at_the_rim_of_a_cut_sphere_is_not_typical(tmp_path) -> None:
    from ase.build import bulk

    file = tmp_path / "gold.cif"
    bulk("Au", cubic=True, a=4.0782).write(file)
    cluster = build_cluster(StructureSection(file=file, radius=9.0))
    assert classify(cluster, "coordination").names == ("Au",)
    positions = disorder(cluster, np.array([0.1]), seed=5, first=0)[0]
    chosen = chooser(cluster).typical(positions, np.arange(13))
    assert (np.linalg.norm(cluster.positions[chosen], axis=-1) <= 9.0 - REACH_OF_SCF + 1e-4).all()


def test_where_all_are_at_the_rim_the_innermost_stands_for_them() -> None:
    cluster = replace(cuboctahedron(55), radius=5.8)
    (chosen,) = chooser(cluster, "element").typical(cluster.positions, np.array([cluster.absorber]))
    assert np.linalg.norm(cluster.positions[chosen[0]]) == pytest.approx(cluster.first_shell)


def test_the_nearest_atoms_are_those_that_feff_takes() -> None:
    cluster = cuboctahedron(55)
    vertex = int(np.argmax(np.linalg.norm(cluster.positions, axis=1)))
    (chosen,) = chooser(cluster).nearest(cluster.positions, np.array([vertex]))
    for place, atom in enumerate(chosen):
        members = np.flatnonzero(classify(cluster, "coordination").of_atom == place)
        distances = np.linalg.norm(cluster.positions[members] - cluster.positions[vertex], axis=1)
        least = distances[distances > 0].min()
        assert np.linalg.norm(cluster.positions[atom] - cluster.positions[vertex]) == pytest.approx(least)


def test_potentials_are_numbered_from_the_absorber_on() -> None:
    classes = grouped(np.array([79, 79, 79, 29]), np.array([3, 1, 1, 2]))
    assert classes.names == ("Cu 2", "Au 1", "Au 3")
    # The absorber, atom 0, is the only one of its class.
    potentials = numbered(classes, 0, np.array([3, 2, -1]))
    assert potentials.of_atom.tolist() == [0, 2, 2, 1]
    assert potentials.representatives.tolist() == [3, 2]


def test_all_distortions_of_a_series_and_all_runs_have_one_choice() -> None:
    content = {"name": "x", "distortion": {"step": 0.05}, "disorder": {"structures": 2}}
    table = expand(Campaign.model_validate(content))
    chosen = table.representatives(slice(None), table.positions[:])
    assert len(np.unique(chosen[:19], axis=0)) == 1
    for task in (0, 18, 19, 44):
        alone = table.representatives(slice(task, task + 1), table.positions[table.structure[task]][np.newaxis])
        np.testing.assert_array_equal(alone[0], chosen[task])


@pytest.mark.parametrize(
    "change",
    [{"potentials": "element"}, {"potentials": "shell"}, {"representative": "nearest"}, {"stoichiometry": "feff"}],
)
def test_the_rule_is_part_of_the_identity(change: dict[str, str]) -> None:
    content = {"name": "x", "disorder": {"structures": 1}}
    one, other = (
        expand(Campaign.model_validate(content | {"feff": feff})).identities(
            "engine", slice(None), expand(Campaign.model_validate(content)).positions[:]
        )
        for feff in ({}, change)
    )
    assert not (one == other).any()


def test_the_input_lists_the_atoms_that_stand_for_the_potentials_first() -> None:
    table = expand(Campaign.model_validate({"name": "x", "disorder": {"structures": 1, "sigma_maximum": 0.14}}))
    text, _ = table.inputs(5)
    chosen = table.representatives(slice(5, 6), table.positions[0:1])[0]
    rows = [list(map(float, line.split())) for line in text.split("ATOMS\n")[1].splitlines()[:-1]]
    absorber = int(table.absorber[5])
    assert [row[3] for row in rows[:5]] == [0, 1, 2, 3, 4]
    places = table.positions[0][chosen] - table.positions[0][absorber]
    np.testing.assert_allclose([row[:3] for row in rows[1:5]], places, atol=1e-6)
    distances = np.linalg.norm(np.array(rows)[5:, :3], axis=1)
    assert (np.diff(distances) > -1e-6).all()
    counts = [line.split()[5] for line in text.split("POTENTIALS\n")[1].split("ATOMS")[0].splitlines()]
    assert counts == ["1", "12", "24", "6", "12"]
