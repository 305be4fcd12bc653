"""Where the edge is, further edges in the range of the fits, and glitches."""

import numpy as np
import pytest
import xraydb
from measured_files import DISORDER, ENERGY, foil_mu, measured

from xanesml.errors import SpectrumError
from xanesml.measured import MeasuredSpectrum, Treatment
from xanesml.measured.edges import core_width, find_edge, other_edges
from xanesml.measured.glitches import find_glitches
from xanesml.measured.normalization import normalize

E0, STEP = 11919.93, 0.8585


def near(found, other):
    """Root mean square difference of two normalized spectra near the edge, edge steps."""
    mesh = np.arange(11910, 11975, 0.5)
    difference = np.interp(mesh, found.energy, found.mu) - np.interp(mesh, other.energy, other.mu)
    return np.sqrt(np.mean(difference**2))


def further(energy, where, size):
    return size * STEP * (0.5 + np.arctan((energy - where) / 2.5) / np.pi)


def quick_scan(noise, spacing=0.2, seed=0):
    energy = np.arange(11700.0, 12880.0, spacing)
    mu = np.interp(energy, ENERGY, foil_mu())
    return energy, mu + noise * STEP * np.random.default_rng(seed).standard_normal(energy.size)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("noise", [0.0, 0.005, 0.02, 0.04])
def test_the_edge_of_a_quick_scan_is_found_beneath_its_noise(noise: float, seed: int) -> None:
    energy, mu = quick_scan(noise, seed=seed)
    found = normalize(measured(energy, mu))
    assert found.e0 == pytest.approx(E0, abs=2.0)
    assert found.edge_step == pytest.approx(STEP, rel=0.03)
    assert any("its noise, 0.0" in doubt for doubt in found.doubts) == (noise > 0.01)


@pytest.mark.parametrize("noise", [0.1, 0.2])
def test_a_scan_in_which_no_edge_stands_out_is_too_noisy(noise: float) -> None:
    energy, mu = quick_scan(noise)
    with pytest.raises(SpectrumError, match="sample is too noisy"):
        normalize(measured(energy, mu))


def test_another_edge_that_is_larger_does_not_hide_the_one_that_is_meant() -> None:
    mu = foil_mu() + further(ENERGY, 12658, 3.0)
    assert find_edge("a", ENERGY, mu, "Au", "L3") == pytest.approx(E0, abs=0.5)
    assert find_edge("a", ENERGY, mu, "Se", "K") == pytest.approx(12658, abs=8)
    with pytest.raises(SpectrumError, match="where it has no edge within 25 eV"):
        normalize(MeasuredSpectrum(ENERGY, mu, "Br", "K", "a"))


def test_the_foil_has_no_further_edges() -> None:
    assert other_edges(ENERGY, foil_mu() / STEP, E0, element="Au", edge="L3") == []


@pytest.mark.parametrize(
    ("where", "name"),
    [(12658, ", near the Se K edge"), (12284, ", near the Hg L3 edge"), (12100, ", near the W L1 edge")],
)
@pytest.mark.parametrize("size", [0.05, 0.1, 0.5])
def test_a_step_in_the_data_ends_the_post_edge_fit(where: float, name: str, size: float) -> None:
    foil = normalize(measured(ENERGY, foil_mu()))
    found = normalize(measured(ENERGY, foil_mu() + further(ENERGY, where, size)))
    assert found.parameters["norm2"] == pytest.approx(where - 20 - E0, abs=6)
    (doubt,) = found.doubts
    assert "the post-edge fit ends before a step of +0." in doubt
    assert doubt.endswith(f" eV{name}")
    known = normalize(measured(ENERGY, foil_mu()), treatment=Treatment(post_edge=(25, where - 20 - E0)))
    # As the foil itself over the same range, of which the far tail of the step is a part.
    assert near(found, known) < 5 * size * DISORDER
    assert near(found, foil) < 12 * DISORDER


@pytest.mark.parametrize("stated", [True, False])
def test_a_tabulated_edge_of_the_sample_ends_the_post_edge_fit(stated: bool) -> None:
    mu = foil_mu() + further(ENERGY, xraydb.xray_edge("Hg", "L3").energy + 2, 0.01)
    spectrum = measured(ENERGY, mu, others=("Hg", "O") if stated else ())
    found = normalize(spectrum, treatment=Treatment(others=() if stated else ("Hg",)))
    assert found.doubts == ("the post-edge fit ends before the Hg L3 edge at 12284 eV",)
    assert found.parameters["norm2"] == pytest.approx(12284 - 20 - 11919, abs=2)
    assert normalize(measured(ENERGY, mu)).doubts == ()


def test_the_next_edge_of_the_absorber_itself_ends_the_post_edge_fit() -> None:
    energy = np.concatenate([ENERGY, np.arange(12890, 14200, 4.0)])
    mu = np.interp(energy, ENERGY, foil_mu()) + further(energy, 13734, 0.4)
    found = normalize(measured(energy, mu))
    assert found.doubts == ("the post-edge fit ends before the Au L2 edge at 13734 eV",)


