"""feff.inp as a structure file, and a campaign made of one."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from conftest import ROOT
from hypothesis import given
from hypothesis import strategies as st

from xanesml.campaign import Campaign, FeffSection, StructureSection
from xanesml.errors import CampaignError, StructureError
from xanesml.feff.cards import feff_input
from xanesml.feff.inp_campaign import campaign_text
from xanesml.structures import build_cluster
from xanesml.structures.feff_inp import is_feff_input, read_feff_input

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

#: As people write them: shortened cards, comments, another order, numbers of Fortran.
FREE = """\
 * a comment
 title  FeO, cubic; from ATOMS
 HOLE 1   1.0   * Fe K edge
 CONTROL 1 1 1 1 1 1
 EXCH 0 1.0D0 0.5
 SCF  4.5 0 50
 FMS  6.0 1
 XANES 4.5 0.06 0.2
 NLEG 4
 UNFREEZEF
 RMULT 2.0
 pote
   0  26  Fe   3 3 0.01
   1  8   O    ! the other
   2  26  Fe
 ATOMS     * x y z ipot tag distance
   1.05 0 0      1  O  2.1
   0    0 0      0  Fe 0.0
   1.05 1.05 0.0 2  Fe 2.97
   -1.05 0 0 1
 END
   9 9 9 7
