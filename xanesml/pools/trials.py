"""Pools tried on cards and structures that they do not know, and intervals as wide as that shows them to have to be."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.ndimage import gaussian_filter1d

from xanesml.errors import SpectrumError, StoreError
from xanesml.files.arrays import Booleans, Floats
from xanesml.measured.normalization import NormalizedSpectrum
from xanesml.pools.card_sets import card_sets, own_cards
from xanesml.pools.environments import Environments
from xanesml.pools.mixtures import draw
from xanesml.pools.model import Pool
from xanesml.pools.pool_file import Errors, PoolFile
from xanesml.pools.reading import QUANTILES, KnownSample, Reader
from xanesml.seeds import Stream, generator

#: Sessions of a trial.
SESSIONS = 100
#: Standard uncertainty of the crystal's MSD, Å².
CRYSTAL_ERROR = 3e-4
#: What a measurement gets wrong. Gain, slope, offset and noise are twice those between two foils of gold, of two
#: beamlines (`benchmarks/pools.py`).
MEASURED = Errors(noise=0.001, gain=0.01, slope=0.005, offset=0.006, shift=0.1)
#: Largest difference of a sample's MSD from the crystal's, Å².
REACH = 6e-3
#: MSD that a crystal may have, quantiles of the pool's.
CRYSTALS = (0.05, 0.8)
#: Standard deviations that hold 90 % of a normal distribution.
HELD = 1.645
#: Card sets from which on uncertainties are tested.
TESTED = 2
#: Card sets from which on they are made narrower, too, and the smallest factor; sets that change less than a share of a
#: difference tell nothing of it.
NARROWING, SMALLEST, TELLING = 3, 0.5, 0.05
#: Smallest standard uncertainties that mean anything: MSD, Å², bond length, Å, and number of neighbors.
_SPREAD = np.array([1e-6, 1e-5, 1e-3])


@dataclass(frozen=True)
class Trials:
    """What a pool read off sessions of which everything is known.

    Attributes
    ----------
    found, known, sd : ndarray, shape (n, 3)
        MSD, Å², bond length minus the crystal's, Å, and coordination number: as read, as they are, and the standard
        uncertainties that were told.
    crystal : ndarray, shape (n,)
        MSD of the crystal that was the reference, Å².
    """

    found: Floats
    known: Floats
    sd: Floats
    crystal: Floats

    def widening(self) -> Floats:
        """Return the factors, (3,), by which the uncertainties hold 90 % of the errors; 1 where there is no spread."""
        errors = np.abs(self.found - self.known) / np.maximum(self.sd, _SPREAD)
        factors = np.quantile(errors, QUANTILES[1] - QUANTILES[0], axis=0) / HELD
        return np.where((self.sd < _SPREAD).any(axis=0), 1.0, factors)


@dataclass(frozen=True)
class Session:
    """A crystal and a sample as if they were measured.

    Attributes
    ----------
    crystal : KnownSample
        The reference.
    sample : NormalizedSpectrum
        The sample, with errors of measurement.
    known : ndarray, shape (3,)
        MSD of the sample, Å², its bond length minus the crystal's, Å, and its number of neighbors.
    """

    crystal: KnownSample
    sample: NormalizedSpectrum
    known: Floats


def left_out(asked: PoolFile, name: str, *, sessions: int = SESSIONS, reader: type[Reader] = Reader) -> Trials:
    """Let a card set be nature, and read it by a pool that knows neither its cards nor its structures.

    Parameters
    ----------
    asked : PoolFile
        The pool.
    name : str
        The card set. The pool that reads has theory's error from the other sets alone, no structure that the set holds,
        and no store of its particles, if there are others.
    sessions : int
        Sessions: each of a crystal and a sample, mixtures of the card set's environments.
    reader : type
        What reads.

    Raises
    ------
    StoreError
        If a store cannot be read, or the card set cannot be read by the pool.
    """
    return _read(*_nature(asked, name, sessions), reader, name)


def judged(asked: PoolFile, pool: Pool) -> dict[str, Trials]:
    """Return what pools that do not know a card set read off it, with the uncertainties that the whole pool tells.

    Raises
    ------
    StoreError
        If a store cannot be read, or a card set cannot be read by the pool of the others.
    """
    found = {}
    for name in card_sets(asked):
        strange, made = _nature(asked, name, SESSIONS)
        found[name] = replace(_read(strange, made, Reader, name), sd=_read(pool, made, Reader, name).sd)
    return found


def calibrated(asked: PoolFile) -> Pool:
    """Make a pool whose uncertainties are as wide as its card sets, each left out in turn, show them to have to be.

    The largest factor of the card sets counts, as nature is none of them. Fewer than three sets that change differences
    can only widen the uncertainties, and fewer than two sets leave them as the pool's errors give them.

    Raises
    ------
    StoreError
        If a store cannot be read, or a card set cannot be read by the pool of the others.
    """
    pool = Pool.make(asked)
    if len(card_sets(asked)) < TESTED:
        return pool
    factors = [trials.widening() for trials in judged(asked, pool).values()]
    return replace(pool, widening=tuple(np.maximum(np.max(factors, axis=0), smallest_factor(pool)).tolist()))


def smallest_factor(pool: Pool) -> float:
    """Return the smallest factor of uncertainties that a pool's card sets allow."""
    telling = sum(size >= TELLING for size in pool.theory.by_cards.values())
    return SMALLEST if telling >= NARROWING else 1.0


