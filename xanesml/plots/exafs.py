"""A fit of the first shell by EXAFS: in k and in R."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from xanesml.plots.style import BLACK, GRAY, TWO_COLUMNS, VERMILION, new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from xanesml.exafs import ExafsFit


def exafs_figure(fit: ExafsFit, out: Path | None = None, *, label: str) -> Figure:
    """Draw the oscillations of a spectrum with the fitted first shell, and the magnitudes of their transforms.

    Parameters
    ----------
    fit : ExafsFit
        From `xanesml.exafs.fit_first_shell`.
    out : Path, optional
        The PNG file to write; the PDF gets the same name. By default none is written.
    label : str
        Name of the spectrum in the legend.

    Returns
    -------
    Figure
        The figure; a notebook shows it.

    Raises
    ------
    EnvironmentProblem
        If matplotlib is not installed, or the file cannot be written.
    """
    answer = (
        f"σ² {1e3 * fit.sigma2:.1f} ± {1e3 * fit.sigma2_error:.1f} × 10⁻³ Å²\n"
        f"R {fit.length:.3f} ± {fit.length_error:.3f} Å\namplitude {fit.amplitude:.2f} ± {fit.amplitude_error:.2f}"
    )
    with new_figure(out, height=2.6, width=TWO_COLUMNS) as figure:
        left, right = figure.subplots(1, 2)
        for axes, x, data, model, fitted in (
            (left, fit.k, fit.data_k, fit.fit_k, fit.k_range),
            (right, fit.r, fit.data_r, fit.fit_r, fit.r_range),
        ):
            axes.axvspan(*fitted, color=GRAY, alpha=0.15, linewidth=0, label="range of the fit")
            axes.plot(x, data, color=BLACK, label=label)
            axes.plot(x, model, color=VERMILION, linestyle="--", label="first shell, fitted")
            axes.set_xlim(x[0], x[-1])
        left.set(xlabel="Wavenumber k (Å⁻¹)", ylabel="k²χ(k) (Å⁻²)")
        right.set(xlabel="R, not corrected for phase (Å)", ylabel="|χ(R)| (Å⁻³)")
        right.set_ylim(bottom=0)
        right.legend(loc="upper right", title=answer, title_fontsize=7, alignment="left")
    return figure
