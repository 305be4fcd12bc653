"""Baselines that the network has to beat, fitted, and the errors they are compared by."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import reduce
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from xanesml.errors import EnvironmentProblem
from xanesml.files.arrays import Floats, Singles, Wholes
from xanesml.learning.predictors import Constant, Linear, LinearMoments, SlopeLine, Trees, edge_slope
from xanesml.learning.scaling import Scaling

#: Penalties that the regressions choose from, for features of about unit variance.
PENALTIES = tuple(10.0**power for power in range(-8, 5))

#: Numbers of principal components that the regression on them chooses from.
COMPONENTS = (1, 2, 4, 8, 16, 32, 64)

#: Spectra, evenly taken from the training side, principal components and trees of gradient boosting at most.
BOOSTING_SPECTRA, BOOSTING_COMPONENTS, BOOSTING_TREES = 20_000, 20, 200

#: Spectra on which trees taken out of scikit-learn are compared with its own answers.
COMPARED = 100


@dataclass(frozen=True)
class Errors:
    """Errors of a predictor on one set of spectra.

    Attributes
    ----------
    mae : float
        Mean absolute error, Å².
    rmse : float
        Root of the mean squared error, Å².
    r2 : float
        Coefficient of determination: 1 less the mean squared error in units of the labels'
        variance. 0 is what their mean would have, negative is worse; NaN where all labels
        are equal.
    bias : float
        Mean of prediction minus label, Å².
    """

    mae: float
    rmse: float
    r2: float
    bias: float

    @classmethod
    def of(cls, predictions: Floats, labels: Floats) -> Errors:
        """Compare predictions with labels, both of shape (n,), n > 0, Å², no NaN."""
        residuals = predictions - labels
        square = float(np.square(residuals).mean())
        return cls(
            mae=float(np.abs(residuals).mean()),
            rmse=float(np.sqrt(square)),
            r2=float(1 - square / labels.var()) if np.ptp(labels) > 0 else float("nan"),
            bias=float(residuals.mean()),
        )

    def to_dict(self) -> dict[str, float | None]:
        """Return the numbers as JSON can hold them: None for NaN."""
        return {name: value if np.isfinite(value) else None for name, value in asdict(self).items()}

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> Errors:
        """Return the errors that `to_dict` described."""
        names = ("mae", "rmse", "r2", "bias")
        return cls(**{name: float("nan") if content[name] is None else float(content[name]) for name in names})


def fit_mean(labels: Floats) -> Constant:
    """Return the predictor that answers the mean of the training labels, shape (n,), Å², to everything."""
    return Constant(float(labels.mean()))


def fit_edge_slope(features: Singles, labels: Floats, scaling: Scaling, mesh: Floats, edge: float) -> SlopeLine:
    """Fit a straight line through the labels over the slopes of the edges.

    Parameters
    ----------
    features : ndarray
        Scaled training spectra, shape (n, M), float32, no NaN.
    labels : ndarray
        Training labels, shape (n,), Å².
    scaling : Scaling
        What they were scaled by.
    mesh : ndarray
        Photon energies, shape (M,), evenly spaced, M ≥ 5, eV.
    edge : float
        Nominal photon energy of the edge, eV.

    Returns
    -------
    SlopeLine
        The predictor; the mean of the labels where all slopes are equal.
    """
    slopes = edge_slope(features * scaling.feature_scale + scaling.feature_mean, mesh, edge)
    center, value = float(slopes.mean()), float(labels.mean())
    deviation = slopes - center
    gradient = float(deviation @ (labels - value) / (deviation @ deviation)) if np.ptp(slopes) else 0.0
    return SlopeLine(mesh, edge, scaling.feature_mean, scaling.feature_scale, center, value, gradient)


class Regressions:
    """Regressions on the principal components of the training spectra, chosen by whole families.

    Up to five folds, none of which shares a family with another, are left out in turn. What
    counts is the squared error of the mean squared displacement over all of them. One
    eigendecomposition per fold serves all penalties and all numbers of components, where
    the general search of scikit-learn would fit each choice anew.

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
        targets = np.column_stack([msd, mean_shift, msd + mean_shift**2])
        folds = GroupKFold(min(5, np.unique(family).size))
        self._features, self._msd = features, msd
        self._held_out = [rows for _, rows in folds.split(features, groups=family)]
        sums = [_Sums.of(features[rows].astype(np.float64), targets[rows]) for rows in self._held_out]
        self._others = [_Components.of(reduce(_Sums.plus, sums[:fold] + sums[fold + 1 :])) for fold in range(len(sums))]
        self._components = _Components.of(reduce(_Sums.plus, sums))

    def ridge(self) -> Linear:
        """Return a ridge regression of the mean squared displacement, its penalty chosen."""
        return self._regression((self._features.shape[1],))

    def pca_ridge(self) -> Linear:
        """Return a ridge regression on the first principal components, their number and the penalty chosen."""
        return self._regression(COMPONENTS)

    def moments(self) -> LinearMoments:
        """Return a regression of the distribution's first two moments, which give the mean squared displacement.

        Before normalization a statistical average Σ w_i μ_i is linear in its weights w_i,
        and so are the moments Σ w_i x_i and Σ w_i x_i² about the reference, but not the mean
        squared displacement Σ w_i x_i² − (Σ w_i x_i)². Ridge regressions therefore predict the
        two moments, and the mean squared displacement follows. Normalization divides by the
        average edge step, which makes the spectrum a ratio of two linear functions of the
        weights; as the edge steps of a series hardly differ (by 0.8 % in 91 gold clusters of 55
        atoms), it is nearly linear. The pair of penalties is the one with the smallest error of
        the mean squared displacement, not of either moment alone.
        """

        def answers(components: _Components, scores: Floats) -> Floats:
            first, second = (components.answers(scores, target, PENALTIES) for target in (1, 2))
            pairs: Floats = second[:, :, np.newaxis] - np.square(first)[:, np.newaxis]
            return pairs.reshape(len(scores), -1)

        second, first = np.unravel_index(self._best(answers), (len(PENALTIES), len(PENALTIES)))
        square = self._components.regression(2, PENALTIES[second])
        shift = self._components.regression(1, PENALTIES[first])
        return LinearMoments(
            square.center, np.stack([square.weights, shift.weights], axis=1), np.array([square.value, shift.value])
        )

    def boosting(self, *, seed: int) -> Trees:
        """Return gradient-boosted trees on the scores of the first 20 principal components.

        Fitted to at most 20,000 spectra, every so many of the training side, with 200 trees
        of scikit-learn's HistGradientBoostingRegressor and its other defaults, but no early
        stopping, which would tell from spectra of the same families when to stop.

        Raises
        ------
        EnvironmentProblem
            If the trees cannot be taken out of this version of scikit-learn.
        """
        from sklearn.ensemble import HistGradientBoostingRegressor  # noqa: PLC0415 (heavy)

        count = len(self._features)
        rows = np.arange(min(count, BOOSTING_SPECTRA)) * count // min(count, BOOSTING_SPECTRA)
        center, vectors = self._components.center, self._components.vectors[:, :BOOSTING_COMPONENTS]
        scores = (self._features[rows] - center) @ vectors
        boosted = HistGradientBoostingRegressor(
            max_iter=BOOSTING_TREES, early_stopping=False, random_state=seed % 2**32
        )
        # A limit set by the caller would not hold for the threads of a library loaded here.
        with threadpool_limits(1):
            boosted.fit(scores, self._msd[rows])
            return Trees.taken_from(boosted, center, vectors, scores[:COMPARED])

    def _regression(self, numbers: tuple[int, ...]) -> Linear:
        def answers(components: _Components, scores: Floats) -> Floats:
            return np.column_stack([components.answers(scores[:, :number], 0, PENALTIES) for number in numbers])

        number, penalty = divmod(self._best(answers), len(PENALTIES))
        return self._components.regression(0, PENALTIES[penalty], numbers[number])

    def _best(self, answers: Callable[[_Components, Floats], Floats]) -> int:
        """Return which of the answers, (n, choices), has the smallest squared error on what was left out."""
        errors: Any = 0.0
        for rows, components in zip(self._held_out, self._others, strict=True):
            residuals = answers(components, components.scores(self._features[rows])) - self._msd[rows, np.newaxis]
            errors = errors + np.square(residuals).sum(axis=0)
        return int(np.argmin(errors))


