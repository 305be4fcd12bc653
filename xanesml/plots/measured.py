"""A measured spectrum over a simulated one with the predicted MSD, and the MSDs of several spectra."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from xanesml.files.arrays import Reals
from xanesml.plots.style import (
    ABSORPTION,
    BLACK,
    BLUE,
    ENERGY,
    MSD,
    ORANGE,
    TWO_COLUMNS,
    VERMILION,
    new_figure,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Share of the bonds that may lie outside the range of r that is drawn.
_TAIL = 1e-3


def measured_against_simulated(
    energy: Reals,
    measured: Reals,
    simulated: Reals,
    band: Reals,
    out: Path | None = None,
    *,
    edge: float,
    label: str,
    simulated_label: str,
    msd: float,
    interval: tuple[float, float],
    confidence: float,
    first_shell: float,
    distribution: tuple[Reals, Reals] | None = None,
    mean_shift: float | None = None,
) -> Figure:
    """Draw a measured spectrum, aligned, over a simulated one, their difference, and the predicted MSD.

    Parameters
    ----------
    energy : ndarray, shape (M,), float, eV
        The common mesh.
    measured : ndarray, shape (M,), float, edge steps
        The measured spectrum on the mesh, no NaN.
    simulated : ndarray, shape (M,), float, edge steps
        The simulated spectrum to compare with, such as the nearest.
    band : ndarray, shape (2, M), float, edge steps
        5th and 95th percentile of the training spectra.
    out : Path, optional
        The PNG file to write; the PDF gets the same name. By default none is written.
    edge : float, eV
        Zero of the energy axis.
    label, simulated_label : str
        Names of the two spectra in the legend.
    msd : float, Å²
        The predicted mean squared displacement.
    interval : (float, float), Å²
        Interval of the MSD.
    confidence : float
        Confidence of the interval, from 0 to 1.
    first_shell : float, Å
        Bond length of the first shell in the undistorted cluster.
    distribution : (ndarray, ndarray), optional
        Centers of the bins of bond length, shape (R,), Å, evenly spaced, R at least 2, and the
        predicted share of the bonds in each. The figure is two columns wide with it, and one without.
    mean_shift : float, optional, Å
        Predicted mean bond length minus that.

    Returns
    -------
    Figure
        The figure; a notebook shows it.

    Raises
    ------
    EnvironmentProblem
        If matplotlib is not installed, or the file cannot be written.
    """
    relative = np.asarray(energy, dtype=np.float64) - edge
    low, high = band
    low_msd, high_msd = interval
    share = f"{confidence:.0%}".replace("%", " %")
    answer = f"MSD {1e3 * msd:.1f} × 10⁻³ Å²\n{share}: {1e3 * low_msd:.1f} … {1e3 * high_msd:.1f} × 10⁻³ Å²"
    if mean_shift is not None:
        answer += f"\nmean {first_shell + mean_shift:.3f} Å ({mean_shift:+.3f} Å)"
    answer = answer.replace("-", "−")
    with new_figure(out, height=3.4, width=TWO_COLUMNS if distribution else 3.4) as figure:
        if distribution:
            grid = figure.add_gridspec(2, 2, width_ratios=(1.5, 1), height_ratios=(3, 1.2))
            upper = figure.add_subplot(grid[0, 0])
            lower = figure.add_subplot(grid[1, 0], sharex=upper)
            side = figure.add_subplot(grid[:, 1])
            upper.tick_params(labelbottom=False)
            _bond_lengths(side, *distribution, first_shell, mean_shift)
            side.text(0.97, 0.97, answer, transform=side.transAxes, va="top", ha="right", size=7)
        else:
            upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1.2))
        upper.fill_between(relative, low, high, color=ORANGE, alpha=0.5, linewidth=0, label="training spectra, 5–95 %")
        upper.plot(relative, simulated, color=BLUE, linestyle="--", label=simulated_label)
        upper.plot(relative, measured, color=BLACK, label=label)
        upper.set_ylabel(ABSORPTION)
        title = None if distribution else answer
        upper.legend(loc="lower right", title=title, title_fontsize=7, alignment="left")
        lower.fill_between(relative, low - simulated, high - simulated, color=ORANGE, alpha=0.5, linewidth=0)
        lower.axhline(0, color=BLUE, linestyle="--", linewidth=0.9)
        difference = measured - simulated
        lower.plot(relative, difference, color=BLACK)
        lower.set(xlabel=ENERGY, ylabel="Difference", xlim=(relative[0], relative[-1]))
        lowest, highest = lower.get_ylim()
        lower.set_ylim(lowest, highest + 0.3 * (highest - lowest))
        rms = f"rms {np.sqrt(np.mean(difference**2)):.3f}"
        lower.text(0.98, 0.95, rms, transform=lower.transAxes, va="top", ha="right", size=7)
        figure.align_ylabels([upper, lower])
    return figure


def msd_overview(
    names: Sequence[str],
    msd: Reals,
    low: Reals,
    high: Reals,
    out: Path | None = None,
    *,
    trained: tuple[float, float],
) -> Figure:
    """Draw the predicted MSDs of several spectra with their intervals, the first on top.

    Parameters
    ----------
    names : sequence of str, length n
        Names of the spectra, n at least 1.
    msd, low, high : ndarray, shape (n,), float, Å²
        Predictions and the ends of their intervals, no NaN.
    out : Path, optional
        The PNG file to write; the PDF gets the same name. By default none is written.
    trained : (float, float), Å²
        Smallest and largest MSD that the model was trained on, shaded.

    Returns
    -------
    Figure
        The figure; a notebook shows it.

    Raises
    ------
    EnvironmentProblem
        If matplotlib is not installed, or the file cannot be written.
    """
    places = np.arange(len(names))
    bars = 1e3 * np.array([msd - low, high - msd])
    with new_figure(out, height=0.9 + 0.22 * len(names), width=TWO_COLUMNS) as figure:
        axes = figure.add_subplot()
        axes.axvspan(*(1e3 * np.array(trained)), color=ORANGE, alpha=0.3, linewidth=0, label="trained on")
        axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
        axes.errorbar(1e3 * msd, places, xerr=bars, fmt="o", color=BLUE, markersize=3, capsize=2)
        # Names come from files: a dollar sign in one is no formula.
        axes.set_yticks(places, [name.replace("$", r"\$") for name in names])
        axes.set(xlabel=MSD, ylim=(len(names) - 0.5, -0.5))
    return figure


def msd_series(
    places: Reals,
    msd: Reals,
    low: Reals,
    high: Reals,
    out: Path | None = None,
    *,
    what: str,
    trained: tuple[float, float],
) -> Figure:
    """Draw the predicted MSDs of a series of spectra with their intervals.

    Parameters
    ----------
    places : ndarray, shape (n,), float
        Times, or numbers, of the spectra, n at least 1.
    msd, low, high : ndarray, shape (n,), float, Å²
        Predictions and the ends of their intervals, no NaN.
    out : Path, optional
        The PNG file to write; the PDF gets the same name. By default none is written.
    what : str
        What the places are, with their unit.
    trained : (float, float), Å²
        Smallest and largest MSD that the model was trained on, dashed.

    Returns
    -------
    Figure
        The figure; a notebook shows it.

    Raises
    ------
    EnvironmentProblem
        If matplotlib is not installed, or the file cannot be written.
    """
    order = np.argsort(places, kind="stable")
    x, y, bottom, top = places[order], 1e3 * msd[order], 1e3 * low[order], 1e3 * high[order]
    with new_figure(out, height=2.6, width=TWO_COLUMNS) as figure:
        axes = figure.add_subplot()
        axes.fill_between(x, bottom, top, color=BLUE, alpha=0.2, linewidth=0, label="interval")
        axes.plot(x, y, "o-", color=BLUE, markersize=2.5, linewidth=0.7, label="MSD")
        for limit in trained:
            axes.axhline(1e3 * limit, color=ORANGE, linestyle="--", linewidth=0.9)
        axes.set(xlabel=what, ylabel=MSD)
        axes.set_title("dashed: ends of the training labels", loc="right", fontsize=7)
        axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return figure


def _bond_lengths(axes: Axes, r: Reals, shares: Reals, first_shell: float, mean_shift: float | None) -> None:
    """Draw a distribution of bond lengths as a density, its mean and the undistorted length."""
    width = r[1] - r[0]
    edges = np.append(r - width / 2, r[-1] + width / 2)
    density = shares / shares.sum() / width
    axes.stairs(density, edges, color=BLUE, fill=True, alpha=0.35)
    axes.stairs(density, edges, color=BLUE, linewidth=0.8)
    top = 1.05 * density.max()
    axes.vlines(first_shell, 0, top, color=BLACK, linestyle=":", linewidth=0.9, label="undistorted")
    if mean_shift is not None:
        axes.vlines(first_shell + mean_shift, 0, top, color=VERMILION, linewidth=0.9, label="mean")
    axes.legend(loc="upper left", handlelength=1.4)
    cumulative = np.cumsum(shares / shares.sum())
    first, last = np.searchsorted(cumulative, (_TAIL, 1 - _TAIL))
    axes.set(xlim=(edges[first], edges[min(last + 1, len(r))]), ylim=(0, 1.35 * density.max()))
    axes.set(xlabel="Bond length r (Å)", ylabel="Predicted distribution g(r) (Å⁻¹)")
