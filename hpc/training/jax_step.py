"""Training in one process on Keras' JAX backend, on all of its devices.

JAX's functions have no side effects, so a step takes the values of all variables and returns new
ones. Between two steps the Keras variables hold them, for the rest of the training. Each of several
devices takes its share of a batch and holds all variables.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from xanesml.errors import EnvironmentProblem
from xanesml.files.arrays import Singles
from xanesml.learning.batches import Batches
from xanesml.learning.network import import_keras, loss_of

if TYPE_CHECKING:
    import keras


def share_devices() -> None:
    """Spread the batches of networks built from now on over the devices of this process, if JAX sees several."""
    keras = import_keras()
    if keras.backend.backend() == "jax" and len(keras.distribution.list_devices()) > 1:
        keras.distribution.set_distribution(keras.distribution.DataParallel(auto_shard_dataset=False))


def jax_step(
    network: keras.Model, optimizer: keras.optimizers.Optimizer, source: Batches, head_weight: float
) -> Callable[..., Any]:
    """Return one training step for Keras' JAX backend; see `hpc.training.step.compiled_step`.

    With several devices batch normalization uses the whole batch, so the number of devices
    changes the result by rounding only.

    Raises
    ------
    EnvironmentProblem
        When it is called, if the devices cannot take equal parts of the batch.
    """
    import jax  # noqa: PLC0415 (heavy)

    keras = import_keras()
    # The last are the states of random generators outside the network.
    groups = network.trainable_variables, network.non_trainable_variables, optimizer.variables, source.variables

    @jax.jit  # type: ignore[untyped-decorator]
    def step(trainable: Any, fixed: Any, moments: Any, random: Any, arrays: Any) -> Any:
        with keras.StatelessScope(zip(source.variables, random, strict=True)) as scope:
            features, targets = source.prepare(*arrays)
        random = [scope.get_current_value(variable) for variable in source.variables]

        def whole_loss(trainable: Any) -> Any:
            answers, after, penalties = network.stateless_call(
                trainable, fixed, features, training=True, return_losses=True
            )
            loss = loss_of(answers, targets, head_weight)
            return loss + sum(penalties), (loss, after)

        (_, (loss, fixed)), gradients = jax.value_and_grad(whole_loss, has_aux=True)(trainable)
        trainable, moments = optimizer.stateless_apply(moments, gradients, trainable)
        return loss, (trainable, fixed, moments, random)

    def on_arrays(*arrays: Singles) -> Any:
        states = ([variable.value for variable in group] for group in groups)
        loss, after = step(*states, [_placed(array) for array in arrays])
        for group, values in zip(groups, after, strict=True):
            for variable, value in zip(group, values, strict=True):
                variable.assign(value)
        return loss

    return on_arrays


def _placed(array: Singles) -> Any:
    """Return an array with its rows spread over the devices."""
    distribution = import_keras().distribution
    shared = distribution.distribution()
    if shared is None:
        return array
    devices = shared.device_mesh.devices.size
    if len(array) % devices:
        raise EnvironmentProblem(
            f"{devices} devices cannot share a batch of {len(array)} spectra evenly; make training.batch_size a "
            f"multiple of {devices}, or let JAX see fewer devices (CUDA_VISIBLE_DEVICES)"
        )
    return distribution.distribute_tensor(array, shared.get_data_layout(array.shape))
