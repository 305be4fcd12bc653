from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from fms_run import BOHR, write_run

from xanesml.errors import NotApplicable
from xanesml.fms.inputs import orbital_scattering, read_input
from xanesml.fms.phases import read_phases

ATOMS = np.array([[1.0, 1, 1], [3, 1, 1], [1, -1.5, 1], [1, 1, 5], [9, 1, 1]])
MOMENTUM = np.array([1.0 + 0.1j, 1.5 + 0.1j])
SHIFTS = [np.full((2, 5), 0.1 + 0.2j), np.full((2, 5), 0.3 + 0j)]


def run(folder: Path, **changes: object) -> Path:
    arguments: dict[str, object] = {
        "positions": ATOMS,
        "potentials": [0, 1, 1, 1, 1],
        "lmax": [3, 1],
        "momentum": MOMENTUM,
        "shifts": SHIFTS,
        "radius": 4.5,
    }
    write_run(folder, **(arguments | changes))  # type: ignore[arg-type]
    return folder


def test_the_cluster_ends_before_the_first_atom_outside(tmp_path: Path) -> None:
    cluster = read_input(run(tmp_path))
    np.testing.assert_allclose(cluster.positions * BOHR, ATOMS[:4] - ATOMS[0], atol=1e-6)
    assert cluster.potentials.tolist() == [0, 1, 1, 1]
    assert cluster.lmax.tolist() == [3, 1, 1, 1]
    assert cluster.absorber == 0
    assert cluster.cutoff == pytest.approx(9 / BOHR)


def test_an_atom_inside_after_one_outside_is_left_out_as_feff_does(tmp_path: Path) -> None:
    assert len(read_input(run(tmp_path, positions=ATOMS[[0, 1, 4, 2, 3]])).positions) == 2


def test_the_absorber_need_not_come_first(tmp_path: Path) -> None:
    cluster = read_input(run(tmp_path, potentials=[1, 0, 1, 1, 1], radius=6.0))
    assert cluster.absorber == 1
    np.testing.assert_array_equal(cluster.positions[1], np.zeros(3))


def test_feffs_limits_cut_atoms_and_angular_momenta(tmp_path: Path) -> None:
    cluster = read_input(run(tmp_path, switches={"max_atoms": 3, "lx": 2}, lmax=[3, -1]))
    assert cluster.lmax.tolist() == [2, 2, 2]


def test_more_potentials_than_fit_on_a_line_are_read(tmp_path: Path) -> None:
    positions = np.column_stack([np.arange(23.0), np.zeros((23, 2))])
    lmax = [index % 4 for index in range(23)]
    cluster = read_input(run(tmp_path, positions=positions, potentials=np.arange(23), lmax=lmax, sigma2=0.003))
    assert cluster.lmax.tolist() == [index % 4 for index in range(5)]
    assert cluster.sigma2 == 0.003


def test_files_that_only_feff10_writes_may_be_missing(tmp_path: Path) -> None:
    run(tmp_path)
    for name in ("hubbard.inp", "reciprocal.inp"):
        (tmp_path / name).unlink()
    assert len(read_input(tmp_path).positions) == 4


@pytest.mark.parametrize(
    ("switches", "reason"),
    [
        ({"mfms": 0}, "mfms"),
        ({"idwopt": 0}, "Debye-Waller"),
        ({"minv": 2}, "minv"),
        ({"ispin": 1}, "ispin"),
        ({"spins": 2}, "number of spins"),
        ({"do_nrixs": 1}, "do_nrixs"),
        ({"ispace": 0}, "reciprocal"),
        ({"i_hubbard": 2}, "i_hubbard"),
        ({"slice": 1}, "save_gg_slice"),
    ],
)
def test_what_is_not_done_here_is_left_to_feff(tmp_path: Path, switches: dict[str, int], reason: str) -> None:
    with pytest.raises(NotApplicable, match=reason):
        read_input(run(tmp_path, switches=switches))


@pytest.mark.parametrize("radius", [-1.0, 1.5])
def test_an_absorber_without_neighbors_is_left_to_feff(tmp_path: Path, radius: float) -> None:
    with pytest.raises(NotApplicable, match="no neighbor"):
        read_input(run(tmp_path, radius=radius))


def test_two_absorbers_are_left_to_feff(tmp_path: Path) -> None:
    with pytest.raises(NotApplicable, match="exactly one atom"):
        read_input(run(tmp_path, potentials=[0, 1, 0, 1, 1]))


@pytest.mark.parametrize("name", ["fms.inp", "geom.dat", "global.inp", ".dimensions.dat"])
@pytest.mark.parametrize("content", [None, "", "x\ny\nz\n"])
def test_files_that_are_missing_or_not_understood_are_left_to_feff(
    tmp_path: Path, name: str, content: str | None
) -> None:
    run(tmp_path)
    (tmp_path / name).unlink()
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(NotApplicable, match=name.replace(".", r"\.") if content is None else "cannot parse"):
        read_input(tmp_path)


def test_amplitudes_follow_the_atoms(tmp_path: Path) -> None:
    cluster = read_input(run(tmp_path))
    phases = read_phases(tmp_path / "phase.bin")
    amplitudes = orbital_scattering(cluster, phases, np.array([1, 0]))
    assert amplitudes.shape == (2, 4 + 16)
    np.testing.assert_allclose(amplitudes[:, :4], np.sin(0.3) * np.exp(0.3j))
    np.testing.assert_allclose(amplitudes[:, 4:], np.expm1(2j * (0.1 + 0.2j)) / 2j)
