from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from conftest import ROOT
from hypothesis import given
from hypothesis import strategies as st
from requirements import require

from xanesml.errors import SpectrumError
from xanesml.measured import MeasuredSpectrum, read_spectra, read_spectrum
from xanesml.measured.background import FitRanges
from xanesml.measured.text import read_tables

FOIL = ROOT / "examples" / "Au_Foil_L3_rt_2016Foils.xdi"
ENERGY = np.arange(11900.0, 11930.0)
MU = np.linspace(0.5, 1.5, 30)
XMU = """\
# # Au13, Au L3 edge                                             FEFF 10.0.0
# # POT  SCF  30  4.6000   0, core-hole, AFOLP (folp(0)= 1.150)
# # Abs   Z=79 Rmt= 1.537 Rnm= 1.600 L3 shell
# FMS rfms= 7.0000
#  -----------------------------------------------------------------------
#  omega    e    k    mu    mu0     chi     @#
"""


@pytest.fixture(scope="module")
def foil() -> MeasuredSpectrum:
    return read_spectrum(FOIL)


def write_xdi(path: Path, *columns: str, element: str = "Au", rows: np.ndarray) -> Path:
    header = ["# XDI/1.0 test", *(f"# Column.{i}: {name}" for i, name in enumerate(columns, start=1))]
    header += [f"# Element.symbol: {element}", "# Element.edge: L3", "# Mono.d_spacing: 3.13477", "#----", "# columns"]
    path.write_text("\n".join([*header, *("  ".join(f"{value:.6f}" for value in row) for row in rows)]) + "\n")
    return path


def write_text(path: Path, header: str, *columns: np.ndarray, separator: str = " ") -> Path:
    rows = (separator.join(f"{value:.6f}" for value in row) for row in np.column_stack(columns))
    path.write_text(header + "".join(f"{row}\n" for row in rows))
    return path


def refused(path: Path, says: str, **expected: str) -> None:
    with pytest.raises(SpectrumError, match=says) as caught:
        read_spectra(path, **expected)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


def test_foil_is_read_as_transmission(foil: MeasuredSpectrum) -> None:
    assert (foil.element, foil.edge, foil.source, foil.name) == ("Au", "L3", str(FOIL), "")
    assert foil.columns == "energy and ln(i0/itrans)"
    assert (foil.theory, foil.stem) == (False, "Au_Foil_L3_rt_2016Foils")
    assert foil.energy.shape == foil.mu.shape == (470,)
    # First row of the file: 11819.000 eV, itrans 169674.30, i0 94782.30.
    assert foil.energy[0] == 11819.0
    assert foil.mu[0] == pytest.approx(np.log(94782.30 / 169674.30), abs=1e-12)


@pytest.mark.parametrize(
    ("columns", "rows", "mu"),
    [
        (("energy eV", "i0", "ifluor"), (4.0, 1.0), 0.25),
        (("energy eV", "i0", "itrans"), (np.e, 1.0), 1.0),
        (("energy eV", "i0", "ifluor", "itrans"), (np.e, 9.0, 1.0), 1.0),
        (("energy eV", "mutrans"), (0.7,), 0.7),
        (("energy eV", "mufluor"), (0.6,), 0.6),
        (("energy eV", "xmu"), (0.5,), 0.5),
        (("energy eV", "norm"), (0.4,), 0.4),
        (("energy eV", "norm", "i0", "itrans"), (0.4, np.e, 1.0), 1.0),
    ],
)
def test_xdi_columns(tmp_path: Path, columns: tuple[str, ...], rows: tuple[float, ...], mu: float) -> None:
    table = np.column_stack([ENERGY, *(np.full(30, value) for value in rows)])
    found = read_spectrum(write_xdi(tmp_path / "a.xdi", *columns, rows=table))
    np.testing.assert_allclose(found.energy, ENERGY)
    np.testing.assert_allclose(found.mu, mu, rtol=1e-6)


