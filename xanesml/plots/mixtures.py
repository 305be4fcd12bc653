"""Figure of averages of one's own choice: spectra, differences from the undistorted one, and weights as bars."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from xanesml.averages.mixing import Mixture, Mixtures
from xanesml.averages.mixture_files import Beside
from xanesml.plots.style import ABSORPTION, BLACK, ENERGY, GRAY, TWO_COLUMNS, new_figure
from xanesml.plots.teaching import draw_bars

#: Averages named in the legend at most; more have their labels in the table.
_MOST_NAMED = 18


def mixtures_figure(mixtures: Mixtures, edge: float, out: Path, beside: Beside | None = None) -> None:
    """Draw averages, their differences from the undistorted spectrum, and their weights over the series.

    Parameters
    ----------
    mixtures : Mixtures
        The averages. Without δ = 0 in the series, differences are from the first of them.
    edge : float
        Photon energy of the edge, eV.
    out : Path
        The PNG file; the PDF gets the same name.
    beside : Beside, optional
        A measured spectrum.

    Raises
    ------
    EnvironmentProblem
        If matplotlib is not installed, or the folder cannot be written to.
    """
    series = mixtures.series
    relative = series.energy - edge
    base = series.undistorted() if series.has_undistorted else mixtures.spectra[0]
    against = "δ = 0" if series.has_undistorted else mixtures.made[0].name
    named = mixtures.made[:_MOST_NAMED]
    with new_figure(out, height=4.4 + 0.13 * ((len(named) + 3) // 2), width=TWO_COLUMNS) as figure:
        from matplotlib import colormaps  # noqa: PLC0415 (optional and slow)

        colors = colormaps["viridis"](np.linspace(0.0, 0.9, len(mixtures.made)))
        grid = figure.add_gridspec(2, 2, width_ratios=(1.6, 1), height_ratios=(1.7, 1.3))
        upper = figure.add_subplot(grid[0, 0])
        lower = figure.add_subplot(grid[1, 0], sharex=upper)
        side = figure.add_subplot(grid[:, 1])
        upper.plot(relative, base, color=GRAY, linewidth=0.9, linestyle=":", label="undistorted")
        for one, spectrum, color in zip(mixtures.made, mixtures.spectra, colors, strict=True):
            label = described(one) if one in named else None
            upper.plot(relative, spectrum, color=color, linewidth=0.9, label=label)
            lower.plot(relative, spectrum - base, color=color, linewidth=0.9)
        if beside is not None:
            upper.plot(relative, beside.spectrum, color=BLACK, label=beside.label)
            lower.plot(relative, beside.spectrum - base, color=BLACK)
        lower.axhline(0, color=GRAY, linewidth=0.7, linestyle=":")
        upper.tick_params(labelbottom=False)
        upper.set_ylabel(ABSORPTION)
        lower.set(xlabel=ENERGY, ylabel=f"Difference from {against}\n(edge steps)", xlim=(relative[0], relative[-1]))
        draw_bars(side, series.delta, mixtures.weights, colors)
        handles, names = upper.get_legend_handles_labels()
        figure.legend(handles, names, loc="outside lower center", ncols=2)
        figure.align_ylabels([upper, lower])


def described(one: Mixture) -> str:
    """Return the distribution of an average as a legend has it."""
    if one.source:
        text = one.name.replace("_", " ")
    else:
        text = f"σ = {one.scale:.4g} Å, μ = {one.location:g} Å, α = {one.alpha:g}".replace("-", "−")
    return text + (f", {one.truncated:.1%} outside" if one.truncated >= 5e-4 else "")
