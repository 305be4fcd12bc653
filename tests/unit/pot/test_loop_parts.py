"""The parts of the self-consistent loop: contour and Fermi level, mixing, Coulomb potential, core and valence."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from pot_run import cluster, gold

from xanesml.errors import NotApplicable
from xanesml.fms.propagator import degrees
from xanesml.pot import core_valence
from xanesml.pot.clusters import Cluster, _eliminate
from xanesml.pot.contour import contour, fill
from xanesml.pot.coulomb import norman_radius, potential_change
from xanesml.pot.inputs import HARTREE
from xanesml.pot.mixing import Broyden
from xanesml.pot.radial import ATOMIC

LOWEST = -40 / HARTREE
# Levels, and electrons of one spin in each: the Green's function of some discrete states, broadened by a band.
LEVELS = np.array([-25.0, -12.0, -8.0, -3.0]) / HARTREE
STRENGTHS = np.array([1.0, 2.0, 2.0, 3.0])
WIDTH = 1.5 / HARTREE


def green(energies: np.ndarray) -> np.ndarray:
    """Return the density of states of Lorentzians as a function that is analytic above the real axis, (1, E, 1)."""
    poles = energies[:, None] - LEVELS + 1j * WIDTH
    return -(STRENGTHS / poles).sum(axis=1)[None, :, None] / np.pi


def filled(level: float) -> float:
    """Return the electrons of both spins between the lowest energy and a level, in closed form."""
    ends = np.arctan((level - LEVELS) / WIDTH) - np.arctan((LOWEST - LEVELS) / WIDTH)
    return float(2 * (STRENGTHS * ends).sum() / np.pi)


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("level", [-9.0, -6.5, -2.0])
def test_the_fermi_level_holds_all_electrons(level: float, first: bool) -> None:
    level /= HARTREE
    guess = level + 0.4 / HARTREE
    filling = fill(green, np.ones(1), filled(level), LOWEST, guess, first=first)
    assert filling.level * HARTREE == pytest.approx(level * HARTREE, abs=0.05)
    counted = (filling.weights @ green(filling.energies)[0, :, 0]).imag
    assert counted == pytest.approx(filled(level), abs=2e-3)


def test_the_first_search_and_the_others_agree() -> None:
    electrons = filled(-7 / HARTREE)
    levels = [
        fill(green, np.ones(1), electrons, LOWEST, -7.2 / HARTREE, first=first).level * HARTREE
        for first in (True, False)
    ]
    assert levels[0] == pytest.approx(levels[1], abs=0.02)


def test_weights_integrate_another_function() -> None:
    filling = fill(green, np.ones(1), filled(-7 / HARTREE), LOWEST, -7 / HARTREE, first=False)
    # f = 1: nothing but the length of the contour, whose end is real.
    assert filling.weights.sum().real == pytest.approx(2 * (filling.level - LOWEST), rel=2e-3)


def test_the_contour_goes_up_along_and_down() -> None:
    energies = contour(LOWEST, -6 / HARTREE) * HARTREE
    assert energies[0] == pytest.approx(-40 + 0.05j)
    assert energies[8] == pytest.approx(-40 + 4.05j)
    assert energies[-1] == pytest.approx(-6 + 0.05j)
    assert len(energies) == 9 + 34 + 16
    assert np.all(energies.imag > 0)


def test_without_states_there_is_no_fermi_level() -> None:
    with pytest.raises(NotApplicable, match="no Fermi level"):
        fill(lambda energies: np.zeros((1, len(energies), 1), complex), np.ones(1), 5.0, LOWEST, -0.2, first=True)
    with pytest.raises(NotApplicable, match="not finite"):
        fill(lambda energies: np.full((1, len(energies), 1), np.nan + 0j), np.ones(1), 5.0, LOWEST, -0.2, first=True)


def test_broyden_solves_a_linear_problem_in_its_dimension() -> None:
    rng = np.random.default_rng(3)
    matrix = rng.normal(size=(4, 4)) * 0.4
    offset = rng.normal(size=4)
    solution = np.linalg.solve(np.eye(4) - matrix, offset)
    mixing, guess = Broyden(0.5), np.zeros(4)
    assert mixing.next(guess, matrix @ guess + offset) == pytest.approx(0.5 * offset)
    mixing = Broyden(0.5)
    for _ in range(9):
        guess = mixing.next(guess, matrix @ guess + offset)
    np.testing.assert_allclose(guess, solution, atol=1e-8)


def test_the_norman_sphere_of_an_exponential() -> None:
    # 4πρ = 8N e^(−2r)·… holds N (1 − e^(−2r)(1 + 2r + 2r²)) electrons inside r.
    density = 4 * 30.0 * np.exp(-2 * ATOMIC.r)
    radius = norman_radius(density, 29.0)
    assert 30 * (1 - np.exp(-2 * radius) * (1 + 2 * radius + 2 * radius**2)) == pytest.approx(29.0, abs=1e-5)
    with pytest.raises(NotApplicable, match="do not balance"):
        norman_radius(density, 31.0)


def test_a_change_of_the_density_changes_the_coulomb_potential() -> None:
    before = 4 * 30.0 * np.exp(-2 * ATOMIC.r)
    wider, narrower = (4 * 30.0 * z**3 * np.exp(-2 * z * ATOMIC.r) for z in (0.98, 1.02))
    count = 205
    np.testing.assert_allclose(potential_change(before, before, 29.0, count), 0, atol=1e-12)
    up, down = (potential_change(before, after, 29.0, count) for after in (narrower, wider))
    # ∫ρ/r of this density is Nz at the nucleus; the constant of Norman's picture comes on top of it.
    inside = up[:120] - up[0]
    charge = 30.0
    at = ATOMIC.r[:120]

    def hartree(z: float) -> np.ndarray:
        return charge * (1 / at - np.exp(-2 * z * at) * (z + 1 / at))

    expected = hartree(1.02) - hartree(1.0)
    np.testing.assert_allclose(inside, expected - expected[0], atol=2e-4)
    assert up[0] > 0 > down[0]
    assert not up[count:].any()


def test_elimination_is_the_schur_complement() -> None:
    rng = np.random.default_rng(2)
    whole = rng.normal(size=(3, 63, 63)) + 1j * rng.normal(size=(3, 63, 63))
    whole = (whole + whole.swapaxes(1, 2)) / 20 + (3 + 1j) * np.eye(63)
    whole[:, 54:, 54:] = 0
    # The second has a diagonal block without inverse: it takes LU.
    whole[1, :18, :18] = 0
    got = _eliminate(whole.astype(np.complex64), 54)
    for matrix, reduced in zip(whole, got, strict=True):
        coupling = matrix[:54, 54:]
        expected = -coupling.T @ np.linalg.solve(matrix[:54, :54], coupling)
        np.testing.assert_allclose(reduced, expected, atol=2e-4 * np.abs(expected).max())


def test_the_trace_is_that_of_the_whole_inverse() -> None:
    atoms = gold(1) + np.random.default_rng(5).normal(size=(13, 3)) * 0.05
    run = cluster(atoms, lmax=np.array([1, 2]), largest_cluster=13)
    middle = Cluster(run, 0)
    momentum = np.array([0.4 + 0.5j, 0.9 + 0.1j])
    scattering = [0.3 * np.ones((2, 3)) + 0.2j, 0.2 * np.ones((2, 3)) + 0.3j]
    traces = middle.traces(momentum, scattering)
    propagators = middle._propagator.symmetric(momentum)
    size = propagators.shape[1]
    assert size == 12 * 9 + 4
    t = np.r_[np.full(12 * 9, 0.2 + 0.3j), np.full(4, 0.3 + 0.2j)]
    for e in range(2):
        green = np.linalg.solve(np.eye(size) - propagators[e] * t, propagators[e])
        block = np.diagonal(green)[-4:]
        expected = [block[degrees(1) == degree].sum() for degree in (0, 1)]
        np.testing.assert_allclose(traces[e], expected, rtol=2e-4, atol=1e-5)


def test_an_atom_alone_scatters_nothing_back() -> None:
    assert not Cluster(cluster(radius=0.5), 0).traces(np.array([0.5 + 0.1j]), [np.ones((1, 3))] * 2).any()


def free(energies: dict[int, float], valence: dict[int, float]) -> SimpleNamespace:
    """Return a free atom with s and p orbitals: κ = −1, 1, −2."""
    orbital_energies, counts = np.zeros((41, 1)), np.zeros((41, 1))
    kappas = np.zeros((41, 1), dtype=int)
    kappas[:3, 0] = -1, 1, -2
    for place, energy in energies.items():
        orbital_energies[place, 0] = energy / HARTREE
    for place, count in valence.items():
        counts[place, 0] = count
    large = np.exp(-ATOMIC.r) * ATOMIC.r * np.ones((1, 41, 1))
    return SimpleNamespace(
        kappas=kappas,
        energies=orbital_energies,
        valence=counts,
        valence_counts=np.zeros((4, 1)),
        valence_density=np.zeros((251, 1)),
        large=large,
        small=0 * large,
    )


@pytest.mark.parametrize(
    ("s", "p", "energy", "valence"),
    [
        (-100.0, -60.0, -40.0, []),  # both far below: nothing changes
        (-42.0, -90.0, -19.0, []),  # above the s level: just below the interstitial level
        (-17.0, -90.0, -22.0, [0]),  # the s level is too close to the interstitial level: valence
    ],
)
def test_levels_are_separated(
    monkeypatch: pytest.MonkeyPatch, s: float, p: float, energy: float, valence: list[int]
) -> None:
    levels = sorted(
        [
            core_valence.Level(0, 0, 0, s / HARTREE, core=True),
            core_valence.Level(0, 1, 2, p / HARTREE, core=True),
        ],
        key=lambda level: level.energy,
    )
    monkeypatch.setattr(core_valence, "find_levels", lambda *_: levels)
    made = core_valence.separate(free({}, {}), [], -14 / HARTREE, -40 / HARTREE, -120 / HARTREE)
    assert made.energy * HARTREE == pytest.approx(energy)
    assert [level.orbital for level in made.moved] == valence
    assert made.counts[:, 0].tolist() == ([2.0, 0, 0, 0] if valence else [0.0] * 4)
    assert np.flatnonzero(made.valence[:, 0]).tolist() == valence
    # ∫ 2 r² e^(−2r) dr = ½ of the density of the orbital that moved.
    shells = made.density[:, 0] * ATOMIC.r**3 * 0.05
    assert shells.sum() == pytest.approx(0.5 if valence else 0.0, rel=1e-3)


def test_a_core_level_above_a_valence_level_becomes_valence(monkeypatch: pytest.MonkeyPatch) -> None:
    levels = [
        core_valence.Level(0, 1, 2, -60 / HARTREE, core=False),
        core_valence.Level(0, 0, 0, -50 / HARTREE, core=True),
    ]
    monkeypatch.setattr(core_valence, "find_levels", lambda *_: levels)
    made = core_valence.separate(free({}, {}), [], -14 / HARTREE, -40 / HARTREE, -120 / HARTREE)
    assert made.energy * HARTREE == pytest.approx(-65)
    assert made.counts[0, 0] == 2
