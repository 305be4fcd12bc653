import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from xanesml import prediction as module
from xanesml.errors import SpectrumError
from xanesml.experiment import normalize, on_mesh, read_spectrum
from xanesml.model import TrainedModel
from xanesml.prediction import Prediction, predict_files, predict_spectrum, write_predictions
from xanesml.scaling import Scaling

FOIL = Path(__file__).parents[2] / "examples" / "Au_Foil_L3_rt_2016Foils.xdi"
SHIFT = 3.25
MESH = np.arange(11918.0, 11974.0, 0.5)


@dataclass
class Stub:
    """Answers a hundredth of the mean of the spectrum; trained on the foil itself, 3.25 eV higher."""

    mesh: np.ndarray
    scaling: Scaling
    metadata: dict[str, Any]
    factor: float = 0.01
    seen: list[np.ndarray] = field(default_factory=list)

    def predict(self, spectra: np.ndarray) -> np.ndarray:
        self.seen.append(spectra)
        return self.factor * spectra.mean(axis=1)


def stub(offset: float = 0.0, factor: float = 0.01, **metadata: Any) -> TrainedModel:
    """Make a network whose feature mean lies `offset` standard deviations below the foil."""
    reference = on_mesh(normalize(read_spectrum(FOIL)), MESH, SHIFT)
    return cast(
        TrainedModel,
        Stub(
            mesh=MESH,
            scaling=Scaling(reference - offset * 0.02, np.full(MESH.size, 0.02), 0.0004, 0.02),
            metadata={
                "element": "Au",
                "edge": "L3",
                "reference": reference.tolist(),
                "band": [(reference - 0.02).tolist(), (reference + 0.02).tolist()],
                "label_range": [0.0004, 0.02],
                "edge_energy": 11922.0,
                "normalization_energy": 11972.0,
                **metadata,
            },
            factor=factor,
        ),
    )


def test_foil_is_aligned_and_given_to_the_network() -> None:
    model = stub()
    found = predict_spectrum(model, FOIL)
    assert found.shift == pytest.approx(SHIFT, abs=0.01)
    assert found.rms < 1e-4
    assert found.msd == pytest.approx(0.01 * np.mean(model.metadata["reference"]), rel=1e-4)
    (seen,) = cast(Stub, model).seen
    assert seen.shape == (1, MESH.size)
    np.testing.assert_array_equal(seen[0], found.spectrum)
    assert (found.element, found.edge, found.source) == ("Au", "L3", str(FOIL))
    assert found.energy_range == pytest.approx((11819.0 + SHIFT, read_spectrum(FOIL).energy[-1] + SHIFT), abs=0.01)
    assert found.mesh_range == (11918.0, 11973.5)
    assert found.label_range == (0.0004, 0.02)
    assert found.warnings == ()
    assert found.distance < 0.01


def test_step_is_taken_where_the_training_spectra_had_theirs() -> None:
    at_edge = predict_spectrum(stub(normalization_energy=11922.0), FOIL)
    assert at_edge.normalization["step_offset"] == 0.0
    assert at_edge.edge_step == pytest.approx(at_edge.normalization["edge_step_at_e0"])


def test_distance_is_the_rms_of_the_z_scores() -> None:
    assert predict_spectrum(stub(offset=2.0), FOIL).distance == pytest.approx(2.0, abs=0.01)


def test_doubtful_predictions_say_so() -> None:
    far = predict_spectrum(stub(offset=4.0), FOIL)
    assert len(far.warnings) == 1
    assert "4.0 of their standard deviations" in far.warnings[0]
    outside = predict_spectrum(stub(factor=0.1), FOIL)
    assert len(outside.warnings) == 1
    assert "outside the 0.0004 … 0.0200 Å²" in outside.warnings[0]
    assert outside.warnings[0] in outside.line()


def test_another_element_or_edge_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SpectrumError, match="is of Au L3, but Cu L3 is expected"):
        predict_spectrum(stub(element="Cu"), FOIL)
    text = tmp_path / "foil.dat"
    foil = read_spectrum(FOIL)
    np.savetxt(text, np.column_stack([foil.energy, foil.mu]))
    with pytest.raises(SpectrumError, match="is of Pt L3, but the network is for Au L3"):
        predict_spectrum(stub(), text, element="Pt")
    assert predict_spectrum(stub(), text).msd == pytest.approx(predict_spectrum(stub(), FOIL).msd)


def test_spectrum_that_does_not_cover_the_mesh_is_refused(tmp_path: Path) -> None:
    foil = read_spectrum(FOIL)
    text = tmp_path / "foil.dat"
    np.savetxt(text, np.column_stack([foil.energy - 1000, foil.mu]))
    with pytest.raises(SpectrumError, match=r"10819.0 … .* 11918.0 … 11973.5 eV"):
        predict_spectrum(stub(), text)


def test_a_network_that_answers_nan_is_refused() -> None:
    with pytest.raises(SpectrumError, match="answers nan"):
        predict_spectrum(stub(factor=float("nan")), FOIL)


def test_predictions_are_written_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "predictions.json"
    good = predict_spectrum(stub(factor=0.1), FOIL)
    write_predictions(path, [good, good])
    written = json.loads(path.read_text())["predictions"]
    assert len(written) == 2
    assert "spectrum" not in written[0]
    restored = written[0] | {name: tuple(written[0][name]) for name in ("energy_range", "mesh_range", "label_range")}
    assert Prediction(**restored | {"warnings": tuple(restored["warnings"]), "spectrum": good.spectrum}) == good
    before = path.read_bytes()
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_predictions(path, [replace(good, msd=float("nan"))])
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_several_files_go_into_one_list(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "load_model", lambda _: stub())
    found = predict_files(tmp_path / "model", [FOIL, FOIL], tmp_path / "new")
    assert [
        entry["msd"] for entry in json.loads((tmp_path / "new" / "predictions.json").read_text())["predictions"]
    ] == [prediction.msd for prediction in found]
    assert f"MSD {found[0].msd:.4f} Å²" in found[0].line()
