"""Predictions for measured spectra by a model that knows its theory exactly."""

from __future__ import annotations

import csv
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from exact_model import EDGE, FOIL, MESH, SHIFT, THEORY, Exact, model, theory
from synthetic_gap import Gap, measure

from xanesml.campaign import Campaign, DistortionSection, TrainingSection
from xanesml.errors import SpectrumError, StoreError
from xanesml.files.lock import WriteLock
from xanesml.learning.model import TrainedModel
from xanesml.measured import read_spectrum
from xanesml.measured.normalization import NormalizedSpectrum, normalize, on_mesh
from xanesml.prediction.batch import Predictions
from xanesml.prediction.model import Model
from xanesml.prediction.predict import predict_spectrum
from xanesml.prediction.reference import make_reference, normalized_for


def foil() -> NormalizedSpectrum:
    return normalize(read_spectrum(FOIL))


def spectrum(mu: np.ndarray, source: str = "sample.dat", energy: np.ndarray = MESH) -> NormalizedSpectrum:
    """Return a measurement with the foil's own spectrum far from the edge and another one near it."""
    own = foil()
    inside = (own.energy >= energy[0]) & (own.energy <= energy[-1])
    absorption = own.mu.copy()
    absorption[inside] += np.interp(own.energy[inside], energy, mu - on_mesh(own, energy, 0.0))
    return replace(own, mu=absorption, source=source)


def test_the_foil_is_aligned_and_given_to_the_networks() -> None:
    exact = model(mean_spectrum=THEORY)
    found = predict_spectrum(exact, foil())
    assert found.shift == pytest.approx(SHIFT, abs=0.01)
    assert found.rms < 1e-4
    ((seen, mode),) = cast(Exact, exact).seen
    # The spectrum itself, and normalized in five other ways.
    assert (seen.shape, mode) == ((6, MESH.size), "direct")
    np.testing.assert_array_equal(seen[0], found.spectrum)
    assert (found.element, found.edge, found.source) == ("Au", "L3", str(FOIL))
    assert (found.mode, found.predictor) == ("direct", "network")
    assert found.mesh_range == (11908.0, 11973.5)
    assert found.label_range == (0.0004, 0.02)
    assert found.msd == pytest.approx(0.0, abs=1e-4)
    assert found.noise < 0.001
    assert found.reference is None


def test_the_interval_is_that_of_the_ensemble_and_of_what_the_normalization_may_be_wrong_by() -> None:
    exact = model()
    found = predict_spectrum(exact, spectrum(theory(0.008), energy=MESH - SHIFT))
    seen = cast(Exact, exact).seen[0][0]
    msd = cast(Exact, exact).predict(seen, "direct").msd
    normalization = np.sqrt(np.mean((msd[1:] - msd[0]) ** 2))
    assert found.uncertainties == pytest.approx({"normalization": normalization, "energy": 0.0, "reference": 0.0})
    assert normalization > 1e-4
    half = np.hypot(2.0 * np.hypot(1e-4, 2e-4), 1.6449 * normalization)
    # The fits before and after the edge take the sample's edge step to be half a percent larger.
    assert found.msd == pytest.approx(0.008, abs=1e-3)
    assert found.interval == pytest.approx((found.msd - half, found.msd + half), rel=1e-4)
    assert f"uncertain by normalization {normalization:.4f} Å²" in str(found)
    assert (found.confidence, found.spread) == (0.9, 1e-4)
    assert f"90% in {found.interval[0]:.4f}" in str(found)


def test_the_nearest_simulated_spectrum_has_the_moments_of_the_measured_one() -> None:
    found = predict_spectrum(model(), spectrum(theory(0.006), energy=MESH - SHIFT))
    assert found.nearest["msd"] == pytest.approx(0.006, rel=0.15)
    assert found.nearest["rms"] < 1e-3
    np.testing.assert_allclose(found.nearest_spectrum, found.spectrum, atol=5e-3)


def test_the_step_is_taken_where_the_training_spectra_had_theirs() -> None:
    exact = model(changes={"normalization_energy": EDGE})
    at_edge = predict_spectrum(exact, normalized_for(exact, read_spectrum(FOIL)))
    assert at_edge.normalization["step_offset"] == 0.0
    assert at_edge.edge_step == pytest.approx(at_edge.normalization["edge_step_at_e0"])


