from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import erf

from xanesml.errors import SpectrumError
from xanesml.experiment import MeasuredSpectrum, NormalizedSpectrum, align, normalize, on_mesh, read_spectrum

FOIL = Path(__file__).parents[2] / "examples" / "Au_Foil_L3_rt_2016Foils.xdi"
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


def write_xdi(path: Path, *columns: str, element: str = "Au", rows: np.ndarray) -> Path:
    header = ["# XDI/1.0 test", *(f"# Column.{i}: {name}" for i, name in enumerate(columns, start=1))]
    header += [f"# Element.symbol: {element}", "# Element.edge: L3", "# Mono.d_spacing: 3.13477", "#----", "# columns"]
    path.write_text("\n".join([*header, *("  ".join(f"{value:.6f}" for value in row) for row in rows)]) + "\n")
    return path


def test_foil_is_read_as_transmission() -> None:
    foil = read_spectrum(FOIL)
    assert (foil.element, foil.edge, foil.source) == ("Au", "L3", str(FOIL))
    assert foil.energy.shape == foil.mu.shape == (470,)
    # First row of the file: 11819.000 eV, itrans 169674.30, i0 94782.30.
    assert foil.energy[0] == 11819.0
    assert foil.mu[0] == pytest.approx(np.log(94782.30 / 169674.30), abs=1e-12)


@pytest.mark.parametrize(
    ("columns", "rows", "mu"),
    [
        (("energy eV", "i0", "ifluor"), (4.0, 1.0), 0.25),
        (("energy eV", "i0", "itrans"), (np.e, 1.0), 1.0),
        (("energy eV", "mutrans"), (0.7,), 0.7),
        (("energy eV", "mufluor"), (0.6,), 0.6),
        (("energy eV", "xmu"), (0.5,), 0.5),
        (("energy eV", "norm"), (0.4,), 0.4),
    ],
)
def test_xdi_columns(tmp_path: Path, columns: tuple[str, ...], rows: tuple[float, ...], mu: float) -> None:
    energy = np.arange(11900.0, 11930.0)
    table = np.column_stack([energy, *(np.full(30, value) for value in rows)])
    found = read_spectrum(write_xdi(tmp_path / "a.xdi", *columns, rows=table))
    np.testing.assert_allclose(found.energy, energy)
    np.testing.assert_allclose(found.mu, mu, rtol=1e-6)


def test_xdi_in_kiloelectronvolt(tmp_path: Path) -> None:
    table = np.column_stack([np.arange(11.900, 11.930, 0.001), np.ones(30)])
    found = read_spectrum(write_xdi(tmp_path / "a.xdi", "energy keV", "xmu", rows=table))
    np.testing.assert_allclose(found.energy[[0, -1]], [11900.0, 11929.0])


def test_rows_are_sorted_and_repeats_averaged(tmp_path: Path) -> None:
    energy = [*range(30, 0, -1), 7, 7]
    mu = [*(0.0 for _ in range(30)), 3.0, 6.0]
    path = tmp_path / "a.dat"
    np.savetxt(path, np.column_stack([energy, mu]))
    found = read_spectrum(path, element="au", edge="l3")
    assert (found.element, found.edge) == ("Au", "L3")
    np.testing.assert_array_equal(found.energy, np.arange(1.0, 31.0))
    assert found.mu[6] == 3.0
    assert found.mu.sum() == 3.0


@given(st.lists(st.floats(-1e6, 1e6), min_size=20, max_size=40), st.sampled_from([" ", "\t", ",", ", "]))
def test_two_columns_round_trip(tmp_path_factory: pytest.TempPathFactory, values: list[float], separator: str) -> None:
    path = tmp_path_factory.mktemp("text") / "a.txt"
    path.write_text("# energy mu\n" + "".join(f"{8000 + i}{separator}{value!r}\n" for i, value in enumerate(values)))
    np.testing.assert_array_equal(read_spectrum(path, element="Cu", edge="K").mu, values)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "0 columns"),
        ("1\n2\n", "1 columns"),
        ("1 2 3\n", "3 columns"),
        ("energy mu\n1 2\n", "could not convert string 'energy'"),
        ("1 2\n1 2 3\n", "columns changed"),
        ("\x00\x01", "binary"),
        ("".join(f"{i} 1\n" for i in range(19)), "has 19 energies"),
        ("".join(f"{i} {'nan' if i == 4 else 1}\n" for i in range(30)), "point 5 of 30 is not finite"),
    ],
)
def test_unusable_text_is_refused_in_one_line(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "a.dat"
    path.write_text(text)
    with pytest.raises(SpectrumError, match=says) as caught:
        read_spectrum(path, element="Au", edge="L3")
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("   11899.600", "   118x9.600", "470 rows, of which only the last 450"),
        ("170266.30", "0.0", "point 20 of 470 is not finite"),
        ("itrans", "counter", "no absorption among its columns"),
        ("energy", "position", "no column 'energy'"),
        ("Element.edge:  L3", "Element.reference: x", "does not say its edge"),
    ],
)
def test_unusable_xdi_is_refused_in_one_line(tmp_path: Path, old: str, new: str, says: str) -> None:
    path = tmp_path / "a.xdi"
    path.write_text(FOIL.read_text().replace(old, new).replace("Mono.d_spacing", "Mono.other"))
    with pytest.raises(SpectrumError, match=says) as caught:
        read_spectrum(path)
    assert "\n" not in str(caught.value)


def test_truncated_xdi_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.xdi"
    path.write_text(FOIL.read_text()[:300])
    with pytest.raises(SpectrumError, match="not a valid XDI file"):
        read_spectrum(path)


def test_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SpectrumError, match="No such file"):
        read_spectrum(tmp_path / "none.xdi")


def test_another_element_than_expected_is_refused() -> None:
    with pytest.raises(SpectrumError, match="is of Au L3, but Cu K is expected"):
        read_spectrum(FOIL, element="Cu", edge="K")


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


@pytest.mark.parametrize(
    ("energy", "mu", "says"),
    [
        (scan(), np.full(scan().size, 1.0), "no pre-edge|no edge step"),
        (scan(), 2 - 1e-4 * scan(), "no edge step"),
        (scan(), np.random.default_rng(3).normal(size=scan().size), "no edge step|no pre-edge|ends"),
        (scan()[scan() > E0 - 20], edge(scan()[scan() > E0 - 20]), "no pre-edge"),
        (scan()[scan() < E0 + 70], edge(scan()[scan() < E0 + 70]), "ends 6.* eV above"),
    ],
    ids=["flat", "line", "noise", "no pre-edge", "no post-edge"],
)
def test_spectra_without_an_edge_are_refused(energy: np.ndarray, mu: np.ndarray, says: str) -> None:
    with pytest.raises(SpectrumError, match=says):
        normalize(spectrum(energy, mu))


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
