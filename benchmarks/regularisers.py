#!/usr/bin/env python3
"""What each regulariser, optimizer and layer does to a network: its losses on seen and unseen spectra, and its error.

    python benchmarks/regularisers.py FOLDER [--campaign FILE] [--epochs N] [--members N] [--whole] [--spectra N]

FOLDER holds tensors.h5 of the campaign (reference/au55.toml by default; `xanesml average`), and gets the results: a
call that is stopped goes on where it was. The baseline is the campaign's own network, by default a small one, without
dropout; each row changes one thing. Loss is the same quantity on training and on validation spectra, without dropout
and penalties, at the epoch with the smallest validation error, whose weights count. The gap is the second over the
first: 1 is no overfitting. The error is that on the test split, which chose nothing, with the campaign's errors of
measurement in all rows, and its ratio to the baseline's; the scatter over the networks of a setting says what a
difference is worth. `--spectra` keeps fewer training spectra, where restraint matters more.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from hpc.comm import Alone
from hpc.training.collective import Collective, check_backend
from hpc.training.share import load_share, read_split
from hpc.training.trainer import Trainer
from xanesml.campaign import Campaign, TrainingSection
from xanesml.files.whole import write_text
from xanesml.learning.augmentation import augmenter
from xanesml.learning.model import evaluate
from xanesml.learning.splits import steps_per_epoch
from xanesml.seeds import Stream, seed_of

ROOT = Path(__file__).resolve().parent.parent

SMALL: dict[str, Any] = {"filters": [8, 16, 32], "dense": [32]}
BASELINE = "none (baseline)"
#: Every setting by what it changes of a network without dropout.
SETTINGS: dict[str, dict[str, Any]] = {
    BASELINE: {},
    "dropout 0.1 before dense": {"dropout": 0.1},
    "dropout 0.3 before dense": {"dropout": 0.3},
    "dropout 0.1 after each block": {"block_dropout": 0.1},
    "L1 1e-5": {"l1": 1e-5},
    "L2 1e-4": {"l2": 1e-4},
    "AdamW, decay 0.01": {"optimizer": "adamw", "weight_decay": 0.01},
    "no batch normalization": {"batch_normalization": False},
    "no errors of measurement": {
        **dict.fromkeys(("noise", "energy_shift", "broadening", "step_error", "slope"), 0.0),
    },
    "SGD, momentum 0.9, rate 0.01": {"optimizer": "sgd", "momentum": 0.9, "learning_rate": 0.01},
    "RMSprop": {"optimizer": "rmsprop"},
    "average pooling": {"pooling": "average"},
    "stride 2 in place of pooling": {"pooling": "none", "stride": 2},
    "SiLU": {"activation": "silu"},
    "Glorot's initial weights": {"initial_weights": "glorot_uniform"},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder of tensors.h5, and of the results")
    parser.add_argument("--campaign", type=Path, default=ROOT / "reference" / "au55.toml", help="the campaign")
    parser.add_argument("--epochs", type=int, default=15, help="epochs of each network (15)")
    parser.add_argument("--members", type=int, default=2, help="networks of each setting (2)")
    parser.add_argument("--whole", action="store_true", help="the campaign's network, not a small one")
    parser.add_argument("--spectra", type=int, help="training spectra that are kept")
    options = parser.parse_args()
    campaign = Campaign.load(options.campaign)
    fixed = {"modes": ["direct"], "epochs": options.epochs, "dropout": 0.0} | ({} if options.whole else SMALL)
    base = campaign.training.model_dump() | fixed
    measure = measurer(campaign, options.folder, options.spectra)
    path = options.folder / f"regularisers-{campaign.digest('training')}-{options.spectra or 'all'}.json"
    known: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    for changes in SETTINGS.values():
        section = TrainingSection.model_validate(base | changes)
        for member in range(options.members):
            key = json.dumps([section.model_dump(mode="json"), member], sort_keys=True)
            if key not in known:
                known[key] = measure(section, member)
                write_text(path, json.dumps(known, indent=1) + "\n")
    print(f"{campaign.name}, direct, {options.epochs} epochs, {options.members} networks each\n")
    print("| what is changed | training loss | validation loss | gap | test MAE, 10⁻³ Å² | ratio | s an epoch |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    baseline = 0.0
    for name, changes in SETTINGS.items():
        section = TrainingSection.model_validate(base | changes)
        keys = [json.dumps([section.model_dump(mode="json"), m], sort_keys=True) for m in range(options.members)]
        columns = np.array([known[key] for key in keys])
        training, validation, error, seconds = columns.mean(axis=0)
        baseline = baseline or error
        scatter = f" ± {1e3 * columns[:, 2].std(ddof=1):.2f}" if len(columns) > 1 else ""
        print(
            f"| {name} | {training:.3f} | {validation:.3f} | {validation / training:.2f} | {1e3 * error:.2f}{scatter} "
            f"| {error / baseline:.2f} | {seconds:.1f} |"
        )


def measurer(campaign: Campaign, folder: Path, spectra: int | None) -> Callable[[TrainingSection, int], list[float]]:
    """Return a function that trains a network and returns losses, test error, Å², and seconds an epoch."""
    count, split = read_split(campaign, folder / "tensors.h5")
    if spectra is not None:
        rows = split.training
        split = replace(split, training=rows[np.linspace(0, rows.size - 1, spectra).astype(np.int64)])
    check_backend(Alone())
    data, local, scaling = load_share(campaign, folder / "tensors.h5", count, split, Alone(), Collective())

    def measure(section: TrainingSection, member: int) -> list[float]:
        tried = campaign.model_copy(update={"training": section})
        steps = steps_per_epoch(split, count, batch_size=section.batch_size, size=1)
        trainer = Trainer(tried, Collective(), data, local, scaling, steps, folder, lambda: False)
        started = time.perf_counter()
        network, fitted = trainer.fit("direct", member, echo=lambda _line: None, after_epoch=lambda _history: None)
        seconds = (time.perf_counter() - started) / section.epochs
        best = min(fitted.history, key=lambda epoch: epoch.validation_mae)
        # All are tested on what the campaign's own errors of measurement make of the test split.
        errors = augmenter(campaign.training, "direct", data, scaling.ranges["msd"])
        measured = errors.on_arrays(data.spectra[local.test], seed_of(campaign.seed, Stream.TEST_ERRORS))
        answers = evaluate(network, scaling.scale_features(measured))["msd"][:, 0]
        error = np.abs(scaling.unscale_labels(answers) - data.msd[local.test]).mean()
        return [best.loss_training, best.loss_validation, float(error), seconds]

    return measure


if __name__ == "__main__":
    main()
