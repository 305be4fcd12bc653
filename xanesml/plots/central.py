"""Figures of the central comparison: particle averages against statistical averages of the same bonds."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from xanesml.averages.comparison import ParticleComparison
from xanesml.plots.style import (
    ABSORPTION,
    BLACK,
    BLUE,
    COLUMN_WIDTH,
    ENERGY,
    GRAY,
    GREEN,
    MSD,
    ORANGE,
    TWO_COLUMNS,
    VERMILION,
    new_figure,
)


def comparison(compared: ParticleComparison, out: Path) -> None:
    """Draw both averages, and their difference below, for the structures of lowest and highest MSD.

    Parameters
    ----------
    compared : ParticleComparison
        With at least one usable structure; the others are not drawn.
    out : Path
        The PNG file; the PDF gets the same name.
    """
    counted = np.flatnonzero(compared.usable)
    rising = counted[np.argsort(compared.msd[counted], kind="stable")]
    rows = rising[[0, -1]] if len(rising) > 1 else rising
    relative = compared.energy - compared.edge
    with new_figure(out, height=3.6, width=TWO_COLUMNS if len(rows) > 1 else COLUMN_WIDTH) as figure:
        grid = figure.subplots(2, len(rows), sharex=True, sharey="row", squeeze=False, height_ratios=(2.2, 1.3))
        for (upper, lower), row in zip(grid.T, rows, strict=True):
            upper.plot(relative, compared.undistorted, color=GRAY, linewidth=0.7, linestyle=":", label="undistorted")
            upper.plot(relative, compared.particle[row], color=BLACK, label="particle average")
            upper.plot(
                relative, compared.statistical[row], color=VERMILION, linestyle="--", label="statistical average"
            )
            upper.set_title(f"structure {compared.structure[row]}, MSD {1e3 * compared.msd[row]:.2f} × 10⁻³ Å²")
            lower.axhline(0, color=BLACK, linewidth=0.5)
            for other, color, name in (
                (compared.undistorted, GREEN, "particle − undistorted"),
                (compared.statistical[row], BLUE, "particle − statistical"),
            ):
                lower.plot(relative, compared.particle[row] - other, color=color, label=name)
            lower.set(xlabel=ENERGY, xlim=(relative[0], relative[-1]))
        grid[0, 0].set_ylabel(ABSORPTION)
        grid[1, 0].set_ylabel("Difference\n(edge steps)")
        named = [axes.get_legend_handles_labels() for axes in grid[:, 0]]
        handles, names = ([one for group in groups for one in group] for groups in zip(*named, strict=True))
        figure.legend(handles, names, loc="outside lower center", ncols=len(names) if len(rows) > 1 else 2)
        figure.align_ylabels(grid[:, 0])


def comparison_rms(compared: ParticleComparison, out: Path) -> None:
    """Draw the RMS difference against MSD, with that from the undistorted spectrum.

    Parameters
    ----------
    compared : ParticleComparison
        At least one structure. Structures that are not usable are drawn hollow, or left out where
        they have no statistical average.
    out : Path
        The PNG file; the PDF gets the same name.
    """
    msd, usable = 1e3 * compared.msd, compared.usable
    with new_figure(out, height=2.9) as figure:
        axes = figure.subplots()
        for rms, color, marker, name in (
            (compared.rms_undistorted, ORANGE, "^", "particle − undistorted"),
            (compared.rms, BLUE, "o", "particle − statistical, same bonds"),
        ):
            axes.scatter(msd[usable], rms[usable], s=11, color=color, marker=marker, linewidths=0, label=name)
        if not usable.all():
            axes.scatter(
                msd[~usable],
                compared.rms[~usable],
                s=11,
                facecolors="none",
                edgecolors=BLUE,
                linewidths=0.6,
                label=f"the same, over {100 * compared.limit:g} % of bonds outside the series",
            )
        axes.set(xlabel=MSD, ylabel="RMS difference (edge steps)")
        axes.set_ylim(0, 1.08 * max(np.nanmax(compared.rms, initial=0.0), compared.rms_undistorted.max()))
        figure.legend(loc="outside upper left", handletextpad=0.2)
