"""The training loop: equal steps on every rank, gradients averaged, the best epoch kept."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hpc.training.checkpoint import Checkpoint, Epoch
from hpc.training.collective import Collective
from hpc.training.step import compiled_step
from xanesml.files.arrays import Floats, Singles
from xanesml.learning.batches import Batches
from xanesml.learning.network import reseed
from xanesml.learning.scaling import Scaling
from xanesml.learning.trained_network import evaluate
from xanesml.seeds import Stream, seed_of

if TYPE_CHECKING:
    import keras

#: Steps between two checks whether any rank was asked to stop.
STEPS_BETWEEN_LOOKS = 20


@dataclass(frozen=True)
class HeldOut:
    """One rank's share of the validation spectra, which select the epoch.

    Attributes
    ----------
    features : ndarray
        Scaled spectra with the errors of a measurement, shape (n, M), float32; n may be 0 on some ranks.
    msd : ndarray
        Their labels, shape (n,), float64, Å².
    """

    features: Singles
    msd: Floats


@dataclass(frozen=True)
class Schedule:
    """Epochs, learning rate and seeds of one fit.

    Attributes
    ----------
    epochs : int
        Passes over the source.
    learning_rate : float
        Adam's learning rate for one rank.
    warmup_epochs : float
        Epochs over which it rises.
    head_weight : float
        Weight of the outputs other than the MSD; see `xanesml.learning.network.loss_of`.
    seed : int
        Seed of the campaign.
    key : tuple of int
        Identifies this network and this rank in the campaign.
    identity : str
        Hash of everything the network depends on; training does not resume from other settings.
    keep_last : bool
        Whether the weights of the last epoch are kept instead of the best.
    """

    epochs: int
    learning_rate: float
    warmup_epochs: float
    head_weight: float
    seed: int
    key: tuple[int, ...]
    identity: str
    keep_last: bool = False


@dataclass(frozen=True)
class Fitted:
    """Result of a call of `fit`.

    Attributes
    ----------
    history : list of Epoch
        One per epoch, those of earlier calls included; the same on every rank except for the seconds.
    samples, seconds : float
        Training spectra of all ranks in this call, and the time for them, s; the first of several epochs,
        in which TensorFlow traces the step, does not count.
    finished : bool
        False if training stopped with epochs left.
    """

    history: list[Epoch]
    samples: float
    seconds: float
    finished: bool


def fit(
    network: keras.Model,
    collective: Collective,
    *,
    source: Batches,
    held_out: HeldOut,
    scaling: Scaling,
    schedule: Schedule,
    echo: Callable[[str], None],
    checkpoint: Path | None = None,
    stop: Callable[[], bool] = lambda: False,
    after_epoch: Callable[[list[Epoch]], bool | None] = lambda _history: None,
) -> Fitted:
    """Train a network in place and leave it with the weights of its best epoch.

    Every random number of an epoch follows from the campaign's seed, the epoch and the key, so that a
    training resumed from a checkpoint gives the same network as one without interruption.

    Parameters
    ----------
    network : keras.Model
        The network; all ranks start from rank 0's weights.
    collective : Collective
        The ranks that train the network together.
    source : Batches
        Training spectra.
    held_out : HeldOut
        Validation spectra.
    scaling : Scaling
        Scaling of the training spectra.
    schedule : Schedule
        Epochs, learning rate, seeds.
    echo : callable
        Prints a line; called once per epoch.
    checkpoint : Path, optional
        File that rank 0 writes after each epoch; training resumes from it if its identity matches.
    stop : callable
        Returns whether this rank was asked to stop; all ranks then abandon the epoch.
    after_epoch : callable
        Called with the history on rank 0; if it returns true, all ranks stop training.

    Returns
    -------
    Fitted
        The history, the speed, and whether all epochs were trained.

    Raises
    ------
    EnvironmentProblem
        If the checkpoint cannot be written.
    """
    import keras  # noqa: PLC0415 (heavy)

    optimizer = keras.optimizers.Adam(schedule.learning_rate)
    optimizer.build(network.trainable_variables)
    state = _restore(checkpoint, network, optimizer, collective, schedule.identity)
    if state.history:
        echo(f"continuing after epoch {len(state.history)}")
    collective.broadcast([*network.weights, *optimizer.variables])
    step = compiled_step(network, optimizer, collective, source, schedule.head_weight)
    steps, timed = source.steps, list[tuple[float, float]]()
    base, warmup, rate = schedule.learning_rate, schedule.warmup_epochs * steps, None

    def fitted(*, finished: bool) -> Fitted:
        counted = timed[1:] or timed
        samples = collective.sum(np.array([sum(count for count, _ in counted)], dtype=np.float64))[0]
        return Fitted(state.history, float(samples), sum(seconds for _, seconds in counted), finished)

    for epoch in range(len(state.history) + 1, schedule.epochs + 1):
        started = time.perf_counter()
        reseed(network, seed_of(schedule.seed, Stream.DROPOUT, epoch, *schedule.key))
        loss: Any = 0.0
        samples = 0
        for number, arrays in enumerate(source.epoch(epoch), start=(epoch - 1) * steps + 1):
            if number % STEPS_BETWEEN_LOOKS == 0 and collective.sum(np.array([float(stop())]))[0]:
                return fitted(finished=False)
            if (wanted := learning_rate(number, base=base, size=collective.size, warmup=warmup)) != rate:
                optimizer.learning_rate = rate = wanted
            # Kept as a tensor: converting it would wait for the GPU.
            loss = loss + step(*arrays)
            samples += len(arrays[0])
        # Each rank's batch normalization saw other batches; gradients are averaged in each step, statistics here.
        collective.average(network.non_trainable_weights)
        mean_loss = float(collective.sum(np.array([float(loss)]))[0]) / (steps * collective.size)
        timed.append((samples, time.perf_counter() - started))
        mae = _mean_absolute_error(network, held_out, scaling, collective)
        if schedule.keep_last or mae < min((one.validation_mae for one in state.history), default=np.inf):
            state.best = network.get_weights()
        seconds = time.perf_counter() - started
        state.history.append(Epoch(epoch, float(optimizer.learning_rate.numpy()), mean_loss, mae, seconds))
        echo(f"epoch {epoch}/{schedule.epochs}: loss {mean_loss:.3g}, validation MAE {mae:.3g} Å²")
        given_up = collective.rank == 0 and bool(after_epoch(state.history))
        if collective.rank == 0 and checkpoint is not None:
            state.weights, state.optimizer = network.get_weights(), [one.numpy() for one in optimizer.variables]
            state.save(checkpoint)
        if epoch < schedule.epochs and collective.sum(np.array([float(given_up)]))[0]:
            return fitted(finished=False)
    if state.best:
        network.set_weights(state.best)
    return fitted(finished=True)


def _restore(
    path: Path | None,
    network: keras.Model,
    optimizer: keras.optimizers.Optimizer,
    collective: Collective,
    identity: str,
) -> Checkpoint:
    """Load a checkpoint into rank 0's network and optimizer; return its history and best weights on all ranks."""
    found = Checkpoint.load(path, identity) if path is not None and collective.rank == 0 else None
    if found is not None:
        network.set_weights(found.weights)
        for variable, array in zip(optimizer.variables, found.optimizer, strict=True):
            variable.assign(array)
    history, best = collective.bcast(None if found is None else (found.history, found.best)) or ([], [])
    return Checkpoint(identity, history, best, [], [])


def learning_rate(step: int, *, base: float, size: int, warmup: float) -> float:
    """Return the learning rate of a step, counted from 1.

    It rises linearly, over a warm-up given in steps, to `size` times that of one rank, because
    the ranks' batches together are `size` times as large (P. Goyal et al., Accurate, Large Minibatch SGD,
    arXiv:1706.02677 (2017), section 2).
    """
    return base * size * min(1.0, step / max(warmup, 1.0))


def _mean_absolute_error(network: keras.Model, held_out: HeldOut, scaling: Scaling, collective: Collective) -> float:
    answers = scaling.unscale_labels(evaluate(network, held_out.features)["msd"][:, 0])
    residuals = np.abs(answers - held_out.msd)
    total, count = collective.sum(np.array([residuals.sum(), residuals.size]))
    return float(total / count)
