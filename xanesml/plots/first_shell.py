"""Figure of the distances around the absorbers, with the cutoff of the first shell."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from xanesml.files.arrays import Floats
from xanesml.plots.style import BLUE, GRAY, VERMILION, new_figure

if TYPE_CHECKING:
    from xanesml.store.tasks import TaskTable

#: Distances are drawn up to this multiple of the cutoff.
_REACH = 1.8


def first_shell_figure(table: TaskTable, out: Path) -> None:
    """Draw the distances around the absorbers of a campaign's undistorted cluster; see `first_shell`."""
    from xanesml.store.geometry import neighbor_lengths  # noqa: PLC0415 (other figures need no task table)

    cluster = table.cluster
    others = np.setdiff1d(table.absorber, cluster.absorber).tolist()
    first_shell(
        neighbor_lengths(cluster, cluster.absorber),
        [neighbor_lengths(cluster, atom) for atom in others],
        cluster.first_shell_cutoff,
        out,
    )


def first_shell(lengths: Floats, others: list[Floats], cutoff: float, out: Path) -> None:
    """Draw how many neighbors an absorber has up to each distance, with the cutoff of the first shell.

    Parameters
    ----------
    lengths : ndarray, shape (n,), float, Å
        Distances of the central absorber from its neighbors, ascending, at least one up to the cutoff.
    others : list of ndarray, shape (m,) each, float, Å
        Those of the other absorbers, ascending.
    cutoff : float
        Largest bond length of the first shell, Å.
    out : Path
        The PNG file; the PDF gets the same name.
    """
    end = _REACH * cutoff
    inside = lengths[lengths <= cutoff]
    with new_figure(out, height=2.6) as figure:
        axes = figure.subplots()
        for place, one in enumerate(others):
            label = "the other absorbers" if place == 0 else None
            axes.plot(*_steps(one, end), color=GRAY, linewidth=0.6, label=label)
        axes.plot(*_steps(lengths, end), color=BLUE, label="the central absorber", zorder=3)
        axes.axvline(cutoff, color=VERMILION, linestyle="--", linewidth=0.9, label=f"cutoff, {cutoff:.3f} Å")
        axes.annotate(
            f"{len(inside)}", (cutoff, len(inside)), xytext=(3, 3), textcoords="offset points", color=BLUE, fontsize=7
        )
        axes.set(xlabel="Distance (Å)", ylabel="Neighbors up to this distance", xlim=(0.85 * lengths[0], end))
        axes.set_ylim(bottom=0)
        figure.legend(loc="outside upper left", ncols=2)


def _steps(lengths: Floats, end: float) -> tuple[Floats, Floats]:
    """Return the corners of the number of neighbors as a function of the distance."""
    shown = lengths[lengths <= end]
    ends = np.concatenate(([0.0], np.repeat(shown, 2), [end]))
    counts = np.repeat(np.arange(len(shown) + 1), 2).astype(np.float64)
    return ends, counts
