"""The content of a `report.json`, with numbers that all differ."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from xanesml.files.records import plain
from xanesml.learning.intervals import Interval


def write_report(folder: Path, content: Any) -> None:
    """Write `report.json` into a model's folder, and the mark of a complete model."""
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(content)
    (folder / "report.json").write_text(text)
    digest = hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
    (folder / "model.json").write_text(json.dumps({"files": {"report.json": digest}}))


KNOWN = {
    "mean": 0.003456,
    "moments": 0.000456,
    "network": 0.000123,
    "pca_ridge": 0.0004,
    "ridge": 0.000345,
    "gradient_boosting": 0.00051,
    "edge_slope": 0.0033,
}


def errors(mae: float) -> dict[str, float]:
    return {"mae": mae, "rmse": 2 * mae, "r2": 0.5, "bias": -mae / 2}


def scores(n: int, **maes: float) -> dict[str, Any]:
    """Return a comparison as it stands in a report, in an order that is not that of the errors."""
    if n == 0:
        return {"spectra": "some averages", "n": 0, "errors": {}, "verdict": None}
    found = {name: errors(mae) for name, mae in (KNOWN | maes).items()}
    return {"spectra": "some averages", "n": n, "errors": found, "verdict": "not read"}


def mode_report(particles: int = 0, **changes: Any) -> dict[str, Any]:
    """Return what a report holds of a mode of training, with so many particle averages."""
    interval = Interval(0.9, 0.0004, 1.5, 125, 3.0 if particles > 9 else None, particles)
    return {
        "test": scores(2048),
        "fitted": {
            "spectra": "some of these",
            "n": 200,
            "errors": {"network": errors(0.000131), "nearest": errors(0.000523)},
            "verdict": "not read",
        },
        "particle": scores(particles),
        "particle_before_fine_tuning": errors(0.0048) if particles else None,
        "interval": plain(interval),
        "coverage": 0.897,
        "scatter": {"mean": 0.903, "sd": 0.0123, "divisions": 200},
        "particle_coverage": 0.4 if particles else None,
        "measured_coverage": 0.85 if particles else None,
        "width": 0.00213,
        "flagged": 0.0144,
        "baseline_intervals": {},
        "best_epochs": [11, 12],
    } | changes


def report(**modes: dict[str, Any]) -> dict[str, Any]:
    """Return a whole report; by default of the mode `direct` without particle averages."""
    return {
        "units": "Å²",
        "campaign": "full",
        "campaign_digest": "0123456789abcdef",
        "modes": modes or {"direct": mode_report()},
        "training": 14336,
        "validation": 2056,
        "calibration": 1024,
        "families": 1250,
        "tuned": 20 if modes else 0,
        "epochs": 13,
        "parameters": 76543,
        "ranks": 2,
        "groups": 1,
        "seconds": 61.4,
        "samples_per_second": 3905.2,
    }
