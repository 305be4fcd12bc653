"""The contract of the network and of the folder that holds it."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from synthetic import campaign

from xanesml.campaign import TrainingSection
from xanesml.errors import EnvironmentProblem, SpectrumError, StoreError
from xanesml.model import ModelMetadata, TrainedModel, evaluate, load_model, save_model, write_text
from xanesml.network import build_network
from xanesml.scaling import Scaling

pytestmark = pytest.mark.skipif(find_spec("keras") is None, reason="needs the extra `train`")

POINTS = 21
SMALL: dict[str, Any] = {"filters": [4, 8], "kernel": 3, "dense": [8]}


def metadata() -> ModelMetadata:
    scaling = Scaling(np.linspace(0, 1, POINTS), np.full(POINTS, 0.1), 0.002, 0.02)
    return ModelMetadata(
        element="Au",
        edge="L3",
        mesh=(11900.0 + np.arange(POINTS)).tolist(),
        reference=scaling.feature_mean.tolist(),
        band=[[0.0] * POINTS, [1.0] * POINTS],
        label_range=[0.002, 0.02],
        scaling=scaling.to_dict(),
        edge_energy=11919.0,
        normalization="absolute",
        normalization_energy=11950.0,
        campaign=json.loads(campaign().resolved()),
        campaign_digest=campaign().digest(),
        versions={},
        metrics={},
    )


@pytest.fixture
def spectra() -> np.ndarray:
    return np.random.default_rng(0).random((37, POINTS))


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    save_model(tmp_path / "model", build_network(POINTS, TrainingSection(**SMALL), seed=1), metadata())
    return tmp_path / "model"


def test_the_network_has_the_layers_asked_for() -> None:
    network = build_network(POINTS, TrainingSection(**SMALL, batch_normalization=False, dropout=0.0), seed=1)
    # Convolutions (3·1+1)·4 and (3·4+1)·8; 21 points pooled twice are 6, so 48 inputs to 8 units, then 1.
    expected = [(3, 1, 4), (4,), (3, 4, 8), (8,), (48, 8), (8,), (8, 1), (1,)]
    assert [tuple(weight.shape) for weight in network.trainable_weights] == expected
    assert network.output_shape == (None, 1)


def test_batch_normalization_replaces_the_offsets() -> None:
    network = build_network(POINTS, TrainingSection(**SMALL, batch_normalization=True), seed=1)
    names = [weight.path for weight in network.trainable_weights]
    assert "convolution_1/bias" not in names
    assert "normalization_1/beta" in names


def test_many_blocks_on_a_short_mesh_leave_one_point() -> None:
    network = build_network(5, TrainingSection(filters=[2] * 6, kernel=3, dense=[]), seed=1)
    assert evaluate(network, np.zeros((3, 5), dtype=np.float32)).shape == (3,)


def test_initial_weights_depend_on_the_seed_alone() -> None:
    first, again, other = (build_network(POINTS, TrainingSection(**SMALL), seed=s).get_weights() for s in (1, 1, 2))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[0], other[0])


def test_building_leaves_the_global_random_state_alone() -> None:
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    build_network(POINTS, TrainingSection(**SMALL), seed=1)
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002


def test_a_loaded_model_predicts_what_the_saved_one_did(tmp_path: Path, spectra: np.ndarray) -> None:
    network = build_network(POINTS, TrainingSection(**SMALL), seed=1)
    before = TrainedModel(network, np.array(metadata()["mesh"]), Scaling.from_dict(metadata()["scaling"]), metadata())
    save_model(tmp_path / "model", network, metadata())
    after = load_model(tmp_path / "model")
    np.testing.assert_array_equal(after.predict(spectra), before.predict(spectra))
    np.testing.assert_array_equal(after.mesh, before.mesh)
    assert after.metadata == metadata()
    assert sorted(path.name for path in (tmp_path / "model").iterdir()) == ["model.json", "network.keras"]


def test_a_prediction_is_the_unscaled_answer_to_the_scaled_spectrum(saved: Path, spectra: np.ndarray) -> None:
    model = load_model(saved)
    features = (spectra - np.linspace(0, 1, POINTS)) / 0.1
    answers = np.asarray(model.network(features.astype(np.float32), training=False))[:, 0]
    np.testing.assert_allclose(model.predict(spectra), answers * 0.018 + 0.002, rtol=1e-5)


@pytest.mark.parametrize("batch_size", [1, 5, 37])
def test_predictions_do_not_depend_on_the_batch_size(saved: Path, spectra: np.ndarray, batch_size: int) -> None:
    model = load_model(saved)
    whole = model.predict(spectra)
    assert whole.shape == (37,)
    np.testing.assert_allclose(model.predict(spectra, batch_size=batch_size), whole, rtol=1e-5, atol=1e-8)


def test_no_spectra_have_no_predictions(saved: Path) -> None:
    assert load_model(saved).predict(np.empty((0, POINTS))).shape == (0,)


def test_spectra_on_another_mesh_are_refused(saved: Path) -> None:
    with pytest.raises(SpectrumError, match=rf"\(2, 20\).*\(N, {POINTS}\)"):
        load_model(saved).predict(np.zeros((2, 20)))


def test_spectra_with_nan_are_refused(saved: Path, spectra: np.ndarray) -> None:
    spectra[1, 1] = np.nan
    with pytest.raises(SpectrumError, match="not finite"):
        load_model(saved).predict(spectra)


def test_an_empty_folder_holds_no_model(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"no trained model.*xanesml train"):
        load_model(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema": "other"}, "'other'.*'xanesml-model'"),
        ({"schema_version": 9}, "version 9 .*reads 1"),
        ({"mesh": None}, "lacks mesh"),
    ],
)
def test_another_format_is_refused(saved: Path, change: dict[str, Any], message: str) -> None:
    content = json.loads((saved / "model.json").read_text()) | change
    (saved / "model.json").write_text(json.dumps({name: value for name, value in content.items() if value is not None}))
    with pytest.raises(StoreError, match=message):
        load_model(saved)


def test_a_description_that_is_not_json_is_refused(saved: Path) -> None:
    (saved / "model.json").write_text("{")
    with pytest.raises(StoreError, match="not valid JSON"):
        load_model(saved)


def test_the_network_of_another_description_is_refused(saved: Path, tmp_path: Path) -> None:
    save_model(tmp_path / "other", build_network(POINTS, TrainingSection(**SMALL), seed=2), metadata())
    (tmp_path / "other" / "network.keras").replace(saved / "network.keras")
    with pytest.raises(StoreError, match=r"not the network that model\.json describes"):
        load_model(saved)


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EnvironmentProblem, match="cannot write the model to"):
        save_model(tmp_path / "file" / "model", build_network(POINTS, TrainingSection(**SMALL), seed=1), metadata())


def test_a_full_disk_leaves_nothing_half_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fill(path: Path, *_: Any, **__: Any) -> None:
        with path.open("wb") as file:
            file.write(b"half")
        raise OSError(28, "No space left on device")

    network = build_network(POINTS, TrainingSection(**SMALL), seed=0)
    monkeypatch.setattr(network, "save", fill)
    with pytest.raises(EnvironmentProblem, match="No space left on device; check the folder"):
        save_model(tmp_path, network, metadata())
    monkeypatch.setattr(Path, "write_text", fill)
    with pytest.raises(EnvironmentProblem, match="No space left on device; check the folder"):
        write_text(tmp_path / "report.json", "{}")
    assert list(tmp_path.iterdir()) == []
