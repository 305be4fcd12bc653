import numpy as np
import pytest

from xanesml.errors import SpectrumError
from xanesml.measured.screening import edge_offset, noise_level, tabulated_edge

E0 = 11919.0


def grid() -> np.ndarray:
    """Energies of a usual scan: even steps in the XANES, even steps in k above."""
    k = np.arange(2.8, 5.2, 0.05)
    return np.concatenate([np.arange(E0 - 20, E0 + 30, 0.2), E0 + 3.81 * k[3.81 * k**2 > 31] ** 2])


@pytest.mark.parametrize("sigma", [0.002, 0.02])
def test_noise_is_estimated_on_an_uneven_grid_beneath_structure(sigma: float) -> None:
    energy = grid()
    smooth = (0.5 + np.arctan((energy - E0) / 2.5) / np.pi) * (1 + 0.2 * np.sin((energy - E0) / 5))
    found = [
        noise_level("a.xdi", energy, smooth + sigma * np.random.default_rng(seed).standard_normal(energy.size), E0)
        for seed in range(20)
    ]
    assert np.mean(found) == pytest.approx(sigma, rel=0.05)


def test_structure_alone_is_hardly_noise() -> None:
    energy = grid()
    smooth = (0.5 + np.arctan((energy - E0) / 2.5) / np.pi) * (1 + 0.2 * np.sin((energy - E0) / 5))
    assert noise_level("a.xdi", energy, smooth, E0) < 1e-4


def test_a_glitch_does_not_count() -> None:
    energy = grid()
    mu = 0.003 * np.random.default_rng(1).standard_normal(energy.size)
    clean = noise_level("a.xdi", energy, mu, E0)
    mu[150] += 5.0
    assert noise_level("a.xdi", energy, mu, E0) == pytest.approx(clean, rel=0.15)


def test_too_few_points_are_refused() -> None:
    energy = np.arange(E0 - 50, E0 + 84, 7.0)
    with pytest.raises(SpectrumError, match=r"a.xdi has 12 points in the 100 eV above its edge, at least 14"):
        noise_level("a.xdi", energy, energy, E0)


def test_offset_is_measured_minus_tabulated() -> None:
    assert tabulated_edge("Au", "L3") == 11919.0
    assert edge_offset("a.xdi", 11921.5, "Au", "L3") == 2.5
    assert edge_offset("a.xdi", 11894.5, "Au", "L3") == -24.5
    with pytest.raises(
        SpectrumError, match=r"a.xdi rises .* 11893.5 eV, -25.5 eV from the tabulated Au L3 edge at 11919.0"
    ):
        edge_offset("a.xdi", 11893.5, "Au", "L3")