def test_ranges_of_the_fits_can_be_given() -> None:
    given = Treatment(pre_edge=(-150, -30), post_edge=(400, 60))
    found = normalize(measured(ENERGY, foil_mu()), treatment=given)
    assert [found.parameters[name] for name in ("pre1", "pre2", "norm1", "norm2", "nnorm")] == [-150, -30, 60, 400, 2]
    relative = ENERGY - found.e0
    before, behind = (relative >= -150) & (relative <= -30), (relative >= 60) & (relative <= 400)
    line = np.polyfit(relative[before], foil_mu()[before], 1)
    step = np.polyfit(relative[behind], foil_mu()[behind] - np.polyval(line, relative[behind]), 2)
    assert found.edge_step == pytest.approx(np.polyval(step, 50), rel=1e-9)


@pytest.mark.parametrize(
    ("treatment", "says"),
    [
        (Treatment(pre_edge=(-5, -3)), "no pre-edge: . points to fit from -5 to -3 eV"),
        (Treatment(pre_edge=(10, 30)), "give a pre-edge range below 0"),
        (Treatment(post_edge=(2000, 3000)), "give a pre-edge range below 0 and a post-edge range above it"),
        (Treatment(project_ranges=True), "holds no fit ranges; only groups of Athena projects do"),
    ],
)
def test_ranges_that_hold_nothing_are_refused(treatment: Treatment, says: str) -> None:
    kept = slice(None, None, 2)
    with pytest.raises(SpectrumError, match=says):
        normalize(measured(ENERGY[kept], foil_mu()[kept]), treatment=treatment)


@pytest.mark.requires("larch")
def test_default_ranges_are_those_of_larch() -> None:
    import larch.xafs

    fit = larch.xafs.preedge(ENERGY, foil_mu())
    found = normalize(measured(ENERGY, foil_mu()), step_offset=0)
    for name in ("pre1", "pre2", "norm1", "norm2", "nnorm"):
        assert found.parameters[name] == pytest.approx(fit[name], abs=1e-3)
    # larch leaves out the last point of each range.
    assert found.edge_step == pytest.approx(fit["edge_step"], rel=1e-3)


@pytest.mark.parametrize("size", [-0.47, 0.2, -0.05])
@pytest.mark.parametrize(("offset", "points"), [(-5, 1), (0.5, 1), (8, 1), (30, 1), (200, 1), (-5, 2), (8, 2), (20, 2)])
def test_a_glitch_is_found_told_and_left_out_when_asked(size: float, offset: float, points: int) -> None:
    place = int(np.argmin(np.abs(ENERGY - E0 - offset)))
    run = np.arange(place, place + points)
    mu = foil_mu()
    mu[run] += size * STEP
    foil, found = normalize(measured(ENERGY, foil_mu())), normalize(measured(ENERGY, mu))
    assert found.parameters["glitches"] == ENERGY[run].tolist()
    (doubt,) = found.doubts
    assert f"{points} point" in doubt
    assert "kept" in doubt
    assert found.energy.size == ENERGY.size
    # The fits do not go through it.
    assert found.edge_step == pytest.approx(foil.edge_step, rel=5e-4)
    left = normalize(measured(ENERGY, mu), treatment=Treatment(leave_out_glitches=True))
    assert left.energy.size == ENERGY.size - points
    assert "left out" in left.doubts[0]
    assert near(left, foil) < DISORDER
    assert offset > 60 or near(found, foil) > DISORDER


def test_a_clean_spectrum_has_no_glitches() -> None:
    assert find_glitches(ENERGY, foil_mu(), core_width("Au", "L3")).size == 0
    for seed in range(10):
        energy, mu = quick_scan(0.01, 0.5, seed)
        assert find_glitches(energy, mu, core_width("Au", "L3")).size == 0


def test_energies_missing_near_the_edge_are_told() -> None:
    kept = (ENERGY < 11925) | (ENERGY > 11933)
    (doubt,) = normalize(measured(ENERGY[kept], foil_mu()[kept])).doubts
    assert doubt.startswith("it has no energies from 11924.")


@pytest.mark.parametrize(
    ("element", "edge", "off", "doubted"),
    [
        ("Cr", "K", 20.5, False),
        ("V", "K", 16.5, False),
        ("Cr", "K", 24.0, True),
        ("Cr", "K", -16.0, True),
        ("Au", "L3", 16.5, True),
        ("Zn", "K", 16.5, True),
    ],
)
def test_the_doubt_about_calibration_allows_for_the_shift_of_oxides(
    element: str, edge: str, off: float, doubted: bool
) -> None:
    place = xraydb.xray_edge(element, edge).energy + off
    energy = ENERGY - E0 + place
    # Steeper than the foil's, so that the largest slope is where it is put.
    mu = 0.5 + np.arctan((energy - place) / 1.0) / np.pi
    found = normalize(MeasuredSpectrum(energy, mu, element, edge, "a"))
    assert any("its edge lies" in doubt for doubt in found.doubts) == doubted
