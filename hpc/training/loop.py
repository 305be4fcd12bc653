"""The training loop: equal steps on every rank, gradients averaged, the best epoch kept."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from hpc.training.checkpoint import Checkpoint, Epoch
from hpc.training.collective import Collective
from hpc.training.optimizer import make_optimizer
from hpc.training.step import compiled_step
from xanesml.campaign import TrainingSection
from xanesml.files.arrays import Floats, Singles
from xanesml.learning.batches import Batches
from xanesml.learning.network import loss_of, reseed
from xanesml.learning.scaling import Scaling
from xanesml.learning.trained_network import evaluate
from xanesml.seeds import Stream, seed_of

if TYPE_CHECKING:
    import keras

#: Steps between two checks whether any rank was asked to stop.
STEPS_BETWEEN_LOOKS = 20


@dataclass(frozen=True)
class HeldOut:
    """One rank's share of spectra on which a network is measured: of the validation spectra, which select the epoch.

    Attributes
    ----------
    features : ndarray
        Scaled spectra with the errors of a measurement, shape (n, M), float32; n may be 0 on some ranks.
    msd : ndarray
        Their labels, shape (n,), float64, Å².
    targets : dict of str to ndarray
        Their scaled labels by the names of the network's answers, shape (n, 1) or (n, R), float32; without them their
        loss is not measured.
    """

    features: Singles
    msd: Floats
    targets: dict[str, Singles] = field(default_factory=dict)


@dataclass(frozen=True)
class Schedule:
    """Settings and seeds of one fit.

    Attributes
    ----------
    section : TrainingSection
        Epochs; optimizer with its learning rate for one rank, and the epochs over which that rises; weight of the
        outputs other than the MSD, see `xanesml.learning.network.loss_of`.
    seed : int
        Seed of the campaign.
    key : tuple of int
        Identifies this network and this rank in the campaign.
    identity : str
        Hash of everything the network depends on; training does not resume from other settings.
    keep_last : bool
        Whether the weights of the last epoch are kept instead of the best.
    """

    section: TrainingSection
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
    seen: HeldOut | None = None,
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
        Settings and seeds.
    echo : callable
        Prints a line; called once per epoch.
    seen : HeldOut, optional
        Training spectra whose loss is measured beside that of the validation spectra.
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
    section = schedule.section
    optimizer = make_optimizer(network, section)
    state = _restore(checkpoint, network, optimizer, collective, schedule.identity)
    if state.history:
        echo(f"continuing after epoch {len(state.history)}")
    collective.broadcast([*network.weights, *optimizer.variables])
    step = compiled_step(network, optimizer, collective, source, section.head_weight)
    steps, timed = source.steps, list[tuple[float, float]]()
    base, warmup, rate = section.learning_rate, section.warmup_epochs * steps, None

    def fitted(*, finished: bool) -> Fitted:
        counted = timed[1:] or timed
        samples = collective.sum(np.array([sum(count for count, _ in counted)], dtype=np.float64))[0]
        return Fitted(state.history, float(samples), sum(seconds for _, seconds in counted), finished)

    for epoch in range(len(state.history) + 1, section.epochs + 1):
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
        mae, loss_validation = _measured(network, held_out, scaling, section.head_weight, collective)
        loss_training = (
            np.nan if seen is None else _measured(network, seen, scaling, section.head_weight, collective)[1]
        )
        if schedule.keep_last or mae < min((one.validation_mae for one in state.history), default=np.inf):
            state.best = network.get_weights()
        seconds = time.perf_counter() - started
        rate_now = float(optimizer.learning_rate.numpy())
        state.history.append(Epoch(epoch, rate_now, mean_loss, mae, seconds, loss_training, loss_validation))
        echo(
            f"epoch {epoch}/{section.epochs}: loss {mean_loss:.3g}, validation MAE {mae:.3g} Å²"
            + ("" if np.isnan(loss_validation) else f", validation loss {loss_validation:.3g}")
        )
        given_up = collective.rank == 0 and bool(after_epoch(state.history))
        if collective.rank == 0 and checkpoint is not None:
            state.weights, state.optimizer = network.get_weights(), [one.numpy() for one in optimizer.variables]
            state.save(checkpoint)
        if epoch < section.epochs and collective.sum(np.array([float(given_up)]))[0]:
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


def _measured(
    network: keras.Model, some: HeldOut, scaling: Scaling, head_weight: float, collective: Collective
) -> tuple[float, float]:
    """Return the mean absolute error, Å², and the loss of spectra of all ranks, without dropout and penalties."""
    answers = evaluate(network, some.features)
    residuals = np.abs(scaling.unscale_labels(answers["msd"][:, 0]) - some.msd)
    loss = float(loss_of(answers, some.targets, head_weight)) if len(some.msd) else 0.0
    total, weighted, count = collective.sum(np.array([residuals.sum(), loss * residuals.size, residuals.size]))
    return float(total / count), float(weighted / count) if some.targets else np.nan
