"""What a reading may be wrong by, as its interval has it."""

from __future__ import annotations

import re

import numpy as np
import pytest
from exact_model import EDGE, FOIL, model
from hypothesis import given
from hypothesis import strategies as st

from xanesml.measured import MeasuredSpectrum, Treatment, read_spectrum
from xanesml.prediction.doubts import LIKELY_DRIFT, told, uncertainties, widened
from xanesml.prediction.model import Model
from xanesml.prediction.predict import Prediction

SPECTRUM = read_spectrum(FOIL)
ENERGY, MU = SPECTRUM.energy, SPECTRUM.mu


def sample(energy: np.ndarray = ENERGY, mu: np.ndarray = MU, **more: np.ndarray) -> MeasuredSpectrum:
    return MeasuredSpectrum(energy=energy, mu=mu, element="Au", edge="L3", source="sample", **more)


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return Model(tmp_path_factory.mktemp("model"), model())


def read(loaded: Model, spectrum: MeasuredSpectrum, reference: MeasuredSpectrum | None = None, **more) -> Prediction:
    return loaded.predict(spectrum, reference=(reference or sample(), 0.0081), **more)


@pytest.mark.parametrize("kept", [ENERGY > 11850, (ENERGY > 11890) | (ENERGY < 11830), ENERGY < 12060])
def test_a_foil_beside_itself_has_its_msd_whatever_of_it_was_measured(loaded: Model, kept: np.ndarray) -> None:
    found = read(loaded, sample(ENERGY[kept], MU[kept]))
    assert found.msd == pytest.approx(0.0081, abs=5e-5)
    assert any("normalized like the reference over" in warning for warning in found.warnings)
    assert found.uncertainties["normalization"] < 1e-4


def test_what_normalization_may_be_wrong_by_widens_the_interval(loaded: Model) -> None:
    # A background that bends otherwise than the reference's: no choice of ranges makes them alike.
    bent = MU + 0.03 * np.exp((ENERGY - ENERGY[0]) / 300)
    found, plain = read(loaded, sample(mu=bent)), read(loaded, sample())
    assert plain.uncertainties["normalization"] < 1e-6
    assert found.uncertainties["normalization"] > 1e-4
    assert found.interval[1] - found.msd > plain.interval[1] - plain.msd
    assert f"normalization {found.uncertainties['normalization']:.4f} Å²" in str(found)
    assert "of this: " in repr(found).replace("  ", " ")


@pytest.mark.parametrize("shift", [0.1, -0.1, 0.25])
def test_the_interval_carries_the_drift_that_is_likely(loaded: Model, shift: float) -> None:
    found, plain = read(loaded, sample(ENERGY + shift)), read(loaded, sample())
    assert abs(found.msd - plain.msd) > 1e-4
    assert found.interval[0] < plain.msd < found.interval[1]
    assert plain.uncertainties["energy"] == pytest.approx(abs(found.msd - plain.msd) * 0.1 / abs(shift), rel=0.3)
    told = [warning for warning in found.warnings if "from the reference's, and no foil was measured" in warning]
    assert [f"its edge lies {shift:+.2f} eV" in warning for warning in told] == [True] * (abs(shift) > 0.2)


def test_a_foil_measured_with_both_takes_the_drift_away(loaded: Model) -> None:
    reference = sample(foil=2 * MU)
    drifted = sample(ENERGY + 0.3, foil=MU + 1)
    found, plain = read(loaded, drifted, reference), read(loaded, sample())
    assert found.msd == pytest.approx(plain.msd, abs=5e-5)
    assert found.uncertainties["energy"] < 0.2 * plain.uncertainties["energy"]
    assert found.normalization["aligned_by"] == pytest.approx(-0.3, abs=5e-3)
    (remark,) = found.normalization["remarks"]
    assert re.fullmatch(r"energies shifted by -0\.(30|29)\d\(\d+\) eV onto .* by the foil measured with both", remark)


def test_the_edge_itself_or_nothing_aligns_when_asked(loaded: Model) -> None:
    drifted, plain = sample(ENERGY + 0.3), read(loaded, sample())
    found = read(loaded, drifted, align="edge")
    assert found.msd == pytest.approx(plain.msd, abs=5e-5)
    assert found.uncertainties["energy"] == pytest.approx(plain.uncertainties["energy"], rel=0.1)
    with_foil = sample(ENERGY + 0.3, foil=MU)
    assert read(loaded, with_foil, sample(foil=MU), align="none").msd == read(loaded, drifted).msd


def test_a_glitch_is_told_and_left_out_when_asked(loaded: Model) -> None:
    mu = MU.copy()
    place = int(np.argmin(np.abs(ENERGY - EDGE - 5)))
    mu[place : place + 2] -= 0.47
    found = read(loaded, sample(mu=mu))
    assert "2 points out of line" in found.warnings[0]
    left = read(loaded, sample(mu=mu), treatment=Treatment(leave_out_glitches=True))
    assert left.msd == pytest.approx(0.0081, abs=2e-4)
    assert abs(found.msd - 0.0081) > 5 * abs(left.msd - 0.0081)


def test_a_doubt_about_the_reference_is_told(loaded: Model) -> None:
    mu = MU.copy()
    mu[np.argmin(np.abs(ENERGY - EDGE - 5))] -= 0.3
    glitched = MeasuredSpectrum(ENERGY, mu, "Au", "L3", "foil.dat")
    told = [warning for warning in read(loaded, sample(), glitched).warnings if warning.startswith("the reference: ")]
    assert ["1 point out of line" in warning for warning in told] == [True]


def test_channels_that_are_no_spectra_of_one_foil_are_told(loaded: Model) -> None:
    found = read(loaded, sample(foil=np.sin(ENERGY / 7)), sample(foil=MU))
    assert any("are no spectra of one foil: it is not aligned" in warning for warning in found.warnings)
    assert found.uncertainties["energy"] == pytest.approx(read(loaded, sample()).uncertainties["energy"])


def test_sources_are_the_spread_of_what_they_change() -> None:
    msd = np.array([8.0, 9.0, 7.0, 8.0, 8.0, 8.5, 7.5])
    assert uncertainties(msd, 4, 0.3) == pytest.approx({"normalization": np.sqrt(0.5), "energy": 0.5, "reference": 0.3})
    assert uncertainties(msd[:1], 0) == {"normalization": 0.0, "energy": 0.0, "reference": 0.0}
    assert told({"normalization": 0.0004, "energy": 1e-5}) == "normalization 0.0004 Å²"
    assert LIKELY_DRIFT == 0.1


@given(st.floats(-0.01, 0.03), st.floats(0, 0.02), st.floats(0, 0.02), st.floats(0, 0.01), st.floats(0, 0.01))
def test_an_interval_only_widens_and_stays_on_its_side_of_zero(
    msd: float, below: float, above: float, one: float, other: float
) -> None:
    low, high = widened((msd - below, msd + above), msd, {"a": one, "b": other}, 0.9)
    more = 1.6448536 * np.hypot(one, other)
    assert high == pytest.approx(msd + np.hypot(above, more), abs=1e-7)
    assert low <= msd - below + 1e-15
    if msd - below >= 0:
        assert low == pytest.approx(max(0.0, msd - np.hypot(below, more)), abs=1e-7)
