"""Pools tried on sessions of which everything is known, and intervals as wide as these show them to have to be."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from xanesml.pools.environments import load_environments
from xanesml.pools.model import Pool
from xanesml.pools.pool_file import Errors, PoolFile
from xanesml.pools.trials import Trials, _with_errors, calibrated, left_out, tried

POOLS = Path(__file__).parents[3] / "reference" / "pools"
STORES = [POOLS / name for name in ("au-crystal", "au-particle147")]
CARDS = {name: [POOLS / f"au-crystal-{name}", POOLS / f"au-particle147-{name}"] for name in ("hl", "sites")}
ASKED = PoolFile(name="x", stores=STORES, crystals=["au-crystal"], mixtures=800)


def test_the_factor_is_what_holds_nine_of_ten_errors() -> None:
    # Errors of 0.1, 0.2 … 1.0 standard deviations: nine of ten are below 0.91.
    away = np.arange(1, 11)[:, np.newaxis] * np.array([0.1, 0.2, 0.0])
    trials = Trials(1 + away, np.ones((10, 3)), np.ones((10, 3)), np.ones(10, bool), np.zeros(10))
    np.testing.assert_allclose(trials.widening(), np.array([0.91, 1.82, 0.0]) / 1.645, atol=1e-9)


def test_a_pool_reads_its_own_environments() -> None:
    pool = Pool.make(ASKED)
    own = load_environments(STORES, last=80.0, step=0.5)
    small = Errors(noise=1e-5, gain=1e-5, slope=1e-5, offset=1e-5, shift=1e-5)
    trials = tried(pool, own, np.array([True, False]), sessions=20, seed=1, errors=small)
    away = np.abs(trials.found - trials.known)
    assert trials.inside.sum() >= 17
    assert (away < 3 * trials.sd).all()
    plain = trials.crystal - trials.known[:, 0]
    assert np.sqrt((away[:, 0] ** 2).mean()) < 0.75 * np.sqrt((plain**2).mean())
    again = tried(pool, own, np.array([True, False]), sessions=20, seed=1, errors=small)
    np.testing.assert_array_equal(again.found, trials.found)


def test_a_card_set_left_out_is_read_by_a_pool_that_does_not_know_it() -> None:
    trials = left_out(ASKED.model_copy(update={"cards": CARDS}), "hl", sessions=6)
    assert trials.found.shape == trials.known.shape == trials.sd.shape == (6, 3)
    # Bond lengths count from the crystal's, and its MSD is one that the pool's crystals have.
    assert (np.abs(trials.known[:, 1]) < 0.1).all()
    assert ((trials.crystal > 0.001) & (trials.crystal < 0.02)).all()


def test_uncertainties_are_as_wide_as_the_worst_card_set_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    factors = {"hl": np.array([0.8, 0.1, 2.0]), "sites": np.array([0.6, 0.2, 1.0])}

    class Some:
        def __init__(self, name: str) -> None:
            self.widening = lambda: factors[name]

    monkeypatch.setattr("xanesml.pools.trials.left_out", lambda _asked, name: Some(name))
    assert calibrated(ASKED.model_copy(update={"cards": CARDS})).widening == (1.0, 1.0, 2.0)
    factors["shift"] = np.array([0.7, 0.1, 1.5])
    three = CARDS | {"shift": [POOLS / "au-crystal-shift", POOLS / "au-particle147-shift"]}
    assert calibrated(ASKED.model_copy(update={"cards": three})).widening == (0.8, 0.5, 2.0)
    assert calibrated(ASKED.model_copy(update={"cards": {"hl": CARDS["hl"]}})).widening == (1.0, 1.0, 1.0)


def test_the_factors_are_kept_and_widen_what_is_told(tmp_path: Path) -> None:
    pool = Pool.make(ASKED)
    wide = replace(pool, widening=(2.0, 3.0, 4.0))
    wide.save(tmp_path)
    assert Pool.load(tmp_path).widening == (2.0, 3.0, 4.0)
    own = load_environments(STORES, last=80.0, step=0.5)
    one, other = (tried(each, own, np.array([True, False]), sessions=1, seed=1) for each in (pool, wide))
    np.testing.assert_allclose(other.sd[:, 1:] / one.sd[:, 1:], [[3.0, 4.0]])
    np.testing.assert_array_equal(other.found, one.found)


def test_errors_of_measurement_are_as_large_as_they_are_said_to_be() -> None:
    energy, rng = np.arange(-20.0, 80.0, 0.5), np.random.default_rng(1)
    mu = np.clip(energy / 20.0, 0.0, 1.0)
    none = {"noise": 1e-9, "gain": 1e-9, "slope": 1e-9, "offset": 1e-9, "shift": 1e-9}
    behind = energy > 30.0
    for name, expected in (("noise", 0.01), ("gain", 0.01), ("offset", 0.01), ("shift", 0.0)):
        many = [_with_errors(mu, energy, Errors(**none | {name: 0.01}), rng) - mu for _ in range(200)]
        assert np.std(many, axis=0)[behind].mean() == pytest.approx(expected, rel=0.2, abs=1e-6)
    slopes = [
        np.polyfit(energy[behind], (_with_errors(mu, energy, Errors(**none | {"slope": 0.01}), rng) - mu)[behind], 1)[0]
        for _ in range(200)
    ]
    assert np.std(slopes) == pytest.approx(0.01 / 50, rel=0.2)
