"""What a training step takes: spectra out of a tensor file, or made on the device as they are needed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from xanesml.campaign import Campaign
from xanesml.dataset import Split, Stream, Tensors, augment, batches, generator, steps_per_epoch, stream_seed
from xanesml.distributions import endless_distributions
from xanesml.network import import_keras
from xanesml.scaling import Scaling

Floats = NDArray[np.float64]
Singles = NDArray[np.float32]


class Batches(Protocol):
    """One rank's batches, epoch by epoch."""

    @property
    def steps(self) -> int:
        """Steps of an epoch, the same on every rank."""

    def epoch(self, number: int) -> Iterator[tuple[Singles, ...]]:
        """Yield the arrays of each step of an epoch, which counts from 1."""

    def prepare(self, *arrays: Any) -> tuple[Any, Any]:
        """Turn a step's tensors into scaled features, (n, M), and scaled labels, (n, 1)."""


class StoredBatches:
    """Statistical averages of a tensor file with noise added anew in every epoch.

    Parameters
    ----------
    data : Tensors
        The averages.
    split : Split
        Its training side is used.
    scaling : Scaling
        Scaling from that side.
    campaign : Campaign
        Its training section and its seed.
    rank, size : int
        This rank and the number of ranks.
    """

    def __init__(
        self, data: Tensors, split: Split, scaling: Scaling, campaign: Campaign, *, rank: int = 0, size: int = 1
    ) -> None:
        self._data, self._rows, self._scaling = data, split.training, scaling
        self._section, self._seed = campaign.training, campaign.seed
        self._rank, self._size = rank, size
        self._labels = scaling.scale_labels(data.msd)
        self.steps = steps_per_epoch(self._rows.size, batch_size=self._section.batch_size, size=size)

    def epoch(self, number: int) -> Iterator[tuple[Singles, ...]]:
        """Yield features and labels; see `Batches`."""
        noise = generator(self._seed, Stream.TRAINING_NOISE, number, self._rank)
        order = batches(
            self._rows,
            batch_size=self._section.batch_size,
            seed=self._seed,
            epoch=number,
            rank=self._rank,
            size=self._size,
        )
        for rows in order:
            spectra = augment(self._data.spectra[rows], self._section.noise, noise)
            yield self._scaling.scale_features(spectra), self._labels[rows, np.newaxis]

    def prepare(self, *arrays: Any) -> tuple[Any, Any]:
        """Return them as they are; see `Batches`."""
        features, labels = arrays
        return features, labels


class EndlessBatches:
    """Statistical averages made from the series in the step itself: none is stored, and none comes twice.

    A step takes the parameters of its distributions only; weights, averages, labels and
    noise are made where the network is trained, on a GPU where there is one.

    Parameters
    ----------
    data : Tensors
        Holds the series.
    scaling : Scaling
        Scaling of the training side of its averages.
    campaign : Campaign
        Its averaging and training sections and its seed.
    steps : int
        Steps of an epoch.
    rank : int
        This rank; every rank draws distributions and noise of its own.
    """

    def __init__(self, data: Tensors, scaling: Scaling, campaign: Campaign, *, steps: int, rank: int = 0) -> None:
        self.steps = steps
        self._delta, self._seed, self._rank = data.delta, campaign.seed, rank
        self._section, self._batch = campaign.averaging, campaign.training.batch_size
        self._noise, self._scaling = campaign.training.noise, scaling
        self._average = averaging_function(data.delta, data.series, data.edge_step)
        self._random = import_keras().random.SeedGenerator(0)

    def epoch(self, number: int) -> Iterator[tuple[Singles, ...]]:
        """Yield the distributions' location, scale and shape, (n, 3); see `Batches`."""
        noise = stream_seed(self._seed, Stream.TRAINING_NOISE, number, self._rank).generate_state(1)[0]
        self._random.state.assign([int(noise), 0])
        seed = stream_seed(self._seed, Stream.DISTRIBUTIONS, number, self._rank)
        shuffle = generator(self._seed, Stream.ORDER, number, self._rank)
        stream = endless_distributions(self._section, self._delta, seed)
        waiting = np.empty((0, 3), np.float32)
        for _ in range(self.steps):
            while len(waiting) < self._batch:
                found = next(stream)
                members = len(found.steps)
                columns = found.locations.ravel(), np.repeat(found.scale, members), np.repeat(found.alpha, members)
                # A family's distributions are alike, and are not to meet in one batch.
                fresh = shuffle.permutation(np.column_stack(columns).astype(np.float32))
                waiting = np.concatenate([waiting, fresh])
            yield (waiting[: self._batch],)
            waiting = waiting[self._batch :]

    def prepare(self, *arrays: Any) -> tuple[Any, Any]:
        """Average, add noise and scale on the device; see `Batches`."""
        keras, scaling = import_keras(), self._scaling
        spectra, msd = self._average(arrays[0])
        if self._noise:
            spectra += self._noise * keras.random.normal(keras.ops.shape(spectra), seed=self._random)
        mean, scale = (keras.ops.cast(values, "float32") for values in (scaling.feature_mean, scaling.feature_scale))
        low, high = scaling.label_minimum, scaling.label_maximum
        return (spectra - mean) / scale, (msd[:, None] - low) / (high - low)


def averaging_function(delta: Floats, series: Floats, steps: Floats) -> Callable[[Any], tuple[Any, Any]]:
    """Return a function that averages a series on the device of Keras' backend, in single precision.

    Parameters
    ----------
    delta : ndarray of float64, shape (D,)
        Shifts of the series, Å.
    series : ndarray of float64, shape (D, M)
        Distorted spectra, not normalized, finite.
    steps : ndarray of float64, shape (D,)
        Their edge steps.

    Returns
    -------
    callable
        From location, Å, scale, Å, and shape of skew-normal distributions, a tensor (n, 3),
        to their normalized averages, (n, M), and mean squared displacements, (n,), Å².
    """
    ops = import_keras().ops
    shifts = ops.cast(delta, "float32")
    columns = ops.cast(np.column_stack([series, steps]), "float32")

    def average(parameters: Any) -> tuple[Any, Any]:
        location, scale, alpha = (parameters[:, place : place + 1] for place in range(3))
        z = (shifts - location) / scale
        weights = ops.exp(-0.5 * z * z) * (1 + ops.erf(alpha * z / np.sqrt(2.0)))
        weights = weights / ops.sum(weights, axis=1, keepdims=True)
        product = ops.matmul(weights, columns)
        # About the location, so that the square of the mean takes no digits away.
        shifted = shifts - location
        deviation = shifted - ops.sum(weights * shifted, axis=1, keepdims=True)
        return product[:, :-1] / product[:, -1:], ops.sum(weights * deviation * deviation, axis=1)

    return average
