"""Batches made on the fly against those in double precision, and what tells them apart."""

from __future__ import annotations

from importlib.util import find_spec

import numpy as np
import pytest
from synthetic import campaign, write_tensors

from xanesml.averaging import SeriesAverager
from xanesml.batches import EndlessBatches, averaging_function
from xanesml.campaign import AveragingSection
from xanesml.dataset import Tensors, load_tensors
from xanesml.distributions import choose_distributions
from xanesml.network import import_keras
from xanesml.scaling import Scaling

pytestmark = pytest.mark.skipif(find_spec("keras") is None, reason="needs the extra `train`")

DELTA = np.arange(-45, 46) / 100
MADE_FOR = campaign(batch_size=24, noise=0.001)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Tensors:
    path = tmp_path_factory.mktemp("tensors") / "tensors.h5"
    write_tensors(path, MADE_FOR)
    return load_tensors(path)


def test_averages_on_the_device_are_those_of_numpy() -> None:
    rng = np.random.default_rng(1)
    series, steps = rng.uniform(0.5, 1.5, (91, 9)), rng.uniform(1, 1.1, 91)
    chosen = choose_distributions(AveragingSection(families=50, means_per_family=4), DELTA, 1)
    exact = SeriesAverager(DELTA, series, steps).average(chosen)
    parameters = np.column_stack([chosen.locations.ravel(), np.repeat(chosen.scale, 4), np.repeat(chosen.alpha, 4)])
    keras = import_keras()
    spectra, msd = averaging_function(DELTA, series, steps)(keras.ops.cast(parameters, "float32"))
    np.testing.assert_allclose(keras.ops.convert_to_numpy(spectra), exact.spectra, rtol=0, atol=3e-6)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(msd), exact.moments.msd, rtol=1e-5)


def test_no_distribution_comes_twice_within_an_epoch_over_epochs_or_ranks(data: Tensors) -> None:
    scaling = Scaling.fit(data.spectra, data.msd, noise=0.001)
    seen = []
    for rank in (0, 1):
        source = EndlessBatches(data, scaling, MADE_FOR, steps=5, rank=rank)
        again = EndlessBatches(data, scaling, MADE_FOR, steps=5, rank=rank)
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
    keras = import_keras()
    scaling = Scaling.fit(data.spectra, data.msd, noise=0.001)
    source = EndlessBatches(data, scaling, MADE_FOR, steps=1)
    (parameters,) = next(source.epoch(1))
    features, labels = map(keras.ops.convert_to_numpy, source.prepare(keras.ops.cast(parameters, "float32")))
    assert features.shape == (24, data.mesh.size)
    assert labels.shape == (24, 1)
    spectra, msd = averaging_function(data.delta, data.series, data.edge_step)(keras.ops.cast(parameters, "float32"))
    np.testing.assert_allclose(labels[:, 0], scaling.scale_labels(keras.ops.convert_to_numpy(msd)), rtol=0, atol=1e-5)
    noise = (features - scaling.scale_features(keras.ops.convert_to_numpy(spectra))) * scaling.feature_scale
    assert noise.std() == pytest.approx(0.001, rel=0.1)
    other = keras.ops.convert_to_numpy(source.prepare(keras.ops.cast(parameters, "float32"))[0])
    assert np.abs(other - features).max() > 0.1
