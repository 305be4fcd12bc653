from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter
from scipy.special import erf, voigt_profile
from synthetic_gap import Gap, measure

from xanesml.errors import SpectrumError
from xanesml.files.records import plain
from xanesml.measured.broadening import broadened
from xanesml.measured.calibration import Calibration, calibrate
from xanesml.measured.normalization import NormalizedSpectrum

E0 = 11920.0
MESH = np.arange(E0 - 5, E0 + 52, 0.5)
RELATIVE = MESH - E0


def theory(msd: float) -> np.ndarray:
    """An edge with two resonances and fine structure that disorder damps."""
    k = np.sqrt(np.clip(RELATIVE, 0, None) / 3.81)
    resonances = 0.25 * np.exp(-(((RELATIVE - 15) / 5) ** 2)) + 0.15 * np.exp(-(((RELATIVE - 27) / 5) ** 2))
    fine = 0.3 * np.exp(-2 * k**2 * msd) * np.sin(2 * k * 2.88) * np.exp(-k / 3)
    return (0.5 + np.arctan(RELATIVE / 2.5) / np.pi) * (1 + resonances + fine)


REFERENCE, SAMPLE = theory(0.0081), theory(0.012)


def rms(values: np.ndarray) -> float:
    return float(np.sqrt(np.mean(values**2)))


def calibrated(gap: Gap, seed: int = 1) -> tuple[Calibration, NormalizedSpectrum, NormalizedSpectrum]:
    reference, sample = measure(np.stack([REFERENCE, SAMPLE]), MESH, edge=E0, gap=gap, seed=seed)
    return calibrate(reference, MESH, REFERENCE, edge=E0), reference, sample


@settings(max_examples=15, deadline=None)
@given(
    shift=st.floats(-12, 12),
    stretch=st.floats(-0.03, 0.03),
    broadening=st.floats(0.3, 1.4),
    amplitude=st.floats(0.91, 1.09),
)
def test_what_lies_between_is_found_where_nothing_else_does(
    shift: float, stretch: float, broadening: float, amplitude: float
) -> None:
    found, reference, sample = calibrated(Gap(0.0, 8.0, shift, stretch, broadening, amplitude))
    assert found.shift == pytest.approx(shift, abs=1e-3)
    assert found.stretch == pytest.approx(stretch, abs=1e-4)
    assert found.broadening == pytest.approx(broadening, abs=1e-3)
    assert found.amplitude == pytest.approx(amplitude, abs=1e-4)
    assert found.rms_after < 1e-5
    assert found.doubts == ()
    np.testing.assert_allclose(found.apply(reference, MESH), broadened(REFERENCE, MESH, broadening), atol=1e-4)
    np.testing.assert_allclose(found.apply(sample, MESH), broadened(SAMPLE, MESH, broadening), atol=1e-4)


@pytest.mark.parametrize("seed", range(5))
def test_differences_survive_a_gap_that_hides_the_spectra_themselves(seed: int) -> None:
    gap = Gap(rms=0.065, noise=0.0)
    found, reference, sample = calibrated(gap, seed)
    assert found.rms_after <= found.rms_before
    true = broadened(SAMPLE - REFERENCE, MESH, gap.broadening)
    difference = found.apply(sample, MESH) - found.apply(reference, MESH)
    direct = found.apply(sample, MESH) - broadened(SAMPLE, MESH, found.broadening)
    assert rms(difference - true) < 0.3 * rms(true)
    assert rms(direct) > 8 * rms(true)


def test_error_of_the_difference_is_of_second_order_in_a_wrong_calibration() -> None:
    right, reference, sample = calibrated(Gap(rms=0.0))
    true = right.apply(sample, MESH) - right.apply(reference, MESH)
    wrong = dataclasses.replace(right, shift=right.shift + 0.3, amplitude=right.amplitude * 1.02)
    assert rms(wrong.apply(sample, MESH) - right.apply(sample, MESH)) > 5 * rms(true)
    assert rms(wrong.apply(sample, MESH) - wrong.apply(reference, MESH) - true) < 0.15 * rms(true)


def test_uncertainties_are_the_scatter_of_the_fits() -> None:
    gap = Gap(rms=0.02)
    truth = {"shift": gap.shift, "stretch": gap.stretch, "broadening": gap.broadening, "amplitude": gap.amplitude}
    fits = [calibrated(gap, seed)[0] for seed in range(40)]
    for name, true in truth.items():
        pulls = [(getattr(fit, name) - true) / fit.uncertainties[name] for fit in fits]
        # An estimate from some seven independent points, and short of one where the expectations hold back.
        assert 0.2 < rms(np.array(pulls)) < 2.0, name


def test_spectrum_sharper_than_theory_is_calibrated_with_a_doubt() -> None:
    blurred = broadened(REFERENCE, MESH, 1.5)
    (measured,) = measure(REFERENCE[np.newaxis], MESH, edge=E0, gap=Gap(0.0, broadening=0.0), seed=1)
    found = calibrate(measured, MESH, blurred, edge=E0)
    assert found.broadening == 0.0
    assert "sharper than theory" in found.doubts[0]
    assert np.isfinite(found.uncertainties["broadening"])


