import dataclasses

import numpy as np
import pytest
from conftest import ROOT
from scipy.special import erf

from xanesml.errors import SpectrumError
from xanesml.measured import MeasuredSpectrum, Treatment, read_spectrum
from xanesml.measured.normalization import NormalizedSpectrum, align, normalize, on_mesh

FOIL = ROOT / "examples" / "Au_Foil_L3_rt_2016Foils.xdi"
E0 = 11919.0
STEP, SLOPE = 1.4, -2e-4


def scan() -> np.ndarray:
    return np.concatenate(
        [np.arange(E0 - 150, E0 - 20, 5), np.arange(E0 - 20, E0 + 60, 0.25), np.arange(E0 + 60, E0 + 600, 2)]
    )


def edge(energy: np.ndarray) -> np.ndarray:
    """An edge on a pre-edge line, with a step that falls linearly, all known exactly."""
    step = STEP + SLOPE * (energy - E0)
    return 0.3 - 1e-4 * (energy - E0) + step * (1 + erf((energy - E0) / 2)) / 2


def spectrum(energy: np.ndarray, mu: np.ndarray) -> MeasuredSpectrum:
    return MeasuredSpectrum(energy=energy, mu=mu, element="Au", edge="L3", source="synthetic")


def xanes(energy: np.ndarray) -> np.ndarray:
    """A normalized edge with oscillations, so that the misfit has local minima every 7 eV."""
    return (1 + erf((energy - E0) / 2)) / 2 * (1 + 0.3 * np.cos(2 * np.pi * (energy - E0) / 7))


def normalized(energy: np.ndarray, mu: np.ndarray) -> NormalizedSpectrum:
    return NormalizedSpectrum(
        energy=energy, mu=mu, e0=E0, edge_step=1.0, parameters={}, element="Au", edge="L3", source="synthetic"
    )


def test_normalization_recovers_line_and_step() -> None:
    energy = scan()
    found = normalize(spectrum(energy, edge(energy)))
    assert found.e0 == E0
    assert found.edge_step == pytest.approx(STEP + 50 * SLOPE, abs=1e-6)
    assert found.parameters["edge_step_at_e0"] == pytest.approx(STEP, abs=1e-6)
    expected = (STEP + SLOPE * (energy - E0)) * (1 + erf((energy - E0) / 2)) / 2 / (STEP + 50 * SLOPE)
    np.testing.assert_allclose(found.mu, expected, atol=1e-6)


def test_step_is_taken_where_asked() -> None:
    energy = scan()
    assert normalize(spectrum(energy, edge(energy)), step_offset=0).edge_step == pytest.approx(STEP, abs=1e-6)
    with pytest.raises(SpectrumError, match="measure further"):
        normalize(spectrum(energy, edge(energy)), step_offset=700)


def test_foil_normalization_agrees_with_plain_fits() -> None:
    foil = read_spectrum(FOIL)
    found = normalize(foil)
    # Tabulated gold L3: 11919 eV.
    assert found.e0 == pytest.approx(11919.0, abs=1.0)
    relative = foil.energy - found.e0
    before = (relative >= found.parameters["pre1"]) & (relative <= found.parameters["pre2"])
    after = (relative >= found.parameters["norm1"]) & (relative <= found.parameters["norm2"])
    line = np.polyval(np.polyfit(relative[before], foil.mu[before], 1), relative)
    degree = found.parameters["nnorm"]
    step = np.polyval(np.polyfit(relative[after], (foil.mu - line)[after], degree), 50.0)
    assert found.edge_step == pytest.approx(step, rel=2e-3)
    # The two fits differ by a point at the ends of their ranges; far above the edge, the lines drift apart.
    xanes_range = relative < 60
    np.testing.assert_allclose(found.mu[xanes_range], ((foil.mu - line) / step)[xanes_range], atol=2e-3)