@pytest.mark.parametrize("unit", ["keV", ""])
def test_xdi_in_kiloelectronvolt(tmp_path: Path, unit: str) -> None:
    table = np.column_stack([np.arange(11.900, 11.930, 0.001), np.ones(30)])
    found = read_spectrum(write_xdi(tmp_path / "a.xdi", f"energy {unit}", "xmu", rows=table))
    np.testing.assert_allclose(found.energy[[0, -1]], [11900.0, 11929.0])


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("   11899.600", "   118x9.600", "could not read '118x9.600' at line 50,"),
        ("   11899.600", "   118.9.600", "could not read '118.9.600' at line 50,"),
        ("170266.30", "0.0", "point 20 of 470 is not finite"),
        ("itrans", "counter", "no absorption among its columns"),
        ("energy", "position", "no column 'energy'"),
        ("Element.edge:  L3", "Element.reference: x", "does not say its edge"),
        ("Column.1: energy eV", "Column.1: energy rad", "energies in 'rad'; give them in eV or keV"),
    ],
)
def test_unusable_xdi_is_refused_in_one_line(tmp_path: Path, old: str, new: str, says: str) -> None:
    path = tmp_path / "a.xdi"
    path.write_text(FOIL.read_text().replace(old, new).replace("Mono.d_spacing", "Mono.other"))
    refused(path, says)


def test_own_export_is_theory(tmp_path: Path) -> None:
    path = write_xdi(tmp_path / "a.xdi", "energy eV", "mu", "mu0", rows=np.column_stack([ENERGY, MU, 2 * MU]))
    assert not read_spectrum(path).theory
    path.write_text(path.read_text().replace("XDI/1.0 test", "XDI/1.0 Xanesml/0.1\n# Scan.edge_energy: 11918.6 eV"))
    found = read_spectrum(path)
    assert (found.theory, found.edge_energy) == (True, 11918.6)
    assert found.background is not None
    np.testing.assert_allclose(found.background, 2 * MU, atol=1e-6)


def test_truncated_xdi_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.xdi"
    path.write_text(FOIL.read_text()[:300])
    refused(path, "no columns of numbers")


def test_rows_are_sorted_and_repeats_averaged(tmp_path: Path) -> None:
    energy = np.array([*range(11930, 11900, -1), 11907, 11907], dtype=float)
    mu = np.array([*(0.0 for _ in range(30)), 3.0, 6.0])
    found = read_spectrum(write_text(tmp_path / "a.dat", "", energy, mu), element="au", edge="l3")
    assert (found.element, found.edge) == ("Au", "L3")
    np.testing.assert_array_equal(found.energy, np.arange(11901.0, 11931.0))
    assert found.mu[6] == 3.0
    assert found.mu.sum() == 3.0


@given(
    st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=40),
    st.sampled_from([" ", "\t", ",", ", ", ";", " ; "]),
    st.sampled_from(["", "# energy mu\n", "Energy (eV),mu(E)\n", "\n% a title\nEnergy\tmu\n"]),
)
def test_two_columns_round_trip(values: list[float], separator: str, header: str) -> None:
    text = header + "".join(f"{8960 + i}{separator}{value!r}\n" for i, value in enumerate(values))
    (found,) = read_tables(Path("a.txt"), text)
    np.testing.assert_array_equal(found.values[:, 1], values)
    first = header.count("\n") + 1
    np.testing.assert_array_equal(found.lines, np.arange(first, first + len(values)))


@pytest.mark.parametrize(
    ("header", "columns", "taken"),
    [
        ("# energy xmu bkg pre_edge\n", (ENERGY, MU, 9 * MU, MU), "energy and xmu"),
        ("#  energy        norm        nbkg\n", (ENERGY, MU, 9 * MU), "energy and norm"),
        ("#eBraggEnergy I0_EH1 I1_EH1 mu\n", (ENERGY, MU, 9 * MU, MU), "ebraggenergy and mu"),
        ("bkg,Energy (keV),mu(E)\n", (9 * MU, ENERGY / 1000, MU), "energy and mu"),
        ("# Energy\tI0\tI1\n", (ENERGY, np.exp(MU), np.ones(30)), "energy and ln(i0/i1)"),
        ("# energy  i0  it  iff\n", (ENERGY, np.exp(MU), np.ones(30), 9 * MU), "energy and ln(i0/it)"),
        ("# energy  i0  iff\n", (ENERGY, np.full(30, 2.0), 2 * MU), "energy and iff/i0"),
        ("    Energy    <xanes>\n", (ENERGY, MU), "energy and <xanes>"),
        ("# scan 7 of 9\n", (ENERGY / 1000, MU), "column 1 and column 2 of 2"),
    ],
)
def test_columns_are_found_by_name(tmp_path: Path, header: str, columns: tuple[np.ndarray, ...], taken: str) -> None:
    found = read_spectrum(write_text(tmp_path / "a.dat", header, *columns), element="Au", edge="L3")
    assert found.columns == taken
    np.testing.assert_allclose(found.energy, ENERGY, atol=1e-6)
    np.testing.assert_allclose(found.mu, MU, atol=3e-6)


