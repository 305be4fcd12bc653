"""Fit a network of the campaign's tensors whole, and once more with a stop in between; writes whether both agree."""

from __future__ import annotations

import itertools
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from hpc.training.collective import Collective
from hpc.training.jax_step import share_devices
from hpc.training.loop import Fitted, HeldOut, Schedule, fit
from xanesml.campaign import TrainingSection
from xanesml.learning.augmentation import augmenter
from xanesml.learning.batches import StoredBatches, label_columns
from xanesml.learning.dataset import load_tensors
from xanesml.learning.network import answers_of, build_network
from xanesml.learning.scaling import FeatureSums, Scaling

share_devices()
folder = Path(sys.argv[1])
data = load_tensors(folder / "tensors.h5")
section = TrainingSection(
    filters=[4], kernel=3, dense=[8], dropout=0.2, heads=["distribution"], epochs=4, warmup_epochs=1
)
names = answers_of(section)
scaling = Scaling.fit(FeatureSums.of(data.spectra, data.spectra[0].astype(float)), {"msd": data.msd}, noise=0.003)
source = StoredBatches(
    data.spectra,
    label_columns(data, scaling, names),
    names,
    np.arange(96),
    scaling,
    augmenter(section, "direct", data, scaling.ranges["msd"]),
    seed=1,
    key=(0,),
    batch_size=24,
    steps=12,
)


def fitted(checkpoint: Path, *, stop_at: int = 10**6) -> tuple[Fitted, Any]:
    """Fit from the same start, stopped at the look of that number; return also the network."""
    network = build_network(data.mesh.size, section, bins=data.series.r.size, seed=1)
    looks = itertools.count(1)
    result = fit(
        network,
        Collective(),
        source=source,
        held_out=HeldOut(scaling.scale_features(data.spectra[:20]), data.msd[:20]),
        scaling=scaling,
        schedule=Schedule(section, 1, (0,), "test"),
        echo=lambda _line: None,
        checkpoint=checkpoint,
        stop=lambda: next(looks) >= stop_at,
    )
    return result, network


whole, expected = fitted(folder / "whole.npz")
# Counted from the start of the last epoch.
draws = int(source.variables[0].numpy()[1])
masks = sum(int(layer.seed_generator.state.numpy()[1]) for layer in expected.layers if hasattr(layer, "seed_generator"))
# Twelve steps an epoch and a look every twenty: the second is in the fourth epoch.
stopped, _ = fitted(folder / "stopped.npz", stop_at=2)
resumed, again = fitted(folder / "stopped.npz")
losses = [[epoch.train_loss for epoch in part.history] for part in (whole, resumed)]
found = {
    "devices": len(expected.trainable_variables[0].value.devices()),
    "draws": draws,
    "masks": masks,
    "finished": [whole.finished, stopped.finished, resumed.finished],
    "epochs": [len(part.history) for part in (whole, stopped, resumed)],
    "same_losses": losses[0] == losses[1],
    "losses": losses[0],
    "same_weights": all(np.array_equal(a, b) for a, b in zip(expected.get_weights(), again.get_weights(), strict=True)),
}
(folder / "found.json").write_text(json.dumps(found))
