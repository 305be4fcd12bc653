"""Costs: counted atoms against a naive count, and expectations worked out by hand."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from xanesml.campaign import Campaign, EngineSection, FeffSection, StructureSection
from xanesml.store import cost
from xanesml.store.cost import (
    EVERY_RUN,
    FEFF_PER_SQUARED_ATOM,
    NATIVE_PER_CUBED_ATOM,
    NATIVE_SELF_CONSISTENCY,
    NONLOCAL_EXCHANGE,
    SELF_CONSISTENCY,
    SYMMETRIC,
    atoms_in_sphere,
    estimate_seconds,
    expected_seconds,
    table_seconds,
)
from xanesml.store.plan import expand
from xanesml.store.tasks import TaskTable
from xanesml.structures import build_cluster, disorder

CHEAP = {"scf": False, "exchange": [0, 0.2, 0.5], "fms_radius": 3.5}


def table_of(**sections: object) -> TaskTable:
    return expand(Campaign.model_validate({"name": "x", **sections}))


@pytest.mark.parametrize("radius", [4.1, np.array([3.0, 4.2, 7.0, 100.0])], ids=["one", "each"])
def test_atoms_in_a_sphere_are_those_of_a_naive_count(radius: float | np.ndarray) -> None:
    cluster = build_cluster(StructureSection(atoms=55))
    positions = disorder(cluster, np.full(4, 0.1), seed=1, first=0)
    absorbers = np.array([27, 0, 54])
    counts = atoms_in_sphere(positions, absorbers, radius)
    naive = [
        [
            sum(float(np.linalg.norm(atom - structure[absorber])) <= limit for atom in structure)
            for absorber in absorbers
        ]
        for structure, limit in zip(positions, np.broadcast_to(radius, 4), strict=True)
    ]
    assert counts.tolist() == naive
    assert len(np.unique(counts)) > 2


def test_the_shells_of_the_cuboctahedron_are_counted_one_after_the_other() -> None:
    cluster = build_cluster(StructureSection(atoms=55))
    center = np.array([cluster.absorber])
    # fcc shells at a/√2, a, a√(3/2) and a√2 with 12, 6, 24 and 12 atoms.
    for radius, atoms in ((2.8, 1), (2.9, 13), (4.1, 19), (5.0, 43), (5.8, 55)):
        assert atoms_in_sphere(cluster.positions[np.newaxis], center, radius).tolist() == [[atoms]]


def test_the_estimate_adds_up_what_the_cards_and_the_solver_ask_for() -> None:
    atoms = np.array([[1, 13], [55, 79]])
    cheap, full = FeffSection.model_validate(CHEAP), FeffSection()
    own = np.array([[1.0, 169.0], [3025.0, 6241.0]]) * FEFF_PER_SQUARED_ATOM
    np.testing.assert_allclose(estimate_seconds(cheap, atoms), EVERY_RUN + own)
    np.testing.assert_allclose(estimate_seconds(FeffSection(scf=None), atoms), EVERY_RUN + 2 * NONLOCAL_EXCHANGE + own)
    reference = EVERY_RUN + 2 * (NONLOCAL_EXCHANGE + SELF_CONSISTENCY)
    np.testing.assert_allclose(estimate_seconds(full, atoms), reference + own)
    native = np.array([[1.0, 2197.0], [166375.0, 493039.0]]) * NATIVE_PER_CUBED_ATOM
    np.testing.assert_allclose(estimate_seconds(full, atoms, native_fms=True), reference + native)
    symmetric = np.array([[False, True], [False, True]])
    native[symmetric] = SYMMETRIC
    np.testing.assert_allclose(estimate_seconds(full, atoms, native_fms=True, symmetric=symmetric), reference + native)


def test_a_table_costs_what_the_atoms_in_its_spheres_do() -> None:
    seconds = table_seconds(table_of(distortion={"step": 0.45}, feff=CHEAP))
    np.testing.assert_allclose(seconds, EVERY_RUN + FEFF_PER_SQUARED_ATOM * 13**2)
    both = table_of(distortion={"step": 0.45}, disorder={"structures": 1})
    # The absorber's potential, and one for each coordination number of 55 atoms: 5, 7, 8 and 12.
    reference = EVERY_RUN + 5 * (NONLOCAL_EXCHANGE + SELF_CONSISTENCY)
    np.testing.assert_allclose(table_seconds(both)[:4], reference + FEFF_PER_SQUARED_ATOM * 55**2)
    native = table_seconds(both, EngineSection(pot="feff"))
    np.testing.assert_allclose(native[:3], reference + SYMMETRIC)
    np.testing.assert_allclose(native[3], reference + NATIVE_PER_CUBED_ATOM * 55**3)


def test_a_class_whose_only_atom_absorbs_costs_nothing() -> None:
    table = table_of(structure={"atoms": 13}, distortion={"step": 0.45}, disorder={"structures": 1}, feff=CHEAP)
    # The center is the only atom with 12 neighbors.
    assert table.potentials.count(table.absorber).tolist() == [2, 2, 2, 2, *[3] * 12]


def test_only_the_center_of_a_distorted_structure_counts_as_symmetric() -> None:
    table = table_of(distortion={"step": 0.45, "absorbers": "sites"}, feff={"fms_radius": 20.0})
    reference = EVERY_RUN + 5 * (NONLOCAL_EXCHANGE + SELF_CONSISTENCY)
    native = table_seconds(table, EngineSection(pot="feff")).reshape(3, 5)
    np.testing.assert_allclose(native[:, 0], reference + SYMMETRIC)
    np.testing.assert_allclose(native[:, 1:], reference + NATIVE_PER_CUBED_ATOM * 55**3)


def test_what_the_engine_solves_natively_costs_less() -> None:
    table = table_of(distortion={"step": 0.45})
    feff = table_seconds(table)
    np.testing.assert_array_equal(table_seconds(table, EngineSection(pot="feff", fms="feff")), feff)
    command = EngineSection(kind="command", commands=[["feff"]], version="9")
    np.testing.assert_array_equal(table_seconds(table, command), feff)
    saved = feff - table_seconds(table, EngineSection(pot="native", fms="feff"))
    np.testing.assert_allclose(saved, 5 * (SELF_CONSISTENCY - NATIVE_SELF_CONSISTENCY))


@pytest.mark.parametrize("radii", ["scaled", "fixed"])
def test_blocks_and_memory_maps_change_no_cost(radii: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = table_of(
        distortion={"step": 0.05}, disorder={"structures": 9}, feff={**CHEAP, "fms_radius": 4.1, "radii": radii}
    )
    count = table.positions.shape[0]
    positions = np.asarray(table.positions[0:count])
    naive = []
    for structure, absorber in zip(table.structure, table.absorber, strict=True):
        radius = 4.1 * (table.scale[structure] if radii == "scaled" else 1.0)
        distances = np.linalg.norm(positions[structure] - positions[structure][absorber], axis=1)
        naive.append(EVERY_RUN + FEFF_PER_SQUARED_ATOM * float((distances <= radius).sum()) ** 2)
    assert len(set(naive)) > 2

    np.save(tmp_path / "positions.npy", positions)
    mapped = np.load(tmp_path / "positions.npy", mmap_mode="r")
    order = np.random.default_rng(1).permutation(len(table))
    shuffled = replace(table, positions=mapped, structure=table.structure[order], absorber=table.absorber[order])
    for block_atoms in (1, 4 * 55, 2**15):
        monkeypatch.setattr(cost, "_BLOCK_ATOMS", block_atoms)
        np.testing.assert_allclose(table_seconds(table), naive)
        np.testing.assert_allclose(table_seconds(shuffled), np.array(naive)[order])


def test_no_more_than_a_block_of_positions_is_read_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    table = table_of(disorder={"structures": 10})
    read: list[slice] = []

    class Watched:
        shape = table.positions.shape

        def __getitem__(self, index: slice) -> np.ndarray:
            read.append(index)
            return np.asarray(table.positions[index])

    monkeypatch.setattr(cost, "_BLOCK_ATOMS", 4 * 55)
    table_seconds(replace(table, positions=Watched()))
    assert read == [slice(0, 4), slice(4, 8), slice(8, 10)]


def test_classes_that_have_been_run_cost_their_median_and_the_others_are_scaled() -> None:
    nan = np.nan
    estimate = np.array([10.0, 10.0, 10.0, 10.0, 20.0, 20.0, 30.0, 40.0])
    seconds = np.array([11.0, nan, 19.0, 12.0, 30.0, nan, nan, 80.0])
    # Ratios 1.1, 1.9, 1.2, 1.5 and 2: their median is 1.5.
    assert expected_seconds(estimate, seconds).tolist() == [12.0, 12.0, 12.0, 12.0, 30.0, 30.0, 45.0, 80.0]


def test_an_even_number_of_runs_costs_the_mean_of_the_middle_two() -> None:
    assert expected_seconds(np.full(3, 8.0), np.array([4.0, 7.0, np.nan])).tolist() == [5.5, 5.5, 5.5]


def test_without_any_run_the_estimate_is_expected() -> None:
    estimate = np.array([3.0, 4.0])
    expected = expected_seconds(estimate, np.full(2, np.nan))
    assert expected.tolist() == [3.0, 4.0]
    assert expected is not estimate
