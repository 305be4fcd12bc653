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
from ase.cluster import Octahedron

from xanesml.campaign import FeffSection, ScfSection
from xanesml.feff.cards import feff_input
from xanesml.feff.feff10 import stage_command
from xanesml.feff.process import clean_environment, raise_stack_limit
from xanesml.feff.xmu import read_xmu
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


def cuboctahedron(symbol: str, lattice_constant: float, shells: int) -> Atoms:
    atoms = Octahedron(symbol, 2 * shells + 1, cutoff=shells, latticeconstant=lattice_constant)
    atoms = Atoms(atoms.numbers, atoms.positions - atoms.positions.mean(axis=0))
    return atoms[np.argsort(np.linalg.norm(atoms.positions, axis=1).round(6), kind="stable")]


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


def self_consistent_gold() -> tuple[Atoms, int, dict[str, Any]]:
    return cuboctahedron("Au", 4.0782, 1), 0, {"edge": "L3", "fms_radius": 7.0, "scf": ScfSection(), "corval": -120.0}


def deviation(green: np.ndarray, expected: np.ndarray) -> float:
    """Return the largest deviation in terms of the largest element at the same energy."""
    assert green.shape == expected.shape
    return float((np.abs(green - expected).max(axis=(1, 2)) / np.abs(expected).max(axis=(1, 2))).max())


@pytest.mark.parametrize(
    ("case", "methods", "green_accuracy", "mu_accuracy"),
    [
        # FEFF's own single precision loses digits where the photoelectron is slow and a resonance near.
        (self_consistent_gold, {"ldl": "ldl", "auto": "symmetric"}, 5e-4, 5e-6),
        (disordered_platinum, {"lu": "lu", "auto": "ldl"}, 1e-5, 2e-6),
        (nickel_oxide_off_center, {"ldl": "ldl", "auto": "symmetric"}, 1e-5, 2e-6),
        (sulfur_hexafluoride, {"lu": "lu", "auto": "symmetric"}, 1e-5, 2e-6),
    ],
)
def test_the_greens_function_and_the_spectrum_are_feffs_own(
    tmp_path: Path, case: Any, methods: dict[Any, str], green_accuracy: float, mu_accuracy: float
) -> None:
    atoms, absorber, cards = case()
    start = tmp_path / "start"
    start.mkdir()
    section = FeffSection(**({"scf": None, "corval": None} | cards))
    text = feff_input(numbers=atoms.numbers, positions=atoms.positions, absorber=absorber, feff=section)
    (start / "feff.inp").write_text(text)
    raise_stack_limit()
    feff(start, "rdinp", "atomic", "pot", "xsph")
    own = shutil.copytree(start, tmp_path / "own")
    feff(own, "fms", "mkgtr", "path", "genfmt", "ff2x")
    spectrum = read_xmu(own / "xmu.dat")
    assert spectrum.scf == (section.scf is not None)
    double = shutil.copytree(start, tmp_path / "double")
    solve_stage(double, method="lu", precision="double")
    exact = read_green(double / "gg.bin")
    feff(double, "mkgtr", "path", "genfmt", "ff2x")
    exact_mu = read_xmu(double / "xmu.dat").mu
    assert deviation(read_green(own / "gg.bin"), exact) < green_accuracy
    for method, taken in methods.items():
        folder = shutil.copytree(start, tmp_path / method)
        report = solve_stage(folder, method=method)
        assert report.method == taken
        assert deviation(read_green(folder / "gg.bin"), exact) < 5e-6
        feff(folder, "mkgtr", "path", "genfmt", "ff2x")
        mu = read_xmu(folder / "xmu.dat").mu
        assert np.abs(mu - spectrum.mu).max() < mu_accuracy * spectrum.mu.max()
        assert np.abs(mu - exact_mu).max() < 1e-6 * spectrum.mu.max()


def test_larger_angular_momenta_than_feff_chooses_give_its_spectrum(tmp_path: Path) -> None:
    atoms, absorber, cards = sulfur_hexafluoride()
    # Few energies; phase shifts end at 5 here: beyond them there must be no scattering.
    section = FeffSection(**({"scf": None, "corval": None, "lmax": 6, "xanes": (3.7, 0.4, 3.0)} | cards))
    start = tmp_path / "start"
    start.mkdir()
    text = feff_input(numbers=atoms.numbers, positions=atoms.positions, absorber=absorber, feff=section)
    (start / "feff.inp").write_text(text)
    raise_stack_limit()
    feff(start, "rdinp", "atomic", "pot", "xsph")
    own = shutil.copytree(start, tmp_path / "own")
    feff(own, "fms", "mkgtr", "path", "genfmt", "ff2x")
    expected = read_xmu(own / "xmu.dat").mu
    for method in ("lu", "ldl", "symmetric"):
        folder = shutil.copytree(start, tmp_path / method)
        assert solve_stage(folder, method=method).size == 49 * len(atoms)
        feff(folder, "mkgtr", "path", "genfmt", "ff2x")
        assert np.abs(read_xmu(folder / "xmu.dat").mu - expected).max() < 5e-6 * expected.max()


def move_absorber(folder: Path, positions: np.ndarray) -> None:
    """Write another geom.dat: the same potentials around another site."""
    head = (folder / "geom.dat").read_text().splitlines()
    rule = next(index for index, line in enumerate(head) if "---" in line)
    rows = [
        f"{index:5d} {x:12.5f} {y:12.5f} {z:12.5f} {min(index - 1, 1):3d}   1"
        for index, (x, y, z) in enumerate(positions, start=1)
    ]
    (folder / "geom.dat").write_text("\n".join([*head[: rule + 1], *rows]) + "\n")


def test_on_center_face_edge_and_vertex_the_greens_function_is_feffs_own(tmp_path: Path) -> None:
    lattice_constant = 3.61
    atoms = cuboctahedron("Cu", lattice_constant, 2)
    # Few energies and orbitals: FEFF takes a minute with all of them.
    section = FeffSection(scf=None, corval=None, edge="K", fms_radius=5.2, lmax=2, xanes=(2.5, 0.25, 1.5))
    start = tmp_path / "start"
    start.mkdir()
    text = feff_input(numbers=atoms.numbers, positions=atoms.positions, absorber=0, feff=section)
    (start / "feff.inp").write_text(text)
    raise_stack_limit()
    feff(start, "rdinp", "atomic", "pot", "xsph")
    for site, neighbors in (((0, 0, 0), 12), ((2, 0, 0), 8), ((2, 1, 1), 7), ((2, 2, 0), 5)):
        around = atoms.positions - np.array(site) * lattice_constant / 2
        distances = np.linalg.norm(around, axis=1)
        assert np.count_nonzero(distances < 0.75 * lattice_constant) == 1 + neighbors
        folder = shutil.copytree(start, tmp_path / f"{neighbors}-neighbors")
        move_absorber(folder, around[np.argsort(distances, kind="stable")])
        feff(folder, "fms")
        expected = read_green(folder / "gg.bin")
        for method in ("symmetric", "ldl"):
            assert solve_stage(folder, method=method).method == method
            assert deviation(read_green(folder / "gg.bin"), expected) < 1e-5