"""


def written(folder: Path, text: str = FREE, name: str = "feff.inp") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_a_file_as_people_write_it_is_read(tmp_path: Path) -> None:
    found = read_feff_input(written(tmp_path))
    assert found.atoms.get_chemical_formula() == "Fe2O2"
    assert (found.absorber, found.lmax) == (1, 3)
    np.testing.assert_allclose(found.atoms.positions[[0, 2]], [[2.1, 0, 0], [2.1, 2.1, 0]])
    assert not found.atoms.pbc.any()
    assert found.cards["SCF"] == ["4.5", "0", "50"]
    assert found.cards["EXCHANGE"] == ["0", "1.0D0", "0.5"]
    assert found.cards["UNFREEZEF"] == []


@given(
    st.lists(
        st.tuples(st.floats(-9, 9), st.floats(-9, 9), st.floats(-9, 9), st.sampled_from([8, 26, 79])),
        min_size=2,
        max_size=12,
    ),
    st.data(),
)
def test_what_xanesml_writes_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, atoms: list[tuple[float, float, float, int]], data: st.DataObject
) -> None:
    numbers, positions = np.array([row[3] for row in atoms]), np.array([row[:3] for row in atoms])
    absorber = data.draw(st.integers(0, len(atoms) - 1))
    text = feff_input(numbers=numbers, positions=positions, absorber=absorber, feff=FeffSection())
    found = read_feff_input(written(tmp_path_factory.mktemp("feff"), text))
    assert found.atoms.numbers[found.absorber] == numbers[absorber]
    assert sorted(found.atoms.numbers) == sorted(numbers)
    distances = np.linalg.norm(found.atoms.positions - found.atoms.positions[found.absorber], axis=1)
    np.testing.assert_allclose(
        np.sort(distances), np.sort(np.linalg.norm(positions - positions[absorber], axis=1)), atol=3e-6
    )


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("0    0 0      0", "0    0 0      2", "has 0 atoms of potential 0; the absorber is one"),
        ("1.05 0 0      1", "1.05 0 0      0", "has 2 atoms of potential 0"),
        ("1.05 0 0      1", "1.05 0 0      5", "line 17: the potential 5 is not among the POTENTIALS 0, 1, 2"),
        ("1.05 0 0      1", "1.05 0,0      1", "line 17: '1.05 0,0      1  O  2.1' is not an atom"),
        ("1.05 0 0      1", "inf  0 0      1", "line 17: .* is not an atom at a finite position"),
        ("1  8   O ", "1  O   O ", "line 14: '1  O   O    ! the other' is not a potential"),
        ("1  8   O ", "1  208 O ", "line 14: there is no element of atomic number 208"),
        ("\n ATOMS", "\n END", "has 3 POTENTIALS and 0 ATOMS; give both"),
        ("\n ATOMS", "\n CIF feo.cif\n END", "its structure is in its card CIF: give that file to xanesml"),
    ],
)
def test_what_is_incomplete_is_refused_with_its_line(tmp_path: Path, old: str, new: str, says: str) -> None:
    assert old in FREE
    with pytest.raises(StructureError, match=says) as caught:
        read_feff_input(written(tmp_path, FREE.replace(old, new)))
    assert "\n" not in str(caught.value)


def test_a_cluster_is_built_around_its_absorber(tmp_path: Path) -> None:
    path = written(tmp_path)
    assert is_feff_input(path)
    cluster = build_cluster(StructureSection(element="Fe", file=path))
    assert (cluster.absorber, cluster.numbers.tolist()) == (1, [8, 26, 26, 8])
    assert cluster.first_shell == pytest.approx(2.1)
    with pytest.raises(StructureError, match=r"is O, structure\.element is Fe"):
        build_cluster(StructureSection(element="Fe", file=path, absorber=0))


@pytest.mark.parametrize("name", ["a.inp", "a.mol2"])
def test_another_file_is_refused_with_what_can_be_read(tmp_path: Path, name: str) -> None:
    with pytest.raises(StructureError, match=r"with ase: .*; give CIF, POSCAR .* or feff.inp"):
        build_cluster(StructureSection(element="Fe", file=written(tmp_path, "@<TRIPOS>MOLECULE\n", name)))


def test_files_of_ase_are_read_as_before(tmp_path: Path) -> None:
    atoms: Atoms = bulk("Fe", cubic=True)
    atoms.write(tmp_path / "fe.cif")
    assert not is_feff_input(tmp_path / "fe.cif")
    section = StructureSection(element="Fe", file=tmp_path / "fe.cif", radius=4.0, first_shell_cutoff=2.6)
    assert len(build_cluster(section).numbers) > 8


def test_a_campaign_has_the_cards(tmp_path: Path) -> None:
    path = written(tmp_path)
    text = campaign_text(path, beside=tmp_path)
    content = tomllib.loads(text)
    assert content["structure"] == {"element": "Fe", "file": "feff.inp", "absorber": 1}
    assert content["feff"] == {
        "edge": "K",
        "scf": {"radius": 4.5, "lfms": 0, "iterations": 50, "mixing": 0.2, "mixing_iterations": 1},
        "corval": False,
        "exchange": [0, 1.0, 0.5],
        "s02": 1.0,
        "xanes": [4.5, 0.06, 0.2],
        "fms_radius": 6.0,
        "lmax": 3,
        "normalization": "absolute",
        "extra_cards": ["UNFREEZEF"],
    }
    for note in ("left out: 1, the last of FMS", "left out: CONTROL, as", "left out: NLEG, as", "FeO, cubic"):
        assert note in text
    campaign = tmp_path / "campaign.toml"
    campaign.write_text(text)
    assert Campaign.load(campaign).structure.file == path.resolve()


def test_a_campaign_of_xanesmls_own_input_is_the_campaign_it_was_written_for(tmp_path: Path) -> None:
    own = Campaign.load(ROOT / "examples" / "au55-l3.toml")
    cluster = build_cluster(own.structure)
    text = feff_input(numbers=cluster.numbers, positions=cluster.positions, absorber=cluster.absorber, feff=own.feff)
    campaign = tmp_path / "campaign.toml"
    campaign.write_text(campaign_text(written(tmp_path, text), beside=tmp_path))
    found = Campaign.load(campaign)
    assert found.feff == own.feff
    again = build_cluster(found.structure)
    assert (
        feff_input(numbers=again.numbers, positions=again.positions, absorber=again.absorber, feff=found.feff) == text
    )


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("HOLE 1 ", "EDGE Q9 ", "does not know the edge 'Q9'"),
        ("SCF  4.5 0 50", "SCF  4.5 0 many", "the card SCF has 4.5 0 many; give numbers|the card SCF has '4.5 0 many'"),
        ("SCF  4.5 0 50", "SCF  4.5 3 50", "scf"),
    ],
)
def test_cards_that_a_campaign_cannot_have_are_refused(tmp_path: Path, old: str, new: str, says: str) -> None:
    with pytest.raises(CampaignError, match=says) as caught:
        campaign_text(written(tmp_path, FREE.replace(old, new)))
    assert "\n" not in str(caught.value)
