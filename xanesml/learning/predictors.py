"""Fitted baselines, as arrays and a formula, or as boosted trees that scikit-learn fits again from what is kept."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from threadpoolctl import threadpool_limits

from xanesml.errors import EnvironmentProblem
from xanesml.files.arrays import Floats, Reals, Singles

#: Distance from the nominal edge within which the steepest point is sought, eV.
EDGE_WINDOW = 10.0
#: Mesh points that a straight line is fitted to for its slope.
SLOPE_POINTS = 5

#: Answers of boosted trees that are kept to check a later fit, and how far it may be off, Å².
CHECKED, SAME = 256, 1e-9


class Predictor(Protocol):
    """From scaled features, shape (n, M), to mean squared displacements, shape (n,), float64, Å²."""

    def __call__(self, features: Singles) -> Floats:
        """Answer to scaled features without NaN."""
        ...


@dataclass(frozen=True)
class Constant:
    """The same answer to every spectrum, Å²."""

    value: float

    def __call__(self, features: Singles) -> Floats:
        """Answer to scaled features, shape (n, M)."""
        return np.full(len(features), self.value)


@dataclass(frozen=True)
class SlopeLine:
    """A linear function of the slope of the edge. No array holds NaN.

    Attributes
    ----------
    mesh : ndarray
        Photon energies, shape (M,), float64, evenly spaced, eV.
    edge : float
        Nominal photon energy of the edge, eV.
    feature_mean, feature_scale : ndarray
        Mean and standard deviation that features were scaled by, shape (M,), float64, edge steps.
    center : float
        Mean slope of the training spectra, edge steps per eV.
    value : float
        The answer at the mean slope, Å².
    gradient : float
        Change of the answer with the slope, Å² eV per edge step.
    """

    mesh: Floats
    edge: float
    feature_mean: Floats
    feature_scale: Floats
    center: float
    value: float
    gradient: float

    def __call__(self, features: Singles) -> Floats:
        """Answer to scaled features, shape (n, M)."""
        spectra = features * self.feature_scale + self.feature_mean
        return self.value + self.gradient * (edge_slope(spectra, self.mesh, self.edge) - self.center)


@dataclass(frozen=True)
class Linear:
    """A linear function of the features. No array holds NaN.

    Attributes
    ----------
    weights : ndarray
        Shape (M,), float64, Å².
    value : float
        The answer to features that are all 0, Å².
    """

    weights: Floats
    value: float

    def __call__(self, features: Singles) -> Floats:
        """Answer to scaled features, shape (n, M)."""
        return np.asarray(features @ self.weights + self.value, dtype=np.float64)


@dataclass(frozen=True)
class LinearMoments:
    """Linear functions for two moments of a distribution, and its variance from them. No array holds NaN.

    Attributes
    ----------
    weights : ndarray
        For Σ w x², Å², and for Σ w x, Å, shape (M, 2), float64.
    values : ndarray
        The two moments for features that are all 0, shape (2,), float64.
    """

    weights: Floats
    values: Floats

    def __call__(self, features: Singles) -> Floats:
        """Answer to scaled features, shape (n, M)."""
        square, shift = (features @ self.weights + self.values).T
        return np.asarray(square - shift**2, dtype=np.float64)


@dataclass(frozen=True)
class Trees:
    """Gradient-boosted regression trees over principal component scores. No array holds NaN.

    scikit-learn alone reads its trees, and only in the version that fitted them. Kept is therefore what they are
    fitted to: the fit takes about a second, is made when the first spectrum comes, and gives the same trees.

    Attributes
    ----------
    center : ndarray
        Mean of the training features, shape (M,), float64.
    components : ndarray
        Principal components, shape (S, M), float64.
    scores : ndarray
        Scores of the spectra that the trees are fitted to, shape (n, S), float32.
    msd : ndarray
        Their mean squared displacements, shape (n,), float64, Å².
    trees : int
        Number of trees.
    seed : int
        Seed of the fit.
    check : ndarray
        Answers to the first spectra after training, shape (k,), float64, Å²; a later fit has to give them too.
    """

    center: Floats
    components: Floats
    scores: Singles
    msd: Floats
    trees: int
    seed: int
    check: Floats

    @classmethod
    def fit(cls, center: Floats, components: Floats, features: Reals, msd: Floats, *, trees: int, seed: int) -> Trees:
        """Fit trees to the scores of features, shape (n, M), and their mean squared displacements, (n,), Å²."""
        scores = _scores(features, center, components)
        fitted = _boosted(scores, msd, trees, seed)
        made = cls(center, components, scores, msd, trees, seed, _answers(fitted, scores[:CHECKED]))
        made.__dict__["_fitted"] = fitted
        return made

    def __call__(self, features: Singles) -> Floats:
        """Answer to scaled features, shape (n, M).

        Raises
        ------
        EnvironmentProblem
            If scikit-learn is not installed, or fits other trees than in training.
        """
        return _answers(self._fitted, _scores(features, self.center, self.components))

    @cached_property
    def _fitted(self) -> Any:
        fitted = _boosted(self.scores, self.msd, int(self.trees), int(self.seed))
        off = float(np.abs(_answers(fitted, self.scores[:CHECKED]) - self.check).max())
        if off > SAME:
            from sklearn import __version__ as version  # noqa: PLC0415 (heavy)

            raise EnvironmentProblem(
                f"scikit-learn {version} fits other boosted trees than in training (answers differ by {off:.2g} Å²); "
                "install the version that model.json names, or train again with `xanesml train`"
            )
        return fitted


def _boosted(scores: Singles, msd: Floats, trees: int, seed: int) -> Any:
    try:
        from sklearn.ensemble import HistGradientBoostingRegressor  # noqa: PLC0415 (heavy)
    except ImportError as error:
        raise EnvironmentProblem(
            f"boosted trees need scikit-learn ({error}); run `pip install 'xanesml[train]'`"
        ) from error
    # Early stopping would hold out spectra of families that the trees are also fitted to.
    boosted = HistGradientBoostingRegressor(max_iter=trees, early_stopping=False, random_state=seed)
    # A limit set by the caller would not hold for the threads of a library loaded here.
    with threadpool_limits(1):
        boosted.fit(scores, msd)
    return boosted


def _answers(fitted: Any, scores: Singles) -> Floats:
    if not len(scores):
        # scikit-learn takes no empty arrays.
        return np.empty(0)
    with threadpool_limits(1):
        return np.asarray(fitted.predict(scores), dtype=np.float64)


def _scores(features: Reals, center: Floats, components: Floats) -> Singles:
    """Return principal component scores, shape (n, S)."""
    return np.asarray((features - center) @ components.T, dtype=np.float32)


def edge_slope(spectra: Reals, mesh: Floats, edge: float) -> Floats:
    """Return the steepest slope of each spectrum at its edge.

    A straight line is fitted to the five mesh points around each point; at the first and last two
    points of the mesh, to the five at its end. The largest slope within 10 eV of the nominal edge
    energy counts. If the mesh has no point there, the slope at the nearest point counts.

    Parameters
    ----------
    spectra : ndarray
        Normalized spectra, shape (n, M), edge steps; n may be 0.
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

    if not len(spectra):
        # The filter takes no empty arrays.
        return np.empty(0)
    distance = np.abs(mesh - edge)
    near = np.flatnonzero(distance <= max(EDGE_WINDOW, distance.min()))
    # The lines at the points farthest from the edge reach beyond the window.
    reach = slice(max(near[0] - SLOPE_POINTS, 0), near[-1] + SLOPE_POINTS + 1)
    slopes = savgol_filter(spectra[:, reach].astype(np.float64), SLOPE_POINTS, 1, deriv=1, delta=mesh[1] - mesh[0])
    return np.asarray(slopes[:, near - reach.start].max(axis=1), dtype=np.float64)
