"""Figures of the averages over disordered structures: beside statistical averages, and of their bond lengths."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from xanesml.averages.comparison import ParticleComparison
from xanesml.files.arrays import Floats, Indices
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
    SKY,
    TWO_COLUMNS,
    VERMILION,
    colored_curves,
    evenly_spread,
    new_figure,
)

#: Half the range of energy that an inset magnifies, eV.
_HALF_INSET = 5.0


def disordered(energy: Floats, spectra: Floats, msd: Floats, out: Path) -> None:
    """Draw particle averages, colored by MSD: all, or a selection evenly spread in it.

    An inset magnifies the energies at which they differ most.

    Parameters
    ----------
    energy : ndarray, shape (M,), float, eV
        The common mesh, relative to the edge.
    spectra : ndarray, shape (P, M), float, edge steps
        Particle averages, no NaN.
    msd : ndarray, shape (P,), float, Å²
        Their mean squared displacements.
    out : Path
        The PNG file; the PDF gets the same name.
    """
    rows = evenly_spread(msd)
    with new_figure(out, height=2.6) as figure:
        axes = figure.subplots()
        lines = colored_curves(axes, energy, spectra[rows], 1e3 * msd[rows])
        axes.set(xlabel=ENERGY, ylabel=ABSORPTION)
        axes.text(0.04, 0.96, _count(len(rows), len(msd), "structure"), transform=axes.transAxes, va="top", size=7)
        if len(rows) > 1:
            center = energy[np.argmax(spectra[rows].std(axis=0))]
            shown = np.abs(energy - np.clip(center, energy[0] + _HALF_INSET, energy[-1] - _HALF_INSET))
            inset = axes.inset_axes((0.47, 0.13, 0.49, 0.45))
            window = shown <= _HALF_INSET
            colored_curves(inset, energy[window], spectra[rows][:, window], 1e3 * msd[rows])
            inset.tick_params(labelsize=6)
            inset.locator_params(nbins=4)
            axes.indicate_inset_zoom(inset, edgecolor=GRAY, alpha=1.0, linewidth=0.5)
        figure.colorbar(lines, ax=axes, label=MSD)


def differences(
    energy: Floats,
    particle: tuple[Floats, Floats],
    statistical: tuple[Floats, Floats],
    undistorted: Floats,
    out: Path,
) -> None:
    """Draw the effect of disorder on the spectrum, in particle averages and in statistical averages.

    Parameters
    ----------
    energy : ndarray, shape (M,), float, eV
        The common mesh, relative to the edge.
    particle, statistical : tuple of ndarray, shapes (n, M) and (n,), float
        Spectra, edge steps, and their mean squared displacements, Å²; no NaN. The color scale is
        that of the particle averages.
    undistorted : ndarray, shape (M,), float, edge steps
        The series at δ = 0, subtracted from both.
    out : Path
        The PNG file; the PDF gets the same name.
    """
    limits = (1e3 * particle[1].min(), 1e3 * particle[1].max())
    with new_figure(out, height=2.7, width=TWO_COLUMNS) as figure:
        panels = figure.subplots(1, 2, sharey=True)
        for axes, (spectra, msd), title in zip(
            panels, (particle, statistical), ("particle averages", "statistical averages"), strict=True
        ):
            rows = evenly_spread(msd)
            lines = colored_curves(axes, energy, spectra[rows] - undistorted, 1e3 * msd[rows], limits=limits)
            axes.axhline(0, color=BLACK, linewidth=0.5, linestyle="--", zorder=0)
            axes.set(xlabel=ENERGY, title=f"{title}, {_count(len(rows), len(msd))}")
        panels[0].set_ylabel("Difference from δ = 0 (edge steps)")
        figure.colorbar(lines, ax=panels, label=MSD, pad=0.015, aspect=25)


def choose_like_particles(
    msd: Floats, mean_shift: Floats, particle_msd: Floats, particle_shift: Floats, most: int
) -> Indices:
    """Choose statistical averages with the MSD and the mean shift of the particle averages.

    A mean shift changes a spectrum more than disorder does, and the mean shifts of statistical
    averages cover a wide range.

    Parameters
    ----------
    msd, mean_shift : ndarray, shape (N,), float, Å² and Å
        Labels of the statistical averages.
    particle_msd, particle_shift : ndarray, shape (P,), float, Å² and Å
        Labels of the particle averages.
    most : int
        Largest number to choose.

    Returns
    -------
    ndarray of int, shape (n,)
        Their indices, ascending: in each of `most` equal intervals of MSD the average whose mean shift
        is nearest to the particles', interpolated to its MSD. May be empty.
    """
    low, high = particle_msd.min(), particle_msd.max()
    within = np.flatnonzero((msd >= low) & (msd <= high))
    interval = np.minimum(((msd[within] - low) / ((high - low) or 1.0) * most).astype(int), most - 1)
    order = np.argsort(particle_msd, kind="stable")
    wanted = np.interp(msd[within], particle_msd[order], particle_shift[order])
    misfit = np.abs(mean_shift[within] - wanted)
    # Sorted by interval and then by misfit, the first of each interval is its best.
    ranked = np.lexsort((misfit, interval))
    _, first = np.unique(interval[ranked], return_index=True)
    return np.sort(within[ranked[first]])


def distribution(r: Floats, shares: Floats, msd: Floats, first_shell: float, out: Path) -> None:
    """Draw the distribution of bond lengths g(r) of the structures of lowest, middle and highest MSD.

    Parameters
    ----------
    r : ndarray, shape (R,), float, Å
        Centers of the bins, evenly spaced, R at least 2.
    shares : ndarray, shape (P, R), float
        Share of the bonds in each bin.
    msd : ndarray, shape (P,), float, Å²
        Mean squared displacements.
    first_shell : float, Å
        Length of the undistorted first shell.
    out : Path
        The PNG file; the PDF gets the same name.
    """
    width = r[1] - r[0]
    edges = np.append(r - width / 2, r[-1] + width / 2)
    order = np.argsort(msd, kind="stable")
    rows = order[np.unique([0, (len(order) - 1) // 2, len(order) - 1])]
    occupied = np.flatnonzero(shares[rows].sum(axis=0))
    with new_figure(out, height=2.6) as figure:
        axes = figure.subplots()
        for row, color in zip(rows, (BLUE, GREEN, VERMILION), strict=False):
            axes.stairs(shares[row] / width, edges, color=color, linewidth=1.1, label=f"{1e3 * msd[row]:.2f}")
        axes.axvline(first_shell, color=BLACK, linestyle="--", linewidth=0.8, label="undistorted")
        axes.set(xlabel="Bond length r (Å)", ylabel="Distribution g(r) (Å⁻¹)")
        axes.set_ylim(bottom=0)
        if len(occupied):
            axes.set_xlim(edges[max(occupied[0] - 2, 0)], edges[min(occupied[-1] + 3, len(edges) - 1)])
        axes.legend(title=MSD, title_fontsize=7)


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
            upper.plot(
                relative,
                compared.skew_normal[row],
                color=SKY,
                linewidth=0.8,
                linestyle="-.",
                label="skew-normal average",
            )
            upper.set_title(f"structure {compared.structure[row]}, MSD {1e3 * compared.msd[row]:.2f} × 10⁻³ Å²")
            lower.axhline(0, color=BLACK, linewidth=0.5)
            for other, color, name in (
                (compared.undistorted, GREEN, "particle − undistorted"),
                (compared.statistical[row], BLUE, "particle − statistical"),
                (compared.skew_normal[row], SKY, "particle − skew-normal"),
            ):
                lower.plot(relative, compared.particle[row] - other, color=color, label=name)
            lower.set(xlabel=ENERGY, xlim=(relative[0], relative[-1]))
        grid[0, 0].set_ylabel(ABSORPTION)
        grid[1, 0].set_ylabel("Difference\n(edge steps)")
        named = [axes.get_legend_handles_labels() for axes in grid[:, 0]]
        handles, names = ([one for group in groups for one in group] for groups in zip(*named, strict=True))
        figure.legend(handles, names, loc="outside lower center", ncols=4 if len(rows) > 1 else 2)
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
    with new_figure(out, height=3.1) as figure:
        axes = figure.subplots()
        for rms, color, marker, name in (
            (compared.rms_undistorted, ORANGE, "^", "particle − undistorted: no disorder at all"),
            (compared.rms_skew_normal, SKY, "s", "particle − statistical, skew-normal of the same moments"),
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
        highest = [np.nanmax(rms, initial=0.0) for rms in (compared.rms, compared.rms_skew_normal)]
        axes.set_ylim(0, 1.08 * max(*highest, compared.rms_undistorted.max()))
        figure.legend(loc="outside upper left", handletextpad=0.2)


def _count(drawn: int, total: int, what: str = "") -> str:
    noun = f" {what}s" if what and total != 1 else f" {what}" if what else ""
    return f"{drawn}{noun}" if drawn == total else f"{drawn} of {total:,}{noun}"
