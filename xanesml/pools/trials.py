"""Pools tried on cards that they do not know, and their intervals made as wide as that shows them to have to be."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.ndimage import gaussian_filter1d

from xanesml.files.arrays import Booleans, Floats
from xanesml.measured.normalization import NormalizedSpectrum
from xanesml.pools.environments import Environments, load_environments
from xanesml.pools.mixtures import draw
from xanesml.pools.model import Pool
from xanesml.pools.pool_file import Errors, PoolFile
from xanesml.pools.reading import QUANTILES, KnownSample, Reader
from xanesml.seeds import Stream, generator

#: Sessions of a trial.
SESSIONS = 100
#: Standard uncertainty of the crystal's MSD, Å².
CRYSTAL_ERROR = 3e-4
#: What a measurement gets wrong: twice what two foils of gold, of two beamlines, differ by
#: (`benchmarks/pools.py`). A pool allows for more, as it does not know what else is wrong.
MEASURED = Errors(noise=0.001, gain=0.01, slope=0.005, offset=0.006, shift=0.1)
#: Largest difference of a sample's MSD from the crystal's, Å².
REACH = 6e-3
#: MSD that a crystal may have, quantiles of the pool's.
CRYSTALS = (0.15, 0.75)
#: Standard deviations that hold 90 % of a normal distribution.
_HELD = 1.645
#: Smallest factor of the errors with two card sets, and with more: so few do not show more.
SMALLEST = (1.0, 0.5)


@dataclass(frozen=True)
class Trials:
    """What a pool read off sessions of which everything is known.

    Attributes
    ----------
    found, known, sd : ndarray, shape (n, 3)
        MSD, Å², bond length minus the crystal's, Å, and coordination number: as read, as they are, and the standard
        uncertainties that were told.
    inside : ndarray, shape (n,), bool
        Whether the 90 % interval of the MSD holds it.
    crystal : ndarray, shape (n,)
        MSD of the crystal that was the reference, Å².
    """

    found: Floats
    known: Floats
    sd: Floats
    inside: Booleans
    crystal: Floats

    def widening(self) -> Floats:
        """Return the factor, (3,), that the uncertainties need to hold 90 % of the errors."""
        errors = np.abs(self.found - self.known) / np.maximum(self.sd, np.finfo(float).tiny)
        return np.asarray(np.quantile(errors, QUANTILES[1] - QUANTILES[0], axis=0) / _HELD)


def left_out(asked: PoolFile, name: str, *, sessions: int = SESSIONS, reader: type[Reader] = Reader) -> Trials:
    """Let a card set be nature, and read it by the pool whose error of theory is known from the other sets alone.

    Parameters
    ----------
    asked : PoolFile
        The pool.
    name : str
        The card set.
    sessions : int
        Sessions: each of a crystal and a sample, mixtures of the card set's environments.
    reader : type
        What reads.

    Raises
    ------
    StoreError
        If a store cannot be read.
    """
    others = {other: stores for other, stores in asked.cards.items() if other != name}
    pool = Pool.make(asked.model_copy(update={"cards": others}))
    own = load_environments(asked.cards[name], last=asked.window.last, step=asked.window.step)
    crystals = np.array([any(part.startswith(crystal) for crystal in asked.crystals) for part in own.names])
    return tried(pool, own, crystals, sessions=sessions, seed=asked.seed, reader=reader)


def tried(
    pool: Pool,
    nature: Environments,
    crystals: Booleans,
    *,
    sessions: int,
    seed: int,
    errors: Errors = MEASURED,
    reader: type[Reader] = Reader,
) -> Trials:
    """Read sessions of mixtures of environments.

    Parameters
    ----------
    pool : Pool
        What is known.
    nature : Environments
        What is read, on energies of its own.
    crystals : ndarray, shape (stores,), bool
        Which of its stores are of crystals.
    sessions, seed : int
        Number of sessions, and their seed.
    errors : Errors
        What the measurement of a sample gets wrong.
    reader : type
        What reads.
    """
    rng = generator(seed, Stream.SESSIONS)
    mixtures = draw(nature, crystals, count=4000, seed=seed + 1)
    msd = mixtures.labels[:, 0]
    # A crystal that the pool has, too.
    held = pool.mixtures.labels[pool.mixtures.crystal, 0]
    low, high = np.quantile(held, CRYSTALS)
    foils = np.flatnonzero(mixtures.crystal & (msd > low) & (msd < high))
    others = np.flatnonzero(~mixtures.crystal)
    found, known, sd, inside, crystal = [], [], [], [], []
    for _ in range(sessions):
        foil = rng.choice(foils)
        sample = rng.choice(others[np.abs(msd[others] - msd[foil]) < REACH])
        reference = KnownSample(_measured(nature, mixtures.spectra[foil]), float(msd[foil]), CRYSTAL_ERROR)
        spectrum = _measured(nature, _with_errors(mixtures.spectra[sample], nature.energy, errors, rng))
        (reading,) = reader(pool, [reference]).read([spectrum])
        found.append((reading.msd, reading.bond, reading.coordination))
        known.append(mixtures.labels[sample] - np.array([0.0, mixtures.labels[foil, 1], 0.0]))
        sd.append((reading.msd_error, reading.bond_error, reading.coordination_error))
        inside.append(reading.interval[0] <= msd[sample] <= reading.interval[1])
        crystal.append(msd[foil])
    return Trials(*(np.array(one) for one in (found, known, sd, inside, crystal)))


def calibrated(asked: PoolFile) -> Pool:
    """Make a pool whose uncertainties are as wide as its card sets, each left out in turn, show them to have to be.

    The largest factor of the card sets counts, as nature is none of them. Two sets can only widen the uncertainties,
    and fewer leave them as the pool's errors give them.

    Raises
    ------
    StoreError
        If a store cannot be read.
    """
    pool = Pool.make(asked)
    if len(asked.cards) < 2:
        return pool
    factors = np.array([left_out(asked, name).widening() for name in asked.cards])
    widening = np.maximum(factors.max(axis=0), SMALLEST[len(factors) > 2])
    return replace(pool, widening=tuple(widening.tolist()))


def _measured(nature: Environments, mu: Floats) -> NormalizedSpectrum:
    """Return a simulated spectrum as if it were measured, continued beyond the ends of theory."""
    energy = np.arange(-60.0, 120.0, 0.5)
    values = np.interp(energy, nature.energy, mu)
    before = energy < nature.energy[0]
    values[before] *= np.linspace(0, 1, np.count_nonzero(before))
    return NormalizedSpectrum(energy + nature.edge, values, nature.edge, 1.0, {}, "X", "K", "simulated")


def _with_errors(mu: Floats, energy: Floats, errors: Errors, rng: np.random.Generator) -> Floats:
    """Return a spectrum with errors of measurement; those of the background begin at the edge."""
    gain, slope, offset, shift = rng.normal(size=4) * (errors.gain, errors.slope, errors.offset, errors.shift)
    noise = gaussian_filter1d(rng.normal(size=len(energy)), errors.noise_length / np.sqrt(2) / (energy[1] - energy[0]))
    background = np.where(energy > 0.0, offset + slope * energy / 50.0, 0.0)
    moved = np.interp(energy + shift, energy, mu)
    return np.asarray((1 + gain) * moved + background + errors.noise * noise / noise.std())