def make_sessions(
    nature: Environments, crystals: Booleans, pool: Pool, *, count: int, seed: int, errors: Errors = MEASURED
) -> list[Session]:
    """Make sessions of mixtures of environments.

    Parameters
    ----------
    nature : Environments
        What is measured, on energies of its own.
    crystals : ndarray, shape (stores,), bool
        Which of its stores are of crystals.
    pool : Pool
        The crystals are as disordered as most of the pool's.
    count, seed : int
        Number of sessions, and their seed.
    errors : Errors
        What the measurement of a sample gets wrong.

    Raises
    ------
    StoreError
        If there is no such crystal, or no sample that is about as disordered.
    """
    rng = generator(seed, Stream.SESSIONS)
    mixtures = draw(nature, crystals, count=4000, seed=seed + 1)
    msd = mixtures.labels[:, 0]
    low, high = np.quantile(pool.mixtures.labels[pool.mixtures.crystal, 0], CRYSTALS)
    foils = np.flatnonzero(mixtures.crystal & (msd > low) & (msd < high))
    others = np.flatnonzero(~mixtures.crystal)
    foils = np.array([foil for foil in foils if (np.abs(msd[others] - msd[foil]) < REACH).any()], dtype=np.int64)
    if not foils.size:
        raise StoreError(
            f"{' and '.join(nature.names)} hold no crystal of an MSD of {low:.4f} … {high:.4f} Å², as most of the "
            f"pool's, with samples within {REACH} Å² of it; add images of the crystal at other temperatures"
        )
    made = []
    for _ in range(count):
        foil = rng.choice(foils)
        sample = rng.choice(others[np.abs(msd[others] - msd[foil]) < REACH])
        reference = KnownSample(_measured(nature, mixtures.spectra[foil]), float(msd[foil]), CRYSTAL_ERROR)
        spectrum = _measured(nature, _with_errors(mixtures.spectra[sample], nature.energy, errors, rng))
        made.append(Session(reference, spectrum, mixtures.labels[sample] - [0.0, mixtures.labels[foil, 1], 0.0]))
    return made


def _nature(asked: PoolFile, name: str, sessions: int) -> tuple[Pool, list[Session]]:
    """Return a pool that does not know a card set, and sessions of this."""
    sets = card_sets(asked)
    own = sets.pop(name).load(asked.window)
    pool = Pool.make(asked, cards=sets, without=own)
    base = own_cards(asked).load(asked.window)
    of_crystal = np.isin(base.store, [number for number, one in enumerate(base.names) if one in asked.crystals])
    found = np.isin(own.keys, base.keys[of_crystal])
    crystals = np.array([bool(found[own.store == number].any()) for number in range(len(own.names))])
    if not crystals.any():
        raise StoreError(f"the card set {name} needs environments of the pool's crystal and of its particles")
    return pool, make_sessions(own, crystals, pool, count=sessions, seed=asked.seed)


def _read(pool: Pool, made: list[Session], reader: type[Reader], name: str) -> Trials:
    found, sd = [], []
    for session in made:
        try:
            (reading,) = reader(pool, [session.crystal]).read([session.sample])
        except SpectrumError as error:
            raise StoreError(
                f"the card set {name} is too unlike the others for the pool to read it: {error}"
            ) from error
        found.append((reading.msd, reading.bond, reading.coordination))
        sd.append((reading.msd_error, reading.bond_error, reading.coordination_error))
    known = np.array([session.known for session in made])
    return Trials(np.array(found), known, np.array(sd), np.array([session.crystal.msd for session in made]))


def _measured(nature: Environments, mu: Floats) -> NormalizedSpectrum:
    """Return a simulated spectrum as if it were measured, continued beyond the ends of theory."""
    energy = np.arange(-60.0, 120.0, 0.5)
    values = np.interp(energy, nature.energy, mu)
    before = energy < nature.energy[0]
    values[before] *= np.linspace(0, 1, np.count_nonzero(before))
    return NormalizedSpectrum(energy + nature.edge, values, nature.edge, 1.0, {}, "X", "K", "a simulated spectrum")


def _with_errors(mu: Floats, energy: Floats, errors: Errors, rng: np.random.Generator) -> Floats:
    """Return a spectrum with errors of measurement; those of the background begin at the edge."""
    gain, slope, offset, shift = rng.normal(size=4) * (errors.gain, errors.slope, errors.offset, errors.shift)
    noise = gaussian_filter1d(rng.normal(size=len(energy)), errors.noise_length / np.sqrt(2) / (energy[1] - energy[0]))
    background = np.where(energy > 0.0, offset + slope * energy / 50.0, 0.0)
    moved = np.interp(energy + shift, energy, mu)
    return np.asarray((1 + gain) * moved + background + errors.noise * noise / noise.std())
