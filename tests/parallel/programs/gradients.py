"""One training step of SGD on a given global batch, by however many ranks; writes each rank's weights."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from hpc.comm import world_or_alone
from hpc.training.collective import check_backend, join_group
from hpc.training.step import compiled_step
from xanesml.campaign import TrainingSection
from xanesml.learning.network import build_network

folder, batch_normalization = Path(sys.argv[1]), sys.argv[2] == "normalized"
comm = world_or_alone()
check_backend(comm)
_, collective = join_group(comm, 1)
import keras  # noqa: E402 (its threads are set by then)


class AsTheyAre:
    """Batches of features and labels that need no preparation."""

    steps, width = 3, 3

    def epoch(self, number: int) -> Iterator[tuple[np.ndarray, ...]]:
        raise NotImplementedError

    def prepare(self, *arrays: Any) -> tuple[Any, dict[str, Any]]:
        features, msd, shares = arrays
        return features, {"msd": msd, "distribution": shares}


section = TrainingSection(
    filters=[4],
    kernel=3,
    dense=[8],
    heads=["distribution"],
    dropout=0.2 if batch_normalization else 0.0,
    batch_normalization=batch_normalization,
)
rng = np.random.default_rng(3)
features = rng.standard_normal((24, 16)).astype(np.float32)
labels = rng.random((24, 1)).astype(np.float32)
shares = rng.dirichlet(np.ones(5), 24).astype(np.float32)

network = build_network(16, section, bins=5, seed=11 + collective.rank)
optimizer = keras.optimizers.SGD(0.1)
optimizer.build(network.trainable_variables)
collective.broadcast([*network.weights, *optimizer.variables])
before = network.get_weights()
step = compiled_step(network, optimizer, collective, AsTheyAre(), 0.5)
mine = slice(collective.rank, None, collective.size)
for _ in range(3 if batch_normalization else 1):
    step(features[mine], labels[mine], shares[mine])
collective.average(network.non_trainable_weights)
total = collective.sum(np.array([collective.rank + 1.0]))
np.savez(
    folder / f"{collective.size}-{collective.rank}.npz",
    *before,
    *network.get_weights(),
    total=total,
    extremes=collective.extremes(np.array([collective.rank - 1.0, 0.5 * collective.rank])),
    root=collective.bcast(collective.rank),
)
