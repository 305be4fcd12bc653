"""Valence states of all potentials: densities of states on a contour, and the density that they add up to."""

from __future__ import annotations

import numpy as np

from xanesml.files.arrays import Complexes, Floats
from xanesml.pot.atoms import Spheres
from xanesml.pot.clusters import Cluster
from xanesml.pot.fields import Fields
from xanesml.pot.radial import ATOMIC
from xanesml.pot.states import States

# Angular momenta that take part in the valence density.
_MOMENTA = 3
# Energies at which the Dirac equation is solved, in all and for each Hartree, and the room above the expected
# Fermi level, Hartree.
_NODES, _NODES_PER_HARTREE, _ROOM = 3, 5.5, 0.04


class ValenceStates:
    """Densities of states in given potentials.

    Parameters
    ----------
    spheres : Spheres
        What the potentials' shapes do not change.
    clusters : list of Cluster
        One about each representative.
    fields : Fields
        The potentials.
    lowest, fermi : float
        Core-valence separation and expected Fermi level, Hartree.
    """

    def __init__(
        self, spheres: Spheres, clusters: list[Cluster], fields: Fields, *, lowest: float, fermi: float, exchange: bool
    ) -> None:
        self._spheres, self._clusters = spheres, clusters
        self._level, self._lowest = fields.interstitial.level, lowest
        self._atoms = spheres.atoms(fields.total, fields.valence_total if exchange else fields.total, self._level)
        self._states = self._solve(fermi + _ROOM)
        self._energies: list[Complexes] = []
        self._counts: list[Complexes] = []
        self._densities: list[list[Complexes]] = []

    def _solve(self, highest: float) -> States:
        nodes = _NODES + round(_NODES_PER_HARTREE * (highest - self._lowest))
        return States(self._atoms, self._level, self._lowest, highest, nodes)

    def at(self, energies: Complexes) -> Complexes:
        """Return the densities of states at energies, Hartree, (P, E, L) complex128, in all Norman spheres."""
        highest = float(energies.real.max())
        if highest > self._states.highest:
            self._states = self._solve(highest + _ROOM)
        spectra = self._states.at(energies)
        root = np.sqrt(2 * (energies - self._level))
        momentum = np.where(root.imag < 0, -root, root)
        scattering = [np.stack([state.scattering for state in row], axis=1) for row in spectra]
        counts = np.zeros((len(spectra), len(energies), _MOMENTA), dtype=np.complex128)
        densities = []
        for p, (row, cluster) in enumerate(zip(spectra, self._clusters, strict=True)):
            traces = cluster.traces(momentum, scattering)
            density: Complexes = np.zeros_like(row[0].own)
            for degree, state in enumerate(row[:_MOMENTA]):
                counts[p, :, degree] = state.own_count + traces[:, degree] * state.scattered_count
                density += state.own + traces[:, degree, None] * state.scattered
            densities.append(density)
        self._energies.append(energies)
        self._counts.append(counts)
        self._densities.append(densities)
        return counts

    def occupied(self, energies: Complexes, weights: Complexes) -> tuple[Floats, list[Floats]]:
        """Return the electrons of all occupied states.

        Parameters
        ----------
        energies, weights : (E,) complex
            Energies at which `at` was called, and weights of the densities of states.

        Returns
        -------
        (P, L) float64
            Electrons of each angular momentum.
        list of (251,) float64
            4πr² times the density of each potential, 1/bohr, zero beyond its tabulated points.
        """
        by_energy: dict[complex, complex] = {}
        for energy, weight in zip(energies.tolist(), weights.tolist(), strict=True):
            by_energy[energy] = by_energy.get(energy, 0.0) + weight
        counts = np.zeros(self._counts[0].shape[::2])
        densities = [np.zeros(grid.size) for grid in self._spheres.grids]
        for known, count, density in zip(self._energies, self._counts, self._densities, strict=True):
            # Once each: the search may have asked for an energy twice.
            chosen = np.array([by_energy.pop(energy, 0.0) for energy in known.tolist()])
            counts += np.einsum("e,pel->pl", chosen, count).imag
            densities = [total + (chosen @ part).imag for total, part in zip(densities, density, strict=True)]
        result = []
        for fine, to_atomic in zip(densities, self._spheres.to_atomic, strict=True):
            tabulated = np.zeros(ATOMIC.size)
            tabulated[: len(to_atomic)] = to_atomic @ fine
            result.append(tabulated)
        return counts, result
