"""Make the trajectories of the pools: a crystal and particles of a metal in ase's effective-medium theory.

    python reference/pools/trajectories.py Au [--only crystal] [--shells]

Of every structure some images at several temperatures, each scaled by a lattice constant of its own, so that
disorder, size and length vary independently. The first image is the perfect or relaxed structure.

Above the Debye temperature images come from classical dynamics. Below it atoms move as quantum mechanics has them:
images are drawn from the normal modes, with the amplitudes of Bose and Einstein (West and Estreicher, Phys. Rev. Lett.
96, 115504 (2006)). Classical dynamics would get the shells wrong beside each other: from 10 to 150 K the disorder of
copper's distant atoms grows by 1.9 times what the first shell's does, where classical motion has 1.5 at any temperature
(`--shells`).

Trajectories are chaotic: another processor makes others, so those that the reference stores were made from are kept
beside this file.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
from ase import Atoms, units
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.cluster import Octahedron
from ase.io import write
from ase.md.langevin import Langevin
from ase.optimize import FIRE
from numpy.typing import NDArray

Floats = NDArray[np.float64]

#: Lattice constants at room temperature, Å (Wyckoff, Crystal Structures), and of ase's effective-medium theory.
LATTICE = {"Au": 4.0782, "Cu": 3.6149, "Pt": 3.9242}
THEORY = {"Au": 4.0563, "Cu": 3.5895, "Pt": 3.9212}
#: Debye temperatures, K (Kittel, Introduction to Solid State Physics).
DEBYE = {"Au": 165.0, "Cu": 343.0, "Pt": 240.0}
#: Displacement that tells the force constants, Å; squared frequencies below which a mode is none, but the whole moves
#: or turns, eV / (Å² u).
NUDGE, FREE = 0.01, 1e-5
#: Time step, friction of the thermostat, and steps before the first image at a temperature and between images.
STEP, FRICTION, WARMING, EVERY = 5 * units.fs, 0.02 / units.fs, 300, 120
#: Length of a structure and largest length of the scale that it is drawn from, as a factor.
STRAIN = 0.008
#: Structures: images at each temperature (K), and how the structure is built; (length, cutoff) of an octahedron.
CRYSTAL = {40: 1, 80: 1, 130: 1, 190: 1, 260: 1, 340: 1, 430: 1, 540: 1}
BETWEEN = {60: 1, 105: 1, 160: 1, 225: 1, 300: 1, 385: 1, 485: 1, 600: 1}
PARTICLES = {147: (7, 3), 201: (7, 2), 309: (9, 4), 561: (11, 5), 55: (5, 2)}
HEAT = {60: 1, 120: 2, 200: 2, 290: 1}


def images(atoms: Atoms, heat: dict[int, int], scale: float, rng: np.random.Generator) -> list[Atoms]:
    """Return the structure as it is, then images of it at temperatures; `scale` takes its lengths to the metal's."""
    found = [_scaled(atoms, scale)]
    limit = DEBYE[atoms.get_chemical_symbols()[0]]
    modes = _modes(atoms) if min(heat) < limit else None
    for temperature, count in heat.items():
        moved = (
            _quantum(atoms, *modes, temperature, rng)
            if modes and temperature < limit
            else _classical(atoms, temperature, rng)
        )
        found += [_scaled(one, scale * (1 + rng.uniform(-STRAIN, STRAIN))) for one in islice(moved, count)]
    return found


def _classical(atoms: Atoms, temperature: float, rng: np.random.Generator) -> Iterator[Atoms]:
    """Yield images of classical dynamics without end."""
    moving = atoms.copy()
    moving.calc = EMT()
    motion = Langevin(moving, STEP, temperature_K=temperature, friction=FRICTION, fixcm=False, rng=rng)
    motion.run(WARMING)
    while True:
        motion.run(EVERY)
        yield moving


def _quantum(
    atoms: Atoms, frequencies: Floats, modes: Floats, temperature: float, rng: np.random.Generator
) -> Iterator[Atoms]:
    """Yield images drawn from the normal modes without end.

    ase's `phonon_harmonics` leaves out three modes that are none, of which a particle, free to turn, has six.
    """
    spread = np.sqrt(_variance(frequencies, temperature))
    while True:
        moved = atoms.copy()
        moved.positions += (modes @ (spread * rng.normal(size=len(frequencies)))).reshape(-1, 3)
        yield moved