@pytest.mark.parametrize("separator", [";", "\t"])
def test_commas_may_be_decimal_points(tmp_path: Path, separator: str) -> None:
    path = write_text(tmp_path / "a.csv", "Energie;x\n", ENERGY, MU, separator=separator)
    path.write_text(path.read_text().replace(".", ","))
    found = read_spectrum(path, element="Au", edge="L3")
    np.testing.assert_array_equal(found.energy, ENERGY)
    np.testing.assert_allclose(found.mu, MU, atol=1e-6)


@pytest.mark.parametrize(("header", "choice"), [("# energy flat other\n", "flat"), ("", "2"), ("# energy a b\n", "2")])
def test_a_column_can_be_chosen(tmp_path: Path, header: str, choice: str) -> None:
    path = write_text(tmp_path / "a.dat", header, ENERGY, MU, 9 * MU)
    refused(path, r"a.dat:", element="Au", edge="L3")
    found = read_spectrum(Path(f"{path}:{choice}"), element="Au", edge="L3")
    np.testing.assert_allclose(found.mu, MU, atol=1e-6)
    assert (found.name, found.source, found.stem) == (choice, f"{path}:{choice}", f"a-{choice}")
    with pytest.raises(SpectrumError, match="no column 'none'"):
        read_spectrum(Path(f"{path}:none"), element="Au", edge="L3")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no columns of numbers"),
        ("a title\nand words\n", "no columns of numbers"),
        ("1\n2\n", "1 column;"),
        ("1 2 3\n", "3 columns without names"),
        ("# energy one two\n1 2 3\n", "names its columns energy, one, two; name absorption mutrans"),
        ("1 2\n1 2 3\n", "columns changed"),
        ("1 2\n1 2\nenergy mu\n", "could not read 'energy' at line 3"),
        ("11900,5 0,5\n11901,5 0,7\n", "line 1, '11900,5 0,5', has a comma in a number"),
        ("\x00\x01", "binary"),
        ("".join(f"{i} 1\n" for i in range(19)), "has 19 energies"),
        ("".join(f"{i} {'nan' if i == 4 else 1}\n" for i in range(30)), "point 5 of 30 is not finite"),
    ],
)
def test_unusable_text_is_refused_in_one_line(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "a.dat"
    path.write_text(text)
    refused(path, says, element="Au", edge="L3")


def test_missing_file_is_refused(tmp_path: Path) -> None:
    refused(tmp_path / "none.xdi", "No such file")
    refused(tmp_path / "none.prj:foil", "No such file")


def test_another_element_than_expected_is_refused() -> None:
    refused(FOIL, "is of Au L3, but Cu K is expected", element="Cu", edge="K")


def test_an_edge_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    path = write_text(tmp_path / "a.dat", "", ENERGY, MU)
    with pytest.raises(SpectrumError, match="Au has no L4 edge; it has K"):
        read_spectrum(path, element="Au", edge="L4")
    with pytest.raises(SpectrumError, match="no element 'Xx'"):
        read_spectrum(path, element="Xx", edge="K")


def test_a_column_that_is_not_there_cannot_be_chosen() -> None:
    with pytest.raises(SpectrumError, match="there is no column 'foil'; it has itrans, i0"):
        read_spectrum(Path(f"{FOIL}:foil"))


def test_a_colon_may_be_part_of_a_file_name(tmp_path: Path) -> None:
    path = write_text(tmp_path / "at 12:30.dat", "", ENERGY, MU)
    assert read_spectrum(path, element="Au", edge="L3").name == ""
    assert read_spectrum(Path(f"{path}:2"), element="Au", edge="L3").name == "2"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, foil: MeasuredSpectrum) -> Path:
    """The foil twice, as larch writes it into a project; the second shifted by 3 eV."""
    require("larch")
    import larch
    from larch.io import create_athena

    path = tmp_path_factory.mktemp("athena") / "foils.prj"
    athena = create_athena(str(path))
    for label, shift in (("foil", 0.0), ("foil 2", 3.0)):
        group = larch.Group(__name__=label, energy=foil.energy, mu=foil.mu, filename=label, energy_shift=shift)
        larch.xafs.pre_edge(group)
        athena.add_group(group)
    athena.save()
    return path


