from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from measured_files import ENERGY, foil_mu, write_table

from xanesml.errors import SpectrumError
from xanesml.measured import read_spectrum
from xanesml.measured.signals import evaluated, signals

AU = {"element": "Au", "edge": "L3"}


def counts(noise: float = 0.0, *, step: float = 1.0) -> dict[str, np.ndarray]:
    """Counts of a beamline with all detectors; the fluorescence is of one element of three with 3, 2 and 1 parts."""
    mu = step * foil_mu()
    drawn = noise * np.random.default_rng(5).standard_normal(mu.size)
    i0 = 1e6 * (1 + 0.1 * np.sin(ENERGY / 100))
    i1 = i0 * np.exp(-mu + drawn)
    fluorescence = 0.01 * i0 * foil_mu()
    return {
        "I0": i0,
        "I1": i1,
        "I2": i1 * np.exp(-foil_mu()),
        "If1": 3 * fluorescence,
        "If2": 2 * fluorescence,
        "If3": fluorescence,
    }


def test_transmission_with_a_clear_edge_is_taken_and_the_choice_is_told(tmp_path: Path) -> None:
    found = read_spectrum(write_table(tmp_path / "a.dat", counts()), **AU)
    assert found.columns == "energy and ln(i0/i1)"
    (remark,) = found.remarks
    assert remark.startswith("of transmission and fluorescence, transmission was taken")
    np.testing.assert_allclose(found.mu, foil_mu(), rtol=1e-5)
    assert found.foil is not None
    np.testing.assert_allclose(found.foil, foil_mu(), rtol=1e-5)


def test_fluorescence_is_taken_where_transmission_shows_no_edge(tmp_path: Path) -> None:
    found = read_spectrum(write_table(tmp_path / "a.dat", counts(0.01, step=0.02)), **AU)
    assert found.columns == "energy and (if1+if2+if3)/i0"
    assert "fluorescence was taken: transmission" in found.remarks[0]
    np.testing.assert_allclose(found.mu, 0.06 * foil_mu(), rtol=1e-5)


@pytest.mark.parametrize(
    ("wanted", "factor", "formula"),
    [
        ("transmission", 1.0, "ln(i0/i1)"),
        ("fluorescence", 0.06, "(if1+if2+if3)/i0"),
        ("reference", 1.0, "ln(i1/i2)"),
        ("(If1+If3)/I0", 0.04, "(If1+If3)/I0"),
        ("2*if2/`I0` - 0", 0.04, "2*if2/`I0` - 0"),
    ],
)
@pytest.mark.parametrize("after_a_colon", [False, True])
def test_a_signal_can_be_chosen(tmp_path: Path, wanted: str, factor: float, formula: str, after_a_colon: bool) -> None:
    path = write_table(tmp_path / "a.dat", counts())
    found = read_spectrum(f"{path}:{wanted}", **AU) if after_a_colon else read_spectrum(path, signal=wanted, **AU)
    np.testing.assert_allclose(found.mu, factor * foil_mu(), rtol=1e-5)
    assert found.columns == f"energy and {formula}"
    assert found.remarks == ()


@pytest.mark.parametrize(
    ("wanted", "says"),
    [
        ("fluorescense", "there is no column 'fluorescense'; it has i0, i1"),
        ("if9/i0", "there is no column 'if9', only i0, i1"),
        ("__import__('os')", "holds"),
        ("i0.real", "there is no column 'i0.real'"),
        ("i0[0]", "holds 'i0.0.'; give columns, numbers"),
        ("i0 i1", "no expression"),
        ("1+1", "names no column"),
    ],
)
def test_a_signal_that_is_not_there_is_refused(tmp_path: Path, wanted: str, says: str) -> None:
    with pytest.raises(SpectrumError, match=says) as caught:
        read_spectrum(write_table(tmp_path / "a.dat", counts()), signal=wanted, **AU)
    assert "\n" not in str(caught.value)


def test_a_kind_of_signal_that_is_not_there_is_refused(tmp_path: Path) -> None:
    columns = {name: values for name, values in counts().items() if not name.startswith("If")}
    with pytest.raises(SpectrumError, match="no fluorescence among the columns i0, i1, i2, which hold trans"):
        read_spectrum(write_table(tmp_path / "a.dat", columns), signal="fluorescence", **AU)


@given(st.lists(st.floats(0.1, 10), min_size=3, max_size=3))
def test_expressions_are_those_of_python(values: list[float]) -> None:
    a, b, c = (np.array([value]) for value in values)
    columns = {"a": a, "b": b, "c d": c}
    for text, expected in [
        ("a+b*`c d`", a + b * c),
        ("-ln(a/b)", -np.log(a / b)),
        ("log10(a)-log(b)", np.log10(a) - np.log(b)),
        ("exp(a)/(b-2*`C D`)", np.exp(a) / (b - 2 * c)),
    ]:
        np.testing.assert_array_equal(evaluated(text, columns).mu, expected)


@pytest.mark.parametrize(
    ("names", "kinds"),
    [
        (("i0", "itrans", "irefer", "ifluor"), {"transmission", "reference", "fluorescence"}),
        (("mutrans", "mufluor", "murefer"), {"transmission", "fluorescence", "reference"}),
        (("io", "it"), {"transmission"}),
        (("i0_eh1", "i1_eh1"), {"transmission"}),
        (("monitor", "fluo_1", "fluo_2"), {"fluorescence"}),
        (("normfluor",), {"normalized"}),
        (("ch1", "ch2"), set()),
    ],
)
def test_detectors_are_known_by_name(names: tuple[str, ...], kinds: set[str]) -> None:
    assert signals({name: np.ones(3) for name in names}).keys() == kinds
