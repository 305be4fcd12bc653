"""Make the trajectories of the pools: a crystal and particles of a metal in ase's effective-medium theory.

    python reference/pools/trajectories.py Au [--only crystal]

Of every structure some images at several temperatures, each scaled by a lattice constant of its own, so that
disorder, size and length vary independently. The first image is the perfect or relaxed structure. Trajectories are
chaotic: another processor makes others, so those that the reference stores were made from are kept beside this file.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
from ase import Atoms, units
from ase.build import bulk
from ase.calculators.emt import EMT
from ase.cluster import Octahedron
from ase.io import write
from ase.md.langevin import Langevin
from ase.optimize import FIRE

#: Lattice constants at room temperature, Å (Wyckoff, Crystal Structures), and of ase's effective-medium theory.
LATTICE = {"Au": 4.0782, "Cu": 3.6149, "Pt": 3.9242}
THEORY = {"Au": 4.0563, "Cu": 3.5895, "Pt": 3.9212}
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
    for temperature, count in heat.items():
        moving = atoms.copy()
        moving.calc = EMT()
        motion = Langevin(moving, STEP, temperature_K=temperature, friction=FRICTION, fixcm=False, rng=rng)
        motion.run(WARMING)
        for _ in range(count):
            motion.run(EVERY)
            found.append(_scaled(moving, scale * (1 + rng.uniform(-STRAIN, STRAIN))))
    return found


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
    parser.add_argument("--output", type=Path, default=Path(__file__).parent)
    options = parser.parse_args()
    scale = LATTICE[options.element] / THEORY[options.element]
    for seed, (name, (atoms, heat)) in enumerate(structures(options.element).items()):
        if options.only in (None, name):
            found = images(atoms, heat, scale, np.random.default_rng(seed))
            path = options.output / f"{options.element.lower()}-{name}.xyz"
            write(path, found, format="extxyz")
            sys.stdout.write(f"{path}: {len(found)} images of {len(atoms)} atoms\n")


if __name__ == "__main__":
    main()
