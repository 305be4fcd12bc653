"""Fitted baselines, which need no scikit-learn: arrays and a formula, or an ONNX model."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from xanesml.errors import EnvironmentProblem
from xanesml.files.arrays import Floats, Reals, Singles

#: Distance from the nominal edge within which the steepest point is sought, eV.
EDGE_WINDOW = 10.0
#: Mesh points that a straight line is fitted to for its slope.
SLOPE_POINTS = 5

#: Step of the scores that trees are given.
_SCORE_STEP = 2.0**-16


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
    """A sum of regression trees over principal component scores. No array holds NaN.

    Attributes
    ----------
    center : ndarray
        Mean of the training features, shape (M,), float64.
    components : ndarray
        Principal components, shape (S, M), float64.
    onnx : ndarray
        The trees as an ONNX model that takes scores, (n, S), float32; its bytes, uint8.
    """

    center: Floats
    components: Floats
    onnx: NDArray[np.uint8]

    def __call__(self, features: Singles) -> Floats:
        """Answer to scaled features, shape (n, M).

        Raises
        ------
        EnvironmentProblem
            If onnxruntime is not installed.
        """
        scores = scores_of(features, self.center, self.components)
        (answers,) = self._session.run(None, {"scores": scores})
        return np.asarray(answers[:, 0], dtype=np.float64)

    @cached_property
    def _session(self) -> Any:
        try:
            import onnxruntime  # noqa: PLC0415 (heavy, and part of the extra `train`)
        except ImportError as error:
            raise EnvironmentProblem(
                f"boosted trees need onnxruntime ({error}); run `pip install 'xanesml[train]'`"
            ) from error
        options = onnxruntime.SessionOptions()
        # The trees are small, and a session would otherwise start a thread for each core of the machine.
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        return onnxruntime.InferenceSession(self.onnx.tobytes(), options, providers=["CPUExecutionProvider"])


def scores_of(features: Reals, center: Floats, components: Floats) -> Singles:
    """Return principal component scores, rounded to multiples of 2⁻¹⁶.

    Boosting puts its thresholds halfway between two scores. Between rounded scores below 128, these are exact in
    the single precision that ONNX keeps them in, so that no score falls on the wrong side of a threshold.

    Parameters
    ----------
    features : ndarray
        Scaled features, shape (n, M).
    center, components : ndarray
        As in `Trees`.

    Returns
    -------
    ndarray
        Scores, shape (n, S), float32.
    """
    scores = (features - center) @ components.T
    return np.asarray(np.rint(scores / _SCORE_STEP) * _SCORE_STEP, dtype=np.float32)


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
