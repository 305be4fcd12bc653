"""The stage between real FEFF stages, against FEFF's own."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk

from xanesml.campaign import FeffSection
from xanesml.feff.cards import feff_input
from xanesml.feff.engine import stage_command
from xanesml.feff.output import read_xmu
from xanesml.feff.process import clean_environment, raise_stack_limit
from xanesml.fms.stage import solve_stage

pytestmark = pytest.mark.feff


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


def read_green(path: Path) -> np.ndarray:
    numbers = np.array(
        [line.split() for line in path.read_text().splitlines() if not line.startswith("#")], dtype=float
    )
    green = numbers[:, 0::2] + 1j * numbers[:, 1::2]
    return np.asarray(green.reshape(-1, green.shape[1], green.shape[1]))


def ball(atoms: Atoms, radius: float) -> Atoms:
    """Return the atoms around the first one of the middle cell, nearest first."""
    atoms = atoms.repeat(5)
    center = atoms.positions[len(atoms) // 2 // 2 * 2]
    distances = np.linalg.norm(atoms.positions - center, axis=1)
    return atoms[np.argsort(distances, kind="stable")[: int((distances < radius).sum())]]


def disordered_platinum() -> tuple[Atoms, int, dict[str, Any]]:
    atoms = ball(bulk("Pt", a=3.92), 2.9)
    atoms.positions += np.random.default_rng(0).normal(0, 0.06, atoms.positions.shape)
    # A damped and polarized run as well: they go through the whole block and its conventions.
    cards = ["SIG2 0.004", "POLARIZATION 0.3 0.5 1.0"]
    return atoms, 0, {"edge": "L3", "fms_radius": 4.5, "extra_cards": cards}


def nickel_oxide_off_center() -> tuple[Atoms, int, dict[str, Any]]:
    # Next neighbors of the center have two mirror planes only.
    atoms = ball(bulk("NiO", "rocksalt", a=4.17), 3.2)
    absorber = next(index for index in range(1, len(atoms)) if atoms.numbers[index] == atoms.numbers[0])
    return atoms, absorber, {"edge": "K", "fms_radius": 4.5}


def sulfur_hexafluoride() -> tuple[Atoms, int, dict[str, Any]]:
    corners = 1.56 * np.concatenate([np.eye(3), -np.eye(3)])
    return Atoms("SF6", positions=[[0, 0, 0], *corners]), 0, {"edge": "K", "fms_radius": 3.0}


@pytest.mark.parametrize(
    ("case", "methods"),
    [
        (disordered_platinum, {"lu": "lu", "auto": "ldl"}),
        (nickel_oxide_off_center, {"ldl": "ldl", "auto": "symmetric"}),
        (sulfur_hexafluoride, {"lu": "lu", "auto": "symmetric"}),
    ],
)
def test_the_greens_function_and_the_spectrum_are_feffs_own(tmp_path: Path, case: Any, methods: dict[Any, str]) -> None:
    atoms, absorber, cards = case()
    start = tmp_path / "start"
    start.mkdir()
    section = FeffSection(scf=None, corval=None, **cards)
    text = feff_input(numbers=atoms.numbers, positions=atoms.positions, absorber=absorber, feff=section)
    (start / "feff.inp").write_text(text)
    raise_stack_limit()
    feff(start, "rdinp", "atomic", "pot", "xsph")
    own = shutil.copytree(start, tmp_path / "own")
    feff(own, "fms", "mkgtr", "path", "genfmt", "ff2x")
    expected, spectrum = read_green(own / "gg.bin"), read_xmu(own / "xmu.dat")
    for method, taken in methods.items():
        folder = shutil.copytree(start, tmp_path / method)
        report = solve_stage(folder, method=method)
        assert report.method == taken
        feff(folder, "mkgtr", "path", "genfmt", "ff2x")
        green = read_green(folder / "gg.bin")
        assert green.shape == expected.shape
        largest = np.abs(expected).max(axis=(1, 2), keepdims=True)
        assert np.abs((green - expected) / largest).max() < 1e-5
        mu = read_xmu(folder / "xmu.dat").mu
        assert np.abs(mu - spectrum.mu).max() < 2e-6 * spectrum.mu.max()
