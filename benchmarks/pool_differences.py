"""Differences of a pool's mixtures from those that may be the reference, as if measured, for networks to train on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.stats import norm

from xanesml.files.arrays import Booleans, Floats
from xanesml.measured.broadening import broadened
from xanesml.pools.environments import Environments
from xanesml.pools.gaussian import smooth
from xanesml.pools.measurement import Measurement
from xanesml.pools.mixtures import Mixtures, random_weights
from xanesml.pools.model import Pool
from xanesml.pools.theory import put_on
from xanesml.pools.trials import CRYSTAL_ERROR, CRYSTALS

#: Standard deviations of the broadening, eV: medians of eighths of the variance that a calibration expects.
BROADENINGS = np.sqrt(norm.ppf(0.5 + (np.arange(8) + 0.5) / 16))
#: Differences in a session.
EACH = 100


@dataclass(frozen=True)
class Source:
    """Mixtures that differences are drawn from.

    Attributes
    ----------
    mixtures : Mixtures
        Their spectra are on the pool's energies.
    broad : list of ndarray, shape (n, M)
        Their spectra at each of `BROADENINGS`.
    theory : bool
        Whether they are of the pool's cards, so that theory's error comes on top.
    """

    mixtures: Mixtures
    broad: list[Floats]
    theory: bool

    @classmethod
    def of(cls, mixtures: Mixtures, energy: Floats, *, theory: bool) -> Source:
        """Broaden mixtures."""
        return cls(mixtures, [broadened(mixtures.spectra, energy, sigma) for sigma in BROADENINGS.tolist()], theory)

    def msd(self, *, crystal: bool) -> Floats:
        """Return the MSD, Å², of the mixtures that may be a reference."""
        return self.mixtures.labels[self.mixtures.crystal | (not crystal), 0]


@dataclass(frozen=True)
class Differences:
    """Differences of samples from references as if they were measured.

    Attributes
    ----------
    features : ndarray, shape (n, m), edge steps
        Of spectra.
    msd : ndarray, shape (n,), Å²
        The reference's, as it is known.
    labels : ndarray, shape (n, 3)
        Differences of MSD, Å², bond length, Å, and number of neighbors.
    """

    features: Floats
    msd: Floats
    labels: Floats


def draw_differences(
    pool: Pool, sources: Sequence[Source], *, sessions: int, crystal: bool, rng: np.random.Generator
) -> Differences:
    """Draw sessions, each with a broadening and a reference's MSD of its own, and differences in each.

    Parameters
    ----------
    pool : Pool
        What it allows for: noise, gain, slope, offset, shift, and theory's error.
    sources : sequence of Source
        Each equally likely; the first is of the pool's cards and gives the shapes of the errors.
    sessions : int
        Their number.
    crystal : bool
        Whether references are crystals.
    rng : numpy.random.Generator
        Of all draws.
    """
    within = (pool.energy >= pool.window.first) & (pool.energy <= pool.window.last)
    size = pool.theory.size[within]
    wrong = _root(np.outer(size, size) * smooth(pool.energy[within], pool.theory.length))
    held = sources[0].msd(crystal=crystal)
    features, msds, labels = [], [], []
    for _ in range(sessions):
        source, broadening = sources[rng.integers(len(sources))], rng.integers(len(BROADENINGS))
        mixtures = source.mixtures
        msd = rng.uniform(*np.quantile(source.msd(crystal=crystal), CRYSTALS))
        near, around = mixtures.near(msd, crystal=crystal), mixtures.around(msd, pool.spread)
        one = rng.choice(len(mixtures), EACH, p=around / around.sum())
        other = rng.choice(len(mixtures), EACH, p=near / near.sum())
        own = sources[0].mixtures.near(float(np.clip(msd, held.min(), held.max())), crystal=crystal)
        measurement = Measurement.of(pool, sources[0].broad[broadening], own)
        spectra = source.broad[broadening]
        x = measurement.features(spectra[one] - spectra[other])
        if source.theory:
            x *= 1 + rng.normal(size=x.shape) @ wrong.T
        features.append(x + rng.normal(size=x.shape) @ _root(measurement.noise).T)
        msds.append(mixtures.labels[other, 0] + CRYSTAL_ERROR * rng.normal(size=EACH))
        labels.append(mixtures.labels[one] - mixtures.labels[other])
    return Differences(np.concatenate(features), np.concatenate(msds), np.concatenate(labels))


def _root(covariance: Floats) -> Floats:
    """Return a matrix whose product with its transpose is a covariance, but for what rounding needs."""
    return np.linalg.cholesky(covariance + 1e-9 * np.trace(covariance) / len(covariance) * np.eye(len(covariance)))


def card_mixtures(base: Environments, other: Environments, crystals: Booleans, *, count: int, seed: int) -> Mixtures:
    """Return mixtures of another card set, put on the energies of the pool's as theory's error is measured.

    Parameters
    ----------
    base, other : Environments
        Of the pool's cards and of the others; those that are known to both are mixed.
    crystals : ndarray, shape (stores,), bool
        Which stores of `base` are of crystals.
    count, seed : int
        Number of mixtures, and their seed.
    """
    place = {key: row for row, key in enumerate(base.keys.tolist())}
    rows = np.array([place.get(key, -1) for key in other.keys.tolist()])
    own, other = base.chosen(rows[rows >= 0]), other.chosen(np.flatnonzero(rows >= 0))
    other = replace(other, store=own.store)
    weights, crystal = random_weights(other, crystals, count=count, seed=seed)
    spectra, labels = other.mixed(weights)
    # The mean of the same mixtures in both.
    first = own.mixed(weights[crystal])[0].mean(axis=0)
    return Mixtures(put_on(base.energy, other.energy, spectra, spectra[crystal].mean(axis=0), first), labels, crystal)
