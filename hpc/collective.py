"""What training needs of the other ranks: a seam with Horovod behind it, or nothing.

Alone, a process trains without Horovod. Under a launcher with several ranks Horovod
must be there and see them all: each rank would otherwise train by itself, and all of
them write the same files.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xanesml.errors import EnvironmentProblem
from xanesml.network import import_keras

_REMEDY = "build it with tools/setup.sh (docs/install.md), or start one process"


class Collective:
    """One process by itself; base of the collectives that join several.

    Attributes
    ----------
    rank, size : int
        This rank and the number of ranks.
    local_rank, local_size : int
        The same on this node.
    """

    rank = 0
    size = 1
    local_rank = 0
    local_size = 1

    def broadcast(self, variables: Sequence[Any]) -> None:
        """Give Keras variables the values they have on rank 0."""

    def average(self, variables: Sequence[Any]) -> None:
        """Give Keras variables the mean of their values over the ranks."""

    def gradients(self, tape: Any, loss: Any, variables: Sequence[Any]) -> list[Any]:
        """Return the gradients of a loss by Keras variables, averaged over the ranks."""
        gradients: list[Any] = tape.gradient(loss, [variable.value for variable in variables])
        return gradients

    def sum(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the sum of an array over the ranks, float64."""
        return values

    def bcast(self, value: Any) -> Any:
        """Return what rank 0 gave, on every rank; it must be picklable."""
        return value


class HorovodCollective(Collective):
    """The ranks that Horovod joins.

    Parameters
    ----------
    horovod : module
        `horovod.tensorflow`, initialized.
    """

    def __init__(self, horovod: Any) -> None:
        self._horovod = horovod
        self.rank = horovod.rank()
        self.size = horovod.size()
        self.local_rank = horovod.local_rank()
        self.local_size = horovod.local_size()

    def broadcast(self, variables: Sequence[Any]) -> None:
        """Give Keras variables the values they have on rank 0."""
        self._horovod.broadcast_variables([variable.value for variable in variables], root_rank=0)

    def average(self, variables: Sequence[Any]) -> None:
        """Give Keras variables the mean of their values over the ranks."""
        if variables:
            means = self._horovod.grouped_allreduce(
                [variable.value for variable in variables], op=self._horovod.Average
            )
            for variable, mean in zip(variables, means, strict=True):
                variable.assign(mean)

    def gradients(self, tape: Any, loss: Any, variables: Sequence[Any]) -> list[Any]:
        """Return the gradients of a loss by Keras variables, averaged over the ranks."""
        # Horovod knows TensorFlow's variables, not the Keras 3 variables around them.
        return super().gradients(self._horovod.DistributedGradientTape(tape), loss, variables)

    def sum(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the sum of an array over the ranks, float64."""
        total: NDArray[np.float64] = self._horovod.allreduce(values, op=self._horovod.Sum).numpy()
        return total

    def bcast(self, value: Any) -> Any:
        """Return what rank 0 gave, on every rank; it must be picklable."""
        return self._horovod.broadcast_object(value, root_rank=0)


def open_collective() -> Collective:
    """Return the ranks that this process trains with, its devices and threads set up.

    Returns
    -------
    Collective
        Itself alone, or the ranks of the launcher joined by Horovod.

    Raises
    ------
    EnvironmentProblem
        If Keras does not run on TensorFlow, or there are several ranks and Horovod is
        missing, broken, or does not see them.
    """
    keras = import_keras()
    if keras.backend.backend() != "tensorflow":
        raise EnvironmentProblem(
            f"Keras runs on {keras.backend.backend()!r}, training needs 'tensorflow'; set KERAS_BACKEND=tensorflow"
        )
    ranks = _launched_ranks()
    if ranks == 1:
        return Collective()
    collective = HorovodCollective(_horovod(ranks))
    if collective.size != ranks:
        raise EnvironmentProblem(
            f"MPI has {ranks} ranks but Horovod sees {collective.size}; it was built against another MPI: {_REMEDY}"
        )
    _share_node(collective)
    return collective


def _launched_ranks() -> int:
    try:
        from mpi4py import MPI  # noqa: PLC0415 (initializes MPI)
    except (ImportError, RuntimeError):
        # Without an MPI library there is no launcher either.
        return 1
    return int(MPI.COMM_WORLD.Get_size())


def _horovod(ranks: int) -> Any:
    import tensorflow as tf  # noqa: PLC0415 (heavy)

    try:
        import horovod.tensorflow as horovod  # noqa: PLC0415 (heavy, and not everywhere)
    except (ImportError, OSError, tf.errors.OpError) as error:
        reason = str(error).splitlines()[0]
        raise EnvironmentProblem(f"training on {ranks} ranks needs Horovod ({reason}); {_REMEDY}") from error
    horovod.init()
    return horovod


def _share_node(collective: Collective) -> None:
    """Give each rank of a node its own GPU, or its own part of the cores."""
    import tensorflow as tf  # noqa: PLC0415 (heavy)

    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        mine = gpus[collective.local_rank % len(gpus)]
        tf.config.set_visible_devices(mine, "GPU")
        tf.config.experimental.set_memory_growth(mine, True)
    # A launcher that binds ranks to cores has divided them already.
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    share = max(1, (os.cpu_count() or 1) // collective.local_size)
    tf.config.threading.set_intra_op_parallelism_threads(min(allowed, share))
