"""Electron states of the muffin-tin spheres: phase shifts, and parts of the Green's function inside the atoms."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from xanesml.files.arrays import Complexes, Floats
from xanesml.pot.bessel import ALPHA, momentum, small_part, spherical_bessel
from xanesml.pot.dirac import Channel, solve
from xanesml.pot.radial import Grid, integral

# A node is at least so far from the interstitial level, Hartree, where the free solutions lose digits.
_APART = 2e-4


@dataclass(frozen=True)
class Atom:
    """One potential as the Dirac equation needs it.

    Attributes
    ----------
    grid : Grid
        Points up to beyond the Norman radius.
    channels : list of Channel
        One for each angular momentum from 0.
    norman : float
        Norman radius, bohr.
    """

    grid: Grid
    channels: list[Channel]
    norman: float


@dataclass(frozen=True)
class Spectrum:
    """States of one channel at E energies.

    Attributes
    ----------
    scattering : (E,) complex128
        Scattering amplitude t.
    own, scattered : (E, n) complex128
        Green's function of the atom alone, and the factor of the scattering path operator's
        trace over m, both summed over m and times 4πr²·(−1/π)… on the grid, so that Im is a density of states.
    own_count, scattered_count : (E,) complex128
        Their integrals over the Norman sphere.
    """

    scattering: Complexes
    own: Complexes
    scattered: Complexes
    own_count: Complexes
    scattered_count: Complexes


class States:
    """Solutions of the Dirac equation, interpolated between a few energies.

    Parameters
    ----------
    atoms : list of Atom
        The potentials.
    level : float
        Interstitial level, Hartree.
    lowest, highest : float
        Real parts of the energies that will be asked for, Hartree.
    nodes : int
        Number of energies at which the equation is solved.
    """

    def __init__(self, atoms: list[Atom], level: float, lowest: float, highest: float, nodes: int) -> None:
        self.atoms, self.level, self.lowest, self.highest = atoms, level, lowest, highest
        angles = np.pi * (np.arange(nodes) + 0.5) / nodes
        middle, half = (lowest + highest) / 2 - level, (highest - lowest) / 2
        self._nodes = middle + half * np.cos(angles)
        if np.abs(self._nodes).min() < _APART:
            self._nodes += 2 * _APART
        size = max(atom.grid.size for atom in atoms)
        grid = Grid(atoms[0].grid.step, size)
        channels = [channel for atom in atoms for channel in atom.channels]
        solutions = solve(grid, channels, self._nodes)
        self._solutions = {}
        row = 0
        for p, atom in enumerate(atoms):
            for channel in atom.channels:
                self._solutions[p, channel.degree] = solutions[row, ..., : atom.grid.size]
                row += 1
        self._weights = [
            {
                degree: (integral(atom.grid, atom.norman, 1.0), integral(atom.grid, atom.norman, 2.0 * degree + 2))
                for degree in range(len(atom.channels))
            }
            for atom in atoms
        ]

    def at(self, energies: Complexes) -> list[list[Spectrum]]:
        """Return the states of each potential and angular momentum at energies, Hartree, not at the level."""
        above = energies - self.level
        weights = _lagrange(self._nodes, above)
        k = momentum(above)
        factor = small_part(k)
        degrees = max(len(atom.channels) for atom in self.atoms)
        result = []
        for p, atom in enumerate(self.atoms):
            edge = atom.grid.r[atom.channels[0].edge]
            first, _, outgoing = spherical_bessel(k * edge, degrees)
            row = []
            for channel in atom.channels:
                degree = channel.degree
                nodes = self._solutions[p, degree]
                regular, one, two = (
                    _product(weights, nodes[kind].reshape(len(self._nodes), -1)).reshape(len(energies), 2, -1)
                    for kind in range(3)
                )
                at_edge = regular[:, :, channel.edge]
                free, wave = ((edge * f[:, degree], factor * edge * f[:, degree + 1]) for f in (first, outgoing))
                scale = k**2 / factor
                # regular = a j + b n: b, and a + ib.
                b = scale * (at_edge[:, 0] * free[1] - at_edge[:, 1] * free[0])
                wronskian = at_edge[:, 0] * wave[1] - at_edge[:, 1] * wave[0]
                sum_ab = 1j * scale * wronskian
                irregular = wave[0][:, None, None] * one + wave[1][:, None, None] * two
                common = (2 * degree + 1) / np.pi / (1 + factor**2)
                own = -(common * ALPHA / wronskian)[:, None] * (irregular * regular).sum(axis=1)
                spread = 2 * k / (np.pi * (1 + factor**2)) / sum_ab**2
                scattered = spread[:, None] * (regular**2).sum(axis=1)
                to_own, to_scattered = self._weights[p][degree]
                row.append(Spectrum(-b / sum_ab, own, scattered, own @ to_own, scattered @ to_scattered))
            result.append(row)
        return result


def _product(weights: Complexes, values: Floats) -> Complexes:
    """Return complex weights times real values."""
    result = np.empty((len(weights), values.shape[1]), dtype=np.complex128)
    np.matmul(weights.real, values, out=result.real)
    np.matmul(weights.imag, values, out=result.imag)
    return result


def _lagrange(nodes: Floats, points: Complexes) -> Complexes:
    """Return the weights of polynomial interpolation, (points, nodes)."""
    scale = np.abs(nodes[0] - nodes[-1]) / 4
    differences = (nodes[:, None] - nodes) / scale
    np.fill_diagonal(differences, 1)
    barycentric = 1 / differences.prod(axis=1)
    offsets = points[:, None] - nodes
    exact = offsets == 0
    offsets[exact.any(axis=1)] = np.where(exact[exact.any(axis=1)], 1e-300, offsets[exact.any(axis=1)])
    terms = barycentric / offsets
    return np.asarray(terms / terms.sum(axis=1, keepdims=True))