@dataclass(frozen=True)
class _Sums:
    """What regressions need of some spectra; those of disjoint sets add up."""

    count: int
    features: Floats
    targets: Floats
    squares: Floats
    products: Floats

    @classmethod
    def of(cls, features: Floats, targets: Floats) -> _Sums:
        return cls(
            len(features), features.sum(axis=0), targets.sum(axis=0), features.T @ features, features.T @ targets
        )

    def plus(self, other: _Sums) -> _Sums:
        return _Sums(
            self.count + other.count,
            self.features + other.features,
            self.targets + other.targets,
            self.squares + other.squares,
            self.products + other.products,
        )


@dataclass(frozen=True)
class _Components:
    """Principal components, by falling variance, and the products of their scores with each target."""

    center: Floats
    means: Floats
    vectors: Floats
    squares: Floats
    products: Floats

    @classmethod
    def of(cls, sums: _Sums) -> _Components:
        center, means = sums.features / sums.count, sums.targets / sums.count
        squares, vectors = np.linalg.eigh(sums.squares - sums.count * np.outer(center, center))
        vectors = np.ascontiguousarray(vectors[:, ::-1])
        products = vectors.T @ (sums.products - sums.count * np.outer(center, means))
        return cls(center, means, vectors, np.maximum(squares[::-1], 0.0), products)

    def scores(self, features: Singles) -> Floats:
        return np.asarray((features - self.center) @ self.vectors, dtype=np.float64)

    def answers(self, scores: Floats, target: int, penalties: tuple[float, ...]) -> Floats:
        """Return the answers, (n, penalties), of ridge regressions on as many components as there are scores."""
        return np.asarray(scores @ self._weights(target, penalties)[: scores.shape[1]] + self.means[target])

    def regression(self, target: int, penalty: float, number: int | None = None) -> Linear:
        weights = self.vectors[:, :number] @ self._weights(target, (penalty,))[:number, 0]
        return Linear(self.center, weights, float(self.means[target]))

    def _weights(self, target: int, penalties: tuple[float, ...]) -> Floats:
        weights: Floats = self.products[:, target, np.newaxis] / np.add.outer(self.squares, np.asarray(penalties))
        return weights
