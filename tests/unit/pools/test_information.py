"""What a window of energies is expected to tell."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from xanesml.pools.card import card
from xanesml.pools.information import expected_errors, information
from xanesml.pools.measurement import Measurement
from xanesml.pools.mixtures import Mixtures
from xanesml.pools.model import Pool
from xanesml.pools.pool_file import Errors, PoolFile, Window

POOLS = Path(__file__).parents[3] / "reference" / "pools"


@pytest.fixture(scope="module")
def pool() -> Pool:
    stores = [POOLS / name for name in ("au-crystal", "au-particle147")]
    return Pool.make(PoolFile(name="x", stores=stores, crystals=["au-crystal"], mixtures=800))


def test_more_energies_and_less_noise_tell_more(pool: Pool) -> None:
    usual = expected_errors(pool, pool.window)
    assert (usual < expected_errors(pool, Window(first=15, last=40))).all()
    assert (expected_errors(replace(pool, errors=Errors(noise=0.001)), pool.window) < usual).all()
    # No more is left open than there was before anything was read.
    assert (usual < pool.mixtures.labels[~pool.mixtures.crystal].std(axis=0) * 1.2).all()
    assert 5e-4 < usual[0] < 4e-3


def test_information_is_smaller_the_more_is_unknown(pool: Pool) -> None:
    whole = information(pool, pool.window)
    assert (whole.errors(others_known=True) < whole.errors()).all()
    assert (information(pool, pool.window, theory=False).errors() < whole.errors()).all()
    assert (whole.errors() < information(pool, Window(first=15, last=45)).errors()).all()


def test_signals_are_those_that_the_spectra_have(pool: Pool) -> None:
    rng = np.random.default_rng(1)
    labels = np.array([0.009, 2.85, 10.0]) + rng.normal(size=(800, 3)) * [1e-3, 0.02, 1.0]
    shapes = rng.normal(size=(3, len(pool.energy))) * np.array([[1.0], [0.05], [1e-3]])
    mean = pool.mixtures.spectra.mean(axis=0)
    spectra = mean + (labels - labels.mean(axis=0)) @ shapes
    made = replace(pool, mixtures=Mixtures(spectra, labels, np.arange(800) < 200))
    found = information(made, pool.window)
    measurement = Measurement.of(made, spectra, made.mixtures.near(0.008, crystal=True))
    assert found.energy[0] == 15.0
    assert found.energy[-1] == 80.0
    assert pytest.approx(measurement.features(shapes), abs=1e-6) == found.signals.T
    # Nothing is left but the errors of a measurement.
    assert information(made, pool.window, theory=False).other == pytest.approx(measurement.noise, abs=1e-12)


def test_the_card_says_what_the_pool_is_made_of(pool: Pool) -> None:
    text = card(pool)
    assert "| au-particle147 | `" in text
    assert f"800 mixtures, {int(pool.mixtures.crystal.sum())} of them of the crystal alone" in text
    assert "Read are 15 … 80 eV from the edge. A sample is expected within 0.004 Å² of its" in text
    assert np.isfinite(pool.theory.size).all()
