"""The contract of the network and of the folder that holds it."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import ROOT
from synthetic import campaign

from xanesml.averages.series import Series
from xanesml.campaign import TrainingSection
from xanesml.errors import EnvironmentProblem, SpectrumError, StoreError
from xanesml.files.records import plain
from xanesml.learning.intervals import Interval
from xanesml.learning.model import (
    ModelMetadata,
    TrainedModel,
    complete_model,
    load_model,
    read_metadata,
)
from xanesml.learning.network import build_network, import_keras, loss_of
from xanesml.learning.predictor_files import save_baselines
from xanesml.learning.predictors import Constant
from xanesml.learning.scaling import Scaling
from xanesml.learning.trained_network import evaluate, network_file, numpy_file, save_for_numpy, save_network

pytestmark = pytest.mark.requires("keras")

POINTS, BINS = 21, 6
SMALL: dict[str, Any] = {"filters": [4, 8], "kernel": 3, "dense": [8]}
SERIES = Series(
    energy=11900.0 + np.arange(POINTS),
    delta=np.linspace(-0.1, 0.1, 3),
    mu=np.ones((3, POINTS)),
    edge_step=np.ones(3),
    r=np.arange(6.0),
    first_shell=2.88,
)
INTERVAL = Interval(confidence=0.9, floor=0.001, quantile=2.0, families=20)
RANGES = {"msd": (0.002, 0.02), "mean_shift": (-0.1, 0.3), "skewness": (-1.0, 1.0)}


def network(seed: int = 1, **section: Any) -> Any:
    return build_network(POINTS, TrainingSection(**SMALL | section), bins=BINS, seed=seed)


def metadata() -> ModelMetadata:
    scaling = Scaling(np.linspace(0, 1, POINTS), np.full(POINTS, 0.1), RANGES)
    return ModelMetadata(
        element="Au",
        edge="L3",
        mesh=11900.0 + np.arange(POINTS),
        band=np.stack([np.zeros(POINTS), np.ones(POINTS)]),
        scaling=scaling,
        intervals={"direct": INTERVAL},
        baseline_intervals={"direct": {"mean": replace(INTERVAL, quantile=3.0)}},
        distances={"direct": 1.5},
        edge_energy=11919.0,
        first_shell=2.88,
        normalization_energy=11950.0,
        campaign=campaign(),
        campaign_digest=campaign().digest(),
        versions={},
    )


def write_model(folder: Path, *networks: Any) -> Path:
    for member, one in enumerate(networks):
        save_network(folder / network_file("direct", member), one)
    save_baselines(folder, {"direct": {"mean": Constant(0.01)}})
    complete_model(folder, metadata(), SERIES, [network_file("direct", member) for member in range(len(networks))])
    return folder


@pytest.fixture
def spectra() -> np.ndarray:
    return np.random.default_rng(0).random((37, POINTS))


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    return write_model(tmp_path / "model", network(1), network(2))


def test_the_network_has_the_layers_asked_for() -> None:
    plain = network(batch_normalization=False, dropout=0.0)
    # Convolutions (3·1+1)·4 and (3·4+1)·8; 21 points pooled twice are 6, so 48 inputs to 8 units, then the answers.
    trunk = [(3, 1, 4), (4,), (3, 4, 8), (8,), (48, 8), (8,)]
    shapes = [tuple(weight.shape) for weight in plain.trainable_weights]
    assert shapes[:6] == trunk
    assert sorted(shapes[6:]) == sorted([(8, 1), (1,)] * 3 + [(8, 6), (6,)])
    assert list(plain.output) == ["msd", "mean_shift", "skewness", "distribution"]
    assert list(network(heads=[]).output) == ["msd"]


def test_batch_normalization_replaces_the_offsets() -> None:
    names = [weight.path for weight in network(batch_normalization=True).trainable_weights]
    assert "convolution_1/bias" not in names
    assert "normalization_1/beta" in names


def test_layers_are_exchanged_as_asked() -> None:
    def kinds(**section: Any) -> list[str]:
        return [type(layer).__name__ for layer in network(batch_normalization=False, **section).layers]

    block = ["Conv1D", "ReLU", "MaxPooling1D"]
    assert kinds(dropout=0.0)[1:8] == ["Reshape", *block, *block]
    assert kinds(dropout=0.0, block_dropout=0.1)[1:10] == ["Reshape", *block, "Dropout", *block, "Dropout"]
    assert kinds(pooling="average").count("AveragePooling1D") == 2
    assert not [kind for kind in kinds(pooling="none") if "Pooling" in kind]
    assert kinds(activation="silu").count("Activation") == 2
    dense = {layer.name: layer for layer in network(activation="tanh").layers}["dense_1"]
    assert dense.activation.__name__ == "tanh"


def test_the_stride_shortens_the_signal_in_each_block() -> None:
    # 21 points by steps of 2 are 11 and 6, then pooled twice between them: 21, 11, 6, 3, 2.
    shapes = {weight.path: weight.shape for weight in network(stride=2, heads=[]).trainable_weights}
    assert shapes["dense_1/kernel"] == (2 * 8, 8)
    shapes = {weight.path: weight.shape for weight in network(stride=2, pooling="none", heads=[]).trainable_weights}
    assert shapes["dense_1/kernel"] == (6 * 8, 8)


@pytest.mark.parametrize(
    ("name", "variance"),
    [("he_normal", 2 / 600), ("he_uniform", 2 / 600), ("lecun_normal", 1 / 600), ("glorot_uniform", 2 / 1000)],
)
def test_initial_weights_have_the_variance_of_their_name(name: Any, variance: float) -> None:
    section = TrainingSection(filters=[], dense=[400], heads=[], initial_weights=name)
    kernel = build_network(600, section, bins=BINS, seed=1).get_weights()[0]
    assert kernel.shape == (600, 400)
    assert kernel.var() == pytest.approx(variance, rel=0.05)


def test_dropout_after_blocks_leaves_the_initial_weights_as_they_are() -> None:
    pairs = zip(network().get_weights(), network(block_dropout=0.2).get_weights(), strict=True)
    assert all(np.array_equal(one, other) for one, other in pairs)


def test_penalties_by_hand() -> None:
    found = network(l1=0.01, l2=0.1)
    kernels = [weight.numpy() for weight in found.trainable_weights if weight.name == "kernel"]
    assert len(kernels) == 2 + 1 + 4
    wanted = sum(0.01 * np.abs(kernel).sum() + 0.1 * (kernel**2).sum() for kernel in kernels)
    assert float(sum(found.losses)) == pytest.approx(wanted, rel=1e-5)
    assert network().losses == []


def test_many_blocks_on_a_short_mesh_leave_one_point() -> None:
    short = build_network(5, TrainingSection(filters=[2] * 6, kernel=3, dense=[]), bins=BINS, seed=1)
    answers = evaluate(short, np.zeros((3, 5), dtype=np.float32))
    assert answers["msd"].shape == (3, 1)
    np.testing.assert_allclose(answers["distribution"].sum(axis=1), 1.0, rtol=1e-6)


def test_initial_weights_depend_on_the_seed_alone() -> None:
    first, again, other = (network(seed).get_weights() for seed in (1, 1, 2))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[0], other[0])


def test_building_leaves_the_global_random_state_alone() -> None:
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    network()
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # noqa: NPY002


def test_the_loss_by_hand() -> None:
    ops = import_keras().ops
    targets = {"msd": [[0.5], [0.0]], "skewness": [[1.0], [1.0]], "distribution": [[1.0, 0.0], [0.5, 0.5]]}
    answers = {"msd": [[0.0], [0.0]], "skewness": [[0.0], [1.0]], "distribution": [[0.5, 0.5], [0.5, 0.5]]}
    tensors = [
        {name: ops.cast(np.array(rows), "float32") for name, rows in side.items()} for side in (answers, targets)
    ]
    # 0.125 of the MSD, and a tenth each of 0.5 and of ln 2 / 2 over ln 2.
    assert float(loss_of(*tensors, 0.1)) == pytest.approx(0.125 + 0.1 * 0.5 + 0.1 * 0.5, rel=1e-5)
    assert float(loss_of(*tensors, 0.0)) == pytest.approx(0.125, rel=1e-5)


def test_a_loaded_model_predicts_what_the_saved_one_did(tmp_path: Path, spectra: np.ndarray) -> None:
    networks = [network(1), network(2)]
    before = TrainedModel({"direct": networks}, SERIES, metadata(), {}).predict(spectra)
    model = load_model(write_model(tmp_path / "model", *networks))
    after = model.predict(spectra)
    for name in ("msd", "spread", "mean_shift", "skewness", "distribution"):
        np.testing.assert_array_equal(getattr(after, name), getattr(before, name))
    np.testing.assert_array_equal(model.mesh, 11900.0 + np.arange(POINTS))
    np.testing.assert_array_equal(model.series.mu, SERIES.mu)
    assert plain(model.metadata) == plain(metadata())
    assert model.metadata.campaign == campaign()
    assert model.interval("direct").quantile == 2.0
    names = ["baselines.npz", "direct-0.keras", "direct-1.keras", "model.json", "series.npz"]
    assert sorted(path.name for path in (tmp_path / "model").iterdir()) == names


def test_an_answer_is_the_mean_of_the_unscaled_answers_to_the_scaled_spectrum(saved: Path, spectra: np.ndarray) -> None:
    model = load_model(saved)
    features = ((spectra - np.linspace(0, 1, POINTS)) / 0.1).astype(np.float32)
    each = [one(features, training=False) for one in model.ensembles["direct"]]
    msd = np.array([np.asarray(answers["msd"])[:, 0] for answers in each]) * 0.018 + 0.002
    found = model.predict(spectra)
    np.testing.assert_allclose(found.msd, np.maximum(msd.mean(axis=0), 0), rtol=1e-5)
    np.testing.assert_allclose(found.spread, np.abs(msd[0] - msd[1]) / 2, rtol=1e-4, atol=1e-9)
    shift = np.mean([np.asarray(answers["mean_shift"])[:, 0] for answers in each], axis=0) * 0.4 - 0.1
    np.testing.assert_allclose(found.mean_shift, shift, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(found.distribution.sum(axis=1), 1.0, rtol=1e-6)


@pytest.mark.parametrize("batch_size", [1, 5, 37])
def test_predictions_do_not_depend_on_the_batch_size(saved: Path, spectra: np.ndarray, batch_size: int) -> None:
    model = load_model(saved)
    whole = model.predict(spectra)
    assert whole.msd.shape == (37,)
    assert whole.distribution.shape == (37, BINS)
    np.testing.assert_allclose(model.predict(spectra, batch_size=batch_size).msd, whole.msd, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("name", ["../direct-0.keras", "/etc/passwd", "a/direct-0.keras"])
def test_a_model_names_no_file_outside_its_folder(saved: Path, name: str) -> None:
    content = json.loads((saved / "model.json").read_text())
    content["files"][name] = "0" * 32
    (saved / "model.json").write_text(json.dumps(content))
    with pytest.raises(StoreError, match=rf"names '{name}', which is not in its folder"):
        load_model(saved)


def test_no_spectra_have_no_predictions(saved: Path) -> None:
    assert load_model(saved).predict(np.empty((0, POINTS))).msd.shape == (0,)


def test_spectra_on_another_mesh_are_refused(saved: Path) -> None:
    with pytest.raises(SpectrumError, match=rf"\(2, 20\).*\(N, {POINTS}\)"):
        load_model(saved).predict(np.zeros((2, 20)))


def test_spectra_with_nan_are_refused(saved: Path, spectra: np.ndarray) -> None:
    spectra[1, 1] = np.nan
    with pytest.raises(SpectrumError, match="not finite"):
        load_model(saved).predict(spectra)


def test_a_mode_without_networks_is_refused(saved: Path, spectra: np.ndarray) -> None:
    with pytest.raises(StoreError, match=r"no networks for the mode 'reference', only for direct; .*training\.modes"):
        load_model(saved).predict(spectra, "reference")


def test_a_baseline_answers_with_an_interval_of_its_own(saved: Path) -> None:
    model = load_model(saved)
    mean, interval = model.baseline("direct", "mean")
    assert mean(np.zeros((2, POINTS), np.float32)).tolist() == [0.01, 0.01]
    assert interval.quantile == 3.0
    with pytest.raises(StoreError, match=r"no baseline 'ridge'; it has mean"):
        model.baseline("direct", "ridge")


def test_an_empty_folder_holds_no_model(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"there is no .*model.json; train again with `xanesml train`"):
        load_model(tmp_path)


def test_networks_of_an_earlier_training_are_removed(saved: Path) -> None:
    complete_model(saved, metadata(), SERIES, ["direct-0.keras"])
    assert not (saved / "direct-1.keras").exists()
    assert len(load_model(saved).ensembles["direct"]) == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema": "other"}, "'other'.*'xanesml-model'"),
        ({"schema_version": 9}, "version 9 .*reads 3; train again with `xanesml train`"),
        ({"mesh": None}, "lacks 'mesh'; train again"),
        ({"files": None}, "lacks 'files'"),
        ({"mesh": ["x"]}, "misstates 'mesh'"),
        ({"more": 1}, "unknown key 'more'"),
        ({"intervals": {"sideways": {}}}, r"misstates 'intervals\.sideways"),
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


@pytest.mark.parametrize("name", ["direct-0.keras", "series.npz"])
def test_a_file_of_another_description_is_refused(saved: Path, tmp_path: Path, name: str) -> None:
    other = replace(SERIES, mu=2 * SERIES.mu)
    save_network(tmp_path / "other" / "direct-0.keras", network(3))
    save_baselines(tmp_path / "other", {})
    complete_model(tmp_path / "other", metadata(), other, ["direct-0.keras"])
    (tmp_path / "other" / name).replace(saved / name)
    with pytest.raises(StoreError, match=r"not the file that model\.json describes"):
        load_model(saved)


def test_a_missing_network_is_named(saved: Path) -> None:
    (saved / "direct-1.keras").unlink()
    with pytest.raises(StoreError, match=r"there is no .*direct-1\.keras, which model\.json lists"):
        load_model(saved)


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EnvironmentProblem, match=r"cannot write .*direct-0\.keras"):
        save_network(tmp_path / "file" / "direct-0.keras", network())


def test_a_full_disk_leaves_nothing_half_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fill(path: Path, *_: Any, **__: Any) -> None:
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    one = network()
    monkeypatch.setattr(one, "save", fill)
    with pytest.raises(EnvironmentProblem, match="No space left on device; check the folder"):
        save_network(tmp_path / "direct-0.keras", one)
    monkeypatch.setattr(np, "savez", fill)
    with pytest.raises(EnvironmentProblem, match="No space left on device; check the folder"):
        complete_model(tmp_path, metadata(), SERIES, [])
    assert list(tmp_path.iterdir()) == []


def test_networks_kept_for_numpy_answer_without_keras(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spectra = np.linspace(0, 1, POINTS) + 0.1 * np.random.default_rng(0).standard_normal((37, POINTS))
    networks = [network(1), network(2)]
    by_keras = load_model(write_model(tmp_path / "model", *networks))
    known = by_keras.predict(spectra)
    features = by_keras.scaling.scale_features(spectra)
    assert save_for_numpy(tmp_path / "model", "direct", networks, features) < 1e-6
    files = [file("direct", member) for file in (network_file, numpy_file) for member in (0, 1)]
    complete_model(tmp_path / "model", metadata(), SERIES, files)
    monkeypatch.setattr("xanesml.learning.trained_network.import_keras", lambda: pytest.fail("Keras is asked for"))
    found = load_model(tmp_path / "model").predict(spectra)
    for name in ("msd", "spread", "mean_shift", "skewness", "distribution"):
        answers = getattr(known, name)
        scale = max(1.0, float(np.abs(answers).max()))
        np.testing.assert_allclose(getattr(found, name), answers, rtol=0, atol=1e-6 * scale)


def test_a_model_of_an_earlier_campaign_says_how_its_runs_were_made(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "xanesml" / "models" / "au-l3", tmp_path / "model")
    path = tmp_path / "model" / "model.json"
    content = json.loads(path.read_text())
    del content["campaign"]["engine"]["pot"]
    del content["campaign"]["feff"]["potentials"]
    path.write_text(json.dumps(content))
    campaign = read_metadata(tmp_path / "model")[0].campaign
    assert (campaign.engine.pot, campaign.feff.potentials) == ("feff", "element")
