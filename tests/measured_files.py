"""A measured foil, and files in the formats of beamlines made of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from conftest import ROOT

from xanesml.measured import MeasuredSpectrum

#: A gold foil, L3: `tests/data/README.md`.
FOIL_FILE = ROOT / "tests" / "data" / "gold-foil.dat"
ENERGY, _MU = np.loadtxt(FOIL_FILE).T
#: What 0.002 Å² of disorder changes a spectrum of gold by, root mean square, edge steps.
DISORDER = 1.1e-3


def foil_mu() -> np.ndarray:
    return _MU.copy()


def measured(energy: np.ndarray, mu: np.ndarray, source: str = "sample", **more) -> MeasuredSpectrum:
    return MeasuredSpectrum(energy=energy, mu=mu, element="Au", edge="L3", source=source, **more)


def write_table(path: Path, columns: Mapping[str, np.ndarray], energy: np.ndarray = ENERGY) -> Path:
    """Write columns beside energies as text with a line of names."""
    rows = np.column_stack([energy, *columns.values()])
    lines = ["# energy  " + "  ".join(columns), *("  ".join(f"{value:.10g}" for value in row) for row in rows)]
    path.write_text("\n".join(lines) + "\n")
    return path
