"""Baselines that the network has to beat, fitted by scikit-learn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from xanesml.errors import EnvironmentProblem
from xanesml.files.arrays import Floats, Singles, Wholes
from xanesml.learning.predictors import Constant, Linear, LinearMoments, SlopeLine, Trees, edge_slope
from xanesml.learning.scaling import Scaling
from xanesml.learning.splits import evenly

#: Penalties that the regressions choose from, for features of about unit variance.
PENALTIES = tuple(10.0**power for power in range(-8, 5))

#: Numbers of principal components that the regression on them chooses from.
COMPONENTS = (1, 2, 4, 8, 16, 32, 64)

#: Largest number of training spectra, evenly taken, of principal components and of trees in gradient boosting.
BOOSTING_SPECTRA, BOOSTING_COMPONENTS, BOOSTING_TREES = 20_000, 20, 200


def fit_mean(labels: Floats) -> Constant:
    """Return the predictor that answers the mean of the training labels, shape (n,), Å², to everything."""
    return Constant(float(labels.mean()))


def fit_edge_slope(features: Singles, labels: Floats, scaling: Scaling, mesh: Floats, edge: float) -> SlopeLine:
    """Fit a straight line through the labels over the slopes of the edges.

    The predictor answers the mean of the labels where all slopes are equal.

    Parameters
    ----------
    features : ndarray
        Training spectra, scaled by `scaling`, shape (n, M), float32, no NaN.
    labels : ndarray
        Training labels, shape (n,), Å².
    mesh, edge
        As in `xanesml.learning.predictors.edge_slope`.
    """
    slopes = edge_slope(features * scaling.feature_scale + scaling.feature_mean, mesh, edge)
    center, value = float(slopes.mean()), float(labels.mean())
    deviation = slopes - center
    gradient = float(deviation @ (labels - value) / (deviation @ deviation)) if np.ptp(slopes) else 0.0
    return SlopeLine(mesh, edge, scaling.feature_mean, scaling.feature_scale, center, value, gradient)


class Regressions:
    """Regressions of the mean squared displacement, with hyperparameters chosen by cross-validation over families.

    Up to five folds, none of which shares a family with another, are held out in turn. The
    hyperparameters with the smallest squared error of the mean squared displacement over all folds win.
    A fit of scikit-learn's Ridge takes one penalty for each target, so that one fit to
    copies of the labels tries all penalties.

    Parameters
    ----------
    features : ndarray
        Scaled training spectra, shape (n, M), float32, no NaN.
    msd : ndarray
        Their mean squared displacements, shape (n,), Å².
    mean_shift : ndarray
        Their mean first-shell shifts, shape (n,), Å.
    family : ndarray
        Family of each spectrum, shape (n,), integers; at least two different ones.

    Raises
    ------
    EnvironmentProblem
        If scikit-learn is not installed.

    References
    ----------
    T. Hastie, R. Tibshirani, J. Friedman, The Elements of Statistical Learning, 2nd ed.
    (Springer, 2009), sections 3.4.1 and 3.5.1.
    """

    def __init__(self, features: Singles, msd: Floats, mean_shift: Floats, family: Wholes) -> None:
        try:
            from sklearn.model_selection import GroupKFold  # noqa: PLC0415 (heavy, and part of the extra `train`)
        except ImportError as error:
            raise EnvironmentProblem(
                f"the baselines need scikit-learn ({error}); run `pip install 'xanesml[train]'`"
            ) from error
        self._features, self._msd = features.astype(np.float64), msd
        self._moments = np.column_stack([msd + mean_shift**2, mean_shift])
        self._folds = list(GroupKFold(min(5, np.unique(family).size)).split(features, groups=family))

    def ridge(self) -> Linear:
        """Return a ridge regression of the mean squared displacement."""
        answers = self._held_out(self._msd[:, np.newaxis])[:, 0]
        fitted = _ridge(PENALTIES[self._best(answers)]).fit(self._features, self._msd)
        return Linear(fitted.coef_, float(fitted.intercept_))

    def pca_ridge(self) -> Linear:
        """Return a ridge regression on the first principal components, whose number is chosen too."""
        most = min(COMPONENTS[-1], self._features.shape[1], *(len(training) for training, _ in self._folds))
        numbers = sorted({min(number, most) for number in COMPONENTS})
        labels = np.tile(self._msd[:, np.newaxis], len(PENALTIES))
        answers = np.empty((len(self._msd), len(numbers), len(PENALTIES)))
        # The first components are the same however many follow, so that one analysis per fold serves all numbers.
        for training, held_out in self._folds:
            components = _components(most).fit(self._features[training])
            scores, new = (components.transform(self._features[rows]) for rows in (training, held_out))
            for place, number in enumerate(numbers):
                fitted = _ridge(PENALTIES).fit(scores[:, :number], labels[training])
                answers[held_out, place] = fitted.predict(new[:, :number])
        place, penalty = divmod(self._best(answers.reshape(len(answers), -1)), len(PENALTIES))
        components = _components(numbers[place])
        fitted = _ridge(PENALTIES[penalty]).fit(components.fit_transform(self._features), self._msd)
        weights = fitted.coef_ @ components.components_
        return Linear(weights, float(fitted.intercept_ - components.mean_ @ weights))

    def moments(self) -> LinearMoments:
        """Return a regression of the distribution's first two moments, which give the mean squared displacement.

        Before normalization a statistical average Σ w_i μ_i is linear in its weights w_i,
        and so are the moments Σ w_i x_i and Σ w_i x_i² of the shifts x_i, but not the mean
        squared displacement Σ w_i x_i² − (Σ w_i x_i)². Ridge regressions therefore predict the
        two moments, and the mean squared displacement follows. Normalization divides by the
        average edge step, which makes the spectrum a ratio of two linear functions of the
        weights; as the edge steps of a series hardly differ (by 0.8 % in 91 gold clusters of 55
        atoms), it is nearly linear. The pair of penalties is the one with the smallest error of
        the mean squared displacement, not of either moment alone.
        """
        square, shift = self._held_out(self._moments).transpose(1, 0, 2)
        pairs = square[:, :, np.newaxis] - np.square(shift)[:, np.newaxis]
        best = np.unravel_index(self._best(pairs.reshape(len(pairs), -1)), pairs.shape[1:])
        fitted = _ridge([PENALTIES[penalty] for penalty in best]).fit(self._features, self._moments)
        return LinearMoments(fitted.coef_.T, fitted.intercept_)

    def boosting(self, *, seed: int) -> Trees:
        """Return gradient-boosted trees on the scores of the first 20 principal components.

        They are fitted to at most 20,000 spectra, evenly taken, with 200 trees of scikit-learn's
        HistGradientBoostingRegressor and its other defaults, without early stopping.
        """
        count, points = self._features.shape
        rows = evenly(count, BOOSTING_SPECTRA)
        components = _components(min(BOOSTING_COMPONENTS, count, points)).fit(self._features)
        return Trees.fit(
            components.mean_,
            components.components_,
            self._features[rows],
            self._msd[rows],
            trees=BOOSTING_TREES,
            seed=seed % 2**32,
        )

    def _held_out(self, targets: Floats) -> Floats:
        """Return what ridge regressions predict of each fold from the others, (n, T, penalties), of targets, (n, T)."""
        from sklearn.model_selection import cross_val_predict  # noqa: PLC0415 (heavy)

        count, penalties = targets.shape[1], len(PENALTIES)
        copies = np.repeat(targets, penalties, axis=1)
        answers = cross_val_predict(_ridge(PENALTIES * count), self._features, copies, cv=self._folds)
        return np.asarray(answers.reshape(-1, count, penalties), dtype=np.float64)

    def _best(self, answers: Floats) -> int:
        """Return which answers, (n, choices), have the smallest squared error."""
        return int(np.argmin(np.square(answers - self._msd[:, np.newaxis]).sum(axis=0)))


def _ridge(penalty: float | Sequence[float]) -> Any:
    """Return an unfitted ridge regression with one penalty for all targets, or one for each."""
    from sklearn.linear_model import Ridge  # noqa: PLC0415 (heavy)

    return Ridge(alpha=penalty, solver="cholesky")


def _components(number: int) -> Any:
    """Return an unfitted principal component analysis, exact and fast for many more spectra than energies."""
    from sklearn.decomposition import PCA  # noqa: PLC0415 (heavy)

    return PCA(number, svd_solver="covariance_eigh")
