"""The radial grid of FEFF's phase shifts, placed so that it moves with the absorber's muffin-tin sphere.

FEFF's `xsph` solves the Dirac equation on a grid of ln r with a fixed step and origin, and ends the potential at one
of its points: phase shifts do not know where between two points the muffin-tin radius lies. In a series of distorted
structures, or among disordered ones, spectra jump by 0.02 edge steps where the radius passes a point: twenty times
what 0.002 Å² of disorder does. With a step of its own for each run, another by one or two per cent, the radius has
the same place between the same two points in all of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from xanesml.errors import NotApplicable
from xanesml.pot.files import read_potentials
from xanesml.pot.radial import ORIGIN

#: Where the radius lies between two points, as a share of the step: spectra are nearest to those of finer grids there.
PLACE = 0.95
#: ln r of a muffin-tin radius that keeps the step that was asked for, 2.9 bohr: about a gold atom's in the metal.
_USUAL = 1.065

_INPUT, _NAME = "xsph.inp", "rgrd"


@dataclass(frozen=True)
class StageReport:
    """The grid that was chosen: its step, of ln r."""

    step: float

    @property
    def solver(self) -> str:
        """Nothing: what a run is made by says that its grid is placed. `runs/solver` of a store names exceptions."""
        return ""


def solve_stage(folder: Path) -> StageReport:
    """Place the grid of `xsph` in a run's folder, in which `pot` has run.

    Raises
    ------
    NotApplicable
        If a file is missing or is not as FEFF10 writes it. Nothing is changed then.
    """
    radius = float(read_potentials(folder / "pot.bin").muffin_tin_radii[0])
    path = folder / _INPUT
    try:
        lines = path.read_text(encoding="latin-1").splitlines(keepends=True)
        row = next(number for number, line in enumerate(lines) if _NAME in line)
        words = lines[row + 1].split()
        column = [name.strip() for name in lines[row].split(",")].index(_NAME)
        step = placed_step(radius, float(words[column]))
    except (OSError, StopIteration, IndexError, ValueError) as error:
        raise NotApplicable(f"{_INPUT} does not tell the step of the grid") from error
    words[column] = f"{step:.9f}"
    lines[row + 1] = f"  {'  '.join(words)}\n"
    partial = path.with_suffix(".partial")
    partial.write_text("".join(lines), encoding="latin-1")
    partial.replace(path)
    return StageReport(step)


def placed_step(radius: float, step: float) -> float:
    """Return the step near to the one that was asked for that puts a muffin-tin radius, bohr, at its place.

    The number of points below the radius follows from the step alone, so that no two runs differ by a point.

    Raises
    ------
    ValueError
        If radius or step make no sense.
    """
    if not (np.isfinite(radius) and radius > 0 and step > 0):
        raise ValueError(f"no grid for a radius of {radius} bohr and a step of {step}")
    points = round((_USUAL + ORIGIN) / step)
    return float((np.log(radius) + ORIGIN) / (points + PLACE))