def test_all_groups_of_a_project_are_read(project: Path, foil: MeasuredSpectrum) -> None:
    first, second = read_spectra(project, element="Au", edge="L3")
    assert (first.name, second.name) == ("foil", "foil 2")
    assert (second.source, second.stem) == (f"{project}:foil 2", "foils-foil_2")
    assert (first.element, first.edge) == ("Au", "L3")
    np.testing.assert_array_equal(first.energy, foil.energy)
    np.testing.assert_array_equal(first.mu, foil.mu)
    np.testing.assert_allclose(second.energy - first.energy, 3.0, atol=1e-9)
    assert second.columns == "energy and mu, shifted by +3.000 eV as in the project"


def test_one_group_of_a_project_is_chosen(project: Path) -> None:
    assert read_spectrum(Path(f"{project}:foil 2")).name == "foil 2"
    with pytest.raises(SpectrumError, match="no spectrum named 'foil 3'; it has foil, foil 2"):
        read_spectrum(Path(f"{project}:foil 3"))
    with pytest.raises(SpectrumError, match=r"2 spectra, foil, foil 2; choose one, as .*foils.prj:foil$"):
        read_spectrum(project)


def test_a_project_need_not_be_packed_nor_have_its_suffix(project: Path, tmp_path: Path) -> None:
    path = tmp_path / "project.txt"
    path.write_bytes(gzip.decompress(project.read_bytes()))
    assert [spectrum.name for spectrum in read_spectra(path)] == ["foil", "foil 2"]


def write_json_project(path: Path, **changes: dict[str, Any]) -> Path:
    """A project of Demeter's second format, with one group for each keyword."""
    groups = {
        label: {
            "x": ENERGY.tolist(),
            "y": MU.tolist(),
            "args": {"label": label, "bkg_z": "Au", "fft_edge": "l3"} | args,
        }
        for label, args in changes.items()
    }
    header = {"____header": "# Athena project file -- Demeter version 0.9.25", "_____order": list(groups)}
    path.write_text(json.dumps(header | groups | {"_____journal": ["none"]}))
    return path


def test_groups_that_cannot_be_used_are_told_and_the_others_returned(tmp_path: Path) -> None:
    path = write_json_project(tmp_path / "a.prj", good={}, chi={"is_chi": "1"}, copper={"bkg_z": "Cu", "fft_edge": "k"})
    told: list[str] = []
    (found,) = read_spectra(path, element="Au", edge="L3", refuse=told.append)
    assert (found.name, found.element, found.edge) == ("good", "Au", "L3")
    assert told == [
        f"{path}:chi cannot be used: it is χ(k), not mu(E)",
        f"{path}:copper is of Cu K, but Au L3 is expected; give a spectrum of that element and edge",
    ]
    refused(path, "it is χ", element="Au", edge="L3")


def test_a_project_without_any_usable_group_is_refused(tmp_path: Path) -> None:
    path = write_json_project(tmp_path / "a.prj", one={"is_chi": "1"}, two={"is_bkg": "1"})
    told: list[str] = []
    with pytest.raises(SpectrumError, match=r"no spectrum that can be used: .*χ\(k\).*a background"):
        read_spectra(path, element="Au", edge="L3", refuse=told.append)
    assert told == []