def test_doubtful_predictions_say_so() -> None:
    sample = spectrum(theory(0.008), energy=MESH - SHIFT)
    assert predict_spectrum(model(), sample).warnings == ()
    far = "; ".join(predict_spectrum(model(offset=4.0), sample).warnings)
    assert re.search(r"[34]\.\d of their standard deviations .* 99 % of held-out spectra lie below 2\.5", far)
    outside = predict_spectrum(model(factor=5.0), sample)
    assert "outside the 0.0004 … 0.0200 Å²" in outside.warnings[0]
    assert outside.warnings[0] in str(outside)


def test_beside_a_reference_the_difference_is_put_upon_its_simulated_spectrum() -> None:
    exact = model()
    gap = Gap(noise=1e-4)
    measured, sample = measure(np.array([theory(0.0081), theory(0.012)]), MESH, edge=EDGE, gap=gap, seed=3)
    assert np.sqrt(np.mean((on_mesh(measured, MESH[20:-20], 2.0) - theory(0.0081)[20:-20]) ** 2)) > 0.03

    reference = make_reference(exact, measured, 0.0081, msd_error=0.0005)
    found = predict_spectrum(exact, sample, reference=reference)
    itself = predict_spectrum(exact, measured, reference=reference)
    direct = predict_spectrum(exact, sample)
    difference = reference.calibration.apply(sample, MESH) - reference.calibration.apply(measured, MESH)
    np.testing.assert_allclose(found.spectrum, theory(0.0081) + difference, atol=1e-4)
    assert itself.msd == pytest.approx(0.0081, abs=1e-4)
    assert found.msd == pytest.approx(0.012, abs=6e-4)
    assert abs(direct.msd - 0.012) > 3 * abs(found.msd - 0.012)
    assert found.mode == "reference"
    assert found.reference is not None
    assert (found.reference["msd"], found.reference["calibration"]["source"]) == (0.0081, measured.source)
    assert found.uncertainties["energy"] == pytest.approx(
        0.1 * slope(exact, reference.calibration.apply(sample, MESH), reference.simulated - reference.measured), rel=0.1
    )
    half = np.hypot(2.0 * np.hypot(1e-4, 2e-4), 1.6449 * np.hypot(0.0005, found.uncertainties["energy"]))
    assert found.interval[1] - found.msd == pytest.approx(half, rel=1e-3)
    assert cast(Exact, exact).seen[0][1] == "reference"


def slope(exact: TrainedModel, measured: np.ndarray, added: np.ndarray) -> float:
    """Return what the answer changes by for an electronvolt in the energies of a calibrated measurement, Å²."""
    moved = np.array([added + np.interp(MESH - by, MESH, measured) for by in (-0.01, 0.01)])
    low, high = cast(Exact, exact).predict(moved, "reference").msd
    return abs(float(high - low)) / 0.02


def test_a_reference_outside_the_training_labels_is_refused() -> None:
    with pytest.raises(SpectrumError, match=r"MSD 0\.05 Å² lies outside the 0\.0004 … 0\.0200 Å²"):
        make_reference(model(), foil(), 0.05)


def test_a_measurement_broader_than_what_was_trained_is_doubted() -> None:
    sharp = Campaign(name="c", distortion=DistortionSection(), training=TrainingSection(broadening=0.0))
    exact = model(mean_spectrum=THEORY, changes={"campaign": sharp})
    reference = make_reference(exact, foil(), 0.0081)
    wide = replace(reference, calibration=replace(reference.calibration, broadening=1.5))
    found = predict_spectrum(exact, foil(), reference=wide)
    assert any("broader than theory by 1.50 eV, more than the 0 eV of training.broadening" in w for w in found.warnings)


def test_a_baseline_answers_in_place_of_the_networks() -> None:
    exact = model()
    found = predict_spectrum(exact, foil(), predictor="ridge")
    assert (found.msd, found.spread, found.distribution, found.mean_shift) == (0.0123, 0.0, None, None)
    assert "ridge" in str(found)
    assert not cast(Exact, exact).seen
    with pytest.raises(StoreError, match="no baseline other"):
        predict_spectrum(exact, foil(), predictor="other")


def test_another_element_or_edge_is_refused() -> None:
    with pytest.raises(SpectrumError, match="is of Au L3, but the network is for Cu L3"):
        normalized_for(model(changes={"element": "Cu"}), read_spectrum(FOIL))


