"""A reader of neural networks, trained on differences of a pool's mixtures from those that may be the reference.

One ensemble serves all sessions of a pool: the reference's MSD is an input, and spectra are as broad as a calibration
may find them. Every member leaves out a share of the structures; mixtures of these stop its training and tell its
errors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from pool_differences import BROADENINGS, Differences, Source, card_mixtures, draw_differences
from pool_readers import with_labels
from scipy.stats import truncnorm

from xanesml.errors import StoreError
from xanesml.files.arrays import Booleans, Floats, Wholes
from xanesml.learning.network import import_keras
from xanesml.measured.normalization import NormalizedSpectrum
from xanesml.pools.card_sets import card_sets, own_cards
from xanesml.pools.environments import Environments
from xanesml.pools.measurement import Measurement
from xanesml.pools.mixtures import Mixtures, draw
from xanesml.pools.model import Pool, without_structures
from xanesml.pools.pool_file import PoolFile
from xanesml.pools.reading import QUANTILES, Reader, Reading

#: Networks of an ensemble; each leaves out one share of the structures.
MEMBERS = 4
#: Principal components of the whitened features, and units of the hidden layers.
COMPONENTS, UNITS = 16, (64, 64)
#: Mixtures that a member trains on; of a card set; that it is tested on.
MIXTURES, CARD_MIXTURES, TEST_MIXTURES = 2000, 1000, 600
#: Sessions that a member trains and is tested on.
SESSIONS, TEST_SESSIONS = 600, 30
#: Epochs at most, epochs without gain that end a training, differences in a step, and the first learning rate.
EPOCHS, PATIENCE, BATCH, RATE = 8, 3, 128, 1e-3


@dataclass(frozen=True)
class Member:
    """A network with the scaling of its inputs and answers.

    Attributes
    ----------
    network : keras.Model
        From scaled inputs, (n, K + 1), to scaled labels, (n, 3).
    center : ndarray, shape (m,)
        Mean of the training features.
    components : ndarray, shape (m, K)
        Principal components of features in units of the noise, each of unit variance.
    msd : ndarray, shape (2,)
        Mean and standard deviation of the reference's MSD.
    labels : ndarray, shape (2, 3)
        Means and standard deviations of the labels.
    """

    network: Any
    center: Floats
    components: Floats
    msd: Floats
    labels: Floats

    @classmethod
    def trained(cls, training: Differences, test: Differences, noise: Floats, seed: int) -> Member:
        """Train a network until the test's error no longer falls; `noise` is the covariance of features' errors."""
        keras = import_keras()
        center = training.features.mean(axis=0)
        values, vectors = np.linalg.eigh(noise)
        white = vectors / np.sqrt(values)
        _, sizes, axes = np.linalg.svd((training.features - center) @ white, full_matrices=False)
        scales = sizes[:COMPONENTS] / np.sqrt(len(training.features))
        member = cls(
            network=_network(keras, min(COMPONENTS, len(center)) + 1, seed),
            center=center,
            components=white @ axes[:COMPONENTS].T / scales,
            msd=np.array([training.msd.mean(), training.msd.std()]),
            labels=np.array([training.labels.mean(axis=0), np.maximum(training.labels.std(axis=0), 1e-9)]),
        )
        # In an order of their own, as Keras would shuffle by a seed that all of the process shares.
        order = np.random.default_rng(seed).permutation(len(training.features))
        steps = EPOCHS * int(np.ceil(len(order) / BATCH))
        rate = keras.optimizers.schedules.CosineDecay(RATE, steps)
        member.network.compile(optimizer=keras.optimizers.Adam(rate), loss="mse")
        member.network.fit(
            member._inputs(training.features, training.msd)[order],
            member._scaled(training.labels)[order],
            validation_data=(member._inputs(test.features, test.msd), member._scaled(test.labels)),
            batch_size=BATCH,
            epochs=EPOCHS,
            shuffle=False,
            verbose=0,
            callbacks=[keras.callbacks.EarlyStopping(patience=PATIENCE, restore_best_weights=True)],
        )
        return member

    def __call__(self, features: Floats, msd: Floats) -> Floats:
        """Return labels, (n, 3), of features, (n, m), beside references of an MSD, (n,), Å²."""
        answers = np.asarray(self.network(self._inputs(features, msd), training=False), dtype=np.float64)
        return answers * self.labels[1] + self.labels[0]

    def _inputs(self, features: Floats, msd: Floats) -> Floats:
        scaled = [(features - self.center) @ self.components, (msd - self.msd[0]) / self.msd[1]]
        return np.column_stack(scaled).astype(np.float32)

    def _scaled(self, labels: Floats) -> Floats:
        return np.asarray((labels - self.labels[0]) / self.labels[1], dtype=np.float32)


def _network(keras: Any, inputs: int, seed: int) -> Any:
    states = iter(np.random.SeedSequence(seed).generate_state(len(UNITS) + 1).tolist())
    layers = [
        keras.layers.Dense(units, activation="relu", kernel_initializer=keras.initializers.HeNormal(seed=next(states)))
        for units in UNITS
    ]
    last = keras.layers.Dense(3, kernel_initializer=keras.initializers.GlorotUniform(seed=next(states)))
    return keras.Sequential([keras.Input((inputs,)), *layers, last])


@dataclass(frozen=True)
class Ensemble:
    """Networks, and the root mean square errors, (3,), of their labels on structures that they did not train on."""

    members: tuple[Member, ...]
    errors: Floats

    def __call__(self, features: Floats, msd: float) -> tuple[Floats, Floats]:
        """Return the labels of features, (m,), and their standard uncertainties, both (3,)."""
        each = np.array([member(features[np.newaxis], np.array([msd]))[0] for member in self.members])
        return each.mean(axis=0), np.hypot(self.errors, each.std(axis=0))


def train(
    pool: Pool,
    environments: Environments,
    crystals: Booleans,
    cards: Sequence[Mixtures] = (),
    *,
    always: Booleans | None = None,
    crystal: bool = True,
    sessions: int = SESSIONS,
) -> Ensemble:
    """Train an ensemble.

    Parameters
    ----------
    pool : Pool
        What is allowed for.
    environments : Environments
        Of the pool's cards.
    crystals : ndarray, shape (stores,), bool
        Which of their stores are of crystals.
    cards : sequence of Mixtures
        Of other cards, to train on as well: as often, all together, as on the pool's.
    always : ndarray, shape (N,), bool, optional
        Environments that no member leaves out.
    crystal : bool
        Whether references are crystals.
    sessions : int
        Sessions that each member trains on.

    Raises
    ------
    StoreError
        If there are fewer structures of a crystal than members.
    """
    fold = _folds(environments, np.zeros(len(environments), dtype=np.bool_) if always is None else always)
    if np.setdiff1d(np.arange(MEMBERS), fold[crystals[environments.store]]).size:
        raise StoreError(f"{MEMBERS} networks need {MEMBERS} structures of a crystal at least: each leaves one out")
    others = [Source.of(one, pool.energy, theory=False) for one in cards]
    members, squares = [], []
    for number in range(MEMBERS):
        rng = np.random.default_rng((*pool.mixtures.spectra.shape, number))
        own, left = (
            Source.of(
                draw(environments.chosen(np.flatnonzero(rows)), crystals, count=count, seed=number),
                pool.energy,
                theory=True,
            )
            for rows, count in ((fold != number, MIXTURES), (fold == number, TEST_MIXTURES))
        )
        sources = [own] * max(len(others), 1) + others
        training = draw_differences(pool, sources, sessions=sessions, crystal=crystal, rng=rng)
        test = draw_differences(pool, [left], sessions=TEST_SESSIONS, crystal=crystal, rng=rng)
        middle = own.mixtures.near(float(np.median(own.msd(crystal=crystal))), crystal=crystal)
        noise = Measurement.of(pool, own.broad[len(BROADENINGS) // 2], middle).noise
        member = Member.trained(training, test, noise, number)
        members.append(member)
        squares.append(((member(test.features, test.msd) - test.labels) ** 2).mean(axis=0))
    return Ensemble(tuple(members), np.sqrt(np.mean(squares, axis=0)))


def _folds(environments: Environments, always: Booleans) -> Wholes:
    """Return the member that leaves an environment's structure out, (N,); −1 where none does."""
    fold = np.full(len(environments), -1)
    always = np.isin(environments.group, environments.group[always])
    for store in np.unique(environments.store):
        rows = (environments.store == store) & ~always
        fold[rows] = np.unique(environments.group[rows], return_inverse=True)[1] % MEMBERS
    return fold


