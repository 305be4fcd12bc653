"""Make gold55.xyz, the trajectory of gold55.toml: a gold particle at 300 K by ase's effective-medium theory.

    python examples/md/gold55.py [--steps 600] [--output examples/md/gold55.xyz]

The first image is the relaxed particle, then every tenth step of 5 fs is one. The same seed gives the same
trajectory. It takes some seconds; effective-medium theory is an example of a force field, not a recommended one.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
from ase import Atoms, units
from ase.calculators.emt import EMT
from ase.cluster import Octahedron
from ase.io import write
from ase.md.langevin import Langevin
from ase.optimize import FIRE

#: Time step and friction of the thermostat, and steps from one image to the next.
STEP, FRICTION, EVERY = 5 * units.fs, 0.02 / units.fs, 10


def trajectory(steps: int, *, temperature: float = 300.0, seed: int = 1) -> list[Atoms]:
    """Return the relaxed 55-atom particle, then an image every `EVERY` steps; the temperature is in K."""
    atoms = Octahedron("Au", 5, cutoff=2, latticeconstant=4.0782)
    atoms = Atoms(numbers=atoms.numbers, positions=atoms.positions, calculator=EMT())
    FIRE(atoms, logfile=None).run(fmax=0.01)
    images = [positions_of(atoms)]
    # From rest: the thermostat needs some 200 fs to warm the particle.
    motion = Langevin(
        atoms, STEP, temperature_K=temperature, friction=FRICTION, fixcm=False, rng=np.random.default_rng(seed)
    )
    for _ in range(steps // EVERY):
        motion.run(EVERY)
        images.append(positions_of(atoms))
    return images


def positions_of(atoms: Atoms) -> Atoms:
    """Return a copy without momenta and forces."""
    return Atoms(numbers=atoms.numbers, positions=atoms.positions)


def main() -> None:
    """Write the trajectory."""
    parser = argparse.ArgumentParser(description="Make a molecular-dynamics trajectory of a 55-atom gold particle.")
    parser.add_argument("--steps", type=int, default=600, help="steps of 5 fs")
    parser.add_argument("--output", type=Path, default=Path(__file__).with_suffix(".xyz"))
    options = parser.parse_args()
    images = trajectory(options.steps)
    write(options.output, images, format="extxyz")
    sys.stdout.write(f"{options.output}: {len(images)} images of {len(images[0])} atoms\n")


if __name__ == "__main__":
    main()
