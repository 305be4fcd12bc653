#!/usr/bin/env python3
"""Seconds of one FEFF run by size of cluster and by cards, on one core.

    python benchmarks/feff_cost.py [--full]

The baseline is the 13-atom cluster without self-consistency, run first. The last column
compares with `xanesml.store.cost`, which `xanesml plan` estimates core-hours with. `--full`
adds the reference cards at 55 and 561 atoms (two minutes more).
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

from xanesml.campaign import Campaign
from xanesml.feff.engine import make_engine, run_feff
from xanesml.feff.outcomes import Outcome
from xanesml.store.cost import table_seconds
from xanesml.store.plan import expand

CHEAP: dict[str, Any] = {"scf": False, "corval": False}
DEMO: dict[str, Any] = {"scf": False, "exchange": [0, 0.2, 0.5], "xanes": [3.7, 0.07, 0.1], "fms_radius": 4.5}
CASES: dict[str, tuple[int, dict[str, Any]]] = {
    "13 atoms, no SCF, FMS 3.5 Å (baseline)": (13, CHEAP | {"fms_radius": 3.5}),
    "55 atoms, no SCF, FMS 4.5 Å, as the demo": (55, DEMO),
    "13 atoms, SCF, FMS 7 Å": (13, {}),
}
FULL: dict[str, tuple[int, dict[str, Any]]] = {
    "55 atoms, SCF, FMS 7 Å (reference cards)": (55, {}),
    "561 atoms, SCF, FMS 7 Å": (561, {}),
}


def main() -> None:
    cases = CASES | (FULL if "--full" in sys.argv[1:] else {})
    baseline = 0.0
    print(f"{'case':44s} {'structure':10s} {'seconds':>8s} {'ratio':>6s} {'measured/estimate':>18s}")
    for name, (atoms, feff) in cases.items():
        campaign = Campaign.model_validate(
            {
                "name": "cost",
                "structure": {"atoms": atoms},
                "distortion": {"minimum": 0.0, "maximum": 0.01},
                "disorder": {"structures": 1, "sigma_minimum": 0.08, "sigma_maximum": 0.08},
                "feff": feff,
            }
        )
        table = expand(campaign)
        estimates = table_seconds(table, campaign.engine)
        # The center of the undistorted structure, and of the disordered one.
        for kind, task in (("distorted", 0), ("disordered", 2)):
            with tempfile.TemporaryDirectory() as folder:
                engine = make_engine(campaign.engine)
                result = run_feff(engine, Path(folder), *table.inputs(task))
            if result.outcome is not Outcome.DONE:
                sys.exit(f"{name}: {result.outcome.label}: {result.message}")
            baseline = baseline or result.seconds
            print(
                f"{name:44s} {kind:10s} {result.seconds:8.1f} {result.seconds / baseline:6.2f} "
                f"{result.seconds / estimates[task]:18.2f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
