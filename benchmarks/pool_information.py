"""The figure of `pools.py` on windows: what each energy tells of disorder, bonds and size."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from xanesml.plots.style import BLACK, BLUE, GRAY, ORANGE, TWO_COLUMNS, VERMILION, new_figure
from xanesml.pools.information import information
from xanesml.pools.model import Pool
from xanesml.pools.pool_file import Window

#: Changes of the labels whose signals are drawn, and their names.
STEPS = ((2e-3, "MSD + 0.002 Å²"), (0.02, "bonds + 0.02 Å"), (1.0, "one neighbor more"))
#: What is known when the error of the MSD is drawn: whether the other labels are, and whether theory errs.
CASES = (
    ("bonds and neighbors unknown", False, True, BLUE),
    ("the same, theory exact", False, False, BLACK),
    ("bonds and neighbors known", True, True, GRAY),
)
#: Narrowest window, the step of its ends, and its earliest beginning, eV.
NARROWEST, APART, FIRST = 20.0, 2.5, -5.0


def draw_information(path: Path, pool: Pool) -> None:
    """Draw the signals of the labels over the energy, and the error of the MSD over the ends of the window."""
    last = pool.window.last
    with new_figure(path, height=2.5, width=TWO_COLUMNS) as figure:
        signals, *ends = figure.subplots(1, 3)
        whole = information(pool, Window(first=FIRST, last=last, step=pool.window.step))
        other = np.sqrt(np.diag(whole.other))
        signals.fill_between(whole.energy, -1e3 * other, 1e3 * other, color="0.9", linewidth=0, label="all else (SD)")
        for column, ((step, name), color) in enumerate(zip(STEPS, (BLUE, ORANGE, VERMILION), strict=True)):
            signals.plot(whole.energy, 1e3 * step * whole.signals[:, column], color=color, label=name)
        signals.set_ylim(-1.9e3 * other.max(), None)
        signals.set_xlabel("Energy relative to the edge (eV)")
        signals.set_ylabel("Change (10⁻³ edge steps)")
        signals.legend(loc="lower right")
        for axes, moved in zip(ends, ("first", "last"), strict=True):
            windows = list(_windows(pool, moved))
            for name, known, theory, color in CASES:
                found = [information(pool, window, theory=theory).errors(others_known=known) for window in windows]
                axes.plot(
                    [getattr(one, moved) for one in windows], 1e3 * np.array(found)[:, 0], color=color, label=name
                )
            axes.set_ylim(0, 14)
            axes.set_ylabel("Error of the MSD (10⁻³ Å²)")
        ends[0].set_xlabel(f"First energy, the last is {last:g} eV")
        ends[1].set_xlabel(f"Last energy, the first is {pool.window.first:g} eV")
        ends[0].legend(loc="upper left")


def _windows(pool: Pool, moved: str) -> Iterator[Window]:
    """Yield the pool's window with one end moved, none of them too narrow."""
    for place in np.arange(FIRST, pool.window.last + APART / 2, APART).tolist():
        window = pool.window.model_copy(update={moved: place})
        if window.last - window.first >= NARROWEST:
            yield window
