"""Random mixtures of the environments of a pool: what samples may look like, with exact labels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from xanesml.errors import StoreError
from xanesml.files.arrays import Booleans, Floats
from xanesml.pools.environments import Environments
from xanesml.seeds import Stream, generator

#: Structures in a mixture, at most; and the share of mixtures of the crystal alone.
MOST_STRUCTURES = 4
CRYSTAL_SHARE = 0.35
#: Mixtures that may be a reference: their MSD is this near to its known one, standard deviation, Å².
REFERENCE_WIDTH = 1.2e-3
#: Bins of the MSD that are made equally likely, and the largest weight of a mixture relative to the smallest.
_BINS, _LARGEST_WEIGHT = 20, 20.0


@dataclass(frozen=True)
class Mixtures:
    """Mixtures of environments.

    Attributes
    ----------
    spectra : ndarray, shape (n, M), float64, edge steps
        Normalized once, after mixing.
    labels : ndarray, shape (n, 3), float64
        `xanesml.pools.environments.LABELS` of each.
    crystal : ndarray, shape (n,), bool
        Whether it holds environments of the crystal alone: what a foil may be.
    """

    spectra: Floats
    labels: Floats
    crystal: Booleans

    def __len__(self) -> int:
        return len(self.spectra)

    def around(self, msd: float, spread: float) -> Floats:
        """Return the weights, (n,), of mixtures that may be a sample beside a reference of an MSD, Å².

        A sample is as disordered as the reference, give or take a spread, Å², as a standard deviation; mixtures of the
        crystal alone have no weight, as those of all stores hold the crystal as well.
        """
        samples = ~self.crystal
        counts, edges = np.histogram(self.labels[samples, 0], bins=_BINS)
        place = np.clip(np.searchsorted(edges, self.labels[:, 0], side="right") - 1, 0, _BINS - 1)
        # A few mixtures at the ends of the range do not stand for many.
        even = samples / np.maximum(counts, counts.max() / _LARGEST_WEIGHT)[place]
        return np.asarray(even * np.exp(-0.5 * ((self.labels[:, 0] - msd) / spread) ** 2))

    def near(self, msd: float, *, crystal: bool) -> Floats:
        """Return the weights, (n,), of mixtures that may be a reference of a known MSD, Å²: of the crystal, or any."""
        of_kind = self.crystal if crystal else np.ones(len(self), dtype=np.bool_)
        return np.asarray(of_kind * np.exp(-0.5 * ((self.labels[:, 0] - msd) / REFERENCE_WIDTH) ** 2))


def draw(environments: Environments, crystals: Booleans, *, count: int, seed: int) -> Mixtures:
    """Draw mixtures of environments.

    A mixture has some structures with random shares, of each a bootstrap sample of its absorbers. Every store has the
    same chance, whatever the number of its runs.

    Parameters
    ----------
    environments : Environments
        The pool.
    crystals : ndarray, shape (stores,), bool
        Which stores are of crystals.
    count : int
        Number of mixtures.
    seed : int
        Seed of the draws.

    Returns
    -------
    Mixtures
        The same for the same seed.

    Raises
    ------
    StoreError
        If no store is of a crystal.
    """
    if not crystals.any():
        raise StoreError("a pool needs a crystal, what the foil is compared with; name it in crystals")
    weights, crystal = random_weights(environments, crystals, count=count, seed=seed)
    spectra, labels = environments.mixed(weights)
    return Mixtures(spectra, labels, crystal)


def random_weights(environments: Environments, crystals: Booleans, *, count: int, seed: int) -> tuple[Floats, Booleans]:
    """Return the weights of environments in mixtures, (count, N), and which hold the crystal alone; see `draw`."""
    rng = generator(seed, Stream.MIXTURES)
    members = [np.flatnonzero(environments.group == group) for group in np.unique(environments.group)]
    of_store = np.array([environments.store[rows[0]] for rows in members])
    filled = np.unique(of_store)
    by_store = {store: np.flatnonzero(of_store == store) for store in filled.tolist()}
    weights = np.zeros((count, len(environments)))
    crystal = rng.random(count) < CRYSTAL_SHARE
    for mixture in range(count):
        stores = filled[crystals[filled]] if crystal[mixture] else filled
        for share in rng.dirichlet(np.ones(rng.integers(1, MOST_STRUCTURES + 1))):
            rows = members[rng.choice(by_store[int(rng.choice(stores))])]
            weights[mixture, rows] += share * rng.multinomial(len(rows), np.full(len(rows), 1 / len(rows))) / len(rows)
    return weights, crystal