def test_a_model_that_answers_nan_is_refused() -> None:
    with pytest.raises(SpectrumError, match="answers nan"):
        predict_spectrum(model(factor=float("nan")), foil())


def test_a_prediction_prints_its_line_its_card_and_its_escaped_table() -> None:
    found = predict_spectrum(model(), foil())
    named = replace(
        found, source="<b>a&b.xdi", msd=0.00812, interval=(0.0076, 0.0086), uncertainties={}, warnings=("it is <odd>",)
    )
    assert str(named) == (
        "<b>a&b.xdi: Au L3: MSD 0.0081 Å², 90% in 0.0076 … 0.0086 Å² (network, shifted by "
        f"{found.shift:+.2f} eV, rms {found.rms:.3f} from the mean training spectrum); warning: it is <odd>"
    )
    lines = repr(named).splitlines()
    assert lines[0] == "<b>a&b.xdi: Au L3"
    assert lines[1].split() == ["MSD:", "0.0081", "Å²"]
    assert lines[-1].endswith("it is <odd>")
    html = named._repr_html_()
    assert "<strong>&lt;b&gt;a&amp;b.xdi: Au L3</strong>" in html
    assert "it is &lt;odd&gt;" in html
    assert "<b>" not in html


def test_a_prediction_draws_itself_for_a_notebook_and_for_a_file(tmp_path: Path) -> None:
    found = predict_spectrum(model(), foil())
    figure = found.plot()
    assert figure._repr_png_().startswith(b"\x89PNG")
    upper, lower, _ = figure.axes
    np.testing.assert_array_equal(upper.lines[-1].get_ydata(), found.spectrum)
    np.testing.assert_array_equal(lower.lines[-1].get_ydata(), found.spectrum - found.nearest_spectrum)
    assert not list(tmp_path.iterdir())
    found.plot(str(tmp_path / "foil.png"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["foil.pdf", "foil.png"]


def test_several_predictions_are_drawn_with_their_intervals() -> None:
    good = predict_spectrum(model(), foil())
    figure = Predictions([replace(good, name="$x", msd=0.004, interval=(0.003, 0.006)), good], []).plot()
    (axes,) = figure.axes
    assert [label.get_text() for label in axes.get_yticklabels()] == [r"\$x", good.name]
    (bars,) = axes.containers
    points, _, (segments,) = bars
    np.testing.assert_allclose(points.get_xdata(), [4.0, 1e3 * good.msd])
    np.testing.assert_allclose(segments.get_segments()[0], [[3.0, 0.0], [6.0, 0.0]])


@pytest.mark.requires("pandas")
def test_one_command_at_a_time_writes_predictions(tmp_path: Path) -> None:
    good = Predictions([predict_spectrum(model(), foil())], [])
    with (
        WriteLock(tmp_path / "predictions.json"),
        pytest.raises(StoreError, match=r"\.json is being written"),
    ):
        good.write(tmp_path)
    assert list(tmp_path.iterdir()) == []
    good.write(tmp_path, figures=True)
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"predictions.json", "predictions.csv", "figures"}
    assert len(list((tmp_path / "figures").iterdir())) == 2


@pytest.mark.requires("pandas")
def test_predictions_are_written_whole_or_not_at_all(tmp_path: Path) -> None:
    good = predict_spectrum(model(), foil())
    written = Predictions([good, good], [("bad.xdi", "no edge")])
    written.write(tmp_path)
    content = json.loads((tmp_path / "predictions.json").read_text())
    assert content["refused"] == [{"source": "bad.xdi", "reason": "no edge"}]
    first = content["predictions"][0]
    assert first == json.loads(json.dumps(good.as_dict()))
    assert not {"mesh", "spectrum", "nearest_spectrum", "band", "edge_energy", "first_shell"} & first.keys()
    with (tmp_path / "predictions.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [float(row["msd"]) for row in rows] == [good.msd] * 2
    table = written.to_pandas()
    assert list(table.columns) == list(rows[0])
    assert table["low"].tolist() == [good.interval[0]] * 2
    assert table.attrs["units"]["msd"] == "Å²"
    before = (tmp_path / "predictions.json").read_bytes()
    with pytest.raises(ValueError, match="not JSON compliant"):
        Predictions([replace(good, msd=float("nan"))], []).write(tmp_path)
    assert (tmp_path / "predictions.json").read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["predictions.csv", "predictions.json"]


@pytest.fixture
def loaded(tmp_path: Path) -> Model:
    return Model(tmp_path, model())


@pytest.fixture
def bad(tmp_path: Path) -> Path:
    path = tmp_path / "<bad>.dat"
    path.write_text("1 2\n3 4\n")
    return path


def test_one_spectrum_by_any_kind_of_path_and_by_its_arrays(loaded: Model) -> None:
    by_path, by_text = loaded.predict(FOIL), loaded.predict(str(FOIL))
    assert by_path == by_text
    assert by_path.name == FOIL.stem
    measured = read_spectrum(FOIL)
    assert loaded.predict(measured) == by_path
    arrays = loaded.predict((measured.energy[::-1].tolist(), measured.mu[::-1]))
    assert (arrays.source, arrays.msd) == ("arrays", by_path.msd)


def test_arrays_of_different_lengths_are_refused(loaded: Model) -> None:
    with pytest.raises(SpectrumError, match=r"shapes \(3,\) and \(2,\); give two columns"):
        loaded.predict(([1.0, 2.0, 3.0], [1.0, 2.0]))
    with pytest.raises(SpectrumError, match="energies and absorption are not numbers"):
        loaded.predict((["a"] * 30, [1.0] * 30))


@pytest.mark.parametrize("spectra", [[np.ones(30), np.ones(30)], np.ones((2, 30)), (np.ones(30),) * 3])
def test_arrays_that_are_no_pair_are_refused(loaded: Model, spectra: Any) -> None:
    with pytest.raises(SpectrumError, match=r"a list of spectra holds ndarray; give files, pairs \(energy, mu\)"):
        loaded.predict(spectra)


def test_a_file_that_cannot_be_used_does_not_keep_the_others_from_being_predicted(loaded: Model, bad: Path) -> None:
    found = loaded.predict([FOIL, bad, str(FOIL)])
    assert [prediction.source for prediction in found] == [str(FOIL)] * 2
    assert [source for source, _ in found.refused] == [str(bad)]
    assert found.names == [FOIL.stem, f"{FOIL.stem}-2"]
    assert len(found) == 2
    assert repr(found).splitlines() == [str(found[0]), str(found[1]), *found.refusals]
    assert found.refusals[0].startswith(f"refused: {bad}")
    html = found._repr_html_()
    assert "&lt;bad&gt;.dat" in html
    assert "<bad>" not in html


def test_two_files_in_a_tuple_are_two_spectra(loaded: Model) -> None:
    assert len(loaded.predict((str(FOIL), str(FOIL)))) == 2


def test_a_reference_is_given_with_its_msd_or_calibrated_once(loaded: Model) -> None:
    exact = loaded.predict(FOIL, reference=(FOIL, 0.0081, 0.0005))
    assert exact.msd == pytest.approx(0.0081, abs=1e-4)
    assert exact.mode == "reference"
    once = loaded.reference(str(FOIL), 0.0081, 0.0005)
    assert loaded.predict([FOIL], reference=once)[0] == exact
    without = loaded.predict(FOIL, reference=(str(FOIL), 0.0081))
    assert without.interval[1] - without.interval[0] < exact.interval[1] - exact.interval[0]


def test_where_no_spectrum_can_be_used_the_reasons_are_raised(loaded: Model, bad: Path) -> None:
    with pytest.raises(SpectrumError, match="<bad>"):
        loaded.predict([bad])
    with pytest.raises(SpectrumError, match="<bad>"):
        loaded.predict(bad)
    with pytest.raises(SpectrumError, match="<bad>"):
        loaded.predict([FOIL], reference=(bad, 0.008))
    with pytest.raises(SpectrumError, match="the list of spectra is empty"):
        loaded.predict([])


@pytest.mark.parametrize("reference", [str(FOIL), (FOIL,), (FOIL, 0.0081, 0.0005, 1.0)])
def test_a_reference_without_its_msd_is_refused(loaded: Model, reference: Any) -> None:
    with pytest.raises(SpectrumError, match=r"a reference is \(spectrum, msd\)"):
        loaded.predict(FOIL, reference=reference)


@pytest.mark.parametrize("error", [-0.001, np.nan, np.inf])
def test_an_uncertainty_that_is_no_size_is_refused(loaded: Model, error: float) -> None:
    with pytest.raises(SpectrumError, match="of the reference's MSD is no finite number ≥ 0"):
        loaded.reference(FOIL, 0.0081, error)