@pytest.mark.parametrize(
    ("gap", "says"),
    [
        (Gap(0.0, amplitude=1.5), r"its amplitude reaches a bound of the range 0.6667 … 1.5;"),
        (Gap(0.0, broadening=5.0), "its variance of the broadening reaches a bound of the range 0 … 25"),
        (Gap(0.0, shift=17.0), "cannot be aligned"),
        (Gap(0.0, amplitude=1.9), r"differs by 0.\d{3} edge steps .* more than 0.15"),
    ],
)
def test_what_cannot_be_a_calibration_is_refused(gap: Gap, says: str) -> None:
    with pytest.raises(SpectrumError, match=says) as caught:
        calibrated(gap)
    assert "synthetic spectrum 0" in str(caught.value)


def test_numbers_far_from_what_is_expected_are_doubted() -> None:
    found, _, _ = calibrated(Gap(0.0, stretch=0.06, amplitude=1.2))
    assert len(found.doubts) == 2
    assert "its stretch, 0.06, lies further from 0 than 2 times 0.02" in found.doubts[0]
    assert "its amplitude, 1.2, " in found.doubts[1]


def test_calculated_reference_needs_no_calibration() -> None:
    (made,) = measure(REFERENCE[np.newaxis], MESH, edge=E0, gap=Gap(), seed=1)
    calculated = dataclasses.replace(made, energy=MESH, mu=REFERENCE + 0.01, theory=True)
    found = calibrate(calculated, MESH, REFERENCE, edge=E0)
    assert (found.shift, found.stretch, found.broadening, found.amplitude) == (0.0, 0.0, 0.0, 1.0)
    assert found.rms_before == found.rms_after == pytest.approx(0.01)
    np.testing.assert_array_equal(found.apply(calculated, MESH), REFERENCE + 0.01)


def test_mesh_is_never_extrapolated() -> None:
    found, reference, _ = calibrated(Gap(rms=0.0))
    short = dataclasses.replace(reference, energy=reference.energy[70:], mu=reference.mu[70:])
    with pytest.raises(SpectrumError, match=r"needs .* of it \(shifted by \+2.00 eV and stretched by \+1.00%\)"):
        found.apply(short, MESH)
    whole = dataclasses.replace(reference, energy=MESH - 2.0, mu=REFERENCE)
    np.testing.assert_allclose(Calibration(2.0, 0.0, 0.0, 2.0, E0, 0.0, 0.0, {}, "x").apply(whole, MESH), 2 * REFERENCE)


def test_json_round_trip() -> None:
    found, reference, _ = calibrated(Gap())
    again = TypeAdapter(Calibration).validate_json(json.dumps(plain(found), allow_nan=False))
    assert again == found
    np.testing.assert_array_equal(again.apply(reference, MESH), found.apply(reference, MESH))


@pytest.mark.parametrize("sigma", [0.1, 0.4, 1.0, 2.5])
def test_broadened_edges_are_the_analytic_ones(sigma: float) -> None:
    width = 3.0
    found = broadened((1 + erf(RELATIVE / np.sqrt(2) / width)) / 2, MESH, sigma)
    wanted = (1 + erf(RELATIVE / np.sqrt(2) / np.hypot(width, sigma))) / 2
    inside = np.abs(RELATIVE - 20) < 20
    np.testing.assert_allclose(found[inside], wanted[inside], atol=2e-3 * sigma**2)
    # The slope of an arctangent broadened by a Gaussian is a Voigt profile.
    wide = np.arange(-300.0, 300.0, 0.5)
    arctangent = broadened(0.5 + np.arctan(wide / width) / np.pi, wide, sigma)
    near = np.abs(wide) < 20
    np.testing.assert_allclose(
        np.gradient(arctangent, wide)[near], voigt_profile(wide[near], sigma, width), atol=0.01 / width**2
    )


def test_broadening_keeps_straight_lines_and_adds_up() -> None:
    line = 3.0 + 0.2 * RELATIVE
    spectra = np.stack([line, REFERENCE])
    found = broadened(spectra, MESH, 1.3)
    np.testing.assert_allclose(found[0], line, atol=1e-9)
    np.testing.assert_array_equal(found[1], broadened(REFERENCE, MESH, 1.3))
    inner = slice(20, -20)
    twice = broadened(broadened(REFERENCE, MESH, 0.5), MESH, 1.2)
    np.testing.assert_allclose(twice[inner], found[1][inner], atol=1e-6)
    np.testing.assert_array_equal(broadened(spectra, MESH, 0.0), spectra)


def test_impossible_broadenings_are_refused() -> None:
    for sigma in (-0.1, float("nan")):
        with pytest.raises(SpectrumError, match="give 0 or more"):
            broadened(REFERENCE, MESH, sigma)
    with pytest.raises(SpectrumError, match="needs even steps"):
        broadened(REFERENCE, np.concatenate([MESH[:-1], MESH[-1:] + 3]), 1.0)
