from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from synthetic_gap import Gap, difference, measure

from xanesml.errors import SpectrumError
from xanesml.measured.broadening import broadened

E0 = 11920.0
MESH = np.arange(E0 - 15, E0 + 52, 0.5)
SPECTRA = np.stack([(0.5 + np.arctan((MESH - E0) / width) / np.pi) for width in (2.0, 2.5, 3.0)])


@settings(max_examples=25, deadline=None)
@given(rms=st.floats(1e-3, 0.5), correlation=st.floats(1, 40), seed=st.integers(0, 2**32))
def test_difference_has_the_size_asked_for_and_sets_in_at_the_edge(rms: float, correlation: float, seed: int) -> None:
    drawn = difference(MESH, edge=E0, rms=rms, correlation=correlation, seed=seed)
    assert np.sqrt(np.mean(drawn**2)) == pytest.approx(rms, rel=1e-9)
    assert np.abs(drawn[MESH < E0 - 10]).max() < 1e-4 * rms
    np.testing.assert_array_equal(drawn, difference(MESH, edge=E0, rms=rms, correlation=correlation, seed=seed))
    assert not np.allclose(drawn, difference(MESH, edge=E0, rms=rms, correlation=correlation, seed=seed + 1))


def test_difference_is_correlated_over_the_length_asked_for() -> None:
    above = MESH > E0 + 10
    drawn = np.array([difference(MESH, edge=E0, rms=1.0, correlation=6.0, seed=seed)[above] for seed in range(300)])
    for distance, wanted in ((6.0, np.exp(-0.5)), (12.0, np.exp(-2.0))):
        step = int(distance / 0.5)
        found = np.mean(drawn[:, step:] * drawn[:, :-step]) / np.mean(drawn**2)
        assert found == pytest.approx(wanted, abs=0.12)


def test_one_session_has_one_gap() -> None:
    gap = Gap()
    measured = measure(SPECTRA, MESH, edge=E0, gap=gap, seed=4)
    first, second, third = (spectrum.mu for spectrum in measured)
    inside = slice(60, 60 + MESH.size)
    blurred = broadened(SPECTRA, MESH, gap.broadening)
    np.testing.assert_allclose(gap.amplitude * (second - first)[inside], blurred[1] - blurred[0], atol=1e-12)
    np.testing.assert_allclose(gap.amplitude * (third - first)[inside], blurred[2] - blurred[0], atol=1e-12)
    lacking = gap.amplitude * first[inside] - blurred[0]
    assert np.sqrt(np.mean(lacking**2)) == pytest.approx(0.065, rel=1e-9)
    for spectrum in measured:
        np.testing.assert_array_equal(spectrum.energy, measured[0].energy)


def test_energies_are_those_that_shift_and_stretch_put_right() -> None:
    gap = Gap(shift=3.0, stretch=0.02)
    (found,) = measure(SPECTRA[:1], MESH, edge=E0, gap=gap, seed=1)
    again = E0 + (found.energy + gap.shift - E0) * (1 + gap.stretch)
    np.testing.assert_allclose(again[60 : 60 + MESH.size], MESH, atol=1e-9)
    assert again[0] == pytest.approx(MESH[0] - 30)
    assert again[-1] == pytest.approx(MESH[-1] + 30)
    assert found.mu[0] == 0.0


def test_seed_decides_everything_and_noise_differs_from_row_to_row() -> None:
    gap = Gap(rms=0.0, noise=0.01)
    spectra = np.repeat(SPECTRA[:1], 4, axis=0)
    once, again, other = (
        np.array([spectrum.mu for spectrum in measure(spectra, MESH, edge=E0, gap=gap, seed=seed)])
        for seed in (5, 5, 6)
    )
    np.testing.assert_array_equal(once, again)
    assert not np.allclose(once, other)
    scatter = np.diff(once, axis=0)
    assert scatter.std() == pytest.approx(np.sqrt(2) * 0.01, rel=0.1)


@pytest.mark.parametrize(
    "wrong", [{"rms": -0.1}, {"correlation": 0.0}, {"amplitude": 0.0}, {"noise": float("nan")}, {"broadening": -1.0}]
)
def test_impossible_gaps_are_refused(wrong: dict[str, float]) -> None:
    (name,) = wrong
    with pytest.raises(SpectrumError, match=f"gap's {name} "):
        Gap(**wrong)
