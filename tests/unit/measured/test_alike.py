"""A sample beside its reference: normalized alike, on one scale of energies."""

import numpy as np
import pytest
from measured_files import DISORDER, ENERGY, foil_mu, measured

from xanesml.errors import SpectrumError
from xanesml.measured.alike import clean, foil_shift, paired, relative_shift, shifted
from xanesml.measured.background import FitRanges
from xanesml.measured.normalization import NormalizedSpectrum, Treatment, normalize

MESH = np.arange(11910, 11975, 0.5)
E0 = 11919.93
#: Rows of the foil that a sample lacks.
CUT = {
    "whole": np.full(ENERGY.size, True),
    "pre-edge from -90 eV": ENERGY > 11828,
    "pre-edge from -40 eV": ENERGY > 11878,
    "three points before the edge": (ENERGY > 11890) | (np.arange(ENERGY.size) == 0),
    "every second point": np.arange(ENERGY.size) % 2 == 0,
    "post-edge to 300 eV": ENERGY < 12220,
    "post-edge to 130 eV": ENERGY < 12050,
}


def difference(sample, reference):
    one, other = (np.interp(MESH, part.energy, part.mu) for part in (sample, reference))
    return np.sqrt(np.mean((one - other) ** 2))


@pytest.fixture(scope="module")
def foil():
    return normalize(measured(ENERGY, foil_mu()))


@pytest.mark.parametrize("cut", CUT)
@pytest.mark.parametrize("thick", [1.0, 3.0])
def test_a_foil_beside_itself_is_itself_whatever_of_it_was_measured(
    foil: NormalizedSpectrum, cut: str, thick: float
) -> None:
    # Thickness and a linear background are of the measurement, not of the sample.
    mu = thick * foil_mu() - 0.4 + 1e-4 * (ENERGY - E0)
    sample = normalize(measured(ENERGY[CUT[cut]], mu[CUT[cut]]))
    pair = paired(sample, foil)
    # Half of the points of the edge leave a little to interpolation, the same after any normalization.
    interpolated = np.interp(ENERGY, ENERGY[CUT[cut]], foil.mu[CUT[cut]])
    within = (ENERGY > 11910) & (ENERGY < 11975)
    left = np.sqrt(np.mean((interpolated - foil.mu)[within] ** 2))
    assert difference(pair.sample, pair.reference) < 0.02 * DISORDER + 1.5 * left
    for varied in pair.varied():
        assert difference(varied.sample, varied.reference) < 0.2 * DISORDER + 1.5 * left
    assert pair.sample.edge_step == pytest.approx(thick * pair.reference.edge_step, rel=2e-3)


@pytest.mark.parametrize("cut", ["pre-edge from -90 eV", "three points before the edge", "post-edge to 130 eV"])
def test_alone_they_differ_by_more_than_disorder_does_and_that_is_told(foil: NormalizedSpectrum, cut: str) -> None:
    sample = normalize(measured(ENERGY[CUT[cut]], foil_mu()[CUT[cut]]))
    assert difference(sample, foil) > 2 * DISORDER
    assert "normalized like the reference over" in paired(sample, foil).told(sample, foil)


def test_the_whole_foil_is_normalized_as_it_was(foil: NormalizedSpectrum) -> None:
    pair = paired(foil, foil)
    np.testing.assert_allclose(pair.sample.mu, foil.mu, atol=1e-9)
    assert pair.ranges == foil.ranges
    assert pair.told(foil, foil) == ""


def test_noise_of_a_finer_scan_averages_between_the_points_of_a_coarser_one(foil: NormalizedSpectrum) -> None:
    energy = np.arange(11720.0, 12880.0, 0.2)
    errors = []
    for seed in range(8):
        noise = 0.02 * np.random.default_rng(seed).standard_normal(energy.size)
        sample = normalize(measured(energy, np.interp(energy, ENERGY, foil_mu()) + noise))
        pair = paired(sample, foil)
        errors.append(pair.sample.edge_step / pair.reference.edge_step - 1)
    # Of single points at the ten energies before the edge it would be 0.04.
    assert np.std(errors) < 0.012