@pytest.mark.requires("larch")
def test_groups_of_one_label_are_told_apart(tmp_path: Path, project: Path) -> None:
    path = write_json_project(tmp_path / "a.prj", one={"label": "foil"}, two={"label": "foil", "bkg_eshift": "2.0"})
    first, second = read_spectra(path)
    assert (first.name, second.name) == ("foil", "foil (2)")
    np.testing.assert_allclose(second.energy - first.energy, 2.0)
    assert read_spectrum(f"{path}:foil (2)").source == f"{path}:foil (2)"
    twice = tmp_path / "twice.prj"
    twice.write_text(gzip.decompress(project.read_bytes()).decode().replace("'foil 2'", "'foil'"))
    first, second = read_spectra(twice)
    np.testing.assert_allclose(second.energy - first.energy, 3.0, atol=1e-9)


@pytest.mark.parametrize("cut", [3, 200])
def test_damaged_projects_are_refused(project: Path, tmp_path: Path, cut: int) -> None:
    packed = tmp_path / "packed.prj"
    packed.write_bytes(project.read_bytes()[:-cut])
    refused(packed, "gzipped and damaged")
    plain = tmp_path / "plain.prj"
    text = gzip.decompress(project.read_bytes()).decode()
    plain.write_text(text.replace("@x = (", "@x = ((", 1))
    refused(plain, "damaged Athena project")


@pytest.fixture
def nexus(tmp_path: Path) -> Iterator[h5py.File]:
    with h5py.File(tmp_path / "scan.h5", "w") as file:
        yield file


def group(parent: h5py.Group, name: str, kind: str) -> h5py.Group:
    made = parent.create_group(name)
    made.attrs["NX_class"] = kind
    return made


def entry(parent: h5py.Group, name: str = "entry", *, unit: str = "eV", said: bool = True) -> h5py.Group:
    made = group(parent, name, "NXentry")
    made["definition"] = "NXxas"
    made["energy"] = ENERGY / (1000 if unit == "keV" else 1)
    made["energy"].attrs["units"] = unit
    if said:
        group(made, "element", "NXelement")["symbol"] = "Au"
        group(made, "edge", "NXabsorption_edge")["name"] = "L3"
    return made


def closed(file: h5py.File) -> Path:
    path = Path(file.filename)
    file.close()
    return path


@pytest.mark.parametrize("unit", ["eV", "keV"])
def test_nxxas_with_intensity(nexus: h5py.File, unit: str) -> None:
    entry(nexus, unit=unit)["intensity"] = MU
    plot = group(nexus["entry"], "plot", "NXdata")
    plot["energy"], plot["intensity"] = h5py.SoftLink("/entry/energy"), h5py.SoftLink("/entry/intensity")
    found = read_spectrum(closed(nexus), element="Au", edge="L3")
    assert (found.element, found.edge, found.name, found.columns) == ("Au", "L3", "", "energy and intensity")
    np.testing.assert_allclose(found.energy, ENERGY)
    np.testing.assert_array_equal(found.mu, MU)


@pytest.mark.parametrize(
    ("mode", "absorbed", "taken"),
    [
        ("Transmission", 4 * np.exp(-MU), "ln(incoming_beam/absorbed_beam)"),
        ("", 4 * np.exp(-MU), "ln(incoming_beam/absorbed_beam)"),
        ("Fluorescence Yield", 4 * MU, "absorbed_beam/incoming_beam"),
    ],
)
def test_nxxas_with_beams(nexus: h5py.File, mode: str, absorbed: np.ndarray, taken: str) -> None:
    made = group(nexus, "entry", "NXentry")
    instrument = group(made, "instrument", "NXinstrument")
    group(instrument, "monochromator", "NXmonochromator")["energy"] = ENERGY
    group(instrument, "incoming_beam", "NXdetector")["data"] = np.full(30, 4.0)
    group(instrument, "absorbed_beam", "NXdetector")["data"] = absorbed
    data = group(made, "data", "NXdata")
    data["energy"] = h5py.SoftLink("/entry/instrument/monochromator/energy")
    data["absorbed_beam"] = h5py.SoftLink("/entry/instrument/absorbed_beam/data")
    if mode:
        data["mode"] = mode
    found = read_spectrum(closed(nexus), element="Au", edge="L3")
    assert found.columns == f"energy and {taken}"
    np.testing.assert_allclose(found.mu, MU, atol=1e-12)


