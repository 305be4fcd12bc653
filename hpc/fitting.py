"""The training loop: equal steps on every rank, gradients averaged, the best epoch kept."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hpc.checkpoint import Checkpoint, Epoch, assign, values
from hpc.collective import Collective
from xanesml.batches import Batches, EndlessBatches, StoredBatches
from xanesml.campaign import Campaign
from xanesml.dataset import Split, Stream, Tensors, augment, generator, stream_seed
from xanesml.model import evaluate
from xanesml.network import reseed
from xanesml.scaling import Scaling

if TYPE_CHECKING:
    import keras


#: Sections that a trained network depends on.
TRAINED_SECTIONS = ("structure", "distortion", "disorder", "feff", "averaging", "training", "seed")

#: Steps between two looks at whether any rank was asked to stop.
STEPS_BETWEEN_LOOKS = 20


@dataclass(frozen=True)
class Fitted:
    """What came of a call of `fit`.

    Attributes
    ----------
    history : list of Epoch
        One per epoch, also those of earlier calls; the same on every rank but for the seconds.
    rate : float
        Training spectra per second over all ranks in this call, s⁻¹.
    finished : bool
        False where it was stopped with epochs left.
    """

    history: list[Epoch]
    rate: float
    finished: bool


def fit(
    network: keras.Model,
    collective: Collective,
    *,
    data: Tensors,
    split: Split,
    scaling: Scaling,
    campaign: Campaign,
    echo: Callable[[str], None],
    checkpoint: Path | None = None,
    stop: Callable[[], bool] = lambda: False,
    after_epoch: Callable[[list[Epoch]], None] = lambda _history: None,
) -> Fitted:
    """Train a network in place and leave it with the weights of its best epoch.

    Every random number of an epoch follows from the campaign's seed, the epoch and the
    rank, so that a training continued from a checkpoint is that which was not interrupted.

    Parameters
    ----------
    network : keras.Model
        The network; rank 0's weights are taken everywhere.
    collective : Collective
        The ranks.
    data : Tensors
        The averages.
    split : Split
        Rows to train on and to validate with.
    scaling : Scaling
        Scaling from the training side.
    campaign : Campaign
        Its training section and its seed.
    echo : callable
        Takes one line per epoch.
    checkpoint : Path, optional
        File that rank 0 writes after each epoch, and goes on from where it is of the same campaign.
    stop : callable
        Whether this rank was asked to stop; the epoch under way is then given up on all ranks.
    after_epoch : callable
        Takes the history, on rank 0.

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

    section, seed = campaign.training, campaign.seed
    optimizer = keras.optimizers.Adam(section.learning_rate)
    optimizer.build(network.trainable_variables)
    state = _restore(checkpoint, network, optimizer, collective, campaign)
    if state.history:
        echo(f"continuing after epoch {len(state.history)}")
    collective.broadcast([*network.weights, *optimizer.variables])
    stored = StoredBatches(data, split, scaling, campaign, rank=collective.rank, size=collective.size)
    source: Batches = stored
    if section.source == "on_the_fly":
        source = EndlessBatches(data, scaling, campaign, steps=stored.steps, rank=collective.rank)
    step = compiled_step(network, optimizer, collective, source.prepare)
    noisy = augment(data.spectra[split.validation], section.noise, generator(seed, Stream.HELD_OUT_NOISE, 0))
    validation = scaling.scale_features(noisy)
    steps, stepping = source.steps, list[float]()
    for epoch in range(len(state.history) + 1, section.epochs + 1):
        started = time.perf_counter()
        reseed(network, stream_seed(seed, Stream.DROPOUT, epoch, collective.rank))
        loss = 0.0
        for number, arrays in enumerate(source.epoch(epoch), start=(epoch - 1) * steps + 1):
            if number % STEPS_BETWEEN_LOOKS == 0 and collective.sum(np.array([float(stop())]))[0]:
                return Fitted(state.history, _rate(stepping, section.batch_size * steps * collective.size), False)
            optimizer.learning_rate = learning_rate(
                number, base=section.learning_rate, size=collective.size, warmup=section.warmup_epochs * steps
            )
            loss += float(step(*arrays))
        # Batch normalization saw other batches on each rank; its gradients were averaged, its statistics were not.
        collective.average(network.non_trainable_weights)
        stepping.append(time.perf_counter() - started)
        mean_loss = float(collective.sum(np.array([loss]))[0]) / (steps * collective.size)
        mae = _validation_mae(network, validation, data.msd[split.validation], scaling, collective)
        if mae < min((one.validation_mae for one in state.history), default=np.inf):
            state.best = network.get_weights()
        seconds = time.perf_counter() - started
        state.history.append(Epoch(epoch, float(optimizer.learning_rate.numpy()), mean_loss, mae, seconds))
        echo(f"epoch {epoch}/{section.epochs}: loss {mean_loss:.3g}, validation MAE {mae:.3g} Å²")
        if collective.rank == 0:
            after_epoch(state.history)
            if checkpoint is not None:
                state.weights, state.optimizer = network.get_weights(), values(optimizer.variables)
                state.save(checkpoint)
    network.set_weights(state.best)
    return Fitted(state.history, _rate(stepping, section.batch_size * steps * collective.size), True)


