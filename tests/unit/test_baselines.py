"""The baselines, against values worked out by hand, and the comparison with them."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from synthetic import campaign, write_tensors

from xanesml.assessment import assess
from xanesml.baselines import PENALTIES, Errors, fit_mean, fit_ridge
from xanesml.dataset import load_tensors, split_by_family
from xanesml.scaling import Scaling

pytestmark = pytest.mark.skipif(find_spec("sklearn") is None, reason="needs the extra `train`")


def test_errors_by_hand() -> None:
    errors = Errors.of(np.array([1.0, 2.0, 3.0]), np.array([1.0, 5.0, -1.0]))
    assert errors.mae == pytest.approx(7 / 3)
    assert errors.rmse == pytest.approx(np.sqrt(25 / 3))


def test_the_mean_predictor_answers_the_training_mean() -> None:
    predict = fit_mean(np.array([0.01, 0.02, 0.06]))
    assert predict(np.zeros((2, 5), dtype=np.float32)).tolist() == pytest.approx([0.03, 0.03])


def test_ridge_is_the_closed_form_at_the_penalty_that_leaves_families_out_best() -> None:
    rng = np.random.default_rng(5)
    features = rng.standard_normal((60, 8)).astype(np.float32)
    family = np.repeat(np.arange(3), 20)
    labels = features @ rng.standard_normal(8) + 3.0 + rng.standard_normal(60)

    def closed_form(x: np.ndarray, y: np.ndarray, penalty: float, new: np.ndarray) -> np.ndarray:
        center, mean = x.mean(axis=0), y.mean()
        weights = np.linalg.solve((x - center).T @ (x - center) + penalty * np.eye(8), (x - center).T @ (y - mean))
        return (new - center) @ weights + mean

    wide = features.astype(np.float64)
    scores = []
    for penalty in PENALTIES:
        r2 = []
        for left_out in range(3):
            out = family == left_out
            predicted = closed_form(wide[~out], labels[~out], penalty, wide[out])
            r2.append(1 - np.sum((predicted - labels[out]) ** 2) / np.sum((labels[out] - labels[out].mean()) ** 2))
        scores.append(np.mean(r2))
    best = PENALTIES[int(np.argmax(scores))]
    new = rng.standard_normal((4, 8)).astype(np.float32)
    np.testing.assert_allclose(
        fit_ridge(features, labels, family)(new), closed_form(wide, labels, best, new.astype(np.float64)), rtol=1e-6
    )


def test_all_predictors_are_compared_on_the_test_split(tmp_path: Path) -> None:
    write_tensors(tmp_path / "t.h5", campaign(), families=20, members=4, points=12, particles=3)
    data = load_tensors(tmp_path / "t.h5")
    split = split_by_family(data.family, validation=0.1, test=0.2, seed=1)
    scaling = Scaling.fit(data.spectra[split.training], data.msd[split.training], noise=0.0)

    def always(features: np.ndarray) -> np.ndarray:
        return np.full(len(features), 0.01)

    result = assess(always, data, split, scaling, noise=0.0, seed=1)
    labels = data.msd[split.test]
    assert result.test.n == 16
    assert result.test.errors["network"].mae == pytest.approx(np.abs(labels - 0.01).mean())
    assert result.test.errors["mean"].mae == pytest.approx(np.abs(labels - data.msd[split.training].mean()).mean())
    assert result.test.errors["ridge"].mae < result.test.errors["mean"].mae
    assert result.particle.n == 3
    assert result.particle.errors["network"].mae == pytest.approx(np.abs(data.particle_msd - 0.01).mean())
    np.testing.assert_array_equal(result.labels, labels)
    assert result.predictions.tolist() == [0.01] * 16


def test_without_particle_averages_there_is_no_comparison_on_them(tmp_path: Path) -> None:
    write_tensors(tmp_path / "t.h5", campaign(), families=10, members=2, points=8, particles=0)
    data = load_tensors(tmp_path / "t.h5")
    split = split_by_family(data.family, validation=0.1, test=0.1, seed=1)
    scaling = Scaling.fit(data.spectra[split.training], data.msd[split.training], noise=0.01)
    particle = assess(fit_mean(data.msd), data, split, scaling, noise=0.01, seed=1).particle
    assert (particle.n, particle.errors) == (0, {})
