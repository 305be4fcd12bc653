"""Output folders of a campaign at every stage, made without FEFF and without training."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from made_report import mode_report, report, write_report
from made_store import spectrum
from synthetic import campaign, write_tensors

from xanesml.campaign import Campaign
from xanesml.feff.outcomes import Outcome
from xanesml.files.table import write_csv
from xanesml.store.create import lay_out
from xanesml.store.plan import expand
from xanesml.store.rows import Row, RowWriter, open_store_file

#: What a name, a path or a log may say to a browser that takes it for more than a text.
HOSTILE = "<script>alert('x')</script>\"'&<img src=http://example.org/x onerror=alert(1)>"


def small(name: str = "small") -> Campaign:
    """Return a campaign of 5 distorted structures and 2 disordered ones."""
    return Campaign.model_validate(
        {
            "name": name,
            "structure": {"atoms": 13},
            "distortion": {"minimum": -0.02, "maximum": 0.02},
            "disorder": {"structures": 2},
            "feff": {"scf": False},
        }
    )


def half_simulated(folder: Path, chosen: Campaign, *, words: str = "no convergence") -> None:
    """Make a store in which some tasks are done, three have failed with these last words, and others are pending."""
    lay_out(folder / "store.h5", chosen, expand(chosen), "made up")
    with open_store_file(folder / "store.h5", mode="r+") as file:
        writer = RowWriter(file)
        for task in range(12):
            failed = task in (3, 7, 9)
            writer.write(
                Row(
                    task=task,
                    outcome=Outcome.CRASHED if failed else Outcome.DONE,
                    finished=1.7e9 + 40 * task,
                    host=f"node{task % 2}",
                    seconds=30.0 + task,
                    message=words if failed else "",
                    log=f"potential\n{words}" if failed else "",
                    spectrum=None if failed else spectrum(task, 0.01 * (task - 2)),
                )
            )


def averaged(folder: Path) -> None:
    """Make a tensor file."""
    folder.mkdir(parents=True, exist_ok=True)
    write_tensors(folder / "tensors.h5", campaign(), families=40, members=2)


def trained(folder: Path) -> None:
    """Make the report and the tables of a model."""
    random = np.random.default_rng(1)
    model = folder / "model"
    write_report(model, report(direct=mode_report(particles=12)))
    for member in range(2):
        rows = [[epoch, 1e-3, 0.5 / epoch, 0.003 / epoch, 1.0] for epoch in range(1, 14)]
        write_csv(
            model / f"history-direct-{member}.csv",
            ("epoch", "learning_rate", "train_loss", "validation_mae", "seconds"),
            rows,
        )
    label = random.uniform(0.002, 0.02, 300)
    error = random.normal(0, 4e-4, 300)
    write_csv(
        model / "parity-direct.csv",
        ("label", "prediction", "spread", "half_width"),
        np.stack([label, label + error, 0 * label, 7e-4 + 0 * label], axis=1).tolist(),
    )
    write_csv(model / "particles-direct.csv", ("label", "prediction"), [[0.01, 0.012]] * 12)
    write_csv(
        model / "sensitivity-direct.csv",
        ("error", "factor", "size", "trained", "predictor", "mae"),
        [
            [error, factor, factor * 0.003, 0.003, predictor, 0.001 * (1 + factor)]
            for error in ("noise", "energy_shift")
            for factor in (0.0, 1.0, 2.0)
            for predictor in ("network", "ridge")
        ],
    )


def predicted(folder: Path, *predictions: Mapping[str, Any], refused: Any = ()) -> None:
    """Make a file of predictions."""
    content: dict[str, Any] = {"source": "foil.xdi", "name": "foil", "element": "Au", "edge": "L3", "mode": "direct"}
    content |= {"predictor": "network", "msd": 0.0095, "interval": [0.0078, 0.0112], "confidence": 0.9}
    content |= {"spread": 0.0004, "mean_shift": -0.01, "skewness": 0.3, "reference": None}
    content |= {"nearest": {"msd": 0.0091, "rms": 0.03}, "shift": 4.1, "rms": 0.04, "warnings": []}
    rows = [content | dict(one) for one in predictions] or [content]
    (folder / "predictions.json").write_text(json.dumps({"predictions": rows, "refused": list(refused)}))
