"""Scans one after another, energies and numbers that are misread, counters at the end of their range."""

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from measured_files import ENERGY, foil_mu, write_table

from xanesml.errors import SpectrumError
from xanesml.measured import read_spectra, read_spectrum
from xanesml.measured.rows import scans

AU = {"element": "Au", "edge": "L3"}
OTHER = 1.1 * foil_mu() + 0.2


def spec(path, *tables, numbers=(1, 2, 3)):
    text = "#F gold.spec\n#D Thu Apr 13 10:28:46 2006\n"
    for number, (labels, rows) in zip(numbers, tables, strict=False):
        text += f"\n#S {number}  ascan  energy\n#N {len(rows[0])}\n#L {labels}\n"
        text += "".join(" ".join(f"{value:.8g}" for value in row) + "\n" for row in rows)
    path.write_text(text)
    return path


def rows(mu):
    return np.column_stack([ENERGY, np.full(ENERGY.size, 1e6), 1e6 * np.exp(-mu)])


def test_scans_of_a_spec_file_are_separate_spectra(tmp_path: Path) -> None:
    path = spec(tmp_path / "a.spec", ("Energy  I0  I1", rows(foil_mu())), ("Energy  I0  I1", rows(OTHER)))
    first, second = read_spectra(path, **AU)
    assert (first.source, second.source) == (f"{path}:1", f"{path}:2")
    np.testing.assert_allclose(first.mu, foil_mu(), atol=1e-6)
    np.testing.assert_allclose(second.mu, OTHER, atol=1e-6)
    np.testing.assert_array_equal(read_spectrum(f"{path}:2", **AU).mu, second.mu)
    again = read_spectrum(f"{path}:2:transmission", **AU)
    np.testing.assert_array_equal(again.mu, second.mu)
    assert (again.name, again.stem) == ("2:transmission", "a-2_transmission")
    with pytest.raises(SpectrumError, match="2 spectra, 1, 2; choose one"):
        read_spectrum(path, **AU)


def test_scans_may_have_other_columns_or_no_energy(tmp_path: Path) -> None:
    path = spec(
        tmp_path / "a.spec",
        ("Two Theta  I0  I1", rows(foil_mu())),
        ("Energy  Seconds  I0  I1", np.insert(rows(OTHER), 1, 0.1, axis=1)),
        ("Energy  I0  I1", rows(foil_mu())),
        numbers=(4, 7, 7),
    )
    told = []
    found = read_spectra(path, **AU, refuse=told.append)
    assert [one.name for one in found] == ["7", "7 (2)"]
    np.testing.assert_allclose(found[0].mu, OTHER, atol=1e-6)
    assert told == [f"{path}:4 cannot be used: none of its columns is an energy: Two Theta I0 I1"]


@pytest.mark.parametrize(
    "order",
    [
        pytest.param([1, 1], id="again from the start"),
        pytest.param([1, -1], id="there and back"),
        pytest.param([-1, 1, -1], id="three ways"),
    ],
)
@pytest.mark.parametrize("name", ["a.dat", "a.xdi"])
def test_a_table_whose_energy_runs_back_holds_several_spectra(tmp_path: Path, order: list[int], name: str) -> None:
    spectra = [foil_mu() + 0.1 * number for number in range(len(order))]
    energy = np.concatenate([ENERGY[::way] for way in order])
    mu = np.concatenate([one[::way] for one, way in zip(spectra, order, strict=True)])
    path = write_table(tmp_path / name, {"mu": mu}, energy)
    if name.endswith("xdi"):
        path.write_text("# XDI/1.0\n# Column.1: energy eV\n# Column.2: mu\n" + path.read_text())
    found = read_spectra(path, **AU)
    assert [one.name for one in found] == [str(number + 1) for number in range(len(order))]
    for one, mu in zip(found, spectra, strict=True):
        np.testing.assert_allclose(one.energy, ENERGY)
        # The point where the energy turns may belong to either.
        np.testing.assert_allclose(one.mu[1:-1], mu[1:-1], atol=1e-9)


def test_overlapping_regions_and_an_encoder_that_steps_back_are_one_scan() -> None:
    regions = np.concatenate([np.arange(11700, 11905, 5.0), np.arange(11898, 11960, 0.5), np.arange(11955, 12800, 3.0)])
    assert len(scans(regions)) == 1
    jitter = np.arange(11700, 12500, 0.12) + 0.1 * np.random.default_rng(0).standard_normal(6667)
    assert len(scans(jitter)) == 1


