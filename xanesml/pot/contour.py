"""The contour in the complex plane of energies, and the search for the Fermi level on it.

Densities of states are smooth away from the real axis. The contour goes up from the
core-valence separation, along it, and down to the Fermi level of the iteration before; the search
moves on floors of equal imaginary part, the lowest closest to the real axis.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from xanesml.errors import NotApplicable
from xanesml.files.arrays import Complexes, Floats
from xanesml.pot.inputs import HARTREE

#: From energies, (E,) complex in Hartree, to densities of states, (P, E, L) complex, 1/Hartree for one spin.
Evaluate = Callable[[Complexes], Complexes]

_FLOORS = 17
# Imaginary part of the lowest floor.
_LOWEST = 0.05 / HARTREE
_UP, _DOWN = (_FLOORS + 1) // 2, _FLOORS - 1
_MOST = 80 - _UP - _DOWN
# Energies along the contour are at least this many.
_LEAST = _UP

# Energies after which a search has failed.
_LIMIT = 400

_FLOOR_HEIGHTS = np.concatenate(([0.0], _LOWEST * np.arange(2, _FLOORS + 1) ** 2 / 4, [_LOWEST * _UP**2]))
# Energies on the highest floor that are taken at once.
_AHEAD = 8


@dataclass(frozen=True)
class Filling:
    """States filled up to the Fermi level.

    Attributes
    ----------
    level : float
        Fermi level, Hartree.
    energies : (E,) complex128
        Energies of the contour and the search, in order.
    weights : (E,) complex128
        Weights w: the imaginary part of Σ w·f is the integral of f's imaginary part over all occupied states of
        both spins.
    """

    level: float
    energies: Complexes
    weights: Complexes


def contour(lowest: float, level: float) -> Complexes:
    """Return the energies of the contour between two real energies, Hartree, (E,) complex128."""
    up = lowest + 1j * _LOWEST * np.arange(1, _UP + 1) ** 2
    count = int(np.clip(np.rint((level - lowest) / (up[-1].imag / 4)), _LEAST, _MOST))
    along = up[-1] + (level - lowest) / count * np.arange(1, count + 1)
    return np.concatenate((up, along, level + 1j * _FLOOR_HEIGHTS[_DOWN:0:-1]))


def fill(
    evaluate: Evaluate, multiplicities: Floats, electrons: float, lowest: float, level: float, *, first: bool
) -> Filling:
    """Find the Fermi level.

    Parameters
    ----------
    evaluate : callable
        Densities of states at energies.
    multiplicities : (P,) float
        Number of atoms of each potential.
    electrons : float
        Valence electrons of the cluster.
    lowest, level : float
        Core-valence separation and a guess of the Fermi level, Hartree.
    first : bool
        Whether the guess is too coarse to go down at: the search then begins on the highest floor, at the
        separation.

    Raises
    ------
    NotApplicable
        If there is no Fermi level.

    References
    ----------
    A. L. Ankudinov, B. Ravel, J. J. Rehr and S. D. Conradson, Phys. Rev. B 58, 7565 (1998), section II and figure 1.
    """
    search = _Search(evaluate, multiplicities, electrons)
    energies = contour(lowest, level)
    floor = 1
    if first:
        energies, floor = energies[:_FLOORS], _FLOORS
    search.follow(energies, floor)
    return search.level(may_climb=not first)


class _Search:
    def __init__(self, evaluate: Evaluate, multiplicities: Floats, electrons: float) -> None:
        self._evaluate, self._multiplicities, self._electrons = evaluate, multiplicities, electrons
        self._energies: list[complex] = []
        self._densities: list[complex] = []
        self._floor = 0
        self._path = 0.0j
        self._excess = self._before = 0.0
        self._known: dict[complex, complex] = {}

    def follow(self, energies: Complexes, floor: int) -> None:
        """Go along given energies, the last of them on a floor."""
        self._take(energies)
        for energy in energies[:-1]:
            self._step(complex(energy), 0)
        self._step(complex(energies[-1]), floor)

    def level(self, *, may_climb: bool) -> Filling:
        """Search from here on, and return the filling."""
        direction = self._direction()
        previous, energy = self._floor, self._energies[-1] + direction * self._width(self._floor)
        floor = self._floor
        while True:
            self._step(energy, floor)
            crossed = self._excess * self._before <= 0
            if floor == previous:
                if crossed and floor == 1:
                    return self._filling()
                change = abs(self._excess - self._before)
                if crossed:
                    may_climb = False
                    floor -= 1
                elif may_climb and abs(self._excess) > 10 * change and floor < _FLOORS:
                    floor += 1
            else:
                direction, previous = self._direction(), floor
            if floor == previous:
                energy += direction * self._width(floor)
            else:
                energy = complex(energy.real, _FLOOR_HEIGHTS[floor])
            if floor == previous == _FLOORS and energy not in self._known:
                # By addition, as the search itself goes, so that the energies compare equal.
                self._take(np.cumsum([energy, *[direction * self._width(floor)] * (_AHEAD - 1)]))

    def _direction(self) -> int:
        return 1 if self._excess < 0 else -1

    @staticmethod
    def _width(floor: int) -> float:
        return float(_FLOOR_HEIGHTS[floor]) / 4

    def _take(self, energies: Complexes) -> None:
        densities = self._evaluate(energies).sum(axis=2).T @ self._multiplicities
        self._known |= dict(zip(energies.tolist(), densities.tolist(), strict=True))

    def _step(self, energy: complex, floor: int) -> None:
        if len(self._energies) >= _LIMIT:
            raise NotApplicable(f"no Fermi level among {_LIMIT} energies")
        if energy not in self._known:
            self._take(np.array([energy]))
        density = self._known[energy]
        if not np.isfinite(density):
            raise NotApplicable("densities of states are not finite")
        before = (self._energies[-1], self._densities[-1]) if self._energies else (complex(energy.real), density)
        self._path += (energy - before[0]) * (density + before[1])
        self._energies.append(energy)
        self._densities.append(density)
        self._floor = floor
        # Down to the real axis from the lowest floor.
        end = -2j * energy.imag * density if floor == 1 else 0.0
        self._before, self._excess = self._excess, (self._path + end).imag - self._electrons

    def _filling(self) -> Filling:
        """Return the filling up to between the last two energies, where the density of states is taken as linear."""
        energies = np.array(self._energies)
        here, there = energies[-1], energies[-2]
        right, left = 2 * self._densities[-1], 2 * self._densities[-2]
        part = self._excess / (self._excess - self._before)
        for _ in range(4):
            between = part * left + (1 - part) * right
            slope = ((there - here) * (right + between) / 2 + 1j * here.imag * (right - left)).imag
            part -= (self._excess + part * slope) / slope
        steps = np.diff(energies, prepend=energies[0].real)
        weights = steps.copy()
        weights[:-1] += steps[1:]
        weights[0] += steps[0]
        weights[-1] += -2j * here.imag + part * ((there - here) * (2 - part) + 2j * here.imag)
        weights[-2] += part * ((there - here) * part - 2j * here.imag)
        return Filling(float(((1 - part) * here + part * there).real), energies, weights)
