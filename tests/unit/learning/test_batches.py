"""Batches on the device against those in double precision, and what tells them apart."""

from __future__ import annotations

import numpy as np
import pytest
from synthetic import campaign, write_tensors

from xanesml.averages.distributions import choose_distributions
from xanesml.averages.series import Series
from xanesml.averages.statistical import SeriesAverager
from xanesml.campaign import AveragingSection
from xanesml.learning.augmentation import Augmentation, Augmenter
from xanesml.learning.batches import EndlessBatches, MixedBatches, StoredBatches, averaging_function, label_columns
from xanesml.learning.dataset import Tensors, load_tensors
from xanesml.learning.network import import_keras
from xanesml.learning.scaling import FeatureSums, Scaling

pytestmark = pytest.mark.requires("keras")

DELTA = np.arange(-45, 46) / 100
MADE_FOR = campaign(batch_size=24, noise=0.001)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Tensors:
    path = tmp_path_factory.mktemp("tensors") / "tensors.h5"
    write_tensors(path, MADE_FOR)
    return load_tensors(path)


NAMES = ["msd", "mean_shift", "skewness", "distribution"]


def scaling_of(data: Tensors) -> Scaling:
    labels = {name: getattr(data, name) for name in NAMES[:3]}
    return Scaling.fit(FeatureSums.of(data.spectra, data.spectra[0].astype(float)), labels, noise=0.001)


def noisy(data: Tensors) -> Augmenter:
    return Augmenter(Augmentation(noise=0.001), data.mesh, data.edge)


def endless(data: Tensors, rank: int = 0, steps: int = 5) -> EndlessBatches:
    return EndlessBatches(data, NAMES, scaling_of(data), noisy(data), MADE_FOR, key=(0, 0, rank), steps=steps)


def stored(data: Tensors, *, batch_size: int = 24, steps: int = 5) -> StoredBatches:
    scaling = scaling_of(data)
    return StoredBatches(
        data.spectra,
        label_columns(data, scaling, NAMES),
        NAMES,
        np.arange(40, 100),
        scaling,
        noisy(data),
        seed=1,
        key=(0, 1),
        batch_size=batch_size,
        steps=steps,
    )


def prepared(source: EndlessBatches | StoredBatches | MixedBatches, arrays: tuple[np.ndarray, ...]) -> tuple:
    ops = import_keras().ops
    features, labels = source.prepare(*(ops.cast(array, "float32") for array in arrays))
    return ops.convert_to_numpy(features), {name: ops.convert_to_numpy(label) for name, label in labels.items()}


def test_averages_on_the_device_are_those_of_numpy() -> None:
    rng = np.random.default_rng(1)
    series = Series(
        energy=np.arange(9.0),
        delta=DELTA,
        mu=rng.uniform(0.5, 1.5, (91, 9)),
        edge_step=rng.uniform(1, 1.1, 91),
        r=2.88 + DELTA[1::2],
        first_shell=2.88,
    )
    chosen = choose_distributions(AveragingSection(families=50, means_per_family=4), DELTA, 1)
    exact = SeriesAverager(series, keep_distribution=True).average(chosen)
    parameters = np.column_stack([chosen.locations.ravel(), np.repeat(chosen.scale, 4), np.repeat(chosen.alpha, 4)])
    keras = import_keras()
    spectra, labels = averaging_function(series)(keras.ops.cast(parameters, "float32"))
    np.testing.assert_allclose(keras.ops.convert_to_numpy(spectra), exact.spectra, rtol=0, atol=3e-6)
    found = {name: keras.ops.convert_to_numpy(label) for name, label in labels.items()}
    np.testing.assert_allclose(found["msd"], exact.moments.msd, rtol=1e-5)
    np.testing.assert_allclose(found["mean_shift"], exact.moments.mean_shift, atol=1e-7)
    np.testing.assert_allclose(found["skewness"], exact.moments.skewness, atol=1e-4)
    np.testing.assert_allclose(found["distribution"], exact.distribution, atol=1e-6)


def test_no_distribution_comes_twice_within_an_epoch_over_epochs_or_ranks(data: Tensors) -> None:
    seen = []
    for rank in (0, 1):
        source, again = endless(data, rank), endless(data, rank)
        for epoch in (1, 2):
            drawn = [arrays[0] for arrays in source.epoch(epoch)]
            assert [len(batch) for batch in drawn] == [24] * 5
            np.testing.assert_array_equal(drawn, [arrays[0] for arrays in again.epoch(epoch)])
            seen += drawn
    parameters = np.concatenate(seen)
    assert len(np.unique(parameters, axis=0)) == len(parameters) == 480
    for column, (low, high) in enumerate([(-0.1, 0.1), (0.02, 0.14), (-5.0, 5.0)]):
        assert low <= parameters[:, column].min() < parameters[:, column].max() <= high
    # A family has one scale for all its members, which are spread over the batches.
    assert all(len(np.unique(batch[:, 1])) > 20 for batch in seen)


def test_features_and_labels_are_scaled_as_stored_ones_and_carry_noise(data: Tensors) -> None:
    keras, source, scaling = import_keras(), endless(data, steps=1), scaling_of(data)
    (parameters,) = next(source.epoch(1))
    features, labels = prepared(source, (parameters,))
    assert features.shape == (24, data.mesh.size)
    spectra, exact = averaging_function(data.series)(keras.ops.cast(parameters, "float32"))
    for name in NAMES[:3]:
        assert labels[name].shape == (24, 1)
        expected = scaling.scale_labels(keras.ops.convert_to_numpy(exact[name]).astype(float), name)
        np.testing.assert_allclose(labels[name][:, 0], expected, rtol=0, atol=1e-5)
    np.testing.assert_allclose(labels["distribution"].sum(axis=1), 1.0, atol=1e-5)
    noise = (features - scaling.scale_features(keras.ops.convert_to_numpy(spectra))) * scaling.feature_scale
    assert noise.std() == pytest.approx(0.001, rel=0.1)
    assert np.abs(prepared(source, (parameters,))[0] - features).max() > 0.1


def test_stored_batches_are_rows_of_the_file_with_their_labels(data: Tensors) -> None:
    source, scaling = stored(data), scaling_of(data)
    rows = {spectrum.tobytes(): row for row, spectrum in enumerate(data.spectra)}
    seen = set()
    for arrays in source.epoch(1):
        chosen = [rows[spectrum.tobytes()] for spectrum in arrays[0]]
        seen |= set(chosen)
        _, labels = prepared(source, arrays)
        np.testing.assert_allclose(scaling.unscale_labels(labels["msd"][:, 0]), data.msd[chosen], rtol=1e-4)
        np.testing.assert_array_equal(labels["distribution"], data.distribution[chosen])
    assert seen == set(range(40, 100))
    first, again, other = (next(source.epoch(epoch))[0] for epoch in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_mixed_batches_have_both_sources_spectra_and_labels(data: Tensors) -> None:
    mixed = MixedBatches(endless(data, steps=2), stored(data, batch_size=7, steps=2))
    batches = list(mixed.epoch(1))
    assert [[len(array) for array in arrays] for arrays in batches] == [[24, 7, 7, 7, 7, 7]] * 2
    features, labels = prepared(mixed, batches[0])
    assert features.shape == (31, data.mesh.size)
    assert {name: len(label) for name, label in labels.items()} == dict.fromkeys(NAMES, 31)
    np.testing.assert_array_equal(labels["msd"][24:], batches[0][2])
