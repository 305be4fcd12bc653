"""The first shell is bounded by the first real gap, of real crystals and of distances set by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.io import write
from conftest import ROOT
from hypothesis import given
from hypothesis import strategies as st

from xanesml.campaign import StructureSection
from xanesml.errors import StructureError
from xanesml.structures import Cluster, build_cluster
from xanesml.structures.first_shell import GAP, find_first_shell, given_first_shell

CASES = ROOT / "tests" / "data" / "structures"


def crystal(folder: Path, atoms: Atoms, **section: object) -> Cluster:
    write(folder / "crystal.cif", atoms)
    return build_cluster(StructureSection(file=folder / "crystal.cif", **{"radius": 6.0, **section}))


@pytest.mark.parametrize(
    ("symbol", "neighbors", "last", "following"),
    [
        # fcc: a/√2 and a. bcc: a√3/2 and a. Diamond: a√3/4 and a/√2. Simple cubic: a and a√2.
        ("Cu", 12, 3.61 / np.sqrt(2), 3.61),
        ("Fe", 8, 2.87 * np.sqrt(3) / 2, 2.87),
        ("W", 8, 3.16 * np.sqrt(3) / 2, 3.16),
        ("Si", 4, 5.43 * np.sqrt(3) / 4, 5.43 / np.sqrt(2)),
        ("Po", 6, 3.35, 3.35 * np.sqrt(2)),
        # hcp: a and √(a²/3 + c²/4), which differ by 9.4 % in zinc and 10.5 % in cadmium; then √(4a²/3 + c²/4).
        ("Mg", 12, 3.2094, 4.5334),
        ("Zn", 12, 2.9123, 3.9470),
        ("Cd", 12, 3.2944, 4.4420),
    ],
)
def test_the_first_shell_of_crystals(
    symbol: str, neighbors: int, last: float, following: float, tmp_path: Path
) -> None:
    atoms = bulk(symbol)
    if symbol in ("Zn", "Cd"):
        a, c = {"Zn": (2.66, 4.9470), "Cd": (2.98, 5.6180)}[symbol]
        atoms = bulk(symbol, "hcp", a=a, c=c)
        last, following = (np.sqrt(k * a**2 / 3 + c**2 / 4) for k in (1, 4))
        assert last / a == pytest.approx({"Zn": 1.094, "Cd": 1.105}[symbol], abs=1e-3)
    if symbol == "Mg":
        a, c = atoms.cell.lengths()[0], atoms.cell.lengths()[2]
        last, following = max(a, np.sqrt(a**2 / 3 + c**2 / 4)), np.sqrt(4 * a**2 / 3 + c**2 / 4)
    cluster = crystal(tmp_path, atoms, element=symbol, radius=8.0)
    assert set(cluster.coordination.tolist()) == {neighbors}
    assert cluster.first_shell_cutoff == pytest.approx(np.sqrt(last * following), abs=2e-3)


def test_perfect_bcc_iron_has_eight_bonds_of_one_length() -> None:
    cluster = build_cluster(StructureSection(file=CASES / "Fe_bcc.cif", element="Fe", radius=9.5))
    assert cluster.first_shell == pytest.approx(2.8665 * np.sqrt(3) / 2, abs=1e-4)
    assert cluster.coordination[cluster.absorber] == 8


@pytest.mark.parametrize(("shell", "neighbors", "length"), [("any", 6, 4.09 / 2), ("element", 12, 4.09 / np.sqrt(2))])
def test_the_metal_s_shell_beside_hydrogen(shell: str, neighbors: int, length: float, tmp_path: Path) -> None:
    hydride = bulk("PdH", "rocksalt", a=4.09)
    cluster = crystal(tmp_path, hydride, element="Pd", first_shell=shell)
    assert set(cluster.coordination.tolist()) == {neighbors}
    assert cluster.first_shell == pytest.approx(length, abs=1e-4)


def test_bonds_of_an_alloy_are_of_any_element(tmp_path: Path) -> None:
    alloy = bulk("Cu", cubic=True, a=3.75)
    alloy.numbers[0] = 79
    cluster = crystal(tmp_path, alloy, element="Au")
    assert set(cluster.coordination.tolist()) == {12}
    # Copper alone: gold's nearest gold is a away.
    gold = crystal(tmp_path, alloy, element="Au", first_shell="element")
    assert gold.first_shell == pytest.approx(3.75, abs=1e-4)
    assert gold.coordination[gold.absorber] == 6


def test_the_first_gap_bounds_the_shell_not_the_widest() -> None:
    lengths = np.array([2.0, 2.1, 2.5, 3.9])
    shell = find_first_shell(lengths, np.empty(0), "x")
    assert shell.lengths.tolist() == [2.0, 2.1]
    assert shell.cutoff == pytest.approx(np.sqrt(2.1 * 2.5))


def test_distances_without_a_gap_are_refused_and_listed() -> None:
    liquid = 2.6 * 1.05 ** np.arange(20)
    with pytest.raises(StructureError, match=r"no gap .*: 1 × 2\.600, 1 × 2\.730, .*give structure.first_shell_cutoff"):
        find_first_shell(liquid, np.empty(0), "liquid.xyz")
    # A number that is given counts.
    assert given_first_shell(liquid, 3.4, "liquid.xyz").cutoff == 3.4


def test_where_all_atoms_are_in_the_first_shell_the_other_distances_tell_its_end() -> None:
    square = np.array([2.0, 2.0, 2.0, 2.0, 2.0, 2.0 * np.sqrt(2)])
    assert find_first_shell(square[:2], np.sort(square), "x").cutoff == pytest.approx(2.0 * 2**0.25)
    assert find_first_shell(square[:1], square[:1], "dimer").cutoff == pytest.approx(2.0 * GAP)


@pytest.mark.parametrize("cutoff", [2.88, 2.8837, 2.90, 4.07, 4.1])
def test_a_cutoff_inside_a_shell_is_refused(cutoff: float) -> None:
    with pytest.raises(StructureError, match=r"(12 × 2\.884, 6 × 4\.078.* 1 % or more|nearest atom is 2\.8837)"):
        build_cluster(StructureSection(first_shell_cutoff=cutoff))


@pytest.mark.parametrize("cutoff", [2.92, 3.4, 4.03])
def test_a_cutoff_between_shells_is_taken_as_it_is(cutoff: float) -> None:
    cluster = build_cluster(StructureSection(first_shell_cutoff=cutoff))
    assert (cluster.first_shell_cutoff, cluster.coordination[cluster.absorber]) == (cutoff, 12)


@given(st.lists(st.floats(1.0, 1.12), max_size=12), st.floats(GAP + 0.001, 1.9), st.floats(1.0, 4.0))
def test_a_gap_is_found_wherever_it_is(ratios: list[float], gap: float, first: float) -> None:
    shell = first * np.cumprod([1.0, *ratios])
    shell = shell[shell <= 2.0 * first / 1.13]
    lengths = np.concatenate((shell, [shell[-1] * gap, shell[-1] * gap * 1.01]))
    found = find_first_shell(lengths, np.empty(0), "x")
    np.testing.assert_array_equal(found.lengths, shell)
    assert found.cutoff == pytest.approx(shell[-1] * np.sqrt(gap))