def _variance(frequencies: Floats, temperature: float) -> Floats:
    """Return the variance of modes at a temperature, ħ/2ω coth(ħω/2kT)."""
    hbar = units._hbar * units.J * units.s
    return hbar / (2 * frequencies) / np.tanh(hbar * frequencies / (2 * units.kB * temperature))


def shells(atoms: Atoms) -> None:
    """Print the MSD of first-shell bonds, and between atoms that move alone, by quantum and by classical mechanics."""
    frequencies, modes = _modes(atoms)
    to_others = atoms.get_distances(0, range(len(atoms)), mic=True, vector=True)
    lengths = np.linalg.norm(to_others, axis=1)
    first = np.flatnonzero((lengths > 0.1) & (lengths < 1.1 * lengths[1:].min()))
    along = to_others[first] / lengths[first, np.newaxis]
    each = modes.reshape(len(atoms), 3, -1)
    stretch = np.einsum("ij,ijm->im", along, each[first] - each[0])
    sys.stdout.write("K, first shell and distant atoms, 1e-3 Å²: quantum; classical\n")
    for temperature in (10.0, 80.0, 150.0, 300.0):
        told = []
        for variance in (_variance(frequencies, temperature), units.kB * temperature / frequencies**2):
            told.append(f"{1e3 * (stretch**2 @ variance).mean():.2f}, {2e3 * (each[0, 0] ** 2 @ variance):.2f}")
        sys.stdout.write(f"{temperature:.0f}: {'; '.join(told)}\n")


def _modes(atoms: Atoms) -> tuple[Floats, Floats]:
    """Return angular frequencies, (n,), and displacements of the modes, (3 N, n), of a structure at rest."""
    nudged, constants = atoms.copy(), np.empty((3 * len(atoms), 3 * len(atoms)))
    nudged.calc = EMT()
    for row, (atom, axis) in enumerate(np.ndindex(len(atoms), 3)):
        forces = []
        for sign in (1, -1):
            nudged.positions[:] = atoms.positions
            nudged.positions[atom, axis] += sign * NUDGE
            forces.append(nudged.get_forces().ravel())
        constants[row] = (forces[1] - forces[0]) / (2 * NUDGE)
    mass = np.sqrt(np.repeat(atoms.get_masses(), 3))
    squared, modes = np.linalg.eigh((constants + constants.T) / 2 / np.outer(mass, mass))
    kept = squared > FREE
    return np.sqrt(squared[kept]), modes[:, kept] / mass[:, np.newaxis]


def _scaled(atoms: Atoms, scale: float) -> Atoms:
    plain = Atoms(numbers=atoms.numbers, positions=atoms.positions, cell=atoms.cell, pbc=atoms.pbc)
    plain.set_cell(plain.cell * scale)
    plain.positions *= scale
    return plain


def structures(element: str) -> dict[str, tuple[Atoms, dict[int, int]]]:
    """Return the structures of a metal by name, with the temperatures of their images."""
    constant = THEORY[element]
    made = {"crystal": (bulk(element, "fcc", a=constant, cubic=True) * (4, 4, 4), CRYSTAL)}
    for count, (length, cutoff) in PARTICLES.items():
        atoms = Octahedron(element, length, cutoff=cutoff, latticeconstant=constant)
        atoms = Atoms(numbers=atoms.numbers, positions=atoms.positions, calculator=EMT())
        FIRE(atoms, logfile=None).run(fmax=0.01)
        made[f"particle{count}"] = (atoms, HEAT)
    made["crystal-between"] = (made["crystal"][0], BETWEEN)
    return made


def main() -> None:
    """Write the trajectories of a metal."""
    parser = argparse.ArgumentParser(description="Make the trajectories of the pools of a metal.")
    parser.add_argument("element", choices=sorted(LATTICE))
    parser.add_argument("--only", help="one structure, such as crystal or particle147")
    parser.add_argument("--shells", action="store_true", help="only print how the crystal's shells move")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent)
    options = parser.parse_args()
    if options.shells:
        shells(structures(options.element)["crystal"][0])
        return
    scale = LATTICE[options.element] / THEORY[options.element]
    for seed, (name, (atoms, heat)) in enumerate(structures(options.element).items()):
        if options.only in (None, name):
            found = images(atoms, heat, scale, np.random.default_rng(seed))
            path = options.output / f"{options.element.lower()}-{name}.xyz"
            write(path, found, format="extxyz")
            sys.stdout.write(f"{path}: {len(found)} images of {len(atoms)} atoms\n")


if __name__ == "__main__":
    main()
