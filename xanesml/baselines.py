"""Baselines that the network has to beat, and the errors they are compared by."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from xanesml.errors import EnvironmentProblem

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]

#: From scaled features, shape (n, M), to mean squared displacements, shape (n,), Å².
Predictor = Callable[[Singles], Floats]

#: Penalties that the regressions choose from, for features of about unit variance.
PENALTIES = tuple(10.0**power for power in range(-8, 5))

#: Numbers of principal components that the regression on them chooses from.
COMPONENTS = (1, 2, 4, 8, 16, 32, 64)

#: The edge is looked for so far on either side of its nominal energy, eV.
EDGE_WINDOW = 10.0
#: Mesh points of the straight line whose slope is taken.
SLOPE_POINTS = 5

#: Spectra, evenly taken from the training side, principal components and trees of gradient boosting at most.
BOOSTING_SPECTRA, BOOSTING_COMPONENTS, BOOSTING_TREES = 20_000, 20, 200


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


def fit_mean(labels: Floats) -> Predictor:
    """Return the predictor that answers the mean of the training labels, shape (n,), Å², to everything."""
    mean = float(labels.mean())
    return lambda features: np.full(len(features), mean)


def edge_slope(spectra: NDArray[np.floating[Any]], mesh: Floats, edge: float) -> Floats:
    """Return the steepest slope of each spectrum at its edge.

    The slope at a mesh point is that of the straight line fitted to the five points about
    it, at the first and last two points of the mesh to the five at its end. The steepest is
    the largest of those at points within 10 eV of the edge's nominal energy, or at the
    nearest point where none is so near.

    Parameters
    ----------
    spectra : ndarray
        Normalized spectra, shape (n, M), edge steps.
    mesh : ndarray
        Photon energies, shape (M,), evenly spaced, M ≥ 5, eV.
    edge : float
        Nominal photon energy of the edge, eV.

    Returns
    -------
    ndarray
        Slopes, shape (n,), float64, edge steps per eV.
    """
    from scipy.signal import savgol_filter  # noqa: PLC0415 (slow to import)

    distance = np.abs(mesh - edge)
    near = np.flatnonzero(distance <= max(EDGE_WINDOW, distance.min()))
    # The lines at the points farthest from the edge reach beyond the window.
    reach = slice(max(near[0] - SLOPE_POINTS, 0), near[-1] + SLOPE_POINTS + 1)
    slopes = savgol_filter(spectra[:, reach].astype(np.float64), SLOPE_POINTS, 1, deriv=1, delta=mesh[1] - mesh[0])
    return np.asarray(slopes[:, near - reach.start].max(axis=1), dtype=np.float64)


def fit_edge_slope(slope: Callable[[Singles], Floats], features: Singles, labels: Floats) -> Predictor:
    """Fit a straight line through the labels over the slopes of the edges.

    Parameters
    ----------
    slope : callable
        From scaled features to slopes, shape (n,).
    features : ndarray
        Scaled training spectra, shape (n, M), float32, no NaN.
    labels : ndarray
        Training labels, shape (n,), Å².

    Returns
    -------
    callable
        The predictor; the mean of the labels where all slopes are equal.
    """
    slopes = slope(features)
    deviation, mean = slopes - slopes.mean(), float(labels.mean())
    square = float(deviation @ deviation)
    gradient = float(deviation @ (labels - mean)) / square if square else 0.0
    center = float(slopes.mean())
    return lambda new: mean + gradient * (slope(new) - center)


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

    def __init__(self, features: Singles, msd: Floats, mean_shift: Floats, family: NDArray[np.integer[Any]]) -> None:
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

    def ridge(self) -> Predictor:
        """Return a ridge regression of the mean squared displacement, its penalty chosen."""
        return self._regression((self._features.shape[1],))

    def pca_ridge(self) -> Predictor:
        """Return a ridge regression on the first principal components, their number and the penalty chosen."""
        return self._regression(COMPONENTS)

    def moments(self) -> Predictor:
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
        shift = self._components.predictor(1, PENALTIES[first])
        square = self._components.predictor(2, PENALTIES[second])
        return lambda features: square(features) - shift(features) ** 2

    def boosting(self, *, seed: int) -> Predictor:
        """Return gradient-boosted trees on the scores of the first 20 principal components.

        Fitted to at most 20,000 spectra, every so many of the training side, with 200 trees
        of scikit-learn's HistGradientBoostingRegressor and its other defaults, but no early
        stopping, which would tell from spectra of the same families when to stop.
        """
        from sklearn.ensemble import HistGradientBoostingRegressor  # noqa: PLC0415 (heavy)

        count = len(self._features)
        rows = np.arange(min(count, BOOSTING_SPECTRA)) * count // min(count, BOOSTING_SPECTRA)
        trees = HistGradientBoostingRegressor(max_iter=BOOSTING_TREES, early_stopping=False, random_state=seed % 2**32)

        def scores(features: Singles) -> Floats:
            return self._components.scores(features)[:, :BOOSTING_COMPONENTS]

        def predict(features: Singles) -> Floats:
            with threadpool_limits(1):
                return np.asarray(trees.predict(scores(features)), dtype=np.float64)

        # A limit set by the caller would not hold for the threads of a library loaded here.
        with threadpool_limits(1):
            trees.fit(scores(self._features[rows]), self._msd[rows])
        return predict

    def _regression(self, numbers: tuple[int, ...]) -> Predictor:
        def answers(components: _Components, scores: Floats) -> Floats:
            return np.column_stack([components.answers(scores[:, :number], 0, PENALTIES) for number in numbers])

        number, penalty = divmod(self._best(answers), len(PENALTIES))
        return self._components.predictor(0, PENALTIES[penalty], numbers[number])

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

    def predictor(self, target: int, penalty: float, number: int | None = None) -> Predictor:
        weights = self.vectors[:, :number] @ self._weights(target, (penalty,))[:number, 0]
        return lambda features: np.asarray((features - self.center) @ weights + self.means[target], dtype=np.float64)

    def _weights(self, target: int, penalties: tuple[float, ...]) -> Floats:
        weights: Floats = self.products[:, target, np.newaxis] / np.add.outer(self.squares, np.asarray(penalties))
        return weights