def test_nxxasproc(nexus: h5py.File) -> None:
    made = group(nexus, "entry", "NXentry")
    made["definition"] = np.bytes_("NXxasproc")
    data = group(made, "data", "NXdata")
    data["energy"], data["data"] = ENERGY, MU
    np.testing.assert_array_equal(read_spectrum(closed(nexus), element="Au", edge="L3").mu, MU)


@pytest.mark.requires("larch")
def test_larch_writes_nexus_that_is_read(nexus: h5py.File, foil: MeasuredSpectrum) -> None:
    import larch
    from larch.io.nexus_xas import xdi2NXxas

    xdi2NXxas(larch.io.read_xdi(str(FOIL)), nexus)
    found = read_spectrum(closed(nexus))
    assert (found.element, found.edge, found.columns) == ("Au", "L3", "energy and mutrans")
    np.testing.assert_array_equal(found.energy, foil.energy)
    np.testing.assert_allclose(found.mu, foil.mu, atol=1e-12)


def test_each_entry_and_each_row_of_a_stack_is_a_spectrum(nexus: h5py.File) -> None:
    outer = group(nexus, "scan", "NXentry")
    entry(outer, "sample")["intensity"] = np.stack([MU, 2 * MU])
    entry(outer, "foil")["intensity"] = 3 * MU
    path = closed(nexus)
    found = read_spectra(path)
    assert {spectrum.name: spectrum.mu[0] for spectrum in found} == {
        "scan/sample/0": 0.5,
        "scan/sample/1": 1.0,
        "scan/foil": 1.5,
    }
    assert read_spectrum(Path(f"{path}:scan/foil")).mu[0] == 1.5


def test_nexus_without_spectra_is_refused(nexus: h5py.File) -> None:
    group(nexus, "entry", "NXentry")["title"] = "nothing"
    refused(closed(nexus), r"no NXentry with energies \(of 1\)", element="Au", edge="L3")


def test_nexus_without_absorption_is_refused(nexus: h5py.File) -> None:
    made = entry(nexus)
    made["intensity"] = h5py.SoftLink("/nowhere")
    made["mu"] = MU[1:]
    refused(closed(nexus), "no absorption; give intensity, mutrans", element="Au", edge="L3")


def test_truncated_hdf5_is_refused(nexus: h5py.File) -> None:
    entry(nexus)["intensity"] = MU
    path = closed(nexus)
    path.write_bytes(path.read_bytes()[:600])
    refused(path, "damaged HDF5 file", element="Au", edge="L3")


def test_xmu_is_theory(tmp_path: Path) -> None:
    k = np.linspace(-1.0, 3.7, 60)
    e = np.copysign(3.809982 * k**2, k)
    path = tmp_path / "any.name"
    rows = np.column_stack([11920 + e, e, k, MU[0] + 0 * k, 2 + 0 * k, 0 * k])
    path.write_text(XMU + "".join(" ".join(f"{value:.10E}" for value in row) + "\n" for row in rows))
    found = read_spectrum(path)
    assert (found.element, found.edge, found.theory) == ("Au", "L3", True)
    assert found.edge_energy == pytest.approx(11920, abs=1e-6)
    assert found.background is not None
    np.testing.assert_allclose(found.background, 2.0)
    np.testing.assert_allclose(found.energy, 11920 + e)
    with pytest.raises(SpectrumError, match="is of Au L3, but Pt L3 is expected"):
        read_spectrum(path, element="Pt", edge="L3")
    path.write_text(path.read_text()[:-5])
    refused(path, "truncated")


@pytest.mark.parametrize("spacing", ["3.1356369 Å", "3.1356369 Angstrom", "3.1356369", "Si 111"])
def test_xdi_is_read_whatever_the_unit_of_its_crystal(tmp_path: Path, spacing: str) -> None:
    path = tmp_path / "a.xdi"
    text = FOIL.read_text().replace("Mono.d_spacing:  3.13477", f"Mono.d_spacing: {spacing}")
    assert spacing in text
    path.write_text(text, encoding="utf-8")
    assert read_spectrum(path).energy.size == 470