class Network(Reader):
    """The mean of an ensemble of networks; uncertainties from its errors on structures left out and its scatter."""

    ensemble: ClassVar[Ensemble]
    #: Factors of the uncertainties; see `xanesml.pools.trials`.
    widening: ClassVar[Floats] = np.ones(3)

    def _read(self, sample: NormalizedSpectrum) -> Reading:
        reading, (x, _) = super()._read(sample), self.difference(sample)
        found, errors = self.ensemble(x, self.first.msd)
        errors = errors * self.widening
        msd, error = self.first.msd + float(found[0]), float(np.hypot(errors[0], self.first.error))
        low, high = truncnorm.ppf(QUANTILES, -msd / error, np.inf, loc=msd, scale=error)
        return replace(
            with_labels(self, reading, found),
            msd=max(msd, 0.0),
            msd_error=error,
            interval=(float(low), float(high)),
            bond_error=float(errors[1]),
            coordination_error=float(errors[2]),
        )


def network_reader(
    asked: PoolFile, without: str | None = None, *, cards: bool = False, crystal: bool = True
) -> type[Network]:
    """Train networks for a pool, and return what reads with them.

    Parameters
    ----------
    asked : PoolFile
        The pool.
    without : str, optional
        A card set that it does not know, nor its structures; see `xanesml.pools.trials.left_out`.
    cards : bool
        Whether to train on mixtures of the other card sets, too. They hold the structures of the one that is left out.
    crystal : bool
        Whether references are crystals.
    """
    whole, named = own_cards(asked).load(asked.window), card_sets(asked)
    crystals = np.array([name in asked.crystals for name in whole.names])
    sets = {name: one.load(asked.window) for name, one in named.items()}
    held = np.concatenate([one.keys for one in sets.values()]) if sets else whole.keys[:0]
    nature = sets.pop(without) if without is not None else None
    environments = whole if nature is None else without_structures(whole, nature, crystals)
    others = [card_mixtures(whole, one, crystals, count=CARD_MIXTURES, seed=asked.seed) for one in sets.values()]
    ensemble = train(
        Pool.make(asked, cards={name: named[name] for name in sets}, without=nature),
        environments,
        crystals,
        others if cards else (),
        always=np.isin(environments.keys, held),
        crystal=crystal,
    )
    return type("TrainedNetwork", (Network,), {"ensemble": ensemble})
