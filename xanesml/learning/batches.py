"""What a training step takes: spectra out of a tensor file, or made on the device as they are needed."""

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
from xanesml.learning.dataset import Tensors, batches
from xanesml.learning.network import import_keras
from xanesml.learning.scaling import SCALED_LABELS, Scaling
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
        Arrays that a step takes.
    variables : list of keras.Variable
        What `prepare` changes: the states of its random generators.
    """

    steps: int
    width: int
    variables: list[Any]

    def epoch(self, number: int) -> Iterator[tuple[Singles, ...]]:
        """Yield the arrays of each step of an epoch, which counts from 1."""

    def prepare(self, *arrays: Any) -> tuple[Any, Targets]:
        """Turn a step's tensors into scaled features, (n, M), and scaled labels by name."""


def label_columns(data: Tensors, scaling: Scaling, names: list[str], *, particle: bool = False) -> list[Singles]:
    """Return scaled labels by name, each of shape (n, 1), of the distribution (n, R), of averages of either kind."""
    prefix = "particle_" if particle else ""
    columns = []
    for name in names:
        values = getattr(data, f"{prefix}{name}")
        columns.append(scaling.scale_labels(values, name)[:, np.newaxis] if name in SCALED_LABELS else values)
    return columns


class StoredBatches:
    """Averages of a tensor file with the errors of a measurement drawn anew in every epoch.

    Parameters
    ----------
    spectra : ndarray
        Averages, shape (N, M), float32, edge steps.
    labels : list of ndarray
        Their scaled labels, float32, in the order of `names`; see `label_columns`.
    names : list of str
        What the network answers.
    rows : ndarray
        Rows of this rank to train on.
    scaling : Scaling
        Scaling from the training side.
    augmenter : Augmenter
        The errors.
    seed : int
        Seed of the campaign.
    key : tuple of int
        What tells this network and this rank from the others.
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
    """Statistical averages made from the series in the step itself: none is stored, and none comes twice.

    A step takes the parameters of its distributions only; weights, averages, labels and
    errors are made where the network is trained, on a GPU where there is one.

    Parameters
    ----------
    data : Tensors
        Holds the series.
    names : list of str
        What the network answers.
    scaling : Scaling
        Scaling of the training side of its averages.
    augmenter : Augmenter
        The errors of a measurement.
    campaign : Campaign
        Its averaging and training sections and its seed.
    key : tuple of int
        What tells this network and this rank from the others.
    steps : int
        Steps of an epoch.
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
                # A family's distributions are alike, and are not to meet in one batch.
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
    """Batches of two sources, put together.

    Parameters
    ----------
    first, second : Batches
        The sources, which answer the same labels in as many steps.
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
        """Prepare each and join them; see `Batches`."""
        ops = import_keras().ops
        features, labels = self._first.prepare(*arrays[: self._first.width])
        others, more = self._second.prepare(*arrays[self._first.width :])
        return ops.concatenate([features, others]), {
            name: ops.concatenate([labels[name], more[name]]) for name in labels
        }


def scaled(spectra: Any, scaling: Scaling) -> Any:
    """Return features, (n, M), for a tensor of spectra, (n, M), edge steps."""
    ops = import_keras().ops
    mean, scale = (ops.cast(values, "float32") for values in (scaling.feature_mean, scaling.feature_scale))
    return (spectra - mean) / scale


def averaging_function(series: Series) -> Callable[[Any], tuple[Any, dict[str, Any]]]:
    """Return a function that averages a series on the device of Keras' backend, in single precision.

    Parameters
    ----------
    series : Series
        The distorted series, evenly spaced.

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
        # About the location, so that the square of the mean takes no digits away.
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
