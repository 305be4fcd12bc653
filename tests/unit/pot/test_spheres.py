from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pot_run import cluster, gold

from xanesml.errors import NotApplicable
from xanesml.pot.exchange_correlation import potential
from xanesml.pot.fields import Interstitial, make_fields
from xanesml.pot.interstitial import Overlap
from xanesml.pot.radial import ATOMIC
from xanesml.pot.spheres import cap, lens, muffin_tins

NORMAN = np.array([3.02, 2.97])


def test_the_lens_of_two_unit_spheres() -> None:
    # π/12 (4 + d)(2 − d)² at the distance d, here 1: 5π/12.
    assert lens(1.0, 1.0, 1.0) == pytest.approx(5 * np.pi / 12)
    assert lens(1.0, 1.0, 2.5) == 0


@settings(deadline=None)
@given(st.floats(1, 2), st.floats(1, 2), st.floats(0.3, 0.95))
def test_two_caps_make_a_lens(one: float, other: float, part: float) -> None:
    distance = max(one, other) + part * min(one, other)
    assert lens(one, other, distance) == pytest.approx(float(cap(one, other, distance) + cap(other, one, distance)))
    assert lens(one, other, distance) == pytest.approx(float(lens(other, one, distance)))


def test_equal_atoms_touch_halfway() -> None:
    tins = muffin_tins(cluster(), np.array([3.0, 3.0]))
    half = np.linalg.norm(gold()[1]) / 0.529177249 / 2
    np.testing.assert_allclose(tins.touching, [half, half], rtol=0.05)
    assert tins.touching[0] == pytest.approx(half, rel=1e-9)
    np.testing.assert_allclose(tins.radii, tins.touching * tins.overlaps)
    assert np.all(tins.overlaps <= 1.15)
    assert np.all(tins.overlaps > 1)


def test_a_card_limits_the_overlap() -> None:
    assert muffin_tins(cluster(overlaps=np.array([1.02, 1.0])), NORMAN).overlaps.tolist() == [1.02, 1.0]


@pytest.mark.parametrize(("norman", "reason"), [(1.0, "meets no other"), (6.0, "reaches the nearest")])
def test_norman_radii_that_make_no_sense_are_refused(norman: float, reason: str) -> None:
    with pytest.raises(NotApplicable, match=reason):
        muffin_tins(cluster(), np.array([norman, norman]))


@pytest.fixture(scope="module")
def overlap() -> Overlap:
    return Overlap(cluster(), muffin_tins(cluster(), NORMAN).radii, NORMAN)


def test_a_constant_potential_is_the_level(overlap: Overlap) -> None:
    own, level = overlap.potential(np.full((2, ATOMIC.size), -0.4))
    assert level == pytest.approx(-0.4)
    np.testing.assert_allclose(own, -0.4)


def test_the_sum_of_the_spheres_potentials_gives_the_averages_back(overlap: Overlap) -> None:
    given_potentials = -5 / ATOMIC.r * np.exp(-ATOMIC.r) - 0.3 + np.zeros((2, 1))
    own, level = overlap.potential(given_potentials)
    # Where spheres overlap, each one's own potential is closer to the level than the average.
    last = overlap.points
    for p in range(2):
        assert abs(own[p, last[p]] - level) < abs(given_potentials[p, last[p]] - level)
        np.testing.assert_allclose(own[p, : last[p] - 49], given_potentials[p, : last[p] - 49])
        np.testing.assert_allclose(own[p, last[p] + 2 :], level)
    moved, shifted = overlap.potential(given_potentials + 0.25)
    assert shifted == pytest.approx(level + 0.25)
    np.testing.assert_allclose(moved, own + 0.25)


def test_electrons_outside_the_spheres_fill_the_volume_between(overlap: Overlap) -> None:
    # Nothing inside: all electrons outside.
    assert overlap.density(np.zeros((2, ATOMIC.size)), 10.0) == pytest.approx(40 * np.pi / overlap.volume)
    compact = np.exp(-20 * ATOMIC.r) * 20**3 / 2 * np.ones((2, 1))
    # 4π times this density holds one electron, near the nucleus.
    outside = overlap.density(compact, 101.0 + 10.0)
    assert outside == pytest.approx(40 * np.pi / overlap.volume, rel=1e-3)


def test_rotations_and_relabelling_change_nothing(overlap: Overlap) -> None:
    rng = np.random.default_rng(1)
    turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    atoms = gold() @ turn.T
    order = np.r_[0, 1, 2 + rng.permutation(len(atoms) - 2)]
    other = Overlap(cluster(atoms[order]), muffin_tins(cluster(atoms[order]), NORMAN).radii, NORMAN)
    potentials = -5 / ATOMIC.r * np.exp(-ATOMIC.r) + np.zeros((2, 1))
    assert other.volume == pytest.approx(overlap.volume)
    assert other.potential(potentials)[1] == pytest.approx(overlap.potential(potentials)[1], abs=1e-12)


def test_exchange_and_correlation_of_the_electron_gas() -> None:
    # rs = 2, Hartree: −1.22177/(2·2) of exchange, −0.0252 ln 16 of correlation.
    density = np.array([3 / 2.0**3])
    assert potential(density)[0] == pytest.approx(-0.30544353 - 0.0252 * np.log(16))
    np.testing.assert_allclose(potential(np.array([0.0, -1.0, 1e-12]), 10.0), potential(np.full(3, 3e-3)), rtol=1e-9)


def test_the_interstitial_electron_gas() -> None:
    between = Interstitial(level=-0.5, density=3 / 1.8**3)
    assert between.rs == pytest.approx(1.8)
    # k = 1.9192/rs; plasmon energy √(3/rs³) Hartree.
    assert between.momentum == pytest.approx(1.9191583 / 1.8)
    assert between.fermi == pytest.approx(-0.5 + between.momentum**2 / 2)
    assert between.plasmon == pytest.approx(np.sqrt(3 / 1.8**3))


def test_the_level_stays_below_the_fermi_level(overlap: Overlap) -> None:
    density = np.full((2, ATOMIC.size), 0.2)
    coulomb = np.zeros_like(density)
    free = make_fields(cluster(), overlap, density, density, coulomb, np.inf)
    held = make_fields(cluster(), overlap, density, density, coulomb, free.interstitial.level - 0.1)
    assert held.interstitial.level == pytest.approx(free.interstitial.level - 0.15)
    assert not make_fields(cluster(exchange=0), overlap, density, density, coulomb, 0.0).valence_total.any()
