"""The stage between real FEFF stages, against FEFF's own."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from ase.cluster import Octahedron

from xanesml.campaign import FeffSection, ScfSection
from xanesml.errors import NotApplicable
from xanesml.feff.cards import feff_input
from xanesml.feff.feff10 import stage_command
from xanesml.feff.process import clean_environment, raise_stack_limit
from xanesml.feff.xmu import read_xmu
from xanesml.pot.files import read_free_atoms, read_potentials, write_potentials
from xanesml.pot.inputs import HARTREE
from xanesml.pot.stage import read_occupations, solve_stage

pytestmark = pytest.mark.feff

AFTER = ("xsph", "xanesml-fms", "mkgtr", "path", "genfmt", "ff2x")
CARDS = FeffSection(scf=ScfSection(radius=3.1), fms_radius=3.1)


def feff(folder: Path, *stages: str) -> None:
    done = subprocess.run(
        stage_command(folder, *stages),
        cwd=folder,
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-1000:] + done.stderr[-1000:]


def start(folder: Path, cards: FeffSection = CARDS, turn: np.ndarray | None = None) -> Path:
    """Run FEFF's stages rdinp and atomic for 13 disordered atoms of gold."""
    raise_stack_limit()
    folder.mkdir()
    atoms = Octahedron("Au", length=3, cutoff=1, latticeconstant=4.0782)
    positions = atoms.positions + np.random.default_rng(4).normal(size=(13, 3)) * 0.05
    middle = int(np.linalg.norm(atoms.positions - atoms.positions.mean(axis=0), axis=1).argmin())
    if turn is not None:
        positions = positions @ turn.T
    text = feff_input(numbers=atoms.numbers, positions=positions, absorber=middle, feff=cards)
    (folder / "feff.inp").write_text(text)
    feff(folder, "rdinp", "atomic")
    return folder


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return the folders of FEFF's own run and of one with the native stage."""
    base = tmp_path_factory.mktemp("pot")
    own = start(base / "feff")
    native = base / "native"
    shutil.copytree(own, native)
    feff(own, "pot", *AFTER)
    solve_stage(native)
    feff(native, *AFTER)
    return own, native


def test_the_spectrum_is_feffs(runs: tuple[Path, Path]) -> None:
    own, native = (read_xmu(folder / "xmu.dat") for folder in runs)
    assert np.abs(native.mu - own.mu).max() < 1.5e-4 * own.mu.max()


def test_the_potentials_are_feffs(runs: tuple[Path, Path]) -> None:
    own, native = (read_potentials(folder / "pot.bin") for folder in runs)
    assert (native.muffin_tin_points == own.muffin_tin_points).all()
    assert (native.numbers, native.titles) == (own.numbers, own.titles)
    np.testing.assert_allclose(native.muffin_tin_radii, own.muffin_tin_radii, rtol=1e-7)
    np.testing.assert_allclose(native.counts, own.counts, atol=1e-3)
    np.testing.assert_allclose(native.norman_charges, own.norman_charges, atol=1e-3)
    # Fermi level, interstitial level, separation, eV.
    for place in (1, 2, 8):
        assert native.scalars[place] * HARTREE == pytest.approx(own.scalars[place] * HARTREE, abs=2e-3)
    np.testing.assert_allclose(native.scalars, own.scalars, rtol=1e-3)
    for name in ("large", "small", "large_series", "small_series", "valence", "energies", "magnetization"):
        np.testing.assert_allclose(getattr(native, name), getattr(own, name), rtol=1e-10, err_msg=name)


def test_a_pot_bin_of_feff_is_written_byte_by_byte(runs: tuple[Path, Path], tmp_path: Path) -> None:
    written = runs[0] / "pot.bin"
    write_potentials(tmp_path / "pot.bin", read_potentials(written))
    assert (tmp_path / "pot.bin").read_bytes() == written.read_bytes()


def test_the_log_says_what_feffs_says(runs: tuple[Path, Path]) -> None:
    own, native = ((folder / "log1.dat").read_text().splitlines() for folder in runs)
    # Radii, overlap factors and the energies before the first iteration are the same to the last digit.
    assert native[2:8] == own[2:8]
    assert "Done with module: potentials." in "\n".join(native)
    assert any(line.startswith("Convergence reached in") for line in native)


def test_rotations_change_nothing(runs: tuple[Path, Path], tmp_path: Path) -> None:
    turn, _ = np.linalg.qr(np.random.default_rng(2).normal(size=(3, 3)))
    turned = start(tmp_path / "turned", turn=turn)
    solve_stage(turned)
    first, second = (read_potentials(folder / "pot.bin") for folder in (runs[1], turned))
    # geom.dat has five decimals.
    assert second.scalars[1] * HARTREE == pytest.approx(first.scalars[1] * HARTREE, abs=1e-3)
    np.testing.assert_allclose(second.counts, first.counts, atol=5e-4)


def test_without_self_consistency_the_overlapped_atoms_are_feffs(tmp_path: Path) -> None:
    own = start(tmp_path / "feff", FeffSection(scf=False, fms_radius=3.1))
    shutil.copytree(own, tmp_path / "native")
    feff(own, "pot")
    solve_stage(tmp_path / "native")
    expected, made = (read_potentials(folder / "pot.bin") for folder in (own, tmp_path / "native"))
    np.testing.assert_allclose(made.scalars, expected.scalars, rtol=2e-6, atol=2e-7)
    np.testing.assert_allclose(made.total, expected.total, atol=2e-5)
    np.testing.assert_allclose(made.density, expected.density, rtol=1e-9)


def test_what_does_not_apply_writes_nothing(tmp_path: Path) -> None:
    folder = start(tmp_path / "run")
    cards = (folder / "pot.inp").read_text()
    assert "  30   0   0   0" in cards
    (folder / "pot.inp").write_text(cards.replace("  30   0   0   0", "   3   0   0   0"))
    before = (folder / "log1.dat").read_text()
    with pytest.raises(NotApplicable, match="no convergence in 3 iterations"):
        solve_stage(folder)
    assert not (folder / "pot.bin").exists()
    assert (folder / "log1.dat").read_text() == before
    free = read_free_atoms(folder / "apot.bin")
    assert read_occupations(folder / "config.dat", free).sum(axis=1).tolist() == [79, 79]
    (folder / "config.dat").write_text("")
    with pytest.raises(NotApplicable, match=r"config\.dat does not tell"):
        solve_stage(folder)
