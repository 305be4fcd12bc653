"""Scaling of features and labels."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from xanesml.errors import StoreError
from xanesml.learning.scaling import FeatureSums, Scaling


def fitted(spectra: np.ndarray, labels: list[float], noise: float) -> Scaling:
    center = np.full(spectra.shape[1], 3.0)
    return Scaling.fit(FeatureSums.of(spectra, center), {"msd": np.array(labels)}, noise=noise)


def test_scaling_by_hand() -> None:
    spectra = np.array([[1.0, 5.0], [3.0, 5.0]], dtype=np.float32)
    scaling = fitted(spectra, [0.01, 0.03], noise=0.0)
    np.testing.assert_allclose(scaling.scale_features(spectra), [[-1, 0], [1, 0]])
    np.testing.assert_allclose(scaling.scale_labels(np.array([0.01, 0.02, 0.03, 0.05])), [0, 0.5, 1, 2], rtol=1e-6)
    assert scaling.unscale_labels(np.array([0.5, -1.0])).tolist() == pytest.approx([0.02, -0.01])


def test_noise_adds_its_variance_to_the_feature_scale() -> None:
    spectra = np.array([[1.0, 5.0], [7.0, 5.0]], dtype=np.float32)
    np.testing.assert_allclose(fitted(spectra, [0.0, 1.0], noise=4.0).feature_scale, [5.0, 4.0])


def test_sums_over_shards_give_the_mean_and_deviation_of_all() -> None:
    spectra = np.random.default_rng(1).normal(1.0, 1e-3, (50, 4)).astype(np.float32)
    center = spectra[0].astype(np.float64)
    parts = [FeatureSums.of(part, center) for part in (spectra[:20], spectra[20:20], spectra[20:])]
    mean, deviation = FeatureSums(center, sum(part.sums for part in parts)).mean_and_deviation()
    np.testing.assert_allclose(mean, spectra.mean(axis=0, dtype=np.float64), rtol=1e-12)
    np.testing.assert_allclose(deviation, spectra.std(axis=0, dtype=np.float64), rtol=1e-9)


def test_equal_labels_cannot_be_scaled() -> None:
    with pytest.raises(StoreError, match=r"labels msd are 0\.5"):
        fitted(np.ones((2, 3), dtype=np.float32), [0.5, 0.5], noise=0.1)


@given(st.lists(st.floats(-1, 1), min_size=2, max_size=20, unique=True))
def test_unscaling_labels_inverts_scaling_them(values: list[float]) -> None:
    labels = np.array(values)
    scaling = Scaling(np.zeros(1), np.ones(1), {"skewness": (float(labels.min()), float(labels.max()))})
    returned = scaling.unscale_labels(scaling.scale_labels(labels, "skewness"), "skewness")
    np.testing.assert_allclose(returned, labels, atol=1e-6 * np.ptp(labels))


def test_scaling_survives_json() -> None:

    rng = np.random.default_rng(2)
    scaling = fitted(rng.random((9, 4), dtype=np.float32), rng.random(9).tolist(), noise=0.003)
    returned = TypeAdapter(Scaling).validate_json(TypeAdapter(Scaling).dump_json(scaling))
    np.testing.assert_array_equal(returned.feature_mean, scaling.feature_mean)
    np.testing.assert_array_equal(returned.feature_scale, scaling.feature_scale)
    assert returned.ranges == scaling.ranges