def test_ranges_that_do_not_meet_are_refused() -> None:
    sample = normalize(measured(ENERGY, foil_mu()), treatment=Treatment(post_edge=(30, 130)))
    reference = normalize(measured(ENERGY, foil_mu(), source="foil"), treatment=Treatment(post_edge=(150, 900)))
    with pytest.raises(SpectrumError, match="sample and the reference foil have no range in common"):
        paired(sample, reference)


@pytest.mark.parametrize("shift", [-2.9, -0.1, 0.0, 0.037, 1.5])
def test_a_shift_is_found_whatever_the_thickness(shift: float) -> None:
    mu = 2.5 * foil_mu() + 3 - 2e-4 * ENERGY
    found = relative_shift(ENERGY - shift, mu, ENERGY, foil_mu(), E0)
    assert found is not None
    assert found.shift == pytest.approx(shift, abs=2e-3)
    assert found.misfit < 1e-3


def test_the_uncertainty_of_a_shift_is_its_scatter() -> None:
    rng = np.random.default_rng(1)
    found = []
    for _ in range(40):
        noisy = foil_mu() + 0.01 * rng.standard_normal(ENERGY.size)
        found.append(relative_shift(ENERGY - 0.2, foil_mu(), ENERGY, noisy, E0))
    scatter = np.std([one.shift for one in found])
    assert np.mean([one.error for one in found]) == pytest.approx(scatter, rel=0.4)
    assert np.mean([one.shift for one in found]) == pytest.approx(0.2, abs=3 * scatter / np.sqrt(40))


def test_a_foil_measured_with_both_gives_the_shift() -> None:
    # The sample has another spectrum than the foil; only the foils are compared.
    other = np.interp(ENERGY, ENERGY + 1.0, foil_mu()) * 1.2
    reference = normalize(measured(ENERGY, foil_mu(), foil=2 * foil_mu()))
    sample = normalize(measured(ENERGY + 0.13, other, foil=foil_mu() + 0.5))
    found = foil_shift(sample, reference)
    assert found is not None
    assert found.shift == pytest.approx(-0.13, abs=2e-3)
    moved = shifted(sample, found.shift)
    np.testing.assert_allclose(moved.energy, ENERGY, atol=2e-3)
    assert moved.parameters["aligned_by"] == found.shift
    assert foil_shift(normalize(measured(ENERGY, other)), reference) is None


def test_glitches_are_left_out_of_fits_after_a_shift_too() -> None:
    mu = foil_mu()
    mu[200] += 0.5
    sample = normalize(measured(ENERGY, mu))
    assert sample.parameters["glitches"] == [ENERGY[200]]
    for shift in (0.0, 0.1, -0.123456789):
        energy, left = clean(shifted(sample, shift))
        assert energy.size == left.size == ENERGY.size - 1
        assert ENERGY[200] + shift not in energy


def test_what_is_no_spectrum_of_the_same_foil_gives_no_shift() -> None:
    reference = normalize(measured(ENERGY, foil_mu(), foil=foil_mu()))
    for channel in (np.ones(ENERGY.size), np.sin(ENERGY / 7), foil_mu() * (1 + 0.3 * np.sin(ENERGY / 6))):
        sample = normalize(measured(ENERGY, foil_mu(), foil=channel))
        assert foil_shift(sample, reference) is None


def test_variations_stay_within_their_ranges() -> None:
    ranges = FitRanges(-190, -95, 25, 970, 2)
    for one in ranges.variations():
        assert one != ranges
        assert ranges.pre1 <= one.pre1 < one.pre2 <= ranges.pre2
        assert ranges.norm1 <= one.norm1 < one.norm2 <= ranges.norm2
