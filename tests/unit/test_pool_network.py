"""The networks of benchmarks/pools.py learn a pool of made-up environments, and read structures unknown to them."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from types import ModuleType

import numpy as np
import pytest
from conftest import ROOT

from xanesml.errors import StoreError
from xanesml.measured.normalization import NormalizedSpectrum
from xanesml.pools.environments import Environments
from xanesml.pools.mixtures import draw
from xanesml.pools.model import Pool
from xanesml.pools.pool_file import Errors, Window
from xanesml.pools.reading import KnownSample
from xanesml.pools.theory import TheoryError

pytestmark = pytest.mark.requires("keras", "sklearn")

ENERGY = np.arange(-10.0, 80.1, 1.0)
CRYSTALS = np.array([True, False])
EDGE = 11919.0


@pytest.fixture(scope="module")
def module() -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(ROOT / "benchmarks")
        found = import_module("pool_network")
        patch.setattr(found, "MEMBERS", 2)
        yield found


def made(structures: int, seed: int) -> Environments:
    """Return environments of a crystal and of particles: an edge, and a wave for each bond."""
    rng = np.random.default_rng(seed)
    mu, bonds, group, store = [], [], [], []
    for number in range(2 * structures):
        particle = number >= structures
        width, mean = rng.uniform(0.04, 0.16), rng.uniform(2.80, 2.86) if particle else 2.88
        for _ in range(6):
            lengths = rng.normal(mean, width, rng.integers(7, 11) if particle else 12)
            k = np.sqrt(np.maximum(ENERGY, 0.0) / 3.81)
            waves = np.sin(2 * k * lengths[:, np.newaxis]).sum(axis=0) * np.exp(-k / 4) / 12
            mu.append(0.5 + np.arctan(ENERGY / 2) / np.pi + 0.2 * waves)
            bonds.append((len(lengths), lengths.sum(), (lengths**2).sum()))
            group.append(number)
            store.append(int(particle))
    keys = np.array([f"{seed} {row}" for row in range(len(mu))], dtype="S32")
    arrays = (np.array(mu), np.ones(len(mu)), np.array(bonds, dtype=np.float64), np.array(group), np.array(store))
    return Environments(ENERGY, *arrays, keys, ("crystal", "particles"), EDGE)


def pool_of(environments: Environments) -> Pool:
    errors = Errors(theory=0.05, noise=1e-4, gain=1e-4, slope=1e-4, offset=1e-4, shift=1e-3)
    return Pool(
        name="toy",
        element="Au",
        shell="L3",
        energy=ENERGY,
        edge=EDGE,
        mixtures=draw(environments, CRYSTALS, count=300, seed=1),
        window=Window(first=15.0, last=80.0, step=1.0),
        errors=errors,
        theory=TheoryError(np.full(len(ENERGY), errors.theory), 8.0, {}),
        sources=(),
    )


@pytest.fixture(scope="module")
def pool() -> Pool:
    return pool_of(made(8, 1))


@pytest.fixture(scope="module")
def ensemble(module: ModuleType, pool: Pool) -> object:
    return module.train(pool, made(8, 1), CRYSTALS, sessions=60)


def spectrum(mu: np.ndarray) -> NormalizedSpectrum:
    energy = np.arange(-60.0, 120.0, 1.0)
    values = np.interp(energy, ENERGY, mu)
    values[energy < ENERGY[0]] *= np.linspace(0, 1, np.count_nonzero(energy < ENERGY[0]))
    return NormalizedSpectrum(energy + EDGE, values, EDGE, 1.0, {}, "Au", "L3", "made up")


def test_networks_read_structures_that_they_do_not_know(module: ModuleType, pool: Pool, ensemble: object) -> None:
    kind = type("Trained", (module.Network,), {"ensemble": ensemble})
    strange = draw(made(8, 2), CRYSTALS, count=400, seed=2)
    foil = int(np.argmin(np.abs(strange.labels[:, 0] - 0.008) + ~strange.crystal))
    reader = kind(pool, [KnownSample(spectrum(strange.spectra[foil]), float(strange.labels[foil, 0]), 3e-4)])
    near = np.flatnonzero(~strange.crystal & (np.abs(strange.labels[:, 0] - strange.labels[foil, 0]) < 6e-3))[:40]
    found = reader.read([spectrum(strange.spectra[row]) for row in near])
    read = np.array([(one.msd, one.bond, one.coordination) for one in found])
    known = strange.labels[near] - [0.0, strange.labels[foil, 1], 0.0]
    errors = np.sqrt(((read - known) ** 2).mean(axis=0))
    plain = np.sqrt(((known - [strange.labels[foil, 0], 0.0, 12.0]) ** 2).mean(axis=0))
    assert (errors < 0.6 * plain).all()
    inside = [one.interval[0] <= true <= one.interval[1] for one, true in zip(found, known[:, 0], strict=True)]
    assert np.mean(inside) > 0.7


def test_a_training_can_be_repeated(module: ModuleType, pool: Pool, ensemble: object) -> None:
    again = module.train(pool, made(8, 1), CRYSTALS, sessions=60)
    np.testing.assert_allclose(again.errors, ensemble.errors, rtol=1e-3)


def test_each_member_leaves_out_a_share_of_every_store(module: ModuleType) -> None:
    environments = made(8, 1)
    always = environments.group == 2
    fold = module._folds(environments, always)
    assert (fold[always] == -1).all()
    for store in (0, 1):
        assert set(fold[(environments.store == store) & ~always]) == {0, 1}
    for group in np.unique(environments.group):
        assert len(set(fold[environments.group == group])) == 1


def test_too_few_crystals_are_refused(module: ModuleType, pool: Pool) -> None:
    few = made(8, 1)
    few = few.chosen(np.flatnonzero((few.group == 0) | (few.store == 1)))
    with pytest.raises(StoreError, match="2 networks need 2 structures of a crystal"):
        module.train(pool, few, CRYSTALS, sessions=2)


def test_other_cards_are_put_on_the_pool_s(module: ModuleType) -> None:
    base = made(8, 1)
    # The same spectra by other cards: shifted by 1.5 eV, and of another gain.
    moved = np.array([np.interp(ENERGY - 1.5, ENERGY, mu) for mu in base.mu]) * 0.95
    strange = Environments(ENERGY, moved, base.step, base.bonds, base.group, base.store, base.keys, base.names, EDGE)
    found = module.card_mixtures(base, strange, CRYSTALS, count=60, seed=3)
    same = draw(base, CRYSTALS, count=60, seed=3)
    np.testing.assert_allclose(found.labels, same.labels)
    # Only differences count.
    one, other = (mixtures.spectra - mixtures.spectra.mean(axis=0) for mixtures in (found, same))
    within = (ENERGY > 5) & (ENERGY < 70)
    assert np.abs(one - other)[:, within].max() < 0.2 * np.abs(other[:, within]).max()
