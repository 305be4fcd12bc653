"""Arithmetic over the ranks that train a network together: Horovod's, or none for one rank alone.

One process trains without Horovod. Under a launcher the ranks divide into groups, each of which
trains networks of its own; only a group of several ranks needs Horovod.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from hpc.comm import Ranks, join_horovod, same_host, split
from hpc.training.jax_step import share_devices
from xanesml.errors import EnvironmentProblem
from xanesml.files.arrays import Floats
from xanesml.learning.network import import_keras

if TYPE_CHECKING:
    from mpi4py import MPI


class Collective:
    """One rank alone; base of the collectives that join several.

    Attributes
    ----------
    rank, size : int
        This rank and the number of ranks.
    """

    rank = 0
    size = 1

    def broadcast(self, variables: Sequence[Any]) -> None:
        """Give Keras variables their values of rank 0."""

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
        """Return the smallest and the largest value of all ranks, float64."""
        return np.array([values.min(), values.max()])

    def bcast(self, value: Any) -> Any:
        """Return rank 0's value, which must be picklable, on every rank."""
        return value

    def remarks(self) -> list[str]:
        """Return why training is slower than it could be, one sentence each."""
        return []


class HorovodCollective(Collective):
    """The ranks that Horovod joins, by its module `horovod.tensorflow` once that is initialized."""

    def __init__(self, horovod: Any) -> None:
        self._horovod = horovod
        self.rank = horovod.rank()
        self.size = horovod.size()

    def broadcast(self, variables: Sequence[Any]) -> None:
        """Give Keras variables their values of rank 0."""
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
        # Horovod takes TensorFlow's variables, not the Keras 3 variables around them.
        return super().gradients(self._horovod.DistributedGradientTape(tape), loss, variables)

    def sum(self, values: Floats) -> Floats:
        """Return the sum of an array over the ranks, float64."""
        total: Floats = self._horovod.allreduce(values, op=self._horovod.Sum).numpy()
        return total

    def extremes(self, values: Floats) -> Floats:
        """Return the smallest and the largest value of all ranks, float64."""
        mine = np.array([-values.min(), values.max()])
        largest: Floats = self._horovod.allreduce(mine, op=self._horovod.Max).numpy()
        return largest * [-1, 1]

    def bcast(self, value: Any) -> Any:
        """Return rank 0's value, which must be picklable, on every rank."""
        return self._horovod.broadcast_object(value, root_rank=0)

    def remarks(self) -> list[str]:
        """Return why training is slower than it could be, one sentence each."""
        import tensorflow as tf  # noqa: PLC0415 (heavy)

        if tf.config.list_physical_devices("GPU") and not self._horovod.nccl_built():
            return [
                "Horovod was built without NCCL, so gradients go through the memory of the host; "
                "build it with HOROVOD_GPU_OPERATIONS=NCCL (docs/how-to/install.md)"
            ]
        return []


def check_backend(ranks: Ranks) -> None:
    """Import Keras on a backend that can train.

    Raises
    ------
    EnvironmentProblem
        If Keras runs on neither TensorFlow nor JAX, or not on TensorFlow and there are several ranks.
    """
    backend = import_keras().backend.backend()
    if backend not in ("tensorflow", "jax"):
        raise EnvironmentProblem(
            f"Keras runs on {backend!r}, and training takes 'tensorflow' or 'jax'; set KERAS_BACKEND to one of them"
        )
    if ranks.size > 1 and backend != "tensorflow":
        raise EnvironmentProblem(
            f"Keras runs on {backend!r}, and several ranks need 'tensorflow'; set KERAS_BACKEND=tensorflow, "
            "or start one process, which trains on all of its GPUs"
        )


def join_group(ranks: Ranks, count: int) -> tuple[int, Collective]:
    """Divide ranks into `count` groups of about equal size and join this one's; collective.

    Returns
    -------
    number : int
        This rank's group, from 0.
    collective : Collective
        The ranks of that group, their devices and threads set up.

    Raises
    ------
    EnvironmentProblem
        If the group has several ranks and Horovod is missing, broken, or does not see them.
    """
    if ranks.size == 1:
        share_devices()
        return 0, Collective()
    number, group = split(ranks, count)
    collective = Collective() if group.size == 1 else HorovodCollective(join_horovod(group))
    _share_node(cast("MPI.Intracomm", ranks))
    return number, collective


def _share_node(comm: MPI.Intracomm) -> None:
    """Give each rank of a node its own GPU, or its own share of the cores; collective."""
    import tensorflow as tf  # noqa: PLC0415 (heavy)

    node = same_host(comm)
    gpus = tf.config.list_physical_devices("GPU")
    if gpus:
        gpu = gpus[node.rank % len(gpus)]
        tf.config.set_visible_devices(gpu, "GPU")
        tf.config.experimental.set_memory_growth(gpu, True)
    mine = set(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else set(range(os.cpu_count() or 1))
    tf.config.threading.set_intra_op_parallelism_threads(own_threads(mine, node.allgather(mine)))


def own_threads(mine: set[int], node: Sequence[set[int]]) -> int:
    """Return the number of threads of a rank, given the cores that it and each rank of its node may use.

    A launcher that binds ranks to cores has shared them already. Else the ranks share what they may use together,
    which in a job is seldom the whole machine.
    """
    return min(len(mine), max(1, len(set().union(*node)) // len(node)))
