"""A trained network, by NumPy alone or by Keras: its answers, and its files in a model's folder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias, get_args

import numpy as np

from xanesml.campaign import Mode
from xanesml.files.arrays import Singles
from xanesml.files.whole import whole_file
from xanesml.learning.network import import_keras
from xanesml.learning.numpy_network import NumpyNetwork

if TYPE_CHECKING:
    import keras

#: What gives answers to scaled features.
Network: TypeAlias = "NumpyNetwork | keras.Model"
#: Files of networks in a model's folder.
NETWORK_FILES = tuple(f"{mode}-*.{kind}" for mode in get_args(Mode) for kind in ("keras", "npz"))


def evaluate(network: Network, features: Singles, *, batch_size: int = 1024) -> dict[str, Singles]:
    """Return a network's answers by name, shape (n, 1) or (n, R), for scaled features, shape (n, M); n may be 0."""
    if isinstance(network, NumpyNetwork):
        answers: Callable[[Singles], dict[str, Singles]] = network
        shapes = network.shapes
    else:
        answers = partial(_keras_answers, network)
        shapes = {name: tuple(output.shape[1:]) for name, output in network.output.items()}
    blocks = [answers(features[start : start + batch_size]) for start in range(0, len(features), batch_size)]
    return {
        name: np.concatenate([np.empty((0, *shape), np.float32), *(block[name] for block in blocks)])
        for name, shape in shapes.items()
    }


def _keras_answers(network: keras.Model, features: Singles) -> dict[str, Singles]:
    convert = import_keras().ops.convert_to_numpy
    return {name: convert(answer) for name, answer in network(features, training=False).items()}


def network_file(mode: Mode, member: int) -> str:
    """Return the name of a network's file for Keras in a model's folder."""
    return f"{mode}-{member}.keras"


def numpy_file(mode: Mode, member: int) -> str:
    """Return the name of a network's file for NumPy in a model's folder."""
    return f"{mode}-{member}.npz"


def save_network(path: Path, network: keras.Model) -> None:
    """Write a network's file for Keras, whole or not at all.

    Raises
    ------
    EnvironmentProblem
        If the folder cannot be written to.
    """
    # The temporary name has the same suffix, by which Keras chooses the format.
    with whole_file(path) as unfinished:
        network.save(unfinished)


def save_for_numpy(folder: Path, mode: Mode, networks: Sequence[keras.Model], features: Singles) -> float:
    """Write an ensemble's files for NumPy, each whole or not at all.

    Parameters
    ----------
    folder : Path
        Folder of the model.
    mode : {"direct", "reference"}
        Mode of the ensemble.
    networks : sequence of keras.Model
        Its networks.
    features : ndarray, shape (n, M), float32
        Scaled features to compare the answers to.

    Returns
    -------
    float
        Largest difference from Keras's answers, in units of the largest of these, or of 1 if that is larger.

    Raises
    ------
    EnvironmentProblem
        If the folder cannot be written to.
    """
    largest = 0.0
    for member, network in enumerate(networks):
        arrays = NumpyNetwork.of(network)
        arrays.save(folder / numpy_file(mode, member))
        known, found = evaluate(network, features), evaluate(arrays, features)
        for name, answer in known.items():
            scale = np.abs(answer).max(initial=1.0)
            largest = max(largest, float(np.abs(found[name] - answer).max(initial=0.0) / scale))
    return largest


def load_networks(folder: Path, mode: Mode, names: Sequence[str]) -> Sequence[Network]:
    """Read the ensemble of a mode from the files of these names: for NumPy where there are such, else for Keras.

    Raises
    ------
    StoreError
        If a file for NumPy is missing or damaged.
    EnvironmentProblem
        If there are files for Keras alone, and Keras is not installed.
    """
    if arrays := [name for name in names if fnmatchcase(name, f"{mode}-*.npz")]:
        return [NumpyNetwork.load(folder / name) for name in arrays]
    saved = [name for name in names if fnmatchcase(name, f"{mode}-*.keras")]
    return [import_keras().saving.load_model(folder / name, compile=False) for name in saved]
