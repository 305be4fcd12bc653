"""Spheres that are cut, what `plan` says of the geometry, and what leaves the FEFF inputs as they are."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.io import read, write
from conftest import ROOT
from scipy.spatial.transform import Rotation

from xanesml.campaign import Campaign
from xanesml.errors import StructureError
from xanesml.store.geometry import geometry
from xanesml.store.plan import expand
from xanesml.store.tasks import TaskTable

CASES = ROOT / "tests" / "data" / "structures"
R1 = 4.0782 / np.sqrt(2)


def campaign(**sections: object) -> Campaign:
    return Campaign.model_validate({"name": "x", **sections})


def gold(folder: Path, radius: float, **sections: object) -> TaskTable:
    write(folder / "gold.cif", bulk("Au", a=4.0782, cubic=True))
    return expand(campaign(structure={"file": str(folder / "gold.cif"), "radius": radius}, **sections))


@pytest.mark.parametrize(
    ("sections", "enough"),
    [
        # The central atom alone: the FMS sphere grows with the distortion.
        ({"distortion": {"step": 0.45}}, 7.0),
        ({"distortion": {"step": 0.45}, "feff": {"fms_radius": 4.0}}, 4.6),
        ({"distortion": {"step": 0.45}, "feff": {"fms_radius": 4.0, "scf": False}}, 4.0),
        # A fixed sphere reaches furthest into the most compressed structure.
        ({"distortion": {"step": 0.45}, "feff": {"radii": "fixed"}}, 7.0 * R1 / (R1 - 0.45)),
        # The first neighbors absorb too.
        ({"disorder": {"structures": 1}}, 7.0 + R1),
        ({"disorder": {"structures": 1, "absorbers": [0]}}, 7.0),
    ],
)
def test_a_sphere_that_is_cut_is_refused_with_the_radius_that_would_do(
    sections: dict[str, object], enough: float, tmp_path: Path
) -> None:
    named = np.ceil(enough * 100 - 1e-6) / 100
    with pytest.raises(StructureError, match=rf"cuts the sphere of feff\.\S+ around .*give {named:.2f} Å or more"):
        gold(tmp_path, named - 0.02, **sections)
    gold(tmp_path, named, **sections)


def test_a_sphere_of_enough_radius_shows_every_absorber_the_same_atoms(tmp_path: Path) -> None:
    table = gold(tmp_path, 9.9, disorder={"structures": 1})
    assert dict(geometry(table, campaign(distortion={}).structure))["FMS sphere"] == "atoms within 7 Å: 79 around 0–12"


def test_the_geometry_of_the_reference_cluster() -> None:
    one = campaign(distortion={"step": 0.45}, disorder={"structures": 2})
    entries = dict(geometry(expand(one), one.structure))
    assert entries["structure"] == "55-atom cuboctahedron; absorber 35 (Au) of 55 atoms"
    assert entries["first shell"] == (
        "r1 2.8837 Å; 12 neighbors at 2.8837 Å, up to a cutoff of 3.4293 Å; the next is 4.0782 Å away"
    )
    assert entries["absorbers"] == "13 in a disordered structure, with 120 bonds"
    # From a neighbor of the center, 11 of the 54 others lie beyond 7 Å.
    assert entries["FMS sphere"].startswith("atoms within 7 Å: 55 around 35; 44 around 6, 10, 14–15")


def test_the_notes_of_a_file_and_the_range_of_its_bonds(tmp_path: Path) -> None:
    write(tmp_path / "zinc.cif", bulk("Zn", "hcp", a=2.66, c=4.947))
    one = campaign(
        structure={"element": "Zn", "file": str(tmp_path / "zinc.cif"), "radius": 7.0},
        distortion={"step": 0.45},
        feff={"edge": "K"},
    )
    entries = dict(geometry(expand(one), one.structure))
    assert "12 neighbors at 2.6600 … 2.9115 Å" in entries["first shell"]
    assert "absorbers" not in entries
    boxed = campaign(structure={"file": str(CASES / "np_wrapped.vasp")}, distortion={"step": 0.45})
    assert "15.8 Å of vacuum" in dict(geometry(expand(boxed), boxed.structure))["note"]


def inputs(structure: dict[str, object], tasks: slice = slice(None)) -> list[str]:
    """The sorted FEFF inputs of a series, or of all its tasks with a disordered structure."""
    table = expand(campaign(structure=structure, distortion={"step": 0.45}, disorder={"structures": 1}))
    return sorted(table.inputs(task)[0] for task in range(*tasks.indices(len(table))))


def test_a_wrapped_particle_has_the_inputs_of_the_centred_one() -> None:
    wrapped, centred = (inputs({"file": str(CASES / f"np_{name}.vasp")}) for name in ("wrapped", "centred"))
    assert len(wrapped) == 3 + 13
    assert wrapped == centred


def test_permuting_wrapping_and_moving_a_file_leaves_the_series(tmp_path: Path) -> None:
    atoms = read(CASES / "np_centred.vasp")
    write(tmp_path / "a.vasp", atoms, direct=True)
    first = inputs({"file": str(tmp_path / "a.vasp")}, slice(3))
    rng = np.random.default_rng(2)
    for _ in range(2):
        # By whole grid steps of the cell, so that the file holds the same distances to its last digit.
        atoms.translate(24.0 * rng.integers(1, 64, 3) / 64)
        atoms.wrap()
        atoms = atoms[rng.permutation(55)]
        write(tmp_path / "b.vasp", atoms, direct=True)
        assert inputs({"file": str(tmp_path / "b.vasp")}, slice(3)) == first


def test_turning_a_particle_turns_the_inputs(tmp_path: Path) -> None:
    centred = read(CASES / "np_centred.vasp")
    turned = Atoms(centred.symbols, Rotation.from_rotvec([0.3, -0.8, 0.5]).apply(centred.positions))
    write(tmp_path / "turned.xyz", turned)
    plain, rotated = (
        expand(campaign(structure={"file": str(path)}, distortion={"step": 0.45}, disorder={"structures": 1}))
        for path in (CASES / "np_centred.vasp", tmp_path / "turned.xyz")
    )
    assert Counter(rotated.absorber.tolist()) == Counter(plain.absorber.tolist())
    assert rotated.cluster.first_shell == pytest.approx(plain.cluster.first_shell, abs=1e-6)
    np.testing.assert_array_equal(rotated.cluster.coordination, plain.cluster.coordination)
    for task in range(3):
        one, other = (np.sort(distances(table.inputs(task)[0])) for table in (plain, rotated))
        np.testing.assert_allclose(one, other, atol=3e-6)


def distances(text: str) -> np.ndarray:
    rows = text.partition("ATOMS\n")[2].partition("END")[0].splitlines()
    return np.linalg.norm([[float(word) for word in row.split()[:3]] for row in rows], axis=1)
