"""Sources of training batches: averages of a tensor file, or averages made on the device in every step."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Protocol

import numpy as np

from xanesml.averages.distributions import endless_distributions
from xanesml.averages.series import Series
from xanesml.averages.statistical import bins_of_series
from xanesml.campaign import Campaign
from xanesml.files.arrays import Indices, Singles
from xanesml.learning.augmentation import Augmenter
from xanesml.learning.dataset import Tensors
from xanesml.learning.network import import_keras
from xanesml.learning.scaling import SCALED_LABELS, Scaling
from xanesml.learning.splits import batches
from xanesml.seeds import Stream, generator, seed_of

#: Labels of a batch by name, each a tensor (n, 1) or, of the distribution, (n, R).
Targets = dict[str, Any]


class Batches(Protocol):
    """One rank's batches, epoch by epoch.

    Attributes
    ----------
    steps : int
        Steps of an epoch, the same on every rank.
    width : int
        Number of arrays in a step.
    variables : list of keras.Variable
        Variables that `prepare` changes: the states of its random generators.
    """

    steps: int
    width: int
    variables: list[Any]

    def epoch(self, number: int) -> Iterator[tuple[Singles, ...]]:
        """Yield the arrays of each step of an epoch; epochs count from 1."""

    def prepare(self, *arrays: Any) -> tuple[Any, Targets]:
        """Turn a step's tensors into scaled features, (n, M), and scaled labels by name."""


def label_columns(data: Tensors, scaling: Scaling, names: list[str], *, particle: bool = False) -> list[Singles]:
    """Return the scaled labels of statistical or particle averages in the order of the names, (n, 1) or (n, R) each."""
    prefix = "particle_" if particle else ""
    columns = []
    for name in names:
        values = getattr(data, f"{prefix}{name}")
        columns.append(scaling.scale_labels(values, name)[:, np.newaxis] if name in SCALED_LABELS else values)
    return columns


class StoredBatches:
    """Averages of a tensor file, with new errors of measurement in every epoch.

    Parameters
    ----------
    spectra : ndarray
        Averages, shape (N, M), float32, edge steps.
    labels : list of ndarray
        Their scaled labels, float32, in the order of `names`; see `label_columns`.
    names : list of str
        Answers of the network.
    rows : ndarray
        Rows of this rank to train on.
    scaling : Scaling
        Scaling from the training side.
    augmenter : Augmenter
        Adds the errors of measurement.
    seed : int
        Seed of the campaign.
    key : tuple of int
        Part of the seed: the numbers of this network and this rank.
    batch_size, steps : int
        Spectra in a step and steps in an epoch, the same on every rank.
    """

    def __init__(
        self,
        spectra: Singles,
        labels: list[Singles],
        names: list[str],
        rows: Indices,
        scaling: Scaling,
        augmenter: Augmenter,
        *,
        seed: int,
        key: tuple[int, ...],
        batch_size: int,
        steps: int,
    ) -> None:
        self._arrays, self._names, self._rows = [spectra, *labels], names, rows
        self._scaling, self._augmenter = scaling, augmenter
        self._seed, self._key, self._batch = seed, key, batch_size
        self.steps, self.width = steps, len(self._arrays)
        self.variables = [augmenter.state]

    def epoch(self, number: int) -> Iterator[tuple[Singles, ...]]:
        """Yield spectra and scaled labels; see `Batches`."""
        self._augmenter.reseed(seed_of(self._seed, Stream.AUGMENTATION, number, *self._key))
        random = generator(self._seed, Stream.ORDER, number, *self._key)
        for rows in batches(self._rows, batch_size=self._batch, steps=self.steps, random=random):
            yield tuple(array[rows] for array in self._arrays)

    def prepare(self, *arrays: Any) -> tuple[Any, Targets]:
        """Add the errors and scale on the device; see `Batches`."""
        spectra, *labels = arrays
        return scaled(self._augmenter(spectra), self._scaling), dict(zip(self._names, labels, strict=True))


