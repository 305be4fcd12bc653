"""Figures that explain the method: the distorted shell on a plane, weights as bars, g(r) in σ of its neighbors."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from xanesml.files.arrays import Floats, Reals
from xanesml.plots.style import BLACK, BLUE, DELTA, GRAY, ORANGE, SKY, VERMILION, new_figure
from xanesml.store.kinds import Kind
from xanesml.store.tasks import TaskTable
from xanesml.structures import first_neighbors

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Structures of similar σ that one g(r) is set beside.
NEIGHBORS = 20


def draw_bars(axes: Axes, delta: Floats, weights: Floats, colors: Sequence[Any]) -> None:
    """Draw weights over the series as bars, a transparent layer for each of n, with its outline.

    Parameters
    ----------
    axes : Axes
        Where to draw.
    delta : ndarray, shape (D,), float, Å
        The distortions, evenly spaced.
    weights : ndarray, shape (n, D), float
        Weights; rows sum to 1.
    colors : sequence, length n
        Colors of matplotlib.
    """
    half = (delta[1] - delta[0]) / 2 if len(delta) > 1 else 0.5
    edges = np.append(delta - half, delta[-1] + half)
    for row, color in zip(weights, colors, strict=True):
        axes.stairs(row, edges, fill=True, color=color, alpha=0.25)
        axes.stairs(row, edges, color=color, linewidth=0.6)
    axes.set(xlabel=DELTA, ylabel="Weight of the distortion", xlim=(edges[0], edges[-1]))
    axes.set_ylim(bottom=0)


def bars(delta: Floats, weights: Floats, msd: Floats, out: Path) -> None:
    """Draw the weights of a few averages as bars over the series, one panel each.

    Parameters
    ----------
    delta : ndarray, shape (D,), float, Å
        The distortions.
    weights : ndarray, shape (n, D), float
        Weights, n from 1 to 3; rows sum to 1.
    msd : ndarray, shape (n,), float, Å²
        Their mean squared displacements.
    out : Path
        The PNG file; the PDF gets the same name.
    """
    with new_figure(out, height=1.2 + 0.9 * len(weights)) as figure:
        panels = figure.subplots(len(weights), 1, sharex=True, squeeze=False)[:, 0]
        for axes, row, value, color in zip(panels, weights, msd, (BLUE, ORANGE, VERMILION), strict=False):
            draw_bars(axes, delta, row[np.newaxis], [color])
            axes.text(0.97, 0.92, f"MSD {1e3 * value:.2f} × 10⁻³ Å²", transform=axes.transAxes, va="top", ha="right")
            axes.label_outer()
            axes.set_ylabel("")
        figure.supylabel("Weight of the distortion", fontsize=8)


def shell_figure(table: TaskTable, out: Path) -> bool:
    """Draw the first shell of a campaign's most expanded structure; return whether there is a distorted one."""
    distorted = np.flatnonzero(table.kind == Kind.DISTORTED)
    if not len(distorted):
        return False
    row = int(distorted[np.argmax(table.delta[distorted])])
    cluster, moved = table.cluster, np.asarray(table.positions[row])
    shell = first_neighbors(cluster.positions, cluster.absorber, cluster.first_shell_cutoff)
    # What lies within twice the first shell is enough to see where its atoms belong.
    relative = cluster.positions - cluster.positions[cluster.absorber]
    distance = np.linalg.norm(relative, axis=1)
    others = np.setdiff1d(np.flatnonzero((distance < 2 * cluster.first_shell) & (distance > 0)), shell)
    after = moved[shell] - moved[cluster.absorber]
    projected_shell(relative[shell], relative[others], after, float(table.delta[row]), out)
    return True


