"""Errors of a measurement against convolutions and statistics worked out in numpy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.special import erf

from xanesml.averages.series import Series
from xanesml.campaign import TrainingSection
from xanesml.learning.augmentation import Augmentation, Augmenter, convolved, gaussian_averages
from xanesml.learning.network import import_keras

pytestmark = pytest.mark.requires("keras")

STEP = 0.5
MESH = 11900.0 + STEP * np.arange(120)
EDGE = 11920.0


def edges(position: float, width: float, count: int = 1) -> np.ndarray:
    """Return spectra that are steps broadened by a Gaussian."""
    return np.tile(0.5 * (1 + erf((MESH - position) / (np.sqrt(2) * width))), (count, 1))


def run(spectra: np.ndarray, **errors: float) -> np.ndarray:
    return Augmenter(Augmentation(**errors), MESH, EDGE).on_arrays(spectra, np.random.SeedSequence(1))


def convolve(spectra: np.ndarray, shift: float, width: float) -> np.ndarray:
    ops = import_keras().ops
    column: Any = [[np.float32(value)] * len(spectra) for value in (shift, width)]
    tensors = [ops.cast(np.array(values)[:, np.newaxis], "float32") for values in column]
    return ops.convert_to_numpy(convolved(ops.cast(spectra, "float32"), *tensors, step=STEP, taps=16))


@pytest.mark.parametrize(("shift", "width"), [(0.0, 0.0), (1.3, 0.0), (-0.7, 0.6), (0.5, 1.5)])
def test_a_broadened_edge_is_a_wider_edge_elsewhere(shift: float, width: float) -> None:
    # Linear interpolation between mesh points broadens by step²/6 or less.
    expected = edges(EDGE - shift, np.hypot(3.0, width))
    np.testing.assert_allclose(convolve(edges(EDGE, 3.0), shift, width), expected, atol=2e-3)


def test_no_shift_and_no_broadening_leave_a_spectrum_as_it_is() -> None:
    spectra = np.random.default_rng(1).random((3, 120))
    np.testing.assert_allclose(convolve(spectra, 0.0, 0.0), spectra, rtol=0, atol=1e-6)


def test_straight_lines_stay_straight_up_to_their_ends() -> None:
    line = np.linspace(0.0, 2.0, 120)[np.newaxis]
    slope = (line[0, 1] - line[0, 0]) / STEP
    np.testing.assert_allclose(convolve(line, 0.8, 1.2), line + 0.8 * slope, atol=2e-5)


def test_what_is_off_changes_nothing() -> None:
    spectra = np.random.default_rng(1).random((5, 120)).astype(np.float32)
    np.testing.assert_array_equal(run(spectra), spectra)
    assert run(spectra[:0], noise=0.1).shape == (0, 120)


def test_noise_is_white_and_of_the_size_asked_for() -> None:
    noise = run(np.zeros((400, 120)), noise=0.01)
    assert noise.dtype == np.float32
    assert noise.std() == pytest.approx(0.01, rel=0.02)
    assert np.corrcoef(noise[:, 0], noise[:, 1])[0, 1] == pytest.approx(0, abs=0.2)


def test_shifts_are_uniform_within_their_bound() -> None:
    line = np.tile(np.linspace(0.0, 1.0, 120), (2000, 1))
    shifts = (run(line, energy_shift=0.4) - line)[:, 60] / (line[0, 1] - line[0, 0]) * STEP
    assert np.abs(shifts).max() <= 0.4 + 1e-3
    assert shifts.std() == pytest.approx(0.4 / np.sqrt(3), rel=0.05)


def test_gains_and_slopes_have_the_deviation_asked_for() -> None:
    gains = run(np.ones((4000, 120)), step_error=0.02)
    assert np.ptp(gains, axis=1).max() < 1e-6
    assert gains[:, 0].std() == pytest.approx(0.02, rel=0.05)
    lines = run(np.zeros((4000, 120)), slope=0.03)
    at_edge = int(np.argmin(np.abs(MESH - EDGE)))
    assert np.abs(lines[:, at_edge]).max() < 1e-6
    rise = (lines[:, -1] - lines[:, 0]) / (MESH[-1] - MESH[0]) * 50
    assert rise.std() == pytest.approx(0.03, rel=0.05)


def test_broadening_widens_edges_by_up_to_its_bound() -> None:
    width = 2.0
    spectra = edges(EDGE, width, 500)
    slopes = np.diff(run(spectra, broadening=1.5), axis=1).max(axis=1) / STEP
    found = 1 / (np.sqrt(2 * np.pi) * slopes)
    assert width - 0.02 < found.min() < width + 0.05
    assert np.hypot(width, 1.5) - 0.05 < found.max() < np.hypot(width, 1.5) + 0.05


def test_beside_a_reference_common_errors_cancel_and_the_difference_is_kept() -> None:
    reference = edges(EDGE, 3.0)
    sample = reference + 0.01 * np.sin(MESH / 6)
    common = {"energy_shift": 1.0, "broadening": 0.8}
    beside = Augmenter(Augmentation(**common), MESH, EDGE, reference)
    same = beside.on_arrays(np.repeat(reference, 50, axis=0), np.random.SeedSequence(1))
    np.testing.assert_allclose(same, np.repeat(reference, 50, axis=0), atol=1e-6)
    other = beside.on_arrays(np.repeat(sample, 50, axis=0), np.random.SeedSequence(1))
    alone = run(np.repeat(sample, 50, axis=0), **common)
    assert np.abs(other - sample).max() < 0.004
    assert np.abs(alone - sample).max() > 0.1


def test_a_drift_and_the_amplitude_act_on_the_sample_alone() -> None:
    reference = edges(EDGE, 3.0)
    drift = Augmenter(Augmentation(drift=0.5), MESH, EDGE, reference)
    moved = drift.on_arrays(np.repeat(reference, 300, axis=0), np.random.SeedSequence(2)) - reference
    steepest = np.diff(reference[0]).max() / STEP
    assert np.abs(moved).max() == pytest.approx(0.5 * steepest, rel=0.05)
    amplitude = Augmenter(Augmentation(amplitude=0.1), MESH, EDGE, reference)
    scaled = amplitude.on_arrays(np.repeat(reference + 0.5, 2000, axis=0), np.random.SeedSequence(2)) - reference
    assert scaled[:, 5].std() == pytest.approx(0.05, rel=0.05)


def test_noise_beside_a_reference_is_that_of_two_measurements() -> None:
    both = Augmenter(Augmentation(noise=0.01), MESH, EDGE, edges(EDGE, 3.0))
    noise = both.on_arrays(edges(EDGE, 3.0, 400), np.random.SeedSequence(3)) - edges(EDGE, 3.0)
    assert noise.std() == pytest.approx(0.01 * np.sqrt(2), rel=0.02)


def test_a_seed_gives_the_same_errors_again_and_another_seed_others() -> None:
    beside = Augmenter(Augmentation.of(TrainingSection(), "reference"), MESH, EDGE, edges(EDGE, 3.0, 2))
    spectra = edges(EDGE, 2.0, 4)
    first, again, other = (beside.on_arrays(spectra, np.random.SeedSequence(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_without_a_reference_nothing_drifts_against_it() -> None:
    section = TrainingSection(drift=0.3, amplitude=0.1, noise=0.002)
    assert Augmentation.of(section, "reference").drift == 0.3
    direct = Augmentation.of(section, "direct")
    assert (direct.drift, direct.amplitude, direct.noise) == (0.0, 0.0, 0.002)


def test_references_are_gaussian_averages_normalized_once() -> None:
    delta = np.round(np.linspace(-0.45, 0.45, 91), 10)
    series = Series(
        energy=np.arange(3.0),
        delta=delta,
        mu=np.column_stack([np.ones(91), delta, delta**2]),
        edge_step=np.full(91, 2.0),
        r=2.88 + delta,
        first_shell=2.88,
    )
    found = gaussian_averages(series, np.array([0.004, 0.01]))
    np.testing.assert_allclose(found, [[0.5, 0.0, 0.002], [0.5, 0.0, 0.005]], rtol=1e-3, atol=1e-12)
