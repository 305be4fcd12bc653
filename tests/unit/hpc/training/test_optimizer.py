"""The optimizers by the campaign's keys: first steps by hand, decay of kernels alone, penalties in the gradient."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from requirements import require

from hpc.training.collective import Collective
from hpc.training.optimizer import make_optimizer
from hpc.training.step import compiled_step
from xanesml.campaign import TrainingSection
from xanesml.learning.augmentation import Augmentation, Augmenter
from xanesml.learning.batches import StoredBatches
from xanesml.learning.network import build_network
from xanesml.learning.scaling import Scaling

require("keras")

POINTS, COUNT = 6, 8
#: A network without convolutions: two kernels and two biases.
SMALL: dict[str, Any] = {"filters": [], "dense": [3], "heads": [], "dropout": 0.0, "activation": "tanh"}


def stepped(steps: int = 1, **keys: Any) -> tuple[list[np.ndarray], list[np.ndarray], float]:
    """Return the weights before and after some steps on the same batch, and the first loss."""
    section = TrainingSection(**SMALL | keys)
    rng = np.random.default_rng(2)
    network = build_network(POINTS, section, bins=2, seed=3)
    network.set_weights([rng.uniform(0.2, 0.8, weight.shape) for weight in network.weights])
    source = StoredBatches(
        rng.standard_normal((COUNT, POINTS)).astype(np.float32),
        [rng.random((COUNT, 1)).astype(np.float32)],
        ["msd"],
        np.arange(COUNT),
        Scaling(np.zeros(POINTS), np.ones(POINTS), {}),
        Augmenter(Augmentation(), np.arange(float(POINTS)), 0.0),
        seed=1,
        key=(0,),
        batch_size=COUNT,
        steps=1,
    )
    step = compiled_step(network, make_optimizer(network, section), Collective(), source, section.head_weight)
    before = network.get_weights()
    (arrays,) = source.epoch(1)
    losses = [float(step(*arrays)) for _ in range(steps)]
    return before, network.get_weights(), losses[0]


@pytest.fixture(scope="module")
def plain() -> tuple[list[np.ndarray], float]:
    """Gradients of all weights, and the loss."""
    before, after, loss = stepped(optimizer="sgd", momentum=0.0, learning_rate=1.0)
    return [was - now for was, now in zip(before, after, strict=True)], loss


@pytest.mark.parametrize(
    ("keys", "rule"),
    [
        ({"optimizer": "sgd", "momentum": 0.9}, lambda g: 0.1 * g),
        # The first step of both is by the sign, of RMSprop by that over the root of 1 − 0.9.
        ({"optimizer": "adam"}, lambda g: 0.1 * np.sign(g)),
        ({"optimizer": "rmsprop"}, lambda g: 0.1 * np.sign(g) / np.sqrt(0.1)),
    ],
)
def test_the_first_step_by_hand(keys: dict[str, Any], rule: Any, plain: tuple[list[np.ndarray], float]) -> None:
    before, after, _ = stepped(learning_rate=0.1, **keys)
    for was, now, gradient in zip(before, after, plain[0], strict=True):
        # Small numbers keep their denominators from zero, which is felt where a gradient is small.
        kept = np.abs(gradient) > 1e-2
        np.testing.assert_allclose((was - now)[kept], rule(gradient)[kept], rtol=5e-3, atol=1e-6)


def test_momentum_carries_the_first_gradient_into_the_second_step() -> None:
    small = {"optimizer": "sgd", "learning_rate": 1e-4}
    (before, twice, _), (_, carried, _) = stepped(2, momentum=0.0, **small), stepped(2, momentum=0.9, **small)
    # Two steps of the same gradient, and 0.9 of the first again.
    for was, one, other in zip(before, twice, carried, strict=True):
        np.testing.assert_allclose(was - other, (was - one) * 1.45, rtol=2e-2, atol=1e-6)


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_kernels_decay_and_biases_do_not(optimizer: str) -> None:
    keys: dict[str, Any] = {"optimizer": optimizer, "learning_rate": 0.01}
    _, decayed, _ = stepped(weight_decay=0.5, **keys)
    before, kept, _ = stepped(**keys | ({"optimizer": "adam"} if optimizer == "adamw" else {}))
    for was, one, other in zip(before, kept, decayed, strict=True):
        if was.ndim == 1:
            np.testing.assert_array_equal(one, other)
        else:
            np.testing.assert_allclose(one - other, 0.01 * 0.5 * was, rtol=1e-3, atol=1e-6)


def test_penalties_are_in_the_gradient_and_not_in_the_loss_that_is_told(plain: tuple[list[np.ndarray], float]) -> None:
    before, after, loss = stepped(optimizer="sgd", momentum=0.0, learning_rate=1.0, l1=0.1, l2=0.1)
    for was, now, gradient in zip(before, after, plain[0], strict=True):
        wanted = gradient + (0.1 * np.sign(was) + 0.2 * was if was.ndim == 2 else 0.0)
        np.testing.assert_allclose(was - now, wanted, rtol=1e-4, atol=1e-5)
    assert loss == plain[1]
