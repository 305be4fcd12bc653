"""The untrained network, in Keras 3 for any backend; Keras is imported inside functions."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from xanesml.campaign import InitialWeights, TrainingSection
from xanesml.errors import EnvironmentProblem

if TYPE_CHECKING:
    import keras


#: Keras' names of the initial weights.
_INITIALIZERS: dict[InitialWeights, str] = {
    "he_normal": "HeNormal",
    "he_uniform": "HeUniform",
    "glorot_normal": "GlorotNormal",
    "glorot_uniform": "GlorotUniform",
    "lecun_normal": "LecunNormal",
}

#: Log level that silences TensorFlow's C++ code.
_QUIET = "3"


def import_keras() -> Any:
    """Return the module `keras`, without its backend's start-up messages.

    They are shown if the user has set TF_CPP_MIN_LOG_LEVEL below 3, or if the import fails.

    Raises
    ------
    EnvironmentProblem
        If Keras or its backend is not installed.
    """
    try:
        with _quiet_start():
            import keras  # noqa: PLC0415 (seconds, and no part of a laptop's core installation)
    except ImportError as error:
        raise EnvironmentProblem(f"the network needs Keras ({error}); run `pip install 'xanesml[train]'`") from error
    return keras


@contextmanager
def _quiet_start() -> Iterator[None]:
    """Hold back the messages of C++ libraries on standard error while they are loaded."""
    # Child processes inherit the level.
    if "keras" in sys.modules or os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", _QUIET) != _QUIET:
        yield
        return
    # Messages printed before TensorFlow reads that variable can only be caught at the file descriptor.
    sys.stderr.flush()
    terminal = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        except BaseException:
            held.seek(0)
            os.write(terminal, held.read())
            raise
        finally:
            os.dup2(terminal, 2)
            os.close(terminal)


def answers_of(section: TrainingSection) -> list[str]:
    """Return the names of a network's answers: `msd` first, then the campaign's heads."""
    return ["msd", *section.heads]


def build_network(points: int, section: TrainingSection, *, bins: int, seed: int) -> keras.Model:
    """Build the untrained network: a 1-D CNN from scaled spectra to scaled labels.

    Each block is a convolution, optional batch normalization, activation, pooling by two and dropout. The
    last block is flattened, not averaged over energy, because the position of a feature
    carries the bond length. All answers come from the last dense layer.

    Parameters
    ----------
    points : int
        Points of the energy mesh.
    section : TrainingSection
        Filters, kernel, dense layers, activation, pooling, penalties, dropout, heads.
    bins : int
        Bins of the distribution of bond lengths.
    seed : int
        Seed of the initial weights and of the dropout; the global seeds do not change.

    Returns
    -------
    keras.Model
        Takes features of shape (n, points), returns a dict of answers by name: scaled labels of
        shape (n, 1), and the shares of the distribution, (n, bins), which sum to 1.
    """
    keras = import_keras()
    layers = keras.layers
    names = answers_of(section)
    count = len(section.filters) + len(section.dense) + len(names) + 1
    # The first words do not depend on how many are asked for.
    states = np.random.SeedSequence(seed).generate_state(count + len(section.filters))
    seeds, block_seeds = iter(states[:count]), iter(states[count:])

    def initializer(kind: str) -> Any:
        return getattr(keras.initializers, kind)(seed=int(next(seeds)))

    weights, linear_weights = _INITIALIZERS[section.initial_weights], "GlorotUniform"
    penalty = keras.regularizers.L1L2(section.l1, section.l2) if section.l1 or section.l2 else None
    inputs = keras.Input((points,), name="features")
    signal = layers.Reshape((points, 1))(inputs)
    for number, filters in enumerate(section.filters, start=1):
        signal = layers.Conv1D(
            filters,
            section.kernel,
            strides=section.stride,
            padding="same",
            # Batch normalization has its own offset.
            use_bias=not section.batch_normalization,
            kernel_initializer=initializer(weights),
            kernel_regularizer=penalty,
            name=f"convolution_{number}",
        )(signal)
        if section.batch_normalization:
            # Many ranks take few steps, and with Keras's default of 0.99 the statistics need hundreds to converge.
            signal = layers.BatchNormalization(momentum=0.9, name=f"normalization_{number}")(signal)
        signal = (layers.ReLU() if section.activation == "relu" else layers.Activation(section.activation))(signal)
        # `same` keeps at least one point for any mesh and number of blocks.
        if section.pooling != "none":
            pooling = layers.MaxPooling1D if section.pooling == "max" else layers.AveragePooling1D
            signal = pooling(2, padding="same")(signal)
        if section.block_dropout:
            signal = layers.Dropout(section.block_dropout, seed=int(next(block_seeds)))(signal)
    signal = layers.Flatten()(signal)
    if section.dropout:
        signal = layers.Dropout(section.dropout, seed=int(next(seeds)))(signal)
    for number, units in enumerate(section.dense, start=1):
        signal = layers.Dense(
            units,
            activation=section.activation,
            kernel_initializer=initializer(weights),
            kernel_regularizer=penalty,
            name=f"dense_{number}",
        )(signal)
    outputs = {}
    for name in names:
        units, activation = (bins, "softmax") if name == "distribution" else (1, None)
        outputs[name] = layers.Dense(
            units,
            activation=activation,
            kernel_initializer=initializer(linear_weights),
            kernel_regularizer=penalty,
            name=name,
        )(signal)
    return keras.Model(inputs, outputs, name="xanesml")


def loss_of(answers: dict[str, Any], targets: dict[str, Any], head_weight: float) -> Any:
    """Return the loss of a batch, a scalar tensor.

    Parameters
    ----------
    answers, targets : dict of str to tensor
        The network's answers and the scaled labels, by name.
    head_weight : float
        Weight of every answer but the MSD.

    Returns
    -------
    tensor
        Mean squared error of the scaled MSD, plus the weight times each of these: the mean squared errors of the
        scaled mean shift and skewness, and the Kullback–Leibler divergence of the distribution in units of that
        of a uniform answer to a single bin.
    """
    ops = import_keras().ops
    loss = 0.0
    for name, target in targets.items():
        answer = answers[name]
        if name == "distribution":
            small = 1e-7
            divergence = ops.sum(target * (ops.log(target + small) - ops.log(answer + small)), axis=1)
            part = ops.mean(divergence) / np.log(target.shape[1])
        else:
            part = ops.mean(ops.square(answer - target))
        loss = loss + (1.0 if name == "msd" else head_weight) * part
    return loss


def reseed(network: keras.Model, seed: np.random.SeedSequence) -> None:
    """Seed the random generators of a network's dropout layers."""
    for layer in network.layers:
        random = getattr(layer, "seed_generator", None)
        if random is not None:
            random.state.assign([int(seed.generate_state(1)[0]), 0])
            seed = seed.spawn(1)[0]
