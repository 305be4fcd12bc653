"""Random mixtures: labels, seeds, and that no store counts for more because it has more runs."""

from __future__ import annotations

import numpy as np
import pytest

from xanesml.errors import StoreError
from xanesml.pools.environments import Environments
from xanesml.pools.mixtures import CRYSTAL_SHARE, Mixtures, draw


def pool(sizes: tuple[int, ...] = (4, 40)) -> Environments:
    """Stores whose spectra are their own number; two absorbers a structure."""
    count = sum(sizes)
    store = np.repeat(np.arange(len(sizes)), sizes)
    return Environments(
        energy=np.array([0.0]),
        mu=store[:, np.newaxis].astype(float),
        step=np.ones(count),
        bonds=np.tile([12.0, 12 * 2.88, 12 * (2.88**2 + 0.01)], (count, 1)),
        group=np.arange(count) // 2,
        store=store,
        keys=np.arange(count).astype("S32"),
        names=tuple("abc"[: len(sizes)]),
        edge=0.0,
    )


def test_samples_lie_about_the_reference_as_far_as_the_spread_says() -> None:
    msd = np.linspace(0.0, 0.02, 2001)
    labels = np.column_stack([msd, np.full(2001, 2.8), np.full(2001, 10.0)])
    found = Mixtures(np.zeros((2001, 1)), labels, np.zeros(2001, dtype=bool))
    for spread in (0.001, 0.002):
        weights = found.around(0.01, spread)
        mean = weights @ msd / weights.sum()
        assert mean == pytest.approx(0.01, abs=1e-6)
        assert np.sqrt(weights @ (msd - mean) ** 2 / weights.sum()) == pytest.approx(spread, rel=0.01)


def test_mixtures_of_the_crystal_hold_nothing_else() -> None:
    found = draw(pool(), np.array([True, False]), count=2000, seed=3)
    assert (found.spectra[found.crystal] == 0).all()
    assert found.crystal.mean() == pytest.approx(CRYSTAL_SHARE, abs=0.05)
    # A store with ten times as many runs has no larger share.
    assert found.spectra[~found.crystal].mean() == pytest.approx(0.5, abs=0.03)
    np.testing.assert_allclose(found.labels, np.tile([0.01, 2.88, 12.0], (2000, 1)), atol=1e-12)


def test_a_seed_draws_the_same() -> None:
    one, again, other = (draw(pool(), np.array([True, False]), count=50, seed=seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one.spectra, again.spectra)
    assert not np.array_equal(one.spectra, other.spectra)


def test_a_pool_without_a_crystal_is_refused() -> None:
    with pytest.raises(StoreError, match="needs a crystal"):
        draw(pool(), np.array([False, False]), count=50, seed=1)