@pytest.mark.parametrize(("unit", "factor"), [("degrees", 1.0), ("radians", np.pi / 180)])
def test_xdi_with_angles_has_energies_by_braggs_law(tmp_path: Path, unit: str, factor: float) -> None:
    angle = np.degrees(np.arcsin(12398.41984 / (2 * 3.13477 * ENERGY)))
    path = tmp_path / "a.xdi"
    rows = "".join(f"{value:.9f} {mu:.6f}\n" for value, mu in zip(factor * angle, MU, strict=True))
    header = f"# XDI/1.0\n# Column.1: angle {unit}\n# Column.2: mutrans\n# Element.symbol: Au\n# Element.edge: L3\n"
    path.write_text(header + "# Mono.d_spacing: 3.13477 Å\n" + rows)
    np.testing.assert_allclose(read_spectrum(path).energy, ENERGY, atol=1e-3)
    path.write_text(header + rows)
    refused(path, "give energies, or a column 'angle' and Mono.d_spacing")


def test_what_an_xdi_file_says_of_its_sample_is_kept(tmp_path: Path) -> None:
    path = write_xdi(tmp_path / "a.xdi", "energy eV", "xmu", rows=np.column_stack([ENERGY, MU]))
    content = path.read_text()
    for said, others in (("AuHg2O(Se0.5)", ("Hg", "O", "Se")), ("gold foil", ()), ("Au", ())):
        path.write_text(f"# XDI/1.0\n# Sample.stoichiometry: {said}\n" + content)
        assert read_spectrum(path).others == others


@pytest.mark.parametrize("placeholder", [{"bkg_z": "H", "fft_edge": "k"}, {"bkg_z": "", "fft_edge": "k"}])
def test_a_placeholder_for_the_element_yields_to_what_is_stated(tmp_path: Path, placeholder: dict[str, str]) -> None:
    path = write_json_project(tmp_path / "a.prj", one=placeholder)
    found = read_spectrum(path, element="Au", edge="L3")
    assert (found.element, found.edge) == ("Au", "L3")
    assert found.doubts == (("the file says H K, a placeholder; Au L3 was taken",) if placeholder["bkg_z"] else ())


@pytest.mark.parametrize("symbol", ["Xx", "H", "-"])
def test_a_placeholder_in_xdi_yields_as_well(tmp_path: Path, symbol: str) -> None:
    path = write_xdi(tmp_path / "a.xdi", "energy eV", "xmu", element=symbol, rows=np.column_stack([ENERGY, MU]))
    path.write_text(path.read_text().replace("edge: L3", "edge: K"))
    (doubt,) = read_spectrum(path, element="Au", edge="L3").doubts
    assert f"the file says {symbol} K, a placeholder" in doubt
    path.write_text(path.read_text().replace(f"symbol: {symbol}", "symbol: Cu"))
    refused(path, "is of Cu K, but Au L3 is expected", element="Au", edge="L3")
    path.write_text(path.read_text().replace("edge: K", "edge: L3"))
    refused(path, "is of Cu L3, but Au L3 is expected", element="Au", edge="L3")


def test_fit_ranges_and_reference_channel_of_a_project_are_known(tmp_path: Path) -> None:
    ranges = {"bkg_pre1": "-120", "bkg_pre2": "-40", "bkg_nor1": "60", "bkg_nor2": "500", "bkg_nnorm": "2"}
    path = write_json_project(
        tmp_path / "a.prj", sample=ranges | {"reference": "foil"}, foil={"label": "  Ref sample", "reference": "sample"}
    )
    sample, foil = read_spectra(path)
    assert sample.ranges == FitRanges(-120, -40, 60, 500, 1)
    assert sample.foil is not None
    np.testing.assert_allclose(sample.foil, MU)
    assert sample.remarks == ("reference channel   Ref sample",)
    assert foil.foil is None


def test_the_degree_in_a_project_of_larch_is_larchs(project: Path) -> None:
    import larch.xafs

    first = read_spectra(project)[0]
    fit = larch.xafs.preedge(first.energy, first.mu)
    assert first.ranges is not None
    assert first.ranges.as_dict() == pytest.approx({name: fit[name] for name in first.ranges.as_dict()}, abs=1e-6)
