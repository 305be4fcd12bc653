"""The optimizer of a training, by the campaign's keys."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xanesml.campaign import TrainingSection
from xanesml.learning.network import import_keras

if TYPE_CHECKING:
    import keras

#: Keras' names of the optimizers.
_CLASSES = {"adam": "Adam", "adamw": "AdamW", "sgd": "SGD", "rmsprop": "RMSprop"}


def make_optimizer(network: keras.Model, section: TrainingSection) -> keras.optimizers.Optimizer:
    """Return an optimizer, built for the variables of a network.

    Parameters
    ----------
    network : keras.Model
        The network.
    section : TrainingSection
        Optimizer, momentum, learning rate and weight decay. Biases and the variables of batch normalization do not
        decay.

    References
    ----------
    I. Loshchilov and F. Hutter, Decoupled Weight Decay Regularization, arXiv:1711.05101 (2017).
    """
    more = {"momentum": section.momentum} if section.optimizer == "sgd" else {}
    make = getattr(import_keras().optimizers, _CLASSES[section.optimizer])
    optimizer: keras.optimizers.Optimizer = make(
        section.learning_rate, weight_decay=section.weight_decay or None, **more
    )
    if section.weight_decay:
        others = [variable for variable in network.trainable_variables if variable.name != "kernel"]
        optimizer.exclude_from_weight_decay(var_list=others)
    optimizer.build(network.trainable_variables)
    return optimizer
