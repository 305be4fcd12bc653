"""From densities and Coulomb potentials to the potentials of muffin-tin spheres."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from xanesml.files.arrays import Floats
from xanesml.pot.exchange_correlation import DILUTE_VALENCE, potential
from xanesml.pot.inputs import PotInput
from xanesml.pot.interstitial import Overlap

# Where the interstitial level would lie above the Fermi level, it is put below it by so much, Hartree.
_BELOW = 0.05

#: Coefficient c of the Fermi momentum of free electrons, k = c/rs.
FERMI = float(np.cbrt(9 * np.pi / 4))


@dataclass(frozen=True)
class Interstitial:
    """The interstitial region.

    Attributes
    ----------
    level : float
        Potential, Hartree.
    density : float
        4π times the density, 1/bohr³.
    """

    level: float
    density: float

    @property
    def rs(self) -> float:
        """Density parameter, bohr."""
        return float(np.cbrt(3 / self.density))

    @property
    def momentum(self) -> float:
        """Fermi momentum of free electrons, 1/bohr."""
        return FERMI / self.rs

    @property
    def fermi(self) -> float:
        """Fermi level of free electrons, Hartree (P. A. Lee and G. Beni, Phys. Rev. B 15, 2862 (1977), eq. 2.13)."""
        return self.level + self.momentum**2 / 2

    @property
    def plasmon(self) -> float:
        """Plasmon energy, Hartree."""
        return float(np.sqrt(12 * self.rs / FERMI**4) * self.momentum**2 / 2)


@dataclass(frozen=True)
class Fields:
    """Densities and potentials of the muffin-tin spheres, bohr and Hartree; no NaN.

    Attributes
    ----------
    density, valence_density : (P, 251) float64
        4π times the densities of all and of the valence electrons.
    coulomb : (P, 251) float64
        Coulomb potential of the overlapped atoms.
    total, valence_total : (P, 251) float64
        With exchange and correlation of all and of the valence electrons, each sphere's own;
        the latter is 0 if the exchange model does not need it.
    interstitial : Interstitial
        The region between the spheres.
    """

    density: Floats
    valence_density: Floats
    coulomb: Floats
    total: Floats
    valence_total: Floats
    interstitial: Interstitial


def make_fields(
    cluster: PotInput, overlap: Overlap, density: Floats, valence_density: Floats, coulomb: Floats, fermi: float
) -> Fields:
    """Return potentials from densities.

    Parameters
    ----------
    cluster : PotInput
        Charges, multiplicities and the exchange model.
    overlap : Overlap
        The muffin-tin spheres.
    density, valence_density, coulomb : (P, 251) float
        4π times the densities, 1/bohr³, and the Coulomb potential, Hartree; no NaN.
    fermi : float
        Fermi level, Hartree, below which the interstitial level has to lie.
    """
    electrons = float((cluster.charges * cluster.multiplicities).sum())
    between = overlap.density(density, electrons)
    valence_total = np.zeros_like(coulomb)
    if cluster.exchange == 5:
        valence_total, _ = overlap.potential(coulomb + potential(valence_density, DILUTE_VALENCE))
    overlapped = coulomb + potential(density)
    total, level = overlap.potential(overlapped)
    if level >= fermi:
        total, level = overlap.potential(overlapped, fermi - _BELOW)
    return Fields(density, valence_density, coulomb, total, valence_total, Interstitial(level, between))
