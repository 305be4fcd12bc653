"""How good a trained network is, against baselines given the same split and the same noise."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xanesml.baselines import Errors, Predictor, fit_mean, fit_ridge
from xanesml.dataset import Split, Stream, Tensors, augment, generator
from xanesml.scaling import Scaling

HELD_OUT = "statistical averages of families held out of training"
PARTICLES = "averages over the absorbers of disordered structures: simulated another way than the training spectra"


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
        By predictor: `network`, `mean` and `ridge`, Å²; empty where there are no spectra.
    """

    spectra: str
    n: int
    errors: dict[str, Errors]

    def to_dict(self) -> dict[str, Any]:
        """Return the numbers as JSON can hold them."""
        return {"spectra": self.spectra, "n": self.n} | {name: asdict(error) for name, error in self.errors.items()}


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
        Errors in Å².
    """
    rows = split.training
    noisy = augment(tensors.spectra[rows], noise, generator(seed, Stream.TRAINING_NOISE))
    predictors = {
        "network": network,
        "mean": fit_mean(tensors.msd[rows]),
        "ridge": fit_ridge(scaling.scale_features(noisy), tensors.msd[rows], tensors.family[rows]),
    }

    def compare(
        spectra: NDArray[np.float32], labels: NDArray[np.float64], what: str, draw: int
    ) -> tuple[Comparison, NDArray[np.float64]]:
        rng = generator(seed, Stream.HELD_OUT_NOISE, draw)
        features = scaling.scale_features(augment(spectra, noise, rng))
        answers = {name: predict(features) for name, predict in predictors.items()}
        errors = {name: Errors.of(answer, labels) for name, answer in answers.items()}
        return Comparison(what, len(labels), errors), answers["network"]

    labels = tensors.msd[split.test]
    test, predictions = compare(tensors.spectra[split.test], labels, HELD_OUT, 1)
    particle = Comparison(PARTICLES, 0, {})
    if len(tensors.particle_msd):
        particle, _ = compare(tensors.particle_spectra, tensors.particle_msd, PARTICLES, 2)
    return Assessment(test, particle, labels, predictions)
