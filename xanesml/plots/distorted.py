"""Figures of the distorted series: its spectra, its roughness, and the weights that average it."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Literal

import numpy as np

from xanesml.averages.series import OUTLIER, outliers
from xanesml.files.arrays import Floats, Indices
from xanesml.plots.style import (
    ABSORPTION,
    BLACK,
    BLUE,
    DELTA,
    ENERGY,
    GRAY,
    MSD,
    VERMILION,
    colored_curves,
    new_figure,
)

#: Line styles for skewness to the left, none, and to the right.
_LINESTYLES: tuple[Literal["dashed", "solid", "dashdot"], ...] = ("dashed", "solid", "dashdot")

#: More outliers than this are counted, not named.
_MOST_NAMED = 12


def series(energy: Floats, spectra: Floats, delta: Floats, out: Path) -> None:
    """Draw the distorted spectra, colored by the shift δ of the first shell.

    Parameters
    ----------
    energy : ndarray, shape (M,), float, eV
        The common mesh, relative to the edge.
    spectra : ndarray, shape (D, M), float, edge steps
        One spectrum per distortion, no NaN.
    delta : ndarray, shape (D,), float, Å
        The distortions.
    out : Path
        The PNG file; the PDF gets the same name.
    """
    with new_figure(out, height=2.6) as figure:
        axes = figure.subplots()
        lines = colored_curves(axes, energy, spectra, delta)
        axes.set(xlabel=ENERGY, ylabel=ABSORPTION)
        figure.colorbar(lines, ax=axes, label=DELTA)


def roughness(rough: Floats, delta: Floats, out: Path) -> None:
    """Draw the roughness of the series in δ, with its median and the outliers named.

    Parameters
    ----------
    rough : ndarray, shape (D,), float, edge steps
        Largest second difference over energy; NaN at both ends only, D at least 3.
    delta : ndarray, shape (D,), float, Å
        The distortions.
    out : Path
        The PNG file; the PDF gets the same name.
    """
    values, median, rows = 1e3 * rough, 1e3 * float(np.median(rough[1:-1])), outliers(rough)
    with new_figure(out, height=2.9) as figure:
        axes = figure.subplots()
        axes.plot(delta, values, color=BLUE, marker="o", markersize=2, linewidth=0.7)
        axes.axhline(median, color=BLACK, linestyle="--", linewidth=0.8, label=f"median, {median:.2f} × 10⁻³")
        axes.axhline(OUTLIER * median, color=GRAY, linestyle=":", linewidth=0.8, label=f"{OUTLIER:g} × median")
        if len(rows):
            axes.plot(
                delta[rows],
                values[rows],
                color=VERMILION,
                marker="s",
                markersize=3.2,
                linestyle="",
                zorder=3,
                label=_named(delta[rows]),
            )
        axes.set(xlabel=DELTA, ylabel="Roughness (10⁻³ edge steps)")
        axes.set_ylim(0, 1.1 * max(np.nanmax(values), OUTLIER * median) or 1.0)
        axes.margins(x=0.02)
        figure.legend(loc="outside upper left")


def weightings(delta: Floats, weights: Floats, msd: Floats, alpha: Floats, out: Path) -> None:
    """Draw weights over the series, colored by their MSD, dashed where they are skewed.

    Parameters
    ----------
    delta : ndarray, shape (D,), float, Å
        The distortions.
    weights : ndarray, shape (n, D), float
        Weights; rows sum to 1.
    msd : ndarray, shape (n,), float, Å²
        Their mean squared displacements.
    alpha : ndarray, shape (n,), float
        Their shapes α.
    out : Path
        The PNG file; the PDF gets the same name.
    """
    # Skewness below a quarter of the strongest is hardly visible.
    side = (1 + np.sign(alpha) * (np.abs(alpha) > 0.25 * np.abs(alpha).max(initial=0.0))).astype(int)
    with new_figure(out, height=2.6) as figure:
        from matplotlib.lines import Line2D  # noqa: PLC0415 (optional and slow)

        axes = figure.subplots()
        lines = colored_curves(
            axes, delta, weights, 1e3 * msd, linestyles=[_LINESTYLES[one] for one in side], linewidth=1.0
        )
        axes.set(xlabel=DELTA, ylabel="Weight of the distortion")
        axes.set_ylim(bottom=0)
        names = []
        for place, style in enumerate(_LINESTYLES):
            if (side == place).any():
                # Adding 0 turns −0 into 0.
                ends = np.unique(alpha[side == place].round(1) + 0.0)[[0, -1]]
                text = "α = " + " … ".join(f"{one:.1f}" for one in np.unique(ends))
                names.append(Line2D([], [], color=BLACK, linestyle=style, linewidth=1.0, label=text.replace("-", "−")))
        figure.legend(
            handles=names,
            handlelength=2.2,
            handletextpad=0.4,
            columnspacing=0.8,
            loc="outside upper center",
            ncols=len(names),
        )
        figure.colorbar(lines, ax=axes, label=MSD)


def choose_weightings(msd: Floats, alpha: Floats, mean_shift: Floats) -> Indices:
    """Choose a handful of distributions across MSD and α, all with a mean shift near 0.

    Parameters
    ----------
    msd : ndarray, shape (N,), float, Å²
        Mean squared displacements.
    alpha : ndarray, shape (N,), float
        Shapes α.
    mean_shift : ndarray, shape (N,), float, Å
        Mean shifts.

    Returns
    -------
    ndarray of int, shape (n,)
        Their indices, ascending: those nearest to three MSD (at 5, 50 and 95 % of all) times three α
        (the smallest, the middle and the largest), each once, so that n is at most 9.
    """
    spans = [float(np.ptp(values)) or 1.0 for values in (msd, alpha, mean_shift)]
    middle = (alpha.min() + alpha.max()) / 2
    chosen = [
        np.argmin(((msd - target) / spans[0]) ** 2 + ((alpha - shape) / spans[1]) ** 2 + (mean_shift / spans[2]) ** 2)
        for target in np.quantile(msd, (0.05, 0.5, 0.95))
        for shape in (alpha.min(), middle, alpha.max())
    ]
    return np.unique(np.array(chosen, dtype=np.intp))


def _named(outlying: Floats) -> str:
    if len(outlying) > _MOST_NAMED:
        return f"{len(outlying)} outliers"
    names = ", ".join(f"{one:+.2f}".replace("-", "−") for one in outlying)
    return textwrap.fill(f"outliers at δ = {names} Å", width=52)
