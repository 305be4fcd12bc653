"""A measured spectrum over the simulated ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from xanesml.plots.style import ABSORPTION, BLACK, BLUE, ENERGY, ORANGE, Floats, new_figure, paths


def measured_against_simulated(
    energy: Floats,
    measured: Floats,
    mean: Floats,
    band: Floats,
    out: Path,
    *,
    edge: float,
    label: str = "measured",
) -> tuple[Path, Path]:
    """Draw a measured spectrum, aligned, over the simulated ones, and the difference below.

    Parameters
    ----------
    energy : ndarray, shape (M,), float, eV
        The common mesh.
    measured : ndarray, shape (M,), float, edge steps
        The measured spectrum on the mesh, no NaN.
    mean : ndarray, shape (M,), float, edge steps
        Mean of the training spectra.
    band : ndarray, shape (2, M), float, edge steps
        Their 5th and 95th percentile.
    out : Path
        The PNG file; the PDF gets the same name.
    edge : float, eV
        Zero of the energy axis.
    label : str, optional
        Name of the measured spectrum in the legend.

    Returns
    -------
    tuple of Path
        The PNG and the PDF.
    """
    relative = np.asarray(energy, dtype=np.float64) - edge
    low, high = band
    with new_figure(out, height=3.4) as figure:
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1.2))
        upper.fill_between(relative, low, high, color=ORANGE, alpha=0.5, linewidth=0, label="simulated, 5–95 %")
        upper.plot(relative, mean, color=BLUE, linestyle="--", label="simulated, mean")
        upper.plot(relative, measured, color=BLACK, label=label)
        upper.set_ylabel(ABSORPTION)
        upper.legend(loc="lower right")
        lower.fill_between(relative, low - mean, high - mean, color=ORANGE, alpha=0.5, linewidth=0)
        lower.axhline(0, color=BLUE, linestyle="--", linewidth=0.9)
        lower.plot(relative, measured - mean, color=BLACK)
        lower.set(xlabel=ENERGY, ylabel="Difference", xlim=(relative[0], relative[-1]))
        figure.align_ylabels([upper, lower])
    return paths(out)
