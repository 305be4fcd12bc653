"""FEFF's folders and spectra for `range.py`: environments of the pools to 137 eV, solved as a recipe says."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
from feff_cases import used

from xanesml.averages.mesh import NORMALIZATION_OFFSET
from xanesml.feff.feff10 import stage_command
from xanesml.fms.dense import solve_dense
from xanesml.fms.green import feff_convention, green_text
from xanesml.fms.inputs import BOHR, FmsInput, orbital_scattering, read_input
from xanesml.fms.phases import Phases, read_phases
from xanesml.fms.propagator import FreePropagator
from xanesml.store.stored import stored_campaign

POOLS = Path(__file__).resolve().parent.parent / "reference" / "pools"
#: Absorbers of every structure in the pool that is made here, by store; the first is of a crystal.
STORES = {"au-crystal": 2, "au-particle147": 4}
#: FEFF's grid to k = 6 Å⁻¹, and the one whose phase shifts reach l = 8.
XANES, LONGER = "XANES 6.0 0.06 0.2", "XANES 8.5 0.06 0.2"
#: Largest radius of a cluster, Å.
LARGEST = 9.5
#: How a spectrum is solved: up to an energy, eV from the edge, a sum of solutions, each with a sign, the radius of its
#: cluster, Å, and its lmax.
Recipe = tuple[tuple[float, tuple[tuple[int, float, int], ...]], ...]
#: Below this energy, eV, lmax 5 is enough for all.
LOW, LOW_LMAX = 40.0, 5
#: Spectra of the small pool: what the atoms beyond 5.2 Å add to those within is solved with lmax 4.
COMPOSITE: Recipe = (
    (8.0, ((1, 7.0, 3),)),
    (LOW, ((1, 7.0, 4),)),
    (np.inf, ((1, 5.2, 6), (1, 7.0, 4), (-1, 5.2, 4))),
)
#: The same with lmax 4 for all.
LMAX4: Recipe = (COMPOSITE[0], (np.inf, COMPOSITE[1][1]))
#: The small pool's with lmax 5 for the atoms beyond 5.2 Å, and a larger sphere, to see what these leave out.
OUTER5: Recipe = (*COMPOSITE[:2], (np.inf, ((1, 5.2, 6), (1, 7.0, 5), (-1, 5.2, 5))))
WIDER: Recipe = ((LOW, ((1, 7.0, 3),)), (np.inf, ((1, 9.0, 3),)))
#: Orbitals of the absorber that FEFF needs back: l to 3.
KEPT = 16
BEFORE = ("rdinp", "xanesml-first", "atomic", "xanesml-pot", "xanesml-back", "xsph")
AFTER = ("mkgtr", "path", "genfmt", "ff2x")


@dataclass(frozen=True)
class Spectrum:
    """Photon energies, eV, μ and μ0, (M,), as FEFF writes them."""

    energy: np.ndarray
    mu: np.ndarray
    mu0: np.ndarray

    @classmethod
    def read(cls, path: Path) -> Spectrum:
        """Read xmu.dat."""
        columns = np.loadtxt(path)
        return cls(columns[:, 0], columns[:, 3], columns[:, 4])

    def normalized(self, mesh: np.ndarray, edge: float) -> np.ndarray:
        """Return μ at energies from an edge, in edge steps."""
        step = np.interp(edge + NORMALIZATION_OFFSET, self.energy, self.mu0)
        return np.asarray(np.interp(mesh + edge, self.energy, self.mu) / step)


class Runs:
    """FEFF's folders and spectra, made when they are asked for, and kept."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def prepared(self, name: str) -> Path:
        """Return the folder of an environment, in which FEFF's stages before the FMS have run."""
        path = self.folder / "runs" / name
        if not (path / "prepared").exists():
            shutil.rmtree(path, ignore_errors=True)
            path.mkdir(parents=True)
            (path / "feff.inp").write_text(_input(name), encoding="utf-8")
            (path / "prepared").write_text(str(used(stage_command(path, *BEFORE), path).cpu))
        return path

    def phases(self, name: str, lmax: int) -> Phases:
        """Return phase shifts; those of l > 6 from a run on a longer range, as FEFF's end at 0.7 R_mt k."""
        path = self.prepared(name)
        if lmax > 6:
            longer = path.with_name(f"{name}-k8.5")
            if not (longer / "extended").exists():
                shutil.rmtree(longer, ignore_errors=True)
                shutil.copytree(path, longer)
                (longer / "feff.inp").write_text((path / "feff.inp").read_text().replace(XANES, LONGER))
                used(stage_command(longer, "rdinp", "xsph"), longer)
                (longer / "extended").touch()
            path = longer
        return read_phases(path / "phase.bin")

    def energies(self, name: str) -> tuple[np.ndarray, int]:
        """Return the real energies of a run, eV from the edge, and how many it has with those off the real axis."""
        table = np.loadtxt(self.prepared(name) / "emesh.dat")
        real = int(np.argmax(table[:, 2])) + 1
        return table[:real, 1] - table[table[:, 2] == 0, 1][0], len(table)

    def cluster(self, name: str, radius: float, lmax: int) -> FmsInput:
        """Return the atoms up to a distance, Å."""
        found = read_input(self.prepared(name))
        inside = np.linalg.norm(found.positions, axis=1) * BOHR <= radius
        limits = np.full(np.count_nonzero(inside), lmax)
        return FmsInput(found.positions[inside], found.potentials[inside], limits, np.inf, 0.0)

    def spectrum(self, name: str, recipe: Recipe) -> Spectrum:
        """Return the spectrum by full multiple scattering."""
        key = "_".join(
            f"{last:g}" + "".join(f"{sign:+d}x{radius}x{lmax}" for sign, radius, lmax in parts)
            for last, parts in recipe
        )
        kept = self.folder / "mu" / f"{name}_{key}.npz"
        if not kept.exists():
            real, count = self.energies(name)
            # The others lie at the edge, above the real axis.
            place = np.append(real, np.zeros(count - len(real)))
            green, first = np.zeros((count, KEPT, KEPT), dtype=np.complex128), -np.inf
            for last, parts in recipe:
                rows = np.flatnonzero((place > first) & (place <= last))
                first = last
                for sign, radius, lmax in parts:
                    solved = solve_dense(self.cluster(name, radius, lmax), some(self.phases(name, lmax), rows))
                    green[rows] += sign * _kept(feff_convention(solved.blocks))
            made = self.finished(name, green)
            kept.parent.mkdir(exist_ok=True)
            np.savez(kept.with_suffix(".part.npz"), energy=made.energy, mu=made.mu, mu0=made.mu0)
            kept.with_suffix(".part.npz").replace(kept)
        with np.load(kept) as found:
            return Spectrum(found["energy"], found["mu"], found["mu0"])

    def finished(self, name: str, green: np.ndarray) -> Spectrum:
        """Return the spectrum that FEFF makes of a Green's function, (E, 16, 16)."""
        path = self.folder / "finished" / name
        shutil.rmtree(path, ignore_errors=True)
        shutil.copytree(self.prepared(name), path)
        (path / "gg.bin").write_text(green_text(green), encoding="ascii")
        used(stage_command(path, *AFTER), path)
        return Spectrum.read(path / "xmu.dat")

    def orders(self, name: str, radius: float, lmax: int, most: int) -> list[Spectrum]:
        """Return the spectra with up to 1, 2, …, `most` scatterings, right above LOW only."""
        real, count = self.energies(name)
        rows = np.flatnonzero(real > LOW)
        cluster, phases = self.cluster(name, radius, lmax), some(self.phases(name, lmax), rows)
        order = np.append(np.delete(np.arange(len(cluster.positions)), cluster.absorber), cluster.absorber)
        scattering = orbital_scattering(cluster, phases, order).astype(np.complex64)
        propagator = FreePropagator(cluster.positions[order], cluster.lmax[order])
        width = (lmax + 1) ** 2
        blocks = np.zeros((most, len(rows), KEPT, KEPT), dtype=np.complex128)
        for row, (lower, t) in enumerate(zip(propagator.matrices(phases.momentum), scattering, strict=True)):
            symmetric = lower + lower.T
            wave = symmetric[:, -width:][:, :KEPT]
            for scatterings in range(most):
                wave = symmetric @ (t[:, np.newaxis] * wave)
                blocks[scatterings:, row] += wave[-width:][:KEPT]
        found = []
        for block in blocks:
            green = np.zeros((count, KEPT, KEPT), dtype=np.complex128)
            green[rows] = _kept(feff_convention(block))
            found.append(self.finished(name, green))
        return found

    def paths(self, name: str, radius: float, legs: int) -> Spectrum:
        """Return FEFF's own path expansion among the atoms up to a distance, Å: legs − 1 scatterings at most."""
        path = self.folder / "paths" / name
        shutil.rmtree(path, ignore_errors=True)
        shutil.copytree(self.prepared(name), path)
        head, _, atoms = (path / "feff.inp").read_text().partition("ATOMS\n")
        cards, _, potentials = head.partition("POTENTIALS\n")
        cards = "".join(f"{line}\n" for line in cards.splitlines() if not line.startswith("FMS"))
        near = [
            line
            for line in atoms.splitlines()[:-1]
            if np.linalg.norm(np.array(line.split()[:3], dtype=float)) <= radius
        ]
        every = f"RPATH {2 * radius + 0.6}\nNLEG {legs}\nCRITERIA 0 0\nPCRITERIA 0 0\n"
        text = f"{cards}{every}POTENTIALS\n{potentials}ATOMS\n" + "\n".join(near) + "\nEND\n"
        (path / "feff.inp").write_text(text, encoding="utf-8")
        used(stage_command(path, "rdinp", "path", "genfmt", "ff2x"), path)
        return Spectrum.read(path / "xmu.dat")


