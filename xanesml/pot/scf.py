"""The self-consistent loop: potentials to densities to potentials."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from xanesml.errors import NotApplicable
from xanesml.files.arrays import Floats, Indices
from xanesml.fms.inputs import BOHR
from xanesml.pot.atoms import Spheres
from xanesml.pot.clusters import Cluster
from xanesml.pot.contour import fill
from xanesml.pot.core_valence import Separation, separate
from xanesml.pot.coulomb import potential_change
from xanesml.pot.fields import Fields, make_fields
from xanesml.pot.files import FreeAtoms
from xanesml.pot.inputs import HARTREE, PotInput
from xanesml.pot.interstitial import Overlap
from xanesml.pot.mixing import Broyden
from xanesml.pot.radial import ATOMIC, integral
from xanesml.pot.spheres import MuffinTins, muffin_tins
from xanesml.pot.valence import ValenceStates

# The first iteration that may find convergence.
_FIRST = 4
# Largest difference between the change of a sphere's charge and of its counts.
_BALANCE = 0.05
# Largest plausible difference of a count from the free atom's, by l.
_PLAUSIBLE = (1.95, 5.1, 9.1)

#: Takes a line of FEFF's log.
Log = Callable[[str], None]


@dataclass(frozen=True)
class Outcome:
    """Self-consistent potentials.

    Attributes
    ----------
    fields : Fields
        Densities and potentials: the input of the last iteration.
    fermi, plasmon : float
        Fermi level; plasmon energy of the overlapped atoms' interstitial density, Hartree.
    separation : Separation
        Core and valence.
    tins : MuffinTins
        Muffin-tin spheres.
    points : (P,) intp
        Index of the last grid point inside each.
    charges : (P,) float64
        Charge of each Norman sphere.
    counts : (P, L) float64
        Valence electrons.
    iterations : int
        Number of iterations, 0 without self-consistency.
    """

    fields: Fields
    fermi: float
    plasmon: float
    separation: Separation
    tins: MuffinTins
    points: Indices
    charges: Floats
    counts: Floats
    iterations: int


def solve(cluster: PotInput, free: FreeAtoms, occupations: Floats, log: Log) -> Outcome:
    """Return self-consistent potentials.

    Parameters
    ----------
    cluster : PotInput
        Cards and atoms.
    free : FreeAtoms
        Free atoms and their overlap.
    occupations : (P, 41) float
        Electrons of each orbital.
    log : callable
        Gets FEFF's log line by line.

    Raises
    ------
    NotApplicable
        If the loop does not converge or its counts make no sense.

    References
    ----------
    A. L. Ankudinov, B. Ravel, J. J. Rehr and S. D. Conradson, Phys. Rev. B 58, 7565 (1998), section II.
    """
    norman = free.norman_radii
    tins = muffin_tins(cluster, norman)
    overlap = Overlap(cluster, tins.radii, norman)
    log("Muffin tin radii and interstitial parameters [bohr]:")
    log("type, norman radius, muffin tin, overlap factor")
    for p, numbers in enumerate(zip(norman * BOHR, tins.radii * BOHR, tins.overlaps, strict=True)):
        log(f"{p:5d}" + "".join(f"{number:13.5E}" for number in numbers))
    density, coulomb = free.density.T, free.coulomb.T
    start = make_fields(cluster, overlap, density, free.valence_density.T, coulomb, np.inf)
    spheres = _spheres(cluster, free, tins, occupations, free.valence)
    level = start.interstitial.level
    chosen = start.valence_total if cluster.exchange == 5 else start.total
    separation = separate(
        free, spheres.atoms(start.total, chosen, level), level, cluster.separation, cluster.search_from
    )
    if separation.moved:
        start = make_fields(cluster, overlap, density, separation.density.T, coulomb, np.inf)
        spheres = _spheres(cluster, free, tins, occupations, separation.valence)
    fermi = start.interstitial.fermi
    log(f"Core-valence separation energy:  ecv={separation.energy * HARTREE:10.3f} eV")
    log(f"Initial Fermi level:              mu={fermi * HARTREE:10.3f} eV")
    outcome = Outcome(
        fields=start,
        fermi=fermi,
        plasmon=start.interstitial.plasmon,
        separation=separation,
        tins=tins,
        points=overlap.points,
        charges=np.zeros(len(norman)),
        counts=np.zeros((len(norman), cluster.momenta)),
        iterations=0,
    )
    return _Loop(cluster, free, overlap, spheres, log).run(outcome) if cluster.iterations > 0 else outcome


def _spheres(cluster: PotInput, free: FreeAtoms, tins: MuffinTins, occupations: Floats, valence: Floats) -> Spheres:
    return Spheres(
        free,
        step=cluster.step,
        radii=tins.radii,
        norman=free.norman_radii,
        lmax=cluster.lmax,
        occupations=occupations,
        valence=valence.T,
        exchange=cluster.exchange == 5,
    )


class _Loop:
    def __init__(self, cluster: PotInput, free: FreeAtoms, overlap: Overlap, spheres: Spheres, log: Log) -> None:
        self._cluster, self._free, self._overlap, self._spheres, self._log = cluster, free, overlap, spheres, log
        self._clusters = [Cluster(cluster, int(atom)) for atom in cluster.representatives]
        self._norman = free.norman_radii
        self._in_norman = np.stack([integral(ATOMIC, radius, 2.0) for radius in self._norman])
        self._broyden = Broyden(cluster.mixing)
        # Electrons that each Norman sphere has gained.
        self._gained = np.zeros(len(self._norman))
        self._wanted = np.zeros(0)

    def run(self, outcome: Outcome) -> Outcome:
        cluster, exchange = self._cluster, self._cluster.exchange == 5
        fields, fermi, separation = outcome.fields, outcome.fermi, outcome.separation
        self._wanted = separation.counts.T
        electrons = float(self._wanted.sum(axis=1) @ cluster.multiplicities)
        counts_before, gained_before = outcome.counts[:, : self._wanted.shape[1]], self._gained
        plain = cluster.plain_iterations
        done, iteration = 0, 0
        while iteration < cluster.iterations:
            iteration, done = iteration + 1, done + 1
            self._log(f"SCF ITERATION NUMBER{iteration:3d}")
            states = ValenceStates(
                self._spheres, self._clusters, fields, lowest=separation.energy, fermi=fermi, exchange=exchange
            )
            filling = fill(states.at, cluster.multiplicities, electrons, separation.energy, fermi, first=done == 1)
            if done == 1:
                for p, part in enumerate(self._clusters):
                    self._log(f"FMS for a cluster of {part.size:4d} atoms around atom type {p:3d}")
            occupied, shells = states.occupied(filling.energies, filling.weights)
            counts = np.zeros_like(counts_before)
            counts[:, : occupied.shape[1]] = occupied
            self._check_counts(counts, first=done == 1)
            mixed = self._mix(fields.valence_density, shells, electrons)
            charge_change = float(np.abs(self._gained - gained_before).max())
            count_change = float(np.abs(counts - counts_before).max())
            self._log(
                f"New Fermi level:    mu={filling.level * HARTREE:8.3f} eV  Charge distance={charge_change:8.4f} "
                f"(partial c.d.={count_change:8.4f})"
            )
            balance = np.abs(counts.sum(axis=1) - self._wanted.sum(axis=1) - self._gained).max()
            changes = np.array([abs(filling.level - fermi), charge_change, count_change])
            converged = iteration >= min(_FIRST, cluster.iterations) and (
                bool((changes <= cluster.tolerances).all()) and balance <= _BALANCE
            )
            fermi = filling.level
            counts_before, gained_before = counts, self._gained
            if converged:
                return self._finish(outcome, fields, fermi, counts, iteration)
            fields = self._next_fields(fields, mixed, fermi)
            if plain > 0:
                # The mixing starts again, with what it has reached.
                plain, iteration, self._broyden = plain - 1, 0, Broyden(cluster.mixing)
        raise NotApplicable(f"no convergence in {cluster.iterations} iterations")

    def _check_counts(self, counts: Floats, *, first: bool) -> None:
        if not np.isfinite(counts).all():
            raise NotApplicable("valence counts are not finite")
        for degree, most in enumerate(_PLAUSIBLE):
            differences = np.abs(counts[:, degree] - self._wanted[:, degree])
            p = int(differences.argmax())
            if differences[p] > most:
                self._log(" Found bad counts.")
                if not first:
                    raise NotApplicable(
                        f"{counts[p, degree]:.3f} valence electrons with l = {degree} of potential {p}, "
                        f"where a free atom has {self._wanted[p, degree]:.3f}"
                    )

    def _mix(self, given: Floats, shells: list[Floats], electrons: float) -> Floats:
        """Return the next valence density, and keep account of the charges."""
        tabulated, radii = self._spheres.tabulated, ATOMIC.r
        cubes = [radii[:count] ** 3 for count in tabulated]
        parts = list(zip(given, shells, tabulated, cubes, strict=True))
        before = np.concatenate([row[:count] * cube for row, _, count, cube in parts])
        after = np.concatenate([shell[:count] * radii[:count] for _, shell, count, _ in parts])
        vector = self._broyden.next(before, after)
        mixed = np.zeros_like(given)
        ends = np.cumsum(tabulated)
        for row, count, cube, end in zip(mixed, tabulated, cubes, ends, strict=True):
            row[:count] = vector[end - count : end] / cube
        multiplicities = self._cluster.multiplicities
        inside = (self._in_norman * mixed * radii**2).sum(axis=1)
        change = inside - self._gained - self._wanted.sum(axis=1)
        surplus = float(multiplicities @ change)
        self._gained = self._gained + change - surplus / multiplicities.sum()
        # The cluster stays neutral: what is too much is taken off the density before.
        for row, old, count in zip(mixed, given, tabulated, strict=True):
            row[:count] -= surplus / electrons * old[:count]
        return mixed

    def _next_fields(self, fields: Fields, mixed: Floats, fermi: float) -> Fields:
        density, coulomb = np.zeros_like(mixed), np.zeros_like(mixed)
        for p, count in enumerate(self._spheres.tabulated):
            changed = fields.density[p] - fields.valence_density[p] + mixed[p]
            step = potential_change(fields.density[p], changed, float(self._cluster.charges[p]), count)
            coulomb[p, :count] = fields.coulomb[p, :count] + step[:count]
            density[p, :count] = changed[:count]
        return make_fields(self._cluster, self._overlap, density, mixed, coulomb, fermi)

    def _finish(self, outcome: Outcome, fields: Fields, fermi: float, counts: Floats, iterations: int) -> Outcome:
        self._log("Electronic configuration")
        self._log("  type     l     N_el")
        for p, row in enumerate(counts):
            for degree, count in enumerate(row):
                self._log(f"{p:6d}{degree:6d}{count:9.3f}")
        self._log("Charge transfer:  type  charge ")
        for p, gained in enumerate(self._gained):
            self._log(f"     {p:3d}{gained:9.3f}")
        self._log(f"Convergence reached in{iterations:5d} iterations.")
        tabulated = np.zeros(fields.density.shape, dtype=bool)
        for row, count in zip(tabulated, self._spheres.tabulated, strict=True):
            row[:count] = True
        fields = replace(
            fields,
            density=np.where(tabulated, fields.density, 0.0),
            valence_density=np.where(tabulated, fields.valence_density, 0.0),
        )
        return replace(outcome, fields=fields, fermi=fermi, charges=-self._gained, counts=counts, iterations=iterations)
