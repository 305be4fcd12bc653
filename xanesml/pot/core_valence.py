"""Which electrons belong to the core: the energy between core and valence states."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from xanesml.errors import NotApplicable
from xanesml.files.arrays import Complexes, Floats
from xanesml.pot.files import FreeAtoms
from xanesml.pot.inputs import HARTREE
from xanesml.pot.radial import ATOMIC
from xanesml.pot.states import Atom, States

# Least distance of the separation from any level and from the interstitial level.
_DISTANCE = 5.0 / HARTREE
# States above belong to the valence.
_VALENCE = -20.0 / HARTREE
# Imaginary part and step of the energies at which levels are looked for.
_WIDTH, _STEP = 1.5 / HARTREE, 0.5 / HARTREE
# Further down, if a level is not found.
_FURTHER, _LOWEST = 80.0 / HARTREE, -500.0 / HARTREE
# Energies at which the Dirac equation is solved, for each Hartree of the search window.
_NODES, _NODES_PER_HARTREE = 8, 4
# Angular momenta that may be valence.
_MOMENTA = 3


@dataclass
class Level:
    """A level of one potential and angular momentum that may be core or valence.

    Attributes
    ----------
    potential, degree : int
        Potential and l.
    orbital : int
        Index of the orbital with j = l + ½.
    energy : float
        Energy, Hartree.
    core : bool
        Whether it belongs to the core.
    """

    potential: int
    degree: int
    orbital: int
    energy: float
    core: bool


@dataclass(frozen=True)
class Separation:
    """Core and valence.

    Attributes
    ----------
    energy : float
        Energy between them, Hartree.
    counts : (L, P) float64
        Valence electrons of each angular momentum.
    valence : (41, P) float64
        Valence electrons of each orbital.
    density : (251, P) float64
        4π times the overlapped valence density.
    """

    energy: float
    counts: Floats
    valence: Floats
    density: Floats
    moved: list[Level] = field(default_factory=list)


def separate(free: FreeAtoms, atoms: list[Atom], level: float, energy: float, search_from: float) -> Separation:
    """Find an energy far enough from all levels, and move levels above it to the valence.

    Parameters
    ----------
    free : FreeAtoms
        Free atoms.
    atoms : list of Atom
        The atoms in their first potentials.
    level : float
        Interstitial level, Hartree.
    energy : float
        The wanted separation, Hartree.
    search_from : float
        Where the search for levels begins, Hartree; it goes further down if a level is not found.

    Raises
    ------
    NotApplicable
        If a level is not found.

    References
    ----------
    A. L. Ankudinov, B. Ravel, J. J. Rehr and S. D. Conradson, Phys. Rev. B 58, 7565 (1998), section II.
    """
    levels = find_levels(free, atoms, level, min(search_from, energy))
    energy = min(energy, level - _DISTANCE)
    separation = Separation(energy, free.valence_counts.copy(), free.valence.copy(), free.valence_density.copy())
    if not levels:
        return separation
    core = [place for place, found in enumerate(levels) if found.core]
    above = next((place for place, found in enumerate(levels) if not found.core), len(levels))
    for found in levels[above + 1 : core[-1] + 1 if core else 0]:
        if found.core:
            _to_valence(separation, free, found)
    below = above - 1
    if (below < 0 or energy - levels[below].energy > _DISTANCE) and (
        above == len(levels) or levels[above].energy - energy > _DISTANCE
    ):
        return separation
    while True:
        energy = level - _DISTANCE
        if above < len(levels):
            energy = min(energy, levels[above].energy - _DISTANCE)
        if below < 0 or energy - levels[below].energy > _DISTANCE:
            break
        above, below = below, below - 1
        _to_valence(separation, free, levels[above])
    for found in levels[above:]:
        valence = separation.valence[:, found.potential]
        if valence[found.orbital] < 0.1:
            valence[found.orbital] = 2 * found.degree + 2
            if found.degree:
                valence[found.orbital - 1] = 2 * found.degree
    return replace(separation, energy=energy)


def _to_valence(separation: Separation, free: FreeAtoms, found: Level) -> None:
    p, degree, orbital = found.potential, found.degree, found.orbital
    found.core = False
    separation.moved.append(found)
    separation.counts[degree, p] += 4 * degree + 2
    shares = [(orbital, 2 * degree + 2)] + ([(orbital - 1, 2 * degree)] if degree else [])
    for place, electrons in shares:
        density = free.large[p, place] ** 2 + free.small[p, place] ** 2
        separation.density[:, p] += electrons * density / ATOMIC.r**2


def find_levels(free: FreeAtoms, atoms: list[Atom], level: float, lowest: float) -> list[Level]:
    """Return the levels that may be core or valence, by energy."""
    suspects: dict[tuple[int, int], Level] = {}
    for p in range(len(atoms)):
        for orbital in np.flatnonzero(free.kappas[:, p]):
            kappa = int(free.kappas[orbital, p])
            degree = kappa if kappa > 0 else -kappa - 1
            atomic = float(free.energies[orbital, p])
            if lowest < atomic < _VALENCE - _DISTANCE and degree < _MOMENTA:
                core = bool(free.valence[orbital, p] < 0.1)
                suspects[p, degree] = Level(p, degree, int(orbital), atomic, core)
    if not suspects:
        return []
    missing = list(suspects)
    while missing:
        energies = _scan(lowest)
        densities = _densities(atoms, level, energies, missing)
        for place in list(missing):
            peak = _first_peak(densities[place], place[1])
            if peak is not None:
                suspects[place].energy = float(energies[peak].real)
                missing.remove(place)
        if missing:
            lowest -= _FURTHER
            if lowest < _LOWEST:
                raise NotApplicable(f"no level of l = {missing[0][1]} of potential {missing[0][0]} was found")
    return [suspects[place] for place in sorted(suspects, key=lambda place: (suspects[place].energy, place))]


def _scan(lowest: float) -> Complexes:
    count = 1 + round((_VALENCE - lowest) / _STEP)
    return np.linspace(lowest, _VALENCE, count) + 1j * _WIDTH


def _densities(
    atoms: list[Atom], level: float, energies: Complexes, wanted: list[tuple[int, int]]
) -> dict[tuple[int, int], Floats]:
    lowest, highest = float(energies[0].real), float(energies[-1].real)
    chosen = sorted({p for p, _ in wanted})
    nodes = _NODES + round(_NODES_PER_HARTREE * (highest - lowest))
    states = States([atoms[p] for p in chosen], level, lowest, highest, nodes)
    spectra = states.at(energies)
    return {(p, degree): spectra[chosen.index(p)][degree].own_count.imag for p, degree in wanted}


def _first_peak(densities: Floats, degree: int) -> int | None:
    """Return the place of the first maximum that holds a good part of a level's electrons."""
    least = (2 * degree + 1) / (6 * np.pi * _WIDTH)
    for place in range(1, len(densities)):
        falls = densities[place] < densities[place - 1] or place == len(densities) - 1
        if falls and densities[place - 1] > least:
            return place - 1
    return None