@given(st.integers(1, 5), st.integers(25, 60), st.booleans())
def test_every_scan_is_found(count: int, points: int, back: bool) -> None:
    energy = np.concatenate([np.linspace(11800, 12400, points)[:: -1 if back and n % 2 else 1] for n in range(count)])
    found = scans(energy)
    assert len(found) == count
    np.testing.assert_array_equal(np.concatenate(found), np.arange(energy.size))
    assert all(abs(one.size - points) <= 1 for one in found)


@pytest.mark.parametrize(
    ("row", "value"), [(31, ENERGY[30] / 10), (31, ENERGY[30] * 10), (200, 19206.0), (0, 0.0), (-1, 99999.0)]
)
def test_an_energy_that_jumps_is_refused(tmp_path: Path, row: int, value: float) -> None:
    energy = ENERGY.copy()
    energy[row] = value
    path = write_table(tmp_path / "a.dat", {"mu": foil_mu()}, energy)
    with pytest.raises(SpectrumError, match=rf"the energies jump.*{int(value)}") as caught:
        read_spectrum(path, **AU)
    line = row % energy.size + 2
    assert row in (0, -1) or f"at line {line}:" in str(caught.value)


@pytest.mark.parametrize("value", [-999.0, 1e30, 65535.0])
def test_an_impossible_value_is_refused(tmp_path: Path, value: float) -> None:
    mu = foil_mu()
    mu[100] = value
    with pytest.raises(SpectrumError, match=re.escape(f"mu is {value:.6g} at {ENERGY[100]:.2f} eV, but from")):
        read_spectrum(write_table(tmp_path / "a.dat", {"mu": mu}), **AU)


@pytest.mark.parametrize("detector", ["I0", "If"])
def test_a_saturated_counter_is_refused(tmp_path: Path, detector: str) -> None:
    columns = {"I0": 1e5 * (1 + 0.1 * np.sin(ENERGY / 30)), "If": 1e4 * foil_mu() * (1 + 0.1 * np.sin(ENERGY / 30))}
    path = write_table(tmp_path / "a.dat", columns)
    assert read_spectrum(path, **AU).columns == "energy and if/i0"
    limit = np.percentile(columns[detector], 90)
    path = write_table(tmp_path / "b.dat", columns | {detector: np.minimum(columns[detector], limit)})
    with pytest.raises(SpectrumError, match=rf"{detector.lower()} stays at .* points, .* the detector is saturated"):
        read_spectrum(path, **AU)


def test_a_monitor_that_is_constant_and_counts_of_few_digits_are_not_saturated(tmp_path: Path) -> None:
    columns = {"I0": np.full(ENERGY.size, 1e6), "If": np.round(100 * foil_mu())}
    assert read_spectrum(write_table(tmp_path / "a.dat", columns), **AU).columns == "energy and if/i0"


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("0.363659", "1.2.3", "could not read '1.2.3' at line 2"),
        ("0.363659", "0.36-3659", "could not read '0.36-3659' at line 2"),
        ("0.363659", "1_000", "could not read '1_000' at line 2"),
        ("0.363659", "*****", r"could not read '\*{5}' at line 2"),
        ("11719.825675", "11,719.8", "line 2, '11,719.8  0.363659', has a comma in a number"),
        ("0.363659", "", "the number of columns changed from 1 to 2 at line 3"),
        ("0.361110", "0.361110 7", "the number of columns changed from 2 to 3 at line 3"),
        ("11729.993542", "*********", r"could not read '\*{9}' at line 3"),
    ],
)
@pytest.mark.parametrize("kind", ["text", "xdi"])
def test_what_is_no_number_is_refused_with_its_line(tmp_path: Path, old: str, new: str, says: str, kind: str) -> None:
    path = write_table(tmp_path / "a.dat", {"mu": foil_mu()})
    text = "".join(f"{e:.6f}  {m:.6f}\n" for e, m in zip(ENERGY, foil_mu(), strict=True)).replace(old, new, 1)
    path.write_text(("# energy mu\n" if kind == "text" else "# XDI/1.0\n") + text)
    with pytest.raises(SpectrumError, match=says):
        read_spectrum(path, **AU)


def test_fortran_exponents_are_read(tmp_path: Path) -> None:
    path = write_table(tmp_path / "a.dat", {"mu": foil_mu()})
    path.write_text("\n".join(f"{e:.10E} {m:.10E}".replace("E", "D") for e, m in zip(ENERGY, foil_mu(), strict=True)))
    np.testing.assert_allclose(read_spectrum(path, **AU).mu, foil_mu(), rtol=1e-9)
