"""Fitted baselines: each a handful of arrays and a formula, evaluated by numpy alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from xanesml.errors import EnvironmentProblem
from xanesml.files.arrays import Floats, Integers, Reals, Singles

#: The edge is looked for so far on either side of its nominal energy, eV.
EDGE_WINDOW = 10.0
#: Mesh points of the straight line whose slope is taken.
SLOPE_POINTS = 5

#: Spectra that trees are asked about at a time.
_BLOCK = 1024


class Predictor(Protocol):
    """From scaled features, shape (n, M), to mean squared displacements, shape (n,), float64, Å²."""

    def __call__(self, features: Singles) -> Floats:
        """Answer to scaled features without NaN."""
        ...


@dataclass(frozen=True)
class Constant:
    """One answer to everything.

    Attributes
    ----------
    value : float
        The answer, Å².
    """

    value: float

    def __call__(self, features: Singles) -> Floats:
        """Answer to scaled features, shape (n, M)."""
        return np.full(len(features), self.value)


@dataclass(frozen=True)
class SlopeLine:
    """A straight line over the slope of the edge. No array holds NaN.

    Attributes
    ----------
    mesh : ndarray
        Photon energies, shape (M,), float64, evenly spaced, eV.
    edge : float
        Nominal photon energy of the edge, eV.
    feature_mean, feature_scale : ndarray
        What features were scaled by, shape (M,), float64, edge steps.
    center : float
        Mean slope of the training spectra, edge steps per eV.
    value : float
        The answer there, Å².
    gradient : float
        How it changes with the slope, Å² eV.
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
    center : ndarray
        Mean of the training features, shape (M,), float64.
    weights : ndarray
        Shape (M,), float64, Å².
    value : float
        The answer at the mean, Å².
    """

    center: Floats
    weights: Floats
    value: float

    def __call__(self, features: Singles) -> Floats:
        """Answer to scaled features, shape (n, M)."""
        return np.asarray((features - self.center) @ self.weights + self.value, dtype=np.float64)


@dataclass(frozen=True)
class LinearMoments:
    """Linear functions for two moments of a distribution, and its variance from them. No array holds NaN.

    Attributes
    ----------
    center : ndarray
        Mean of the training features, shape (M,), float64.
    weights : ndarray
        For Σ w x², Å², and for Σ w x, Å, shape (M, 2), float64.
    values : ndarray
        The two at the mean, shape (2,), float64.
    """

    center: Floats
    weights: Floats
    values: Floats

    def __call__(self, features: Singles) -> Floats:
        """Answer to scaled features, shape (n, M)."""
        square, shift = ((features - self.center) @ self.weights + self.values).T
        return np.asarray(square - shift**2, dtype=np.float64)


@dataclass(frozen=True)
class Trees:
    """A sum of regression trees over linear scores of the features. No array holds NaN.

    The nodes of all trees follow each other. From a node the way leads to its first child where the
    score that it looks at is at most its threshold, otherwise to its second; both children of a leaf
    are the leaf itself.

    Attributes
    ----------
    center : ndarray
        Mean of the training features, shape (M,), float64.
    vectors : ndarray
        From features to scores, shape (M, S), float64.
    value : float
        What the trees add to, Å².
    roots : ndarray
        First node of each tree, shape (T,), int64.
    score : ndarray
        Score that each node looks at, shape (K,), int64.
    threshold : ndarray
        What it is compared with, shape (K,), float64.
    children : ndarray
        The nodes that the way leads to, shape (K, 2), int64.
    answer : ndarray
        What a tree adds whose way ends at the node, shape (K,), float64, Å².
    """

    center: Floats
    vectors: Floats
    value: float
    roots: Integers
    score: Integers
    threshold: Floats
    children: Integers
    answer: Floats

    @classmethod
    def taken_from(cls, boosted: Any, center: Floats, vectors: Floats, scores: Floats) -> Trees:
        """Take the trees out of scikit-learn, whose own objects only the version that wrote them is sure to read.

        Parameters
        ----------
        boosted : sklearn.ensemble.HistGradientBoostingRegressor
            Fitted to numbers, without missing ones, by least squares.
        center, vectors : ndarray
            From features to the scores that it was fitted to, shape (M,) and (M, S), float64.
        scores : ndarray
            Some of these, shape (n, S), float64, on which the answers are compared.

        Returns
        -------
        Trees
            With the same answers.

        Raises
        ------
        EnvironmentProblem
            If this version of scikit-learn keeps its trees in another way.
        """
        try:
            each = [tree.nodes for (tree,) in boosted._predictors]
            counts = [len(nodes) for nodes in each]
            nodes, number = np.concatenate(each), np.arange(sum(counts))
            roots = np.cumsum([0, *counts[:-1]])
            leaf, first = nodes["is_leaf"].astype(bool), np.repeat(roots, counts)
            children = [np.where(leaf, number, first + nodes[side].astype(np.int64)) for side in ("left", "right")]
            trees = cls(
                center=center,
                vectors=vectors,
                value=float(boosted._baseline_prediction.item()),
                roots=roots,
                score=np.where(leaf, 0, nodes["feature_idx"]),
                threshold=np.where(leaf, 0.0, nodes["num_threshold"]),
                children=np.stack(children, axis=1),
                answer=np.where(leaf, nodes["value"], 0.0),
            )
            same = np.allclose(trees._answers(scores), boosted.predict(scores), rtol=1e-9)
        except (AttributeError, IndexError, TypeError, ValueError):
            same = False
        if not same:
            from sklearn import __version__ as version  # noqa: PLC0415 (heavy)

            raise EnvironmentProblem(
                f"scikit-learn {version} keeps boosted trees in a way that xanesml does not know; install the version "
                "in tools/constraints.txt"
            )
        return trees

    def __call__(self, features: Singles) -> Floats:
        """Answer to scaled features, shape (n, M)."""
        starts = range(0, len(features), _BLOCK)
        blocks = [self._answers((features[start : start + _BLOCK] - self.center) @ self.vectors) for start in starts]
        return np.concatenate([np.empty(0), *blocks])

    def _answers(self, scores: Floats) -> Floats:
        """Return the answers, shape (n,), to scores, shape (n, S)."""
        found = np.full(len(scores), self.value)
        every = np.arange(len(scores))
        for root in self.roots:
            node, inner = np.full(len(scores), root), every
            while inner.size:
                at = node[inner]
                after = self.children[at, (scores[inner, self.score[at]] > self.threshold[at]).astype(np.intp)]
                node[inner] = after
                inner = inner[after != at]
            found += self.answer[node]
        return found


def edge_slope(spectra: Reals, mesh: Floats, edge: float) -> Floats:
    """Return the steepest slope of each spectrum at its edge.

    The slope at a mesh point is that of the straight line fitted to the five points about
    it, at the first and last two points of the mesh to the five at its end. The steepest is
    the largest of those at points within 10 eV of the edge's nominal energy, or at the
    nearest point where none is so near.

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
