"""What ase says of a file: shared sites, and what FEFF has no place for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.singlepoint import SinglePointCalculator
from ase.constraints import FixAtoms
from ase.io import write
from conftest import ROOT
from hypothesis import given
from hypothesis import strategies as st

from xanesml.campaign import Campaign, StructureSection
from xanesml.errors import CampaignError, StructureError
from xanesml.structures import build_cluster
from xanesml.structures.reading import fill, last_image, shared_sites, unused

CASES = ROOT / "tests" / "data" / "structures"
SHARED = StructureSection(file=CASES / "AuAg_A1.cif", radius=12.0, occupancy="random")


def test_shared_sites_are_refused_and_named() -> None:
    with pytest.raises(StructureError) as caught:
        build_cluster(StructureSection(file=CASES / "AuAg_A1.cif", radius=8.0))
    assert "4 sites of 4 that are shared or partly empty: 4 of 0.6 Au 0.4 Ag (the first is atom 0)" in str(caught.value)
    assert 'structure.occupancy = "random"' in str(caught.value)


def test_shared_sites_are_filled_by_the_seed() -> None:
    cluster = build_cluster(SHARED, seed=1)
    assert cluster.numbers[cluster.absorber] == 79
    silver = np.count_nonzero(cluster.numbers == 47)
    # 0.4 of 603 sites within 3 √(603 · 0.4 · 0.6) = 36, and the absorber is gold.
    assert abs(silver - 0.4 * len(cluster.numbers)) < 36
    assert set(cluster.numbers.tolist()) == {47, 79}
    np.testing.assert_array_equal(cluster.numbers, build_cluster(SHARED, seed=1).numbers)
    assert (cluster.numbers != build_cluster(SHARED, seed=2).numbers).any()
    assert f"{len(cluster.numbers) - silver} Au, {silver} Ag" in cluster.notes[0]
    # Every image of the cell's sites is filled on its own, and a larger sphere fills them as the smaller one.
    larger = build_cluster(SHARED.model_copy(update={"radius": 14.0}), seed=1)
    np.testing.assert_array_equal(larger.numbers[: len(cluster.numbers)], cluster.numbers)
    assert len({tuple(cluster.numbers[start : start + 4]) for start in range(1, 101, 4)}) > 4
    with pytest.raises(ValueError, match="needs the seed"):
        build_cluster(SHARED)


def test_like_bonds_count_in_a_filled_crystal() -> None:
    section = SHARED.model_copy(update={"first_shell": "element"})
    cluster = build_cluster(section, seed=1)
    near = np.linalg.norm(cluster.positions, axis=1) < 3.2
    assert cluster.coordination[0] == np.count_nonzero(cluster.numbers[near] == 79) - 1


def test_empty_sites_hold_no_atom(tmp_path: Path) -> None:
    atoms = bulk("Au", cubic=True)
    atoms.info["occupancy"] = {"0": {"Au": 0.5}, "1": {"Au": 1.0}}
    atoms.set_array("spacegroup_kinds", np.array([0, 1, 1, 1]))
    sites = shared_sites(atoms)
    assert sites == [{79: 0.5}, {79: 1.0}, {79: 1.0}, {79: 1.0}]
    atoms.info["occupancy"]["0"]["Au"] = 1
    assert shared_sites(atoms) is None
    (tmp_path / "half.pdb").write_text(
        "CRYST1   20.000   20.000   20.000  90.00  90.00  90.00 P 1\n"
        "ATOM      1 AU   MOL     1       0.000   0.000   0.000  1.00  0.00          AU\n"
        "ATOM      2 AU   MOL     1       2.800   0.000   0.000  0.50  0.00          AU\n"
        "ATOM      3 AU   MOL     1       0.000   2.800   0.000  1.00  0.00          AU\n"
    )
    with pytest.raises(StructureError, match=r"1 sites of 3 .*: 1 of 0\.5 Au \(the first is atom 1\)"):
        build_cluster(StructureSection(file=tmp_path / "half.pdb"))
    section = StructureSection(file=tmp_path / "half.pdb", occupancy="random")
    sizes = {len(build_cluster(section, seed).numbers) for seed in range(12)}
    assert sizes == {2, 3}


@given(st.lists(st.tuples(st.floats(0.01, 0.6), st.floats(0.0, 0.39)), min_size=1, max_size=8), st.integers(0, 99))
def test_a_site_is_filled_by_the_share_in_which_the_draw_lies(shares: list[tuple[float, float]], seed: int) -> None:
    draws = np.random.default_rng(seed).random(len(shares))
    numbers = fill([{79: gold, 47: silver} for gold, silver in shares], draws)
    for number, (gold, silver), draw in zip(numbers.tolist(), shares, draws.tolist(), strict=True):
        total = gold + silver
        scale = 1 / total if total >= 0.999 else 1.0
        expected = 47 if draw < silver * scale else 79 if draw < total * scale else 0
        assert number == expected


def test_what_is_not_used_is_told_once(tmp_path: Path) -> None:
    atoms = Atoms("Au4", positions=[[0, 0, 0], [2.8, 0, 0], [0, 2.8, 0], [0, 0, 2.8]])
    assert unused(atoms) == []
    atoms.set_initial_charges([0.1, 0, 0, 0])
    atoms.set_initial_magnetic_moments([1.0, 0, 0, 0])
    atoms.set_constraint(FixAtoms([0]))
    atoms.set_momenta(np.ones((4, 3)))
    atoms.calc = SinglePointCalculator(atoms, energy=1.0)
    named = ["charges", "magnetic moments", "constraints", "momenta", "energies and forces"]
    assert unused(atoms) == named
    write(tmp_path / "two.traj", [atoms, atoms])
    notes = build_cluster(StructureSection(file=tmp_path / "two.traj")).notes
    assert notes == (
        f"{tmp_path / 'two.traj'} holds 2 images, of which the last is used; structure.images takes several",
        f"{tmp_path / 'two.traj'}: its {', '.join(named)} are not used",
    )
    assert last_image(tmp_path / "two.traj")[1] == 2


@pytest.mark.parametrize(
    ("structure", "message"),
    [
        ({"occupancy": "random"}, "occupancy needs a structure file"),
        ({"images": "::2"}, "images needs a structure file"),
        ({"file": "a.xyz", "images": "5"}, "'5' is no slice of images"),
        ({"file": "a.xyz", "images": "::0"}, "'::0' is no slice of images"),
        ({"file": "a.xyz", "images": "a:b"}, "'a:b' is no slice of images"),
        ({"file": "a.xyz", "images": "::2", "occupancy": "random"}, "images and occupancy do not go together"),
        ({"shape": "octahedron"}, "the shape octahedron needs size"),
        ({"shape": "octahedron", "size": [4, 2]}, "an octahedron of length 4 has a cutoff of at most 1"),
        ({"shape": "octahedron", "size": [4, 1], "atoms": 38}, "atoms follows from the size"),
        ({"shape": "decahedron", "size": [2, 2]}, r"size of the shape decahedron is \[p, q, r\]; \[2, 2\] is not"),
        ({"shape": "decahedron", "size": [0, 2, 0]}, "p and q of a decahedron are 1 or more"),
        ({"shape": "icosahedron", "size": [2, 1]}, "the shape icosahedron does not take size"),
        ({"shape": "wulff"}, "the shape wulff needs surfaces"),
        ({"shape": "wulff", "surfaces": {"11": 1.0}}, "'11' are no Miller indices"),
        ({"shape": "wulff", "surfaces": {"000": 1.0}}, "'000' are no Miller indices"),
        ({"shape": "icosahedron", "atoms": 54}, "54 is not a magic number"),
        ({"shape": "cube"}, "structure.shape: Input should be 'cuboctahedron'"),
        ({"element": "Fe"}, "Fe is not fcc, and the shape cuboctahedron is an fcc particle; give the lattice_constant"),
        ({"element": "Zn", "shape": "wulff", "surfaces": {"111": 1.0}}, "Zn is not fcc"),
    ],
)
def test_keys_that_do_not_go_together_are_one_line(structure: dict[str, object], message: str, tmp_path: Path) -> None:
    import json

    path = tmp_path / "x.toml"
    table = "\n".join(
        f"{key} = {json.dumps(value) if not isinstance(value, dict) else inline(value)}"
        for key, value in structure.items()
    )
    path.write_text(f'name = "x"\n[distortion]\n[structure]\n{table}\n', encoding="utf-8")
    with pytest.raises(CampaignError, match=message) as caught:
        Campaign.load(path)
    assert "\n" not in str(caught.value)


def inline(table: dict[str, float]) -> str:
    return "{ " + ", ".join(f'"{key}" = {value}' for key, value in table.items()) + " }"
