"""One step of SGD on given weights and spectra, on the backend of KERAS_BACKEND; writes the loss and the weights."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from hpc.training.collective import Collective
from hpc.training.step import compiled_step
from xanesml.campaign import TrainingSection
from xanesml.learning.augmentation import Augmentation, Augmenter
from xanesml.learning.batches import StoredBatches
from xanesml.learning.network import answers_of, build_network, import_keras
from xanesml.learning.scaling import Scaling

POINTS, BINS, COUNT = 24, 5, 32

keras = import_keras()
rng = np.random.default_rng(5)
section = TrainingSection(filters=[4, 6], kernel=3, dense=[8], dropout=0.0)
network = build_network(POINTS, section, bins=BINS, seed=1)
# The backends draw other numbers from the same seed. Vectors are positive, as a variance has to be.
network.set_weights(
    [
        (rng.uniform(0.5, 1.5, shape) if len(shape) == 1 else 0.3 * rng.standard_normal(shape)).astype(np.float32)
        for shape in (weight.shape for weight in network.weights)
    ]
)
shares = rng.random((COUNT, BINS))
labels = [rng.random((COUNT, 1)), rng.random((COUNT, 1)), rng.random((COUNT, 1)), shares / shares.sum(1, keepdims=True)]
source = StoredBatches(
    (1 + 0.1 * rng.standard_normal((COUNT, POINTS))).astype(np.float32),
    [label.astype(np.float32) for label in labels],
    answers_of(section),
    np.arange(COUNT),
    Scaling(np.ones(POINTS), np.full(POINTS, 0.1), {}),
    Augmenter(Augmentation(), 11900.0 + np.arange(POINTS), 11910.0),
    seed=1,
    key=(0,),
    batch_size=COUNT,
    steps=1,
)
optimizer = keras.optimizers.SGD(0.05)
optimizer.build(network.trainable_variables)
step = compiled_step(network, optimizer, Collective(), source, section.head_weight)
before = network.get_weights()
(arrays,) = source.epoch(1)
losses = [float(step(*arrays))]
after = network.get_weights()
losses.append(float(step(*arrays)))
np.savez(Path(sys.argv[1]), *before, *after, losses=losses, backend=keras.backend.backend())
