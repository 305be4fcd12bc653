"""A trained network gives the same answers without Keras."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from requirements import require

from xanesml.campaign import Activation, TrainingSection
from xanesml.errors import StoreError
from xanesml.learning.numpy_network import Affine, NumpyNetwork
from xanesml.learning.trained_network import evaluate

BINS = 6


def trained(points: int, **section: Any) -> Any:
    """Return a network whose weights, and statistics of normalization, are none of the initial ones."""
    require("keras")
    from xanesml.learning.network import build_network

    network = build_network(points, TrainingSection(**section), bins=BINS, seed=1)
    random = np.random.default_rng(2)
    network.set_weights([weight + 0.2 * (random.random(weight.shape) - 0.4) for weight in network.get_weights()])
    return network


def by_hand() -> NumpyNetwork:
    """Return a network whose convolution gives x[i + 1] − x[i − 1] + 0.5 and whose answer is twice the sum of this."""
    convolution = Affine(np.array([[[-1.0]], [[0.0]], [[1.0]]], dtype=np.float32), np.array([0.5], dtype=np.float32))
    answer = Affine(np.full((2, 1), 2.0, dtype=np.float32), np.array([1.0], dtype=np.float32))
    shares = Affine(np.zeros((2, 2), dtype=np.float32), np.log([1.0, 3.0]).astype(np.float32))
    return NumpyNetwork([convolution], [], {"msd": answer, "distribution": shares}, pooling="max")


def test_answers_by_hand() -> None:
    # 1 2 4 → 2.5 3.5 −1.5, rectified 2.5 3.5 0, of each two the larger 3.5 0, and 2 · 3.5 + 1.
    found = by_hand()(np.array([[1.0, 2.0, 4.0]], dtype=np.float32))
    np.testing.assert_allclose(found["msd"], [[8.0]])
    np.testing.assert_allclose(found["distribution"], [[0.25, 0.75]], rtol=1e-6)


@pytest.mark.requires("keras")
@pytest.mark.parametrize(
    ("points", "section"),
    [
        (110, {}),
        (21, {"filters": [4, 8], "kernel": 4, "dense": [8, 5], "batch_normalization": False}),
        (5, {"filters": [2] * 6, "kernel": 3, "dense": [], "dropout": 0.0}),
        (8, {"filters": [], "dense": [3], "heads": ["distribution"]}),
        (9, {"filters": [3], "kernel": 1, "dense": [4], "heads": []}),
        *((33, {"filters": [4, 5], "kernel": 4, "dense": [6], "activation": one}) for one in get_args(Activation)),
        (8, {"filters": [], "dense": [3], "activation": "tanh"}),
        (33, {"filters": [4, 5], "kernel": 5, "dense": [6], "pooling": "average"}),
        (33, {"filters": [4, 5], "kernel": 4, "dense": [6], "pooling": "none", "stride": 2, "block_dropout": 0.1}),
        (32, {"filters": [4, 5], "kernel": 3, "dense": [6], "stride": 3, "l1": 1e-3}),
    ],
)
def test_answers_are_those_of_keras(points: int, section: dict[str, Any]) -> None:
    network = trained(points, **section)
    features = np.random.default_rng(0).standard_normal((37, points)).astype(np.float32)
    known, found = evaluate(network, features), evaluate(NumpyNetwork.of(network), features)
    assert list(found) == list(known)
    for name, answers in known.items():
        assert found[name].dtype == np.float32
        np.testing.assert_allclose(found[name], answers, rtol=0, atol=1e-6 * max(1.0, float(np.abs(answers).max())))


def test_batches_and_empty_arrays_have_the_answers_shapes() -> None:
    features = np.random.default_rng(0).random((7, 3)).astype(np.float32)
    whole, parts = evaluate(by_hand(), features), evaluate(by_hand(), features, batch_size=2)
    np.testing.assert_allclose(parts["msd"], whole["msd"], rtol=1e-6)
    none = evaluate(by_hand(), features[:0])
    assert (none["msd"].shape, none["distribution"].shape) == ((0, 1), (0, 2))


def test_a_file_gives_the_same_answers(tmp_path: Path) -> None:
    by_hand().save(tmp_path / "direct-0.npz")
    features = np.random.default_rng(0).random((7, 3)).astype(np.float32)
    known, found = by_hand()(features), NumpyNetwork.load(tmp_path / "direct-0.npz")(features)
    assert list(found) == list(known)
    for name, answers in known.items():
        np.testing.assert_array_equal(found[name], answers)


@pytest.mark.requires("keras")
def test_more_than_nine_layers_keep_their_order(tmp_path: Path) -> None:
    network = trained(12, filters=[], dense=[2] * 11)
    NumpyNetwork.of(network).save(tmp_path / "direct-0.npz")
    features = np.random.default_rng(0).random((7, 12)).astype(np.float32)
    known, found = evaluate(network, features), NumpyNetwork.load(tmp_path / "direct-0.npz")(features)
    scale = max(1.0, float(np.abs(known["msd"]).max()))
    np.testing.assert_allclose(found["msd"], known["msd"], rtol=0, atol=1e-6 * scale)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "cannot be read: No such file"),
        (b"PK\x03\x04 half", "is damaged"),
        ({"weights": np.ones(3)}, "holds no network of xanesml"),
        ({"dense/1/kernel": np.ones((3, 2))}, "holds no network of xanesml"),
    ],
)
def test_a_file_that_is_none_is_refused(tmp_path: Path, content: Any, message: str) -> None:
    path = tmp_path / "direct-0.npz"
    if isinstance(content, dict):
        np.savez(path, **content)
    elif content is not None:
        path.write_bytes(content)
    with pytest.raises(StoreError, match=message):
        NumpyNetwork.load(path)


@pytest.mark.requires("keras")
def test_a_layer_that_no_network_has_is_refused() -> None:
    import keras

    strange = keras.Sequential([keras.Input((4,)), keras.layers.LayerNormalization()])
    with pytest.raises(TypeError, match="LayerNormalization"):
        NumpyNetwork.of(strange)
    inputs = keras.Input((4,))
    answer = keras.layers.Dense(1, name="msd")(keras.layers.Dense(2, activation="mish")(inputs))
    strange = keras.Model(inputs, {"msd": answer})
    with pytest.raises(TypeError, match="the activation mish"):
        NumpyNetwork.of(strange)
