"""Baselines that the network has to beat, and the errors they are compared by."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xanesml.errors import EnvironmentProblem

#: From scaled features, shape (n, M), to mean squared displacements, shape (n,), Å².
Predictor = Callable[[NDArray[np.float32]], NDArray[np.float64]]

#: Penalties that the ridge regression chooses from.
PENALTIES = (1e-4, 1e-2, 1.0, 1e2, 1e4)


@dataclass(frozen=True)
class Errors:
    """Errors of a predictor on one set of spectra.

    Attributes
    ----------
    mae : float
        Mean absolute error, Å².
    rmse : float
        Root of the mean squared error, Å².
    """

    mae: float
    rmse: float

    @classmethod
    def of(cls, predictions: NDArray[np.float64], labels: NDArray[np.float64]) -> Errors:
        """Compare predictions with labels, both of shape (n,), n > 0, Å², no NaN."""
        residuals = predictions - labels
        return cls(mae=float(np.abs(residuals).mean()), rmse=float(np.sqrt(np.square(residuals).mean())))


def fit_mean(labels: NDArray[np.float64]) -> Predictor:
    """Return the predictor that answers the mean of the training labels, shape (n,), Å², to everything."""
    mean = float(labels.mean())
    return lambda features: np.full(len(features), mean)


def fit_ridge(
    features: NDArray[np.float32], labels: NDArray[np.float64], family: NDArray[np.integer[Any]]
) -> Predictor:
    """Fit a ridge regression, its penalty chosen by cross-validation over whole families.

    Parameters
    ----------
    features : ndarray
        Scaled training spectra, shape (n, M), float32, no NaN.
    labels : ndarray
        Training labels, shape (n,), Å².
    family : ndarray
        Family of each spectrum, shape (n,), integers; at least two different ones.

    Returns
    -------
    callable
        The predictor.

    Raises
    ------
    EnvironmentProblem
        If scikit-learn is not installed.
    """
    try:
        from sklearn.linear_model import RidgeCV  # noqa: PLC0415 (heavy, and part of the extra `train`)
        from sklearn.model_selection import GroupKFold  # noqa: PLC0415
        from threadpoolctl import threadpool_limits  # noqa: PLC0415
    except ImportError as error:
        raise EnvironmentProblem(
            f"the ridge baseline needs scikit-learn ({error}); run `pip install 'xanesml[train]'`"
        ) from error
    folds = GroupKFold(min(5, np.unique(family).size))
    wide = features.astype(np.float64)
    ridge = RidgeCV(alphas=PENALTIES, cv=list(folds.split(wide, groups=family)))
    # The matrices are small, and on cores shared with other ranks BLAS threads wait for each other.
    with threadpool_limits(1):
        ridge.fit(wide, labels)
    return lambda features: np.asarray(ridge.predict(features.astype(np.float64)), dtype=np.float64)
