"""What training needs of the other ranks: a seam with Horovod behind it, or nothing.

Alone, a process trains without Horovod. Under a launcher the ranks part into groups,
each of which trains networks of its own. In a group of several ranks Horovod must be
there and see them all: each rank would otherwise train by itself.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from hpc.training.jax_step import share_devices
from xanesml.errors import EnvironmentProblem
from xanesml.files.arrays import Floats
from xanesml.learning.network import import_keras

if TYPE_CHECKING:
    from mpi4py import MPI

_REMEDY = "build it with tools/setup.sh (docs/install.md), or start one process"


class Collective:
    """One process by itself; base of the collectives that join several.

    Attributes
    ----------
    rank, size : int
        This rank and the number of ranks.
    """

    rank = 0
    size = 1

    def broadcast(self, variables: Sequence[Any]) -> None:
        """Give Keras variables the values they have on rank 0."""

    def average(self, variables: Sequence[Any]) -> None:
        """Give Keras variables the mean of their values over the ranks."""

    def gradients(self, tape: Any, loss: Any, variables: Sequence[Any]) -> list[Any]:
        """Return the gradients of a loss by Keras variables, averaged over the ranks."""
        gradients: list[Any] = tape.gradient(loss, [variable.value for variable in variables])
        return gradients

    def sum(self, values: Floats) -> Floats:
        """Return the sum of an array over the ranks, float64."""
        return values

    def extremes(self, values: Floats) -> Floats:
        """Return the smallest and the largest of all ranks' values, float64."""
        return np.array([values.min(), values.max()])

    def bcast(self, value: Any) -> Any:
        """Return what rank 0 gave, on every rank; it must be picklable."""
        return value

    def remarks(self) -> list[str]:
        """Return what makes this way of training slower than it could be, one sentence each."""
        return []


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

    def sum(self, values: Floats) -> Floats:
        """Return the sum of an array over the ranks, float64."""
        total: Floats = self._horovod.allreduce(values, op=self._horovod.Sum).numpy()
        return total

    def extremes(self, values: Floats) -> Floats:
        """Return the smallest and the largest of all ranks' values, float64."""
        mine = np.array([-values.min(), values.max()])
        largest: Floats = self._horovod.allreduce(mine, op=self._horovod.Max).numpy()
        return largest * [-1, 1]

    def bcast(self, value: Any) -> Any:
        """Return what rank 0 gave, on every rank; it must be picklable."""
        return self._horovod.broadcast_object(value, root_rank=0)

    def remarks(self) -> list[str]:
        """Return what makes this way of training slower than it could be, one sentence each."""
        import tensorflow as tf  # noqa: PLC0415 (heavy)

        if tf.config.list_physical_devices("GPU") and not self._horovod.nccl_built():
            return [
                "Horovod was built without NCCL, so gradients go through the memory of the host; "
                "build it with HOROVOD_GPU_OPERATIONS=NCCL (docs/install.md)"
            ]
        return []


class World:
    """All ranks of the launcher, or this process alone.

    Parameters
    ----------
    comm : mpi4py.MPI.Intracomm, optional
        The ranks; by default this process alone.

    Attributes
    ----------
    rank, size : int
        This rank and the number of ranks.
    """

    def __init__(self, comm: MPI.Intracomm | None = None) -> None:
        self._comm = comm
        self.rank, self.size = (0, 1) if comm is None else (comm.rank, comm.size)

    def bcast(self, value: Any) -> Any:
        """Return what rank 0 gave, on every rank; it must be picklable."""
        return value if self._comm is None else self._comm.bcast(value)

    def gather(self, value: Any) -> list[Any]:
        """Return what every rank gave, in their order, on every rank."""
        return [value] if self._comm is None else self._comm.allgather(value)

    def group(self, count: int) -> tuple[int, Collective]:
        """Part the ranks into groups of about equal size and join this one's.

        Parameters
        ----------
        count : int
            Number of groups, at most that of the ranks.

        Returns
        -------
        number : int
            This rank's group, from 0.
        collective : Collective
            Its ranks, their devices and threads set up.

        Raises
        ------
        EnvironmentProblem
            If the group has several ranks and Horovod is missing, broken, or does not see them.
        """
        if self._comm is None:
            share_devices()
            return 0, Collective()
        number = self.rank * count // self.size
        comm = self._comm.Split(number, self.rank)
        collective = Collective() if comm.size == 1 else _joined(comm)
        _share_node(self._comm)
        return number, collective


def open_world() -> World:
    """Return the ranks of the launcher.

    Raises
    ------
    EnvironmentProblem
        If Keras runs on neither TensorFlow nor JAX, or not on TensorFlow and there are several.
    """
    backend = import_keras().backend.backend()
    if backend not in ("tensorflow", "jax"):
        raise EnvironmentProblem(
            f"Keras runs on {backend!r}, and training takes 'tensorflow' or 'jax'; set KERAS_BACKEND to one of them"
        )
    comm = _launched()
    if comm is not None and backend != "tensorflow":
        raise EnvironmentProblem(
            f"Keras runs on {backend!r}, and several ranks need 'tensorflow'; set KERAS_BACKEND=tensorflow, "
            "or start one process, which trains on all of its GPUs"
        )
    return World(comm)


def _launched() -> MPI.Intracomm | None:
    try:
        from mpi4py import MPI  # noqa: PLC0415 (initializes MPI)
    except (ImportError, RuntimeError):
        # Without an MPI library there is no launcher either.
        return None
    return MPI.COMM_WORLD if MPI.COMM_WORLD.size > 1 else None


def _joined(comm: MPI.Comm) -> HorovodCollective:
    import tensorflow as tf  # noqa: PLC0415 (heavy)

    try:
        import horovod.tensorflow as horovod  # noqa: PLC0415 (heavy, and not everywhere)
    except (ImportError, OSError, tf.errors.OpError) as error:
        reason = str(error).splitlines()[0]
        raise EnvironmentProblem(
            f"training one network on {comm.size} ranks needs Horovod ({reason}); {_REMEDY}"
        ) from error
    horovod.init(comm)
    collective = HorovodCollective(horovod)
    if collective.size != comm.size:
        raise EnvironmentProblem(
            f"MPI has {comm.size} ranks but Horovod sees {collective.size}; it was built against another MPI: {_REMEDY}"
        )
    return collective


def _share_node(comm: MPI.Intracomm) -> None:
    """Give each rank of a node its own GPU, or its own part of the cores."""
    import tensorflow as tf  # noqa: PLC0415 (heavy)
    from mpi4py import MPI  # noqa: PLC0415

    node = comm.Split_type(MPI.COMM_TYPE_SHARED)
    local_rank, local_size = node.rank, node.size
    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        mine = gpus[local_rank % len(gpus)]
        tf.config.set_visible_devices(mine, "GPU")
        tf.config.experimental.set_memory_growth(mine, True)
    # A launcher that binds ranks to cores has divided them already.
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    share = max(1, (os.cpu_count() or 1) // local_size)
    tf.config.threading.set_intra_op_parallelism_threads(min(allowed, share))