def _restore(
    path: Path | None,
    network: keras.Model,
    optimizer: keras.optimizers.Optimizer,
    collective: Collective,
    campaign: Campaign,
) -> Checkpoint:
    """Put rank 0's network and optimizer where a checkpoint left them; return what all ranks need to know of it."""
    identity = campaign.digest(*TRAINED_SECTIONS)
    found = Checkpoint.load(path, identity) if path is not None and collective.rank == 0 else None
    if found is not None:
        network.set_weights(found.weights)
        assign(optimizer.variables, found.optimizer)
    history, best = collective.bcast(None if found is None else (found.history, found.best)) or ([], [])
    return Checkpoint(identity, history, best, [], [])


def _rate(stepping: list[float], spectra: int) -> float:
    """Return spectra per second; the first of several epochs, in which TensorFlow traces the step, is left out."""
    timed = stepping[1:] or stepping
    return len(timed) * spectra / sum(timed) if timed else 0.0


def compiled_step(
    network: keras.Model,
    optimizer: keras.optimizers.Optimizer,
    collective: Collective,
    prepare: Callable[..., tuple[Any, Any]],
) -> Callable[..., Any]:
    """Return one training step, compiled for batches of any fixed size.

    Parameters
    ----------
    network : keras.Model
        The network.
    optimizer : keras.optimizers.Optimizer
        Built for the network's variables.
    collective : Collective
        The ranks to average the gradients over.
    prepare : callable
        Makes features, (n, M), and scaled labels, (n, 1), of the step's tensors, on the
        device; see `xanesml.batches.Batches`.

    Returns
    -------
    callable
        From float32 arrays to the loss before the step, a scalar tensor. Batch
        normalization normalizes over this rank's batch alone, so with it the ranks'
        gradients are not those of one large batch.
    """
    import tensorflow as tf  # noqa: PLC0415 (heavy)

    variables = network.trainable_variables

    # Nothing here depends on a tensor's value, and AutoGraph takes seconds to rewrite Horovod's functions.
    @tf.function(autograph=False)  # type: ignore[untyped-decorator]
    def step(*arrays: Any) -> Any:
        features, labels = prepare(*arrays)
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.square(network(features, training=True) - labels))
        optimizer.apply(collective.gradients(tape, loss, variables), variables)
        return loss

    def on_arrays(*arrays: NDArray[np.float32]) -> Any:
        # Arrays handed to a tf.function as they are would be constants, each a new graph.
        return step(*map(tf.constant, arrays))

    return on_arrays


def learning_rate(step: int, *, base: float, size: int, warmup: float) -> float:
    """Return the learning rate of a step.

    It rises linearly over the warm-up to `size` times the rate of one rank, as the
    batch of all ranks together is `size` times as large.

    Parameters
    ----------
    step : int
        Number of the step, from 1.
    base : float
        Learning rate for one rank.
    size : int
        Number of ranks.
    warmup : float
        Steps of the warm-up; may be 0.

    Returns
    -------
    float
        The learning rate.

    References
    ----------
    P. Goyal et al., Accurate, Large Minibatch SGD, arXiv:1706.02677 (2017), section 2.
    """
    return base * size * min(1.0, step / max(warmup, 1.0))


def _validation_mae(
    network: keras.Model,
    features: NDArray[np.float32],
    labels: NDArray[np.float64],
    scaling: Scaling,
    collective: Collective,
) -> float:
    mine = slice(collective.rank, None, collective.size)
    residuals = scaling.unscale_labels(evaluate(network, features[mine])) - labels[mine]
    total, count = collective.sum(np.array([np.abs(residuals).sum(), residuals.size]))
    return float(total / count)