def plain(radius: float, lmax: int) -> Recipe:
    """Return one sphere and one lmax, at most LOW_LMAX at low energies."""
    return ((LOW, ((1, radius, min(lmax, LOW_LMAX)),)), (np.inf, ((1, radius, lmax),)))


def _input(name: str) -> str:
    store, _, task = name.rpartition("-")
    with h5py.File(POOLS / store / "store.h5") as file:
        table = stored_campaign(file).tasks()
        k, step, fine = (float(word) for word in XANES.split()[1:])
        feff = table.feff.model_copy(update={"xanes": (k, step, fine), "fms_radius": LARGEST})
        return table.inputs(int(task), feff)[0]


def some(phases: Phases, rows: np.ndarray) -> Phases:
    """Return phase shifts at some of the energies."""
    return Phases(phases.momentum[rows], tuple(shifts[rows] for shifts in phases.shifts))


def _kept(blocks: np.ndarray) -> np.ndarray:
    found = np.zeros((len(blocks), KEPT, KEPT), dtype=np.complex128)
    width = min(KEPT, blocks.shape[1])
    found[:, :width, :width] = blocks[:, :width, :width]
    return found


def names(count: int) -> list[str]:
    """Return environments of a small pool, those of crystals and particles in turn."""
    rng = np.random.default_rng(1)
    found: dict[str, list[str]] = {}
    for store, absorbers in STORES.items():
        with h5py.File(POOLS / store / "store.h5") as file:
            structure = np.asarray(stored_campaign(file).tasks().structure)
        found[store] = []
        for one in np.unique(structure):
            rows = np.flatnonzero(structure == one)
            # A crystal's first absorber has all its neighbors as near as the trajectory has them.
            picked = [rows[0], rng.choice(rows[1:])] if absorbers == 2 else rng.choice(rows, absorbers, replace=False)
            found[store] += [f"{store}-{row}" for row in sorted(picked)]
    longest = max(map(len, found.values()))
    return [some[place] for place in range(longest) for some in found.values() if place < len(some)][:count]
