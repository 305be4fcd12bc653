"""FEFF's stage `pot`, between its stages atomic and xsph: from the files of a run's folder to pot.bin and log1.dat."""

from __future__ import annotations

import time
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from xanesml.errors import NotApplicable
from xanesml.files.arrays import Floats
from xanesml.fms.inputs import BOHR
from xanesml.pot.files import ORBITALS, FreeAtoms, Potentials, read_free_atoms, write_potentials
from xanesml.pot.inputs import PotInput, read_input
from xanesml.pot.radial import ATOMIC
from xanesml.pot.scf import Outcome, solve

# FEFF's end of line of a module's last line.
_DONE = "Done with module: potentials.\r\n"


@dataclass(frozen=True)
class StageReport:
    """How pot.bin was made.

    Attributes
    ----------
    iterations, potentials : int
        Numbers of iterations and of potentials.
    fermi : float
        Fermi level, Hartree.
    seconds : float
        Wall time, s.
    """

    iterations: int
    potentials: int
    fermi: float
    seconds: float

    @property
    def solver(self) -> str:
        """One line of ASCII that says how pot.bin was made, short enough for `runs/solver` of a store."""
        return f"xanesml pot: scf {self.iterations}"


def solve_stage(folder: Path) -> StageReport:
    """Make self-consistent potentials in a run's folder.

    Parameters
    ----------
    folder : Path
        The run's folder, in which FEFF's stages rdinp and atomic have run.

    Raises
    ------
    NotApplicable
        If the run needs a method that is not implemented here, lacks a file, or has no
        converged solution that makes sense. Nothing is written then.

    References
    ----------
    A. L. Ankudinov, B. Ravel, J. J. Rehr and S. D. Conradson, Phys. Rev. B 58, 7565 (1998).
    """
    started = time.perf_counter()
    cluster = read_input(folder)
    free = read_free_atoms(folder / "apot.bin")
    if (free.charges != cluster.charges).any() or (free.representatives != cluster.representatives).any():
        raise NotApplicable("apot.bin was made from other atoms than pot.inp and geom.dat have")
    occupations = read_occupations(folder / "config.dat", free)
    log = ["Calculating SCF potentials ...", "FEFF-serial using 1 thread."]
    try:
        # An overflow leaves a result that is not finite, which is checked below.
        with np.errstate(all="ignore"):
            outcome = solve(cluster, free, occupations, log.append)
    except np.linalg.LinAlgError as error:
        raise NotApplicable(f"the equations have no solution: {error}") from error
    potentials = _potentials(cluster, free, outcome)
    for field in fields(potentials):
        values = getattr(potentials, field.name)
        if isinstance(values, np.ndarray) and not np.isfinite(values).all():
            raise NotApplicable(f"the potentials are not finite: {field.name}")
    report = StageReport(outcome.iterations, len(cluster.charges), outcome.fermi, time.perf_counter() - started)
    write_potentials(folder / "pot.bin", potentials)
    log += [report.solver, f"{report.seconds:.2f} s", _DONE]
    (folder / "log1.dat").write_text("\n".join(log), encoding="ascii")
    return report


def read_occupations(path: Path, free: FreeAtoms) -> Floats:
    """Return the number of electrons of each orbital, core hole included, from FEFF's config.dat, (P, 41) float64.

    Raises
    ------
    NotApplicable
        If the file is missing or does not agree with the free atoms.
    """
    try:
        lines = path.read_text(encoding="latin-1").splitlines()
    except OSError as error:
        raise NotApplicable(f"cannot read {path.name}: {error.strerror}") from error
    result = np.zeros((len(free.charges), ORBITALS))
    found = 0
    for line in lines:
        words = line.split()
        # Potential, atomic number, symbol and 40 occupations; a line of valence occupations follows.
        if len(words) == 43 and words[0].isdecimal() and int(words[0]) == found < len(result):
            occupied = [number for number in map(float, words[3:]) if number > 0]
            orbitals = int(np.count_nonzero(free.kappas[:, found]))
            if len(occupied) != orbitals or int(words[1]) != free.charges[found]:
                break
            result[found, :orbitals] = occupied
            found += 1
    if found < len(result):
        raise NotApplicable(f"{path.name} does not tell the occupations of all orbitals of apot.bin")
    return result


def _potentials(cluster: PotInput, free: FreeAtoms, outcome: Outcome) -> Potentials:
    made, count = outcome.fields, len(cluster.charges)
    between = made.interstitial
    norman = free.norman_radii
    multiplicities = cluster.multiplicities
    average = float(np.cbrt(multiplicities @ norman**3 / multiplicities.sum()))
    scalars = [
        average,
        outcome.fermi,
        between.level,
        between.density,
        free.edge_energy,
        free.s02,
        free.relaxation,
        outcome.plasmon,
        outcome.separation.energy,
        between.rs,
        between.momentum,
        float(cluster.charges @ multiplicities),
        cluster.volume,
    ]
    return Potentials(
        # No core hole in the initial state, the edge, then the defaults that read_input insists on.
        numbers=(-1, free.edge, 0, 0, 0, 0),
        titles=(cluster.title, _title(cluster)),
        scalars=np.array(scalars),
        muffin_tin_points=outcome.points + 1,
        muffin_tin_radii=outcome.tins.radii,
        norman_points=np.array([ATOMIC.below(radius) + 1 for radius in norman], dtype=np.intp),
        charges=cluster.charges,
        kappas=free.kappas[:, 0],
        norman_radii=norman,
        overlaps=outcome.tins.overlaps,
        largest_overlaps=outcome.tins.overlaps,
        multiplicities=multiplicities,
        ionicities=np.zeros(count),
        hole_large=free.hole_large,
        hole_small=free.hole_small,
        large=free.large,
        small=free.small,
        large_series=free.large_series,
        small_series=free.small_series,
        density=made.density,
        coulomb=made.coulomb,
        total=made.total,
        valence_density=made.valence_density,
        valence_total=made.valence_total,
        magnetization=free.magnetization.T[:count],
        valence=outcome.separation.valence.T,
        energies=free.energies[:, 0],
        last_orbitals=free.last_orbitals.T,
        norman_charges=outcome.charges,
        counts=outcome.counts,
    )


def _title(cluster: PotInput) -> str:
    scf = (
        f" POT  SCF{cluster.iterations:4d}{cluster.radius * BOHR:8.4f}{0:4d}"
        if cluster.iterations > 0
        else " POT  Non-SCF"
    )
    return f"{scf}, core-hole, AFOLP (folp(0)={cluster.overlaps[0]:6.3f})"
