"""The energy of an edge is that of larch, which takes longer to be imported than all else of a reading."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from measured_files import ENERGY, foil_mu

from xanesml.measured.steepest import steepest


def edge(energy: np.ndarray, place: float, width: float) -> np.ndarray:
    return 0.5 + np.arctan((energy - place) / width) / np.pi


def test_the_steepest_point_of_an_edge_is_found() -> None:
    energy = np.arange(11880.0, 11960.0, 0.5)
    assert steepest(energy, edge(energy, 11919.5, 2.0)) == 11919.5


def test_one_steep_point_alone_is_a_glitch() -> None:
    energy = np.arange(11880.0, 11960.0, 0.5)
    mu = edge(energy, 11919.5, 2.0)
    mu[40] += 0.8
    assert steepest(energy, mu) == pytest.approx(11919.5, abs=1.0)


def test_a_zigzag_has_no_steepest_point() -> None:
    energy = np.arange(0.0, 102.0)
    # Its slopes are 1, 0, −1, 0: none is steep beside a steep one.
    assert steepest(energy, np.abs(energy % 4 - 2)) is None


@pytest.mark.requires("larch")
@given(
    noise=st.sampled_from([0.0, 1e-3, 5e-3, 2e-2]),
    seed=st.integers(0, 1000),
    every=st.integers(1, 2),
    before=st.integers(60, 101),
)
def test_it_is_that_of_larch(noise: float, seed: int, every: int, before: int) -> None:
    import larch.xafs

    place = int(np.searchsorted(ENERGY[::every], 11919.0))
    near = slice(max(0, place - before), place + 101)
    energy = ENERGY[::every][near]
    mu = foil_mu()[::every][near] + noise * np.random.default_rng(seed).standard_normal(energy.size)
    known, found = float(larch.xafs.find_e0(energy, mu)), steepest(energy, mu)
    # Where nothing stands out larch takes one of the first points, which no edge is near.
    assert found == known or (found is None and known <= energy[8])
