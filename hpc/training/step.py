"""One training step, compiled by the backend that Keras runs on."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from hpc.training.collective import Collective
from hpc.training.jax_step import jax_step
from xanesml.files.arrays import Singles
from xanesml.learning.batches import Batches
from xanesml.learning.network import import_keras, loss_of

if TYPE_CHECKING:
    import keras


def compiled_step(
    network: keras.Model,
    optimizer: keras.optimizers.Optimizer,
    collective: Collective,
    source: Batches,
    head_weight: float,
) -> Callable[..., Any]:
    """Return one training step, compiled for batches of any fixed size.

    Parameters
    ----------
    network : keras.Model
        The network.
    optimizer : keras.optimizers.Optimizer
        Built for the network's variables.
    collective : Collective
        The ranks to average the gradients over; on JAX a single process.
    source : Batches
        Turns a step's arrays into features and scaled labels, on the device.
    head_weight : float
        See `xanesml.learning.network.loss_of`.

    Returns
    -------
    callable
        From float32 arrays to the loss before the step, without penalties on weights, a scalar tensor. Batch
        normalization uses this rank's batch only, so with it the ranks' gradients are not those of one large batch.
    """
    if import_keras().backend.backend() == "jax":
        return jax_step(network, optimizer, source, head_weight)
    import tensorflow as tf  # noqa: PLC0415 (heavy)

    variables = network.trainable_variables

    # No control flow depends on a tensor, and AutoGraph takes seconds to rewrite Horovod's functions.
    @tf.function(autograph=False)  # type: ignore[untyped-decorator]
    def step(*arrays: Any) -> Any:
        features, targets = source.prepare(*arrays)
        with tf.GradientTape() as tape:
            loss = loss_of(network(features, training=True), targets, head_weight)
            whole = loss + sum(network.losses)
        optimizer.apply(collective.gradients(tape, whole, variables), variables)
        return loss

    def on_arrays(*arrays: Singles) -> Any:
        # A tf.function takes plain arrays for constants and builds a graph for each.
        return step(*map(tf.constant, arrays))

    return on_arrays
