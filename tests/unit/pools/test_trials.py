"""Pools tried on sessions of which everything is known, and intervals as wide as these show them to have to be."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from xanesml.errors import StoreError
from xanesml.pools import trials as module
from xanesml.pools.environments import load_environments
from xanesml.pools.model import Pool
from xanesml.pools.pool_file import Errors, PoolFile
from xanesml.pools.reading import Reader
from xanesml.pools.trials import Trials, _nature, _read, _with_errors, calibrated, left_out, make_sessions

POOLS = Path(__file__).parents[3] / "reference" / "pools"
STORES = [POOLS / name for name in ("au-crystal", "au-particle55", "au-particle147")]
CARDS = {name: [POOLS / f"au-crystal-{name}", POOLS / f"au-particle147-{name}"] for name in ("hl", "sites", "shift")}
ASKED = PoolFile(name="x", stores=STORES, crystals=["au-crystal"], mixtures=800)
TWO = {name: CARDS[name] for name in ("hl", "sites")}
SMALL = Errors(noise=1e-5, gain=1e-5, slope=1e-5, offset=1e-5, shift=1e-5)


@pytest.fixture(scope="module")
def pool() -> Pool:
    return Pool.make(ASKED)


def trials_of(errors: np.ndarray, sd: np.ndarray) -> Trials:
    return Trials(np.ones_like(errors) + errors, np.ones_like(errors), sd, np.zeros(len(errors)))


def test_the_factor_is_what_holds_nine_of_ten_errors() -> None:
    # Errors of 0.1, 0.2 … 1.0 standard deviations: nine of ten are below 0.91.
    away = np.arange(1, 11)[:, np.newaxis] * np.array([0.1, 0.2, 0.0])
    factors = trials_of(away, np.ones((10, 3))).widening()
    np.testing.assert_allclose(factors, np.array([0.91, 1.82, 0.0]) / 1.645, atol=1e-9)


def test_a_label_without_spread_keeps_its_uncertainty() -> None:
    away, sd = np.full((10, 3), 1e-14), np.ones((10, 3)) * np.array([1.0, 1.0, 1e-15])
    assert trials_of(away, sd).widening()[2] == 1.0


def test_a_pool_reads_its_own_environments(pool: Pool) -> None:
    own = load_environments(STORES, last=80.0, step=0.5)
    made = make_sessions(own, np.array([True, False, False]), pool, count=20, seed=1, errors=SMALL)
    trials = _read(pool, made, Reader, "own")
    away = np.abs(trials.found - trials.known)
    assert (away < 3 * trials.sd).all()
    plain = trials.crystal - trials.known[:, 0]
    assert np.sqrt((away[:, 0] ** 2).mean()) < 0.75 * np.sqrt((plain**2).mean())
    again = make_sessions(own, np.array([True, False, False]), pool, count=20, seed=1, errors=SMALL)
    np.testing.assert_array_equal([one.sample.mu for one in again], [one.sample.mu for one in made])


def test_a_card_set_left_out_is_read_by_a_pool_that_knows_neither_its_cards_nor_its_structures() -> None:
    strange, made = _nature(ASKED.model_copy(update={"cards": CARDS}), "hl", 5)
    assert set(strange.theory.by_cards) == {"sites", "shift"}
    # Without the particle of 147 atoms, of 9 neighbors, and the images at two temperatures.
    only = Pool.make(ASKED.model_copy(update={"stores": STORES[:2]}))
    assert strange.mixtures.labels[:, 1].min() == pytest.approx(only.mixtures.labels[:, 1].min(), abs=0.01)
    held = load_environments(CARDS["hl"], last=80.0, step=0.5)
    left = load_environments(STORES, last=80.0, step=0.5)
    assert np.isin(held.keys, left.keys).all()
    for one in made:
        assert abs(one.known[1]) < 0.1
        assert one.crystal.msd == pytest.approx(0.008, abs=0.006)


def test_crystals_of_a_card_set_are_known_by_their_atoms_not_by_their_names(tmp_path: Path) -> None:
    for name, store in (("one", CARDS["hl"][0]), ("other", CARDS["hl"][1])):
        (tmp_path / name).symlink_to(store)
    renamed = TWO | {"hl": [tmp_path / "one", tmp_path / "other"]}
    found, again = (
        left_out(ASKED.model_copy(update={"cards": cards}), "hl", sessions=2).found for cards in (TWO, renamed)
    )
    np.testing.assert_array_equal(found, again)


def test_a_card_set_that_cannot_be_tried_is_named(monkeypatch: pytest.MonkeyPatch, pool: Pool) -> None:
    asked = ASKED.model_copy(update={"cards": TWO | {"hl": CARDS["hl"][1:]}})
    with pytest.raises(StoreError, match="the card set hl needs environments of the pool's crystal"):
        left_out(asked, "hl", sessions=2)
    with pytest.raises(StoreError, match=r"a card set has all structures of the pool's crystal, .*give it some"):
        left_out(ASKED.model_copy(update={"cards": TWO | {"all": STORES}}), "all", sessions=2)
    own = load_environments(STORES, last=80.0, step=0.5)
    monkeypatch.setattr(module, "CRYSTALS", (0.999, 1.0))
    with pytest.raises(StoreError, match=r"hold no crystal of an MSD of .*; add images of the crystal"):
        make_sessions(own, np.array([True, False, False]), pool, count=2, seed=1)
    monkeypatch.undo()
    monkeypatch.setattr("xanesml.pools.reading.LARGEST_MISFIT", 0.0)
    with pytest.raises(StoreError, match="the card set hl is too unlike the others for the pool to read it"):
        left_out(ASKED.model_copy(update={"cards": TWO}), "hl", sessions=2)


def test_uncertainties_are_as_wide_as_the_worst_card_set_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    factors = {"hl": (0.8, 0.1, 2.0), "sites": (0.6, 0.2, 1.0), "shift": (0.7, 0.1, 1.5), "same": (0.1, 0.1, 0.1)}

    class Some:
        def __init__(self, name: str) -> None:
            self.widening = lambda: np.array(factors[name])

    monkeypatch.setattr(module, "judged", lambda asked, _pool: {name: Some(name) for name in asked.cards})
    assert calibrated(ASKED.model_copy(update={"cards": CARDS})).widening == (0.8, 0.5, 2.0)
    assert calibrated(ASKED.model_copy(update={"cards": TWO})).widening == (1.0, 1.0, 2.0)
    assert calibrated(ASKED.model_copy(update={"cards": {"hl": CARDS["hl"]}})).widening == (1.0, 1.0, 1.0)
    # The pool's own cards under another name change nothing, so they do not make intervals narrower.
    assert calibrated(ASKED.model_copy(update={"cards": TWO | {"same": STORES}})).widening == (1.0, 1.0, 2.0)


def test_the_factors_are_kept_and_widen_what_is_told(tmp_path: Path, pool: Pool) -> None:
    wide = replace(pool, widening=(2.0, 3.0, 4.0))
    wide.save(tmp_path)
    assert Pool.load(tmp_path).widening == (2.0, 3.0, 4.0)
    own = load_environments(STORES, last=80.0, step=0.5)
    made = make_sessions(own, np.array([True, False, False]), pool, count=1, seed=1)
    one, other = (_read(each, made, Reader, "own") for each in (pool, wide))
    np.testing.assert_allclose(other.sd[:, 1:] / one.sd[:, 1:], [[3.0, 4.0]])
    np.testing.assert_array_equal(other.found, one.found)


def test_errors_of_measurement_are_as_large_as_they_are_said_to_be() -> None:
    energy, rng = np.arange(-20.0, 80.0, 0.5), np.random.default_rng(1)
    mu = np.clip(energy / 20.0, 0.0, 1.0)
    none = dict.fromkeys(("noise", "gain", "slope", "offset", "shift"), 1e-9)
    behind = energy > 30.0
    for name, expected in (("noise", 0.01), ("gain", 0.01), ("offset", 0.01), ("shift", 0.0)):
        many = [_with_errors(mu, energy, Errors(**none | {name: 0.01}), rng) - mu for _ in range(200)]
        assert np.std(many, axis=0)[behind].mean() == pytest.approx(expected, rel=0.2, abs=1e-6)
    many = [_with_errors(mu, energy, Errors(**none | {"slope": 0.01}), rng) - mu for _ in range(200)]
    slopes = [np.polyfit(energy[behind], one[behind], 1)[0] for one in many]
    assert np.std(slopes) == pytest.approx(0.01 / 50, rel=0.2)