class EndlessBatches:
    """Statistical averages made from the series in the step itself: none is stored, none is repeated.

    A step takes only the parameters of its distributions. Weights, averages, labels and errors of
    measurement are computed on the device that trains the network.

    Parameters
    ----------
    data : Tensors
        Arrays of the tensor file, of which the series is used.
    campaign : Campaign
        Distributions, batch size and seed.
    names, scaling, augmenter, key, steps
        As in `StoredBatches`.
    """

    def __init__(
        self,
        data: Tensors,
        names: list[str],
        scaling: Scaling,
        augmenter: Augmenter,
        campaign: Campaign,
        *,
        key: tuple[int, ...],
        steps: int,
    ) -> None:
        self._delta, self._section = data.series.delta, campaign.averaging
        self._names, self._scaling, self._augmenter = names, scaling, augmenter
        self._seed, self._key, self._batch = campaign.seed, key, campaign.training.batch_size
        self._average = averaging_function(data.series)
        self.steps, self.width = steps, 1
        self.variables = [augmenter.state]

    def epoch(self, number: int) -> Iterator[tuple[Singles, ...]]:
        """Yield the distributions' location, scale and shape, (n, 3); see `Batches`."""
        self._augmenter.reseed(seed_of(self._seed, Stream.AUGMENTATION, number, *self._key))
        seed = seed_of(self._seed, Stream.DISTRIBUTIONS, number, *self._key)
        shuffle = generator(self._seed, Stream.ORDER, number, *self._key)
        stream = endless_distributions(self._section, self._delta, seed)
        waiting = np.empty((0, 3), np.float32)
        for _ in range(self.steps):
            while len(waiting) < self._batch:
                found = next(stream)
                members = len(found.steps)
                columns = found.locations.ravel(), np.repeat(found.scale, members), np.repeat(found.alpha, members)
                # Distributions of a family are alike; shuffled, they go to different batches.
                fresh = shuffle.permutation(np.column_stack(columns).astype(np.float32))
                waiting = np.concatenate([waiting, fresh])
            yield (waiting[: self._batch],)
            waiting = waiting[self._batch :]

    def prepare(self, *arrays: Any) -> tuple[Any, Targets]:
        """Average, add the errors and scale on the device; see `Batches`."""
        spectra, labels = self._average(arrays[0])
        targets = {}
        for name in self._names:
            if name in SCALED_LABELS:
                low, high = self._scaling.ranges[name]
                targets[name] = (labels[name][:, None] - low) / (high - low)
            else:
                targets[name] = labels[name]
        return scaled(self._augmenter(spectra), self._scaling), targets


class MixedBatches:
    """Batches of two sources, concatenated.

    Parameters
    ----------
    first, second : Batches
        The sources, with the same labels and the same number of steps.
    """

    def __init__(self, first: Batches, second: Batches) -> None:
        assert first.steps == second.steps  # noqa: S101 (made for each other)
        self._first, self._second = first, second
        self.steps, self.width = first.steps, first.width + second.width
        self.variables = [*first.variables, *second.variables]

    def epoch(self, number: int) -> Iterator[tuple[Singles, ...]]:
        """Yield the arrays of both; see `Batches`."""
        for first, second in zip(self._first.epoch(number), self._second.epoch(number), strict=True):
            yield (*first, *second)

    def prepare(self, *arrays: Any) -> tuple[Any, Targets]:
        """Prepare both and concatenate them; see `Batches`."""
        join = import_keras().ops.concatenate
        features, labels = self._first.prepare(*arrays[: self._first.width])
        others, more = self._second.prepare(*arrays[self._first.width :])
        return join([features, others]), {name: join([labels[name], more[name]]) for name in labels}


def scaled(spectra: Any, scaling: Scaling) -> Any:
    """Return features, (n, M), for a tensor of spectra, (n, M), edge steps."""
    ops = import_keras().ops
    mean, scale = (ops.cast(values, "float32") for values in (scaling.feature_mean, scaling.feature_scale))
    return (spectra - mean) / scale


def averaging_function(series: Series) -> Callable[[Any], tuple[Any, dict[str, Any]]]:
    """Return a function that averages an evenly spaced series on the device of Keras' backend, in single precision.

    Returns
    -------
    callable
        From location, Å, scale, Å, and shape of skew-normal distributions, a tensor (n, 3),
        to their normalized averages, (n, M), and their labels by name: `msd`, Å², `mean_shift`, Å,
        and `skewness`, each (n,), and `distribution`, (n, R).
    """
    ops = import_keras().ops
    shifts = ops.cast(series.delta, "float32")
    columns = ops.cast(np.column_stack([series.mu, series.edge_step, bins_of_series(series)]), "float32")
    points = len(series.energy)

    def average(parameters: Any) -> tuple[Any, dict[str, Any]]:
        location, scale, alpha = (parameters[:, place : place + 1] for place in range(3))
        z = (shifts - location) / scale
        weights = ops.exp(-0.5 * z * z) * (1 + ops.erf(alpha * z / np.sqrt(2.0)))
        weights = weights / ops.sum(weights, axis=1, keepdims=True)
        product = ops.matmul(weights, columns)
        # Relative to the location, so that subtracting the squared mean loses no digits.
        shifted = shifts - location
        mean = ops.sum(weights * shifted, axis=1, keepdims=True)
        deviation = shifted - mean
        msd = ops.sum(weights * deviation * deviation, axis=1)
        labels = {
            "msd": msd,
            "mean_shift": (location + mean)[:, 0],
            "skewness": ops.sum(weights * deviation**3, axis=1) / msd**1.5,
            "distribution": product[:, points + 1 :],
        }
        return product[:, :points] / product[:, points : points + 1], labels

    return average
