"""How good a trained network is, against baselines given the same split and the same noise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from xanesml.baselines import Errors, Predictor, Regressions, edge_slope, fit_edge_slope, fit_mean
from xanesml.dataset import Split, Stream, Tensors, augment, generator
from xanesml.scaling import Scaling

HELD_OUT = "statistical averages of families held out of training"
PARTICLES = "averages over the absorbers of disordered structures: simulated another way than the training spectra"

NETWORK = "network"
#: What the predictors are called in a text, by their name in a file.
LABELS = {
    NETWORK: "network",
    "mean": "mean of the training labels",
    "edge_slope": "edge slope",
    "ridge": "ridge",
    "pca_ridge": "PCA + ridge",
    "gradient_boosting": "gradient boosting",
    "moments": "moments",
}


@dataclass(frozen=True)
class Comparison:
    """Errors of the network and the baselines on one set of spectra.

    Attributes
    ----------
    spectra : str
        What the spectra are.
    n : int
        Their number.
    errors : dict of str to Errors
        By predictor, with the keys of `LABELS`, Å²; empty where there are no spectra.
    """

    spectra: str
    n: int
    errors: dict[str, Errors]

    def by_error(self) -> list[str]:
        """Return the predictors by rising mean absolute error; one without a number is last, a tie the network's."""

        def key(name: str) -> tuple[float, bool]:
            mae = self.errors[name].mae
            return mae if np.isfinite(mae) else float("inf"), name != NETWORK

        return sorted(self.errors, key=key)

    def verdict(self) -> str:
        """Return the end of a sentence: which predictor wins, and which baselines beat the network; needs spectra."""
        ranking = self.by_error()
        first, second = ranking[:2]
        winner = f"{_named(first)} wins with a mean absolute error of {self.errors[first].mae:.3g} Å²"
        if first == NETWORK:
            return f"{winner}, ahead of {_named(second)} with {self.errors[second].mae:.3g} Å²"
        others = [_named(name) for name in ranking[1 : ranking.index(NETWORK)]]
        also = f", as {'do' if len(others) > 1 else 'does'} {_listed(others)}" if others else ""
        return f"{winner} and beats the network, which has {self.errors[NETWORK].mae:.3g} Å²{also}"

    def to_dict(self) -> dict[str, Any]:
        """Return the numbers, and the verdict on them, as JSON can hold them."""
        content: dict[str, Any] = {"spectra": self.spectra, "n": self.n}
        if self.n:
            content["verdict"] = self.verdict()
        return content | {name: error.to_dict() for name, error in self.errors.items()}

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> Comparison:
        """Return the comparison that `to_dict` described."""
        names = LABELS if content["n"] else ()
        return cls(content["spectra"], content["n"], {name: Errors.from_dict(content[name]) for name in names})


def verdict(test: Comparison, particle: Comparison) -> str:
    """Return in one sentence which predictor wins on the test split and, where there are any, on particle averages."""
    sentence = f"On the test split {test.verdict()}"
    return f"{sentence}; on the particle averages {particle.verdict()}." if particle.n else f"{sentence}."


def _named(name: str) -> str:
    return f"the {LABELS[name]}" if name in (NETWORK, "mean") else LABELS[name]


def _listed(names: list[str]) -> str:
    return " and ".join(part for part in (", ".join(names[:-1]), names[-1]) if part)


@dataclass(frozen=True)
class Assessment:
    """What is reported of a trained network.

    Attributes
    ----------
    test : Comparison
        On the test split.
    particle : Comparison
        On the particle averages, of which there may be none.
    labels, predictions : ndarray
        Labels of the test split and what the network answered, shape (n,), float64, Å².
    """

    test: Comparison
    particle: Comparison
    labels: NDArray[np.float64]
    predictions: NDArray[np.float64]


def assess(
    network: Predictor, tensors: Tensors, split: Split, scaling: Scaling, *, noise: float, seed: int
) -> Assessment:
    """Compare a network with the baselines on spectra that none of them was fitted to.

    Parameters
    ----------
    network : callable
        From scaled features to mean squared displacements, Å².
    tensors : Tensors
        The averages.
    split : Split
        The split that the network was trained with; the baselines are fitted to its
        training side, with noise as the network's.
    scaling : Scaling
        The scaling from that side.
    noise : float
        Standard deviation of the noise, edge steps. All predictors see the same draw.
    seed : int
        Seed of the campaign.

    Returns
    -------
    Assessment
        Errors in Å², the predictors by rising mean absolute error on the test split.

    Raises
    ------
    EnvironmentProblem
        If scikit-learn is not installed.
    """
    # The matrices are small, and on cores shared with other ranks the threads wait for each other.
    with threadpool_limits(1):
        predictors = {NETWORK: network} | _fit_baselines(tensors, split, scaling, noise=noise, seed=seed)

        def answers(spectra: NDArray[np.float32], draw: int) -> dict[str, NDArray[np.float64]]:
            rng = generator(seed, Stream.HELD_OUT_NOISE, draw)
            features = scaling.scale_features(augment(spectra, noise, rng))
            return {name: predict(features) for name, predict in predictors.items()}

        labels = tensors.msd[split.test]
        on_test = answers(tensors.spectra[split.test], 1)
        errors = {name: Errors.of(answer, labels) for name, answer in on_test.items()}
        order = Comparison(HELD_OUT, len(labels), errors).by_error()
        test = Comparison(HELD_OUT, len(labels), {name: errors[name] for name in order})
        particle = Comparison(PARTICLES, 0, {})
        if count := len(tensors.particle_msd):
            on_particles = answers(tensors.particle_spectra, 2)
            particle = Comparison(
                PARTICLES, count, {name: Errors.of(on_particles[name], tensors.particle_msd) for name in order}
            )
    return Assessment(test, particle, labels, on_test[NETWORK])


def _fit_baselines(
    tensors: Tensors, split: Split, scaling: Scaling, *, noise: float, seed: int
) -> dict[str, Predictor]:
    rows = split.training
    noisy = augment(tensors.spectra[rows], noise, generator(seed, Stream.TRAINING_NOISE))
    features, labels = scaling.scale_features(noisy), tensors.msd[rows]

    def slope(scaled: NDArray[np.float32]) -> NDArray[np.float64]:
        return edge_slope(scaled * scaling.feature_scale + scaling.feature_mean, tensors.mesh, tensors.edge)

    regressions = Regressions(features, labels, tensors.mean_shift[rows], tensors.family[rows])
    return {
        "mean": fit_mean(labels),
        "edge_slope": fit_edge_slope(slope, features, labels),
        "ridge": regressions.ridge(),
        "pca_ridge": regressions.pca_ridge(),
        "gradient_boosting": regressions.boosting(seed=seed),
        "moments": regressions.moments(),
    }
