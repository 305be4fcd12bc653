"""The baselines, on data where their answer is known."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pydantic import TypeAdapter

from xanesml.assessment.baselines import COMPONENTS, PENALTIES, Regressions, fit_edge_slope, fit_mean
from xanesml.assessment.report import Errors
from xanesml.errors import EnvironmentProblem
from xanesml.learning.predictors import edge_slope
from xanesml.learning.scaling import Scaling

pytestmark = pytest.mark.requires("sklearn")


def averages(*, rows: int = 240, points: int = 10) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return features linear in the weights over five shifts, with mean squared displacement, mean shift and family."""
    rng = np.random.default_rng(3)
    shifts = np.array([-0.4, -0.2, 0.0, 0.2, 0.4])
    weights = rng.dirichlet(np.ones(5), size=rows)
    mean = weights @ shifts
    msd = weights @ shifts**2 - mean**2
    features = (weights @ rng.standard_normal((5, points)) * 3).astype(np.float32)
    return features, msd, mean, np.repeat(np.arange(rows // 8), 8)


def closed_form(x: np.ndarray, y: np.ndarray, penalty: float, new: np.ndarray) -> np.ndarray:
    center, mean = x.mean(axis=0), y.mean()
    square = (x - center).T @ (x - center) + penalty * np.eye(x.shape[1])
    return (new - center) @ np.linalg.solve(square, (x - center).T @ (y - mean)) + mean


def test_errors_by_hand() -> None:
    errors = Errors.of(np.array([1.0, 2.0, 3.0]), np.array([1.0, 5.0, -1.0]))
    assert errors.mae == pytest.approx(7 / 3)
    assert errors.rmse == pytest.approx(np.sqrt(25 / 3))
    # The labels' mean is 5/3, the sum of their squared deviations 56/3.
    assert errors.r2 == pytest.approx(1 - 25 / (56 / 3))
    assert errors.bias == pytest.approx(1 / 3)
    assert TypeAdapter(Errors).validate_json(TypeAdapter(Errors).dump_json(errors)) == errors


def test_equal_labels_have_no_coefficient_of_determination() -> None:
    errors = Errors.of(np.array([0.1, 0.3]), np.array([0.2, 0.2]))
    assert np.isnan(errors.r2)
    written = TypeAdapter(Errors).dump_json(errors)
    assert json.loads(written)["r2"] is None
    assert np.isnan(TypeAdapter(Errors).validate_json(written).r2)


def test_the_mean_predictor_answers_the_training_mean() -> None:
    predict = fit_mean(np.array([0.01, 0.02, 0.06]))
    assert predict(np.zeros((2, 5), dtype=np.float32)).tolist() == pytest.approx([0.03, 0.03])


def test_the_slope_is_the_steepest_near_the_edge() -> None:
    mesh = 11900.0 + 0.5 * np.arange(101)
    ramp = np.clip(0.08 * (mesh - 11915.0), 0.0, 1.0)
    far = np.where(mesh >= 11935.0, 5.0, 0.0)
    assert edge_slope(np.stack([ramp, 2 * ramp + far]), mesh, 11918.6) == pytest.approx([0.08, 0.16])
    # A step as high as 1 between two points: the line through five about it rises by 0.3 per point.
    step = (mesh > 11918.6).astype(float)
    assert edge_slope(step[np.newaxis], mesh, 11918.6) == pytest.approx([0.3 / 0.5])


def test_on_a_coarse_mesh_the_slope_is_that_nearest_to_the_edge() -> None:
    mesh = 100.0 * np.arange(6)
    spectra = np.array([[0.0, 0.0, 1.0, 1.0, 1.0, 9.0]])
    # The line through the first five points: the products with −2 … 2 sum to 0 + 1 + 2, over 10 and 100 eV.
    assert edge_slope(spectra, mesh, 180.0) == pytest.approx([0.3 / 100])


def test_edge_slope_recovers_a_label_that_is_linear_in_it() -> None:
    mesh = 11910.0 + 0.5 * np.arange(60)
    rate = np.linspace(0.05, 0.12, 30)
    spectra = np.clip(rate[:, np.newaxis] * (mesh - 11914.0), 0.0, 1.0)
    labels = 0.02 - 0.1 * rate
    scaling = Scaling(spectra.mean(axis=0), 0.1 + np.arange(60.0), {"msd": (0.0, 0.1)})
    features = scaling.scale_features(spectra)
    predict = fit_edge_slope(features[::2], labels[::2], scaling, mesh, 11918.6)
    np.testing.assert_allclose(predict(features), labels, atol=1e-7)
    flat = fit_edge_slope(np.zeros((3, 60), np.float32), np.array([0.01, 0.02, 0.06]), scaling, mesh, 11918.6)
    assert flat(features[:2]).tolist() == pytest.approx([0.03, 0.03])


def test_ridge_is_the_closed_form_at_the_penalty_that_leaves_families_out_best() -> None:
    rng = np.random.default_rng(5)
    features = rng.standard_normal((60, 8)).astype(np.float32)
    family = np.repeat(np.arange(3), 20)
    labels = features @ rng.standard_normal(8) + 3.0 + 3 * rng.standard_normal(60)
    wide = features.astype(np.float64)

    def error(penalty: float) -> float:
        outs = [family == left_out for left_out in range(3)]
        return sum(
            np.sum((closed_form(wide[~out], labels[~out], penalty, wide[out]) - labels[out]) ** 2) for out in outs
        )

    best = min(PENALTIES, key=error)
    assert best > PENALTIES[0]
    new = rng.standard_normal((4, 8)).astype(np.float32)
    regressions = Regressions(features, labels, np.zeros(60), family)
    np.testing.assert_allclose(
        regressions.ridge()(new), closed_form(wide, labels, best, new.astype(np.float64)), rtol=1e-6
    )


def test_regression_on_components_is_the_ridge_regression_where_the_data_have_no_more() -> None:
    rng = np.random.default_rng(6)
    rank = COMPONENTS[2]
    assert rank == 4
    scores = rng.standard_normal((80, rank))
    features = (scores @ rng.standard_normal((rank, 9))).astype(np.float32)
    labels = scores @ rng.standard_normal(rank) + 0.5 * rng.standard_normal(80)
    regressions = Regressions(features, labels, np.zeros(80), np.repeat(np.arange(10), 8))
    np.testing.assert_allclose(regressions.pca_ridge()(features), regressions.ridge()(features), rtol=1e-5)


def test_components_and_penalty_are_those_that_a_search_by_scikit_learn_finds(monkeypatch: pytest.MonkeyPatch) -> None:
    from sklearn.decomposition import PCA
    from sklearn.linear_model import Ridge
    from sklearn.model_selection import GridSearchCV, GroupKFold
    from sklearn.pipeline import Pipeline

    penalties = (0.01, 1.0, 100.0)
    monkeypatch.setattr("xanesml.assessment.baselines.PENALTIES", penalties)
    # One strong component holds the label, five weak ones are accidents.
    rng = np.random.default_rng(8)
    strong = rng.standard_normal(20)
    features = np.column_stack([strong, 0.3 * rng.standard_normal((20, 5))]).astype(np.float32)
    labels = strong + 0.3 * rng.standard_normal(20)
    family = np.repeat(np.arange(5), 4)
    search = GridSearchCV(
        Pipeline([("components", PCA()), ("ridge", Ridge())]),
        {"components__n_components": [1, 2, 4, 6], "ridge__alpha": penalties},
        scoring="neg_mean_squared_error",
        cv=GroupKFold(5),
    ).fit(features.astype(np.float64), labels, groups=family)
    assert search.best_params_["components__n_components"] < 6
    predict = Regressions(features, labels, np.zeros(20), family).pca_ridge()
    np.testing.assert_allclose(predict(features), search.predict(features.astype(np.float64)), rtol=1e-5)


def test_moments_are_exact_without_noise_where_a_ridge_regression_is_not() -> None:
    features, msd, mean, family = averages()
    train, test = slice(0, 200), slice(200, None)
    regressions = Regressions(features[train], msd[train], mean[train], family[train])
    moments = Errors.of(regressions.moments()(features[test]), msd[test])
    ridge = Errors.of(regressions.ridge()(features[test]), msd[test])
    assert moments.mae < 1e-6
    assert ridge.mae > 1e-3


def test_the_penalties_of_the_moments_are_chosen_by_the_displacement() -> None:
    features, msd, mean, family = averages(rows=80)
    features = features + np.random.default_rng(9).standard_normal(features.shape, dtype=np.float32)
    wide, folds = features.astype(np.float64), [np.isin(family, family[::8][start::5]) for start in range(5)]

    def predict(rows: np.ndarray, new: np.ndarray, first: float, second: float) -> np.ndarray:
        square = closed_form(wide[rows], (msd + mean**2)[rows], second, new)
        return square - closed_form(wide[rows], mean[rows], first, new) ** 2

    def error(pair: tuple[float, float]) -> float:
        return sum(np.sum((predict(~out, wide[out], *pair) - msd[out]) ** 2) for out in folds)

    best = min(((first, second) for first in PENALTIES[6:] for second in PENALTIES[6:]), key=error)
    found = Regressions(features, msd, mean, family).moments()(features)
    np.testing.assert_allclose(found, predict(np.ones(80, dtype=bool), wide, *best), rtol=1e-6)


def test_boosted_trees_learn_what_is_not_linear_and_the_same_each_time() -> None:
    rng = np.random.default_rng(7)
    features = rng.uniform(-1, 1, (400, 3)).astype(np.float32)
    labels = np.abs(features[:, 0]).astype(np.float64)
    regressions = Regressions(features, labels, np.zeros(400), np.repeat(np.arange(40), 10))
    new = rng.uniform(-1, 1, (100, 3)).astype(np.float32)
    answers = regressions.boosting(seed=2**40)(new)
    assert Errors.of(answers, np.abs(new[:, 0])).r2 > 0.8
    assert Errors.of(regressions.ridge()(new), np.abs(new[:, 0])).r2 < 0.1
    np.testing.assert_array_equal(regressions.boosting(seed=2**40)(new), answers)


def test_trees_answer_as_those_of_scikit_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    from sklearn.ensemble import HistGradientBoostingRegressor

    rng = np.random.default_rng(11)
    features = rng.standard_normal((5000, 30)).astype(np.float32)
    labels = 0.01 + 0.002 * np.sin(3 * features[:, 0].astype(np.float64)) + 0.001 * features[:, 1]
    fitted: list[HistGradientBoostingRegressor] = []
    fit = HistGradientBoostingRegressor.fit
    monkeypatch.setattr(HistGradientBoostingRegressor, "fit", lambda *given: fitted.append(fit(*given)))
    trees = Regressions(features, labels, np.zeros(5000), np.repeat(np.arange(50), 100)).boosting(seed=1)
    new = np.concatenate([features, rng.standard_normal((5000, 30)).astype(np.float32)])
    scores = ((new - trees.center) @ trees.components.T).astype(np.float32)
    np.testing.assert_array_equal(trees(new), fitted[0].predict(scores))
    assert len(fitted) == 1
    assert trees(new[:0]).shape == (0,)


def test_asking_trees_starts_no_threads() -> None:
    trees = Regressions(*averages()).boosting(seed=1)
    features = averages()[0]
    tasks = Path("/proc/self/task")
    before = len(list(tasks.iterdir()))
    trees(features)
    assert len(list(tasks.iterdir())) <= before


def test_boosted_trees_take_no_more_spectra_than_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xanesml.assessment.baselines.BOOSTING_SPECTRA", 50)
    features = np.linspace(-1, 1, 99, dtype=np.float32)[:, np.newaxis]
    labels = np.where(np.arange(99) % 2, 1.0, 0.01)
    predict = Regressions(features, labels, np.zeros(99), np.arange(99)).boosting(seed=1)
    # Every second spectrum is taken, and all of those have one label.
    np.testing.assert_allclose(predict(features), 0.01)


def test_trees_that_are_read_are_fitted_again_and_are_the_same() -> None:
    features = averages()[0]
    trees = Regressions(*averages()).boosting(seed=1)
    np.testing.assert_array_equal(replace(trees)(features), trees(features))


def test_trees_that_come_out_otherwise_are_refused() -> None:
    trees = Regressions(*averages()).boosting(seed=1)
    other = replace(trees, check=trees.check + 1e-6)
    with pytest.raises(EnvironmentProblem, match=r"fits other boosted trees .*\(answers differ by 1e-06 Å²\); install"):
        other(averages()[0])


def test_without_scikit_learn_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    trees = replace(Regressions(*averages()).boosting(seed=1))
    for module in ("sklearn.model_selection", "sklearn.ensemble"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(EnvironmentProblem, match=r"the baselines need scikit-learn .*xanesml\[train\]"):
        Regressions(*averages(rows=16))
    with pytest.raises(EnvironmentProblem, match=r"boosted trees need scikit-learn .*xanesml\[train\]"):
        trees(averages()[0])