def realistic(energy: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Make μ with a Victoreen pre-edge, a step that decays, a white line and EXAFS; and the same normalized."""
    k = np.sqrt(np.clip(energy - E0, 0.0, None) / 3.81)
    fine = 0.15 * np.exp(-(((energy - E0 - 14) / 4) ** 2)) + 0.4 * np.exp(-k / 2.5) * np.sin(5.6 * k) * (k > 0)
    excited = atomic(energy) * (1 + fine)
    return 0.8 * (energy / E0) ** -2.7 + excited, excited / atomic(E0 + 50)


def atomic(energy: np.ndarray | float) -> np.ndarray:
    """Make the absorption of a free atom at an edge that its lifetime broadens."""
    return np.asarray(STEP * (energy / E0) ** -2.7 * (0.5 + np.arctan((energy - E0) / 2.7) / np.pi))


def test_normalization_recovers_a_realistic_spectrum_within_two_percent() -> None:
    energy = scan()
    mu, wanted = realistic(energy)
    noise = 0.002 * np.random.default_rng(1).standard_normal(energy.size)
    found = normalize(spectrum(energy, mu + 1.4 * noise))
    assert found.e0 == pytest.approx(E0, abs=1.0)
    assert found.edge_step == pytest.approx(atomic(E0 + 50), rel=0.02)
    near = (energy > E0 - 20) & (energy < E0 + 60)
    np.testing.assert_allclose(found.mu[near], wanted[near], atol=0.025)
    assert found.noise == pytest.approx(0.002, rel=0.25)
    assert found.doubts == ()


@pytest.mark.parametrize("exponent", [0, 3, 4])
def test_a_pre_edge_of_a_formula_is_removed_whole(exponent: int) -> None:
    energy = scan()
    formula = (0.7 - 2e-4 * (energy - E0)) / (energy / E0) ** exponent
    step = (1 + erf((energy - E0) / 2)) / 2
    found = normalize(spectrum(energy, formula + step), treatment=Treatment(nvict=exponent))
    np.testing.assert_allclose(found.mu[energy < E0 - 10], 0, atol=1e-9)
    assert found.edge_step == pytest.approx(1, abs=1e-9)
    assert found.parameters["nvict"] == exponent
    assert ("exponent" in str(found.ranges)) == bool(exponent)


@pytest.mark.requires("larch")
def test_victoreen_changes_what_it_changes_in_larch() -> None:
    import larch.xafs

    foil = read_spectrum(FOIL)
    near = (foil.energy > 11919 - 150) & (foil.energy < 11919 + 60)
    ours, theirs = [], []
    for exponent in (0, 4):
        found = normalize(foil, treatment=Treatment(nvict=exponent))
        kept = {name: found.parameters[name] for name in ("pre1", "pre2", "norm1", "norm2", "nnorm")}
        ours.append(foil.mu - found.mu * found.edge_step)
        theirs.append(larch.xafs.preedge(foil.energy, foil.mu, e0=found.e0, nvict=exponent, **kept)["pre_edge"])
    change = (ours[1] - ours[0])[near]
    assert np.abs(change).max() > 5e-4
    # The ranges of their fits end a point earlier or later.
    np.testing.assert_allclose(change, (theirs[1] - theirs[0])[near], atol=0.2 * np.abs(change).max())


def test_other_exponents_are_refused() -> None:
    with pytest.raises(SpectrumError, match=r"the exponent of the pre-edge is 5; give 0, a line, to 4, Victoreen's"):
        Treatment(nvict=5)


def test_theory_is_normalized_as_measurement_is() -> None:
    energy = scan()
    mu, _ = realistic(energy)
    measured = normalize(spectrum(energy, mu))
    short = (energy > E0 - 4) & (energy < E0 + 52)
    pre_edge = 0.8 * (energy / E0) ** -2.7
    calculated = dataclasses.replace(
        spectrum(energy[short], (mu - pre_edge)[short]), background=atomic(energy[short]), edge_energy=E0
    )
    found = normalize(calculated)
    assert (found.theory, found.e0, found.noise, found.edge_offset) == (True, E0, 0.0, 0.0)
    assert found.edge_step == pytest.approx(atomic(E0 + 50), rel=1e-4)
    np.testing.assert_allclose(found.mu, measured.mu[short], atol=0.03)
    with pytest.raises(SpectrumError, match=r"edge step is to be taken at 11979.0 eV; calculate further"):
        normalize(calculated, step_offset=60.0)


def test_theory_stays_on_its_own_energies() -> None:
    mesh = np.arange(E0 - 4, E0 + 52, 0.5)
    calculated = dataclasses.replace(normalized(mesh, xanes(mesh)), theory=True)
    found = align(calculated, mesh, xanes(mesh - 1.0) + 0.0)
    assert found.shift == 0.0
    assert found.rms == pytest.approx(np.sqrt(np.mean((xanes(mesh) - xanes(mesh - 1.0)) ** 2)))
    with pytest.raises(SpectrumError, match="give a spectrum that covers it"):
        align(calculated, np.append(mesh, E0 + 60), np.ones(mesh.size + 1))


@pytest.mark.parametrize(
    ("energy", "mu", "says"),
    [
        (scan(), np.full(scan().size, 1.0), "no edge"),
        (scan(), 2 - 1e-4 * scan(), "no edge"),
        (scan(), 3 - edge(scan()), "no edge"),
        (scan()[scan() > E0 - 20], edge(scan()[scan() > E0 - 20]), "no pre-edge"),
        (scan()[scan() < E0 + 70], edge(scan()[scan() < E0 + 70]), "ends 6.* eV above"),
        (np.arange(E0 - 150, E0 + 600, 8), edge(np.arange(E0 - 150, E0 + 600, 8)), "has 13 points in the 100 eV above"),
    ],
    ids=["flat", "line", "falling", "no pre-edge", "no post-edge", "coarse"],
)
def test_spectra_without_an_edge_are_refused(energy: np.ndarray, mu: np.ndarray, says: str) -> None:
    with pytest.raises(SpectrumError, match=says) as caught:
        normalize(spectrum(energy, mu))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("points", [80, 100, 101, 130])
def test_edge_is_found_in_few_points_as_in_many(points: int) -> None:
    many = np.arange(points - 40)
    energy = np.concatenate([np.arange(E0 - 150, E0 - 20, 10), E0 + many - 15.0, E0 + many[-1] + 15 * np.arange(1, 28)])
    found = normalize(spectrum(energy, edge(energy)))
    assert energy.size == points
    assert found.e0 == pytest.approx(E0, abs=1.0)


@pytest.mark.parametrize("seed", range(20))
def test_noise_is_refused(seed: int) -> None:
    noise = np.random.default_rng(seed).normal(size=scan().size)
    with pytest.raises(SpectrumError, match=r"no edge|no pre-edge|ends|too noisy"):
        normalize(spectrum(scan(), noise))


@pytest.mark.parametrize(("noise", "says"), [(0.07, "too noisy: 0.0[67]"), (0.5, "no edge|too noisy|ends|no pre-edge")])
def test_an_edge_that_drowns_in_noise_is_refused(noise: float, says: str) -> None:
    energy = scan()
    drawn = np.random.default_rng(2).standard_normal(energy.size) * np.where(energy < E0 - 40, 0.01, noise)
    with pytest.raises(SpectrumError, match=says):
        normalize(spectrum(energy, edge(energy) + STEP * drawn))


def test_noise_as_large_as_disorder_is_doubted() -> None:
    energy = scan()
    found = normalize(spectrum(energy, edge(energy) + 0.02 * STEP * np.random.default_rng(3).normal(size=energy.size)))
    assert found.noise == pytest.approx(0.02, rel=0.25)
    assert len(found.doubts) == 1
    assert "0.02" in found.doubts[0]


@pytest.mark.parametrize(("off", "doubts"), [(-20.0, 1), (-4.0, 0), (14.0, 0), (18.0, 1)])
def test_calibration_offsets_are_told(off: float, doubts: int) -> None:
    found = normalize(spectrum(scan() + off, edge(scan())))
    assert found.edge_offset == pytest.approx(off, abs=0.3)
    assert len(found.doubts) == doubts
    assert all(f"{off:+.0f}" in doubt for doubt in found.doubts)


@pytest.mark.parametrize(
    ("element", "edge_name", "off"), [("Pt", "L3", "+355"), ("As", "K", "+52"), ("Au", "L2", "-181")]
)
def test_header_that_lies_is_found_out(element: str, edge_name: str, off: str) -> None:
    lying = dataclasses.replace(spectrum(scan(), edge(scan())), element=element, edge=edge_name)
    with pytest.raises(SpectrumError, match=rf"at 11919.0 eV, \{off}.* from the tabulated {element} {edge_name} edge"):
        normalize(lying)


def test_foil_passes_the_screening() -> None:
    found = normalize(read_spectrum(FOIL))
    assert abs(found.edge_offset) < 1.0
    assert 0 < found.noise < 0.002
    assert found.doubts == ()
    assert found.parameters["columns"] == "energy and ln(i0/itrans)"


@pytest.mark.parametrize("shift", [-12.3, -6.95, 0.0, 4.37, 13.8])
def test_alignment_recovers_a_known_shift_past_local_minima(shift: float) -> None:
    energy = np.arange(E0 - 100, E0 + 300, 0.2)
    mesh = np.arange(E0 - 4, E0 + 52, 0.5)
    found = align(normalized(energy, xanes(energy)), mesh, xanes(mesh - shift))
    assert found.shift == pytest.approx(shift, abs=0.01)
    assert found.rms < 0.002


def test_alignment_reports_the_difference_left() -> None:
    energy = np.arange(E0 - 100, E0 + 300, 0.25)
    mesh = np.arange(E0 - 4, E0 + 52, 0.25)
    ripple = 0.02 * (-1.0) ** np.arange(mesh.size)
    assert align(normalized(energy, xanes(energy)), mesh, xanes(mesh) + ripple).rms == pytest.approx(0.02, rel=1e-2)


def test_alignment_out_of_reach_is_refused() -> None:
    energy = np.arange(E0 - 100, E0 + 300, 0.5)
    mesh = np.arange(E0 - 4, E0 + 52, 0.5)
    with pytest.raises(SpectrumError, match=r"end of the range -15.00 … 15.00 eV"):
        align(normalized(energy, (1 + erf((energy - E0) / 2)) / 2), mesh, (1 + erf((mesh - E0 - 25) / 2)) / 2)


def test_alignment_of_another_edge_names_both_ranges() -> None:
    energy = np.arange(8900.0, 9500.0)
    mesh = np.arange(E0 - 4, E0 + 52, 0.5)
    with pytest.raises(SpectrumError, match=r"8900.0 … 9499.0 eV .* 11915.0 … 11970.5 eV"):
        align(normalized(energy, np.ones(600)), mesh, np.ones(mesh.size))


def test_mesh_is_interpolated_linearly() -> None:
    energy = np.arange(100.0, 121.0)
    found = on_mesh(normalized(energy, energy**2), np.array([102.0, 102.5]), 2.0)
    # Halfway between 100² and 101² lies 10100.5.
    np.testing.assert_allclose(found, [10000.0, 10100.5])


@pytest.mark.parametrize("shift", [2.5, -2.5])
def test_mesh_is_never_extrapolated(shift: float) -> None:
    energy = np.arange(100.0, 121.0)
    measured = normalized(energy, energy)
    with pytest.raises(SpectrumError, match=rf"{100 + shift:.1f} … {120 + shift:.1f} eV .* 102.0 … 118.0 eV"):
        on_mesh(measured, np.array([102.0, 118.0]), shift)
    np.testing.assert_array_equal(on_mesh(measured, np.array([102.0, 118.0]), 2.0), [100.0, 116.0])
