"""The error of theory against one that is put in by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from xanesml.errors import StoreError
from xanesml.pools.environments import Environments
from xanesml.pools.theory import theory_error

ENERGY = np.arange(-5.0, 80.1, 0.5)
CRYSTALS = np.array([True, False])
WINDOW = (15.0, 80.0)


def edge(energy: np.ndarray) -> np.ndarray:
    return 0.5 + np.arctan(energy / 2.0) / np.pi + 0.1 * np.exp(-(((energy - 5.0) / 4.0) ** 2))


def signal(energy: np.ndarray, count: int) -> np.ndarray:
    """Differences of environments: waves of random phase and size, none of them at the edge."""
    rng = np.random.default_rng(1)
    waves = np.sin(np.outer(energy, 1 / np.linspace(3.0, 9.0, 6)) + rng.uniform(0, 6, 6))
    return 0.02 * rng.normal(size=(count, 6)) @ (waves * (energy > 10)[:, np.newaxis]).T


def environments(mu: np.ndarray, energy: np.ndarray = ENERGY) -> Environments:
    """Two structures of a crystal and three of a particle, eight absorbers each."""
    count = len(mu)
    group = np.arange(count) // 8
    return Environments(
        energy=energy,
        mu=mu,
        step=np.ones(count),
        bonds=np.tile([12.0, 12 * 2.88, 12 * (2.88**2 + 0.01)], (count, 1)),
        group=group,
        store=(group >= 2).astype(int),
        keys=np.arange(count).astype("S32"),
        names=("crystal", "particle"),
        edge=0.0,
    )


def other(size: float, shift: float = 0.0) -> tuple[Environments, Environments]:
    """A base, and other cards that make every difference larger by a share, at energies moved by a shift."""
    base = edge(ENERGY) + signal(ENERGY, 40)
    energy = ENERGY + shift
    cards = 1.05 * (edge(ENERGY) + (1 + size) * signal(ENERGY, 40))
    return environments(base), environments(cards, energy)


@pytest.mark.parametrize("shift", [0.0, 1.5])
def test_a_share_that_is_put_in_comes_out(shift: float) -> None:
    base, cards = other(0.3, shift)
    found = theory_error(base, {"more": cards}, CRYSTALS, window=WINDOW, seed=1)
    # The gain of 5 % is fitted at the edge and does not count.
    assert found.by_cards["more"] == pytest.approx(0.3, abs=0.03)
    inside = (ENERGY > 20) & (ENERGY < 75)
    np.testing.assert_allclose(found.size[inside], 0.3, atol=0.06)
    assert found.length > 1.0


def test_cards_that_agree_have_no_error() -> None:
    base, cards = other(0.0)
    assert theory_error(base, {"same": cards}, CRYSTALS, window=WINDOW, seed=1).by_cards["same"] < 0.01


def test_card_sets_without_the_pool_s_environments_are_refused() -> None:
    base, cards = other(0.1)
    strange = replace(cards, keys=(np.arange(40) + 100).astype("S32"))
    for some in (strange, cards.chosen(np.arange(16))):
        with pytest.raises(StoreError, match="the card set x needs environments of the pool's crystal"):
            theory_error(base, {"x": some}, CRYSTALS, window=WINDOW, seed=1)


def test_a_crystal_alone_is_compared_at_its_temperatures() -> None:
    base, cards = (replace(one, store=np.zeros(40, int), names=("crystal",)) for one in other(0.3))
    found = theory_error(base, {"more": cards}, np.array([True]), window=WINDOW, seed=1)
    assert found.by_cards["more"] == pytest.approx(0.3, abs=0.06)
