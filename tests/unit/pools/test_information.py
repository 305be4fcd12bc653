"""What a window of energies is expected to tell."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from xanesml.pools.card import card
from xanesml.pools.information import expected_errors
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


def test_the_card_says_what_the_pool_is_made_of(pool: Pool) -> None:
    text = card(pool)
    assert "| au-particle147 | `" in text
    assert f"800 mixtures, {int(pool.mixtures.crystal.sum())} of them of the crystal alone" in text
    assert "Read are 15 … 80 eV from the edge." in text
    assert np.isfinite(pool.theory.size).all()