def projected_shell(positions: Floats, others: Floats, distorted: Floats, delta: float, out: Path) -> None:
    """Draw a first shell, undistorted and distorted, projected on the plane of x and y.

    Parameters
    ----------
    positions : ndarray, shape (n, 3), float, Å
        First neighbors of the absorber, relative to it, undistorted.
    others : ndarray, shape (m, 3), float, Å
        Further atoms, relative to the absorber, drawn small.
    distorted : ndarray, shape (n, 3), float, Å
        The first neighbors in the distorted structure.
    delta : float, Å
        Its shift of the first shell.
    out : Path
        The PNG file; the PDF gets the same name.
    """
    with new_figure(out, height=3.5) as figure:
        axes = figure.subplots()
        far = _plane(others)
        if len(others):
            axes.scatter(far[0], far[1], s=8, color=GRAY, linewidths=0, alpha=0.5, label="other atoms")
        here, there = _plane(positions), _plane(distorted)
        for start, end in zip(here.T, there.T, strict=True):
            axes.annotate("", end, start, arrowprops={"arrowstyle": "->", "color": VERMILION, "linewidth": 0.8})
        axes.scatter(
            here[0], here[1], s=46, facecolors="none", edgecolors=BLUE, linewidths=1.0, label="first shell, undistorted"
        )
        text = f"δ = {delta:+.2f} Å".replace("-", "−")
        axes.scatter(there[0], there[1], s=22, color=VERMILION, linewidths=0, label=text)
        axes.scatter([0], [0], s=60, color=BLACK, marker="*", linewidths=0, label="absorber")
        axes.set(xlabel="x (Å)", ylabel="y (Å)", aspect="equal")
        figure.legend(loc="outside lower center", ncols=2)


def neighbors_in_sigma(
    r: Floats,
    shares: Floats,
    msd: Floats,
    row: int,
    first_shell: float,
    out: Path,
    *,
    place: Reals | None = None,
    most: int = NEIGHBORS,
) -> None:
    """Draw g(r) of one structure over those of its neighbors in σ, or in MSD.

    Parameters
    ----------
    r : ndarray, shape (R,), float, Å
        Centers of the bins, evenly spaced, R at least 2.
    shares : ndarray, shape (P, R), float
        Share of the bonds in each bin, P at least 2.
    msd : ndarray, shape (P,), float, Å²
        Mean squared displacements.
    row : int
        The structure that is drawn.
    first_shell : float, Å
        Length of the undistorted first shell.
    out : Path
        The PNG file; the PDF gets the same name.
    place : ndarray, shape (P,), optional
        What is evenly spaced in σ, such as the index of a structure. By default neighbors are those in MSD.
    most : int
        Number of neighbors; their mean and standard deviation are drawn.
    """
    value, name = (msd, "MSD") if place is None else (place, "σ")
    width = r[1] - r[0]
    edges = np.append(r - width / 2, r[-1] + width / 2)
    nearest = np.argsort(np.abs(value - value[row]), kind="stable")
    others = nearest[nearest != row][:most]
    density = shares / width
    mean, spread = density[others].mean(axis=0), density[others].std(axis=0)
    occupied = np.flatnonzero(density[[row, *others]].sum(axis=0))
    with new_figure(out, height=2.8) as figure:
        axes = figure.subplots()
        low, high = np.maximum(mean - spread, 0.0), mean + spread
        axes.stairs(high, edges, baseline=low, fill=True, color=SKY, alpha=0.5, label="± standard deviation")
        axes.stairs(mean, edges, color=BLUE, linewidth=0.9, label=f"mean of the {len(others)} nearest in {name}")
        axes.stairs(density[row], edges, color=VERMILION, linewidth=1.1, label=f"MSD {1e3 * msd[row]:.2f} × 10⁻³ Å²")
        axes.axvline(first_shell, color=BLACK, linestyle="--", linewidth=0.8, label="undistorted")
        axes.set(xlabel="Bond length r (Å)", ylabel="Distribution g(r) (Å⁻¹)")
        axes.set_ylim(bottom=0)
        if len(occupied):
            axes.set_xlim(edges[max(occupied[0] - 2, 0)], edges[min(occupied[-1] + 3, len(edges) - 1)])
        figure.legend(loc="outside upper left", ncols=2)


def _plane(positions: Floats) -> Floats:
    """Return x and y of positions, (n, 3), Å; shape (2, n)."""
    return np.asarray(positions[:, :2].T)
