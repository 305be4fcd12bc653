"""Figures: learning curve, parity, measured against simulated, and the distorted series.

Each is drawn at the width of a journal column, without pyplot's global state, and
written as PNG and as PDF beside it.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from xanesml.errors import EnvironmentProblem
from xanesml.hdf5 import open_file
from xanesml.layout import TENSORS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Floats = NDArray[np.floating[Any]]

#: Okabe and Ito's colors, told apart by all kinds of color vision.
BLACK, ORANGE, BLUE, GREEN, VERMILION = "#000000", "#E69F00", "#0072B2", "#009E73", "#D55E00"

#: Single column of a journal, inches.
COLUMN_WIDTH = 3.4
#: Beyond so many epochs, markers would hide the line.
MOST_MARKERS = 20
#: More points than this are drawn as a density.
MOST_POINTS = 2000

_STYLE: dict[Any, Any] = {
    "font.size": 8,
    "axes.labelsize": 8,
    "legend.fontsize": 7,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "axes.linewidth": 0.6,
    "lines.linewidth": 1.1,
    "legend.frameon": False,
    "xtick.direction": "in",
    "ytick.direction": "in",
    "pdf.fonttype": 42,
}
_ENERGY = "Energy relative to the edge (eV)"
_ABSORPTION = "Normalized absorption"


def learning_curve(history: Path | Sequence[Mapping[str, Any]], out: Path) -> tuple[Path, Path]:
    """Draw losses and errors against the epoch.

    Parameters
    ----------
    history : Path or sequence of mappings
        A CSV file with a header, or its rows. The column "epoch" is the abscissa. Columns
        with "loss" in their name are drawn in the upper panel, those with "mae" or "rmse"
        (Å²) in a lower one; names with "val" mean the validation split. Others are left out.
    out : Path
        The PNG file; the PDF gets the same name.

    Returns
    -------
    tuple of Path
        The PNG and the PDF.

    Raises
    ------
    ValueError
        If there is no row, no epoch or no loss.
    """
    rows = _read_csv(history) if isinstance(history, Path) else list(history)
    names = list(rows[0]) if rows else []
    panels = [[name for name in names if "loss" in name], [name for name in names if "mae" in name or "rmse" in name]]
    if "epoch" not in names or not panels[0]:
        raise ValueError(f"a history needs rows with the columns epoch and loss; got {names or 'no rows'}")
    epochs = [int(row["epoch"]) for row in rows]
    panels = [panel for panel in panels if panel]
    with _figure(out, height=1.0 + 1.4 * len(panels)) as figure:
        grid = figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
        for axes, panel, label in zip(grid, panels, ("Loss", "Error (10⁻³ Å²)"), strict=False):
            scale = 1.0 if label == "Loss" else 1e3
            for name in panel:
                validation = "val" in name
                quantity = next((word.upper() for word in ("mae", "rmse") if word in name), "")
                axes.plot(
                    epochs,
                    [scale * float(row[name]) for row in rows],
                    color=VERMILION if validation else BLUE,
                    linestyle="--" if quantity == "RMSE" else "-",
                    marker="o" if len(epochs) <= MOST_MARKERS else "",
                    markersize=2.2,
                    label=f"{'validation' if validation else 'training'} {quantity}".strip(),
                )
            axes.set(ylabel=label, yscale="log")
            _plain_logarithms(axes)
            axes.legend()
        grid[-1].set_xlabel("Epoch")
        grid[-1].xaxis.get_major_locator().set_params(integer=True)
    return _paths(out)


def parity(label: Floats, prediction: Floats, out: Path, *, baseline: str | None = None) -> tuple[Path, Path]:
    """Draw predicted against true MSD, with the errors in 10⁻³ Å².

    Parameters
    ----------
    label, prediction : ndarray, shape (N,), float, Å²
        No NaN.
    out : Path
        The PNG file; the PDF gets the same name.
    baseline : str, optional
        A line of text under the errors, such as what a baseline reaches.

    Returns
    -------
    tuple of Path
        The PNG and the PDF.
    """
    true, predicted = 1e3 * np.asarray(label, dtype=np.float64), 1e3 * np.asarray(prediction, dtype=np.float64)
    error = predicted - true
    text = [f"N = {true.size}", f"MAE {np.abs(error).mean():.3g}", f"RMSE {np.sqrt(np.mean(error**2)):.3g}"]
    text += [baseline] if baseline else []
    lowest, highest = min(true.min(), predicted.min()), max(true.max(), predicted.max())
    margin = 0.04 * (highest - lowest) or 1.0
    limits = (lowest - margin, highest + margin)
    with _figure(out, height=3.1) as figure:
        axes = figure.subplots()
        if true.size > MOST_POINTS:
            cells = axes.hexbin(
                true, predicted, gridsize=60, bins="log", cmap="cividis", extent=limits * 2, linewidths=0.1, mincnt=1
            )
            scale = figure.colorbar(cells, cax=axes.inset_axes((1.03, 0, 0.045, 1)), label="Spectra per cell")
            scale.ax.yaxis.set_major_formatter("{x:g}")
        else:
            axes.scatter(true, predicted, s=7, color=BLUE, alpha=0.6, linewidths=0)
        axes.axline((0, 0), slope=1, color=VERMILION, linewidth=0.9)
        axes.set(xlim=limits, ylim=limits, aspect="equal")
        axes.set(xlabel="True MSD (10⁻³ Å²)", ylabel="Predicted MSD (10⁻³ Å²)")
        axes.text(
            0.04,
            0.96,
            "\n".join(text),
            transform=axes.transAxes,
            va="top",
            size=7,
        )
    return _paths(out)


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
    with _figure(out, height=3.4) as figure:
        upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1.2))
        upper.fill_between(relative, low, high, color=ORANGE, alpha=0.5, linewidth=0, label="simulated, 5–95 %")
        upper.plot(relative, mean, color=BLUE, linestyle="--", label="simulated, mean")
        upper.plot(relative, measured, color=BLACK, label=label)
        upper.set_ylabel(_ABSORPTION)
        upper.legend(loc="lower right")
        lower.fill_between(relative, low - mean, high - mean, color=ORANGE, alpha=0.5, linewidth=0)
        lower.axhline(0, color=BLUE, linestyle="--", linewidth=0.9)
        lower.plot(relative, measured - mean, color=BLACK)
        lower.set(xlabel=_ENERGY, ylabel="Difference", xlim=(relative[0], relative[-1]))
        figure.align_ylabels([upper, lower])
    return _paths(out)


def series(energy: Floats, spectra: Floats, delta: Floats, out: Path, *, edge: float) -> tuple[Path, Path]:
    """Draw the distorted spectra, colored by the shift δ of the first shell.

    Parameters
    ----------
    energy : ndarray, shape (M,), float, eV
        The common mesh.
    spectra : ndarray, shape (D, M), float, edge steps
        One spectrum per distortion, no NaN.
    delta : ndarray, shape (D,), float, Å
        The distortions.
    out : Path
        The PNG file; the PDF gets the same name.
    edge : float, eV
        Zero of the energy axis.

    Returns
    -------
    tuple of Path
        The PNG and the PDF.
    """
    relative = np.asarray(energy, dtype=np.float64) - edge
    with _figure(out, height=2.6) as figure:
        from matplotlib.collections import LineCollection  # noqa: PLC0415 (optional and slow)

        axes = figure.subplots()
        lines = LineCollection(
            [np.column_stack([relative, spectrum]) for spectrum in spectra], cmap="viridis", linewidths=0.7
        )
        lines.set_array(np.asarray(delta, dtype=np.float64))
        axes.add_collection(lines)
        axes.autoscale_view()
        axes.set(xlabel=_ENERGY, ylabel=_ABSORPTION, xlim=(relative[0], relative[-1]))
        figure.colorbar(lines, ax=axes, label="Shift of the first shell δ (Å)")
    return _paths(out)


def training_figures(tensors: Path, model: Path, folder: Path) -> None:
    """Draw what a training is judged by: the series, the learning curve and the parity plot.

    Parameters
    ----------
    tensors : Path
        The tensor file.
    model : Path
        Folder of the trained model, with `history.csv` and `parity.csv`.
    folder : Path
        Folder of the figures; made if it does not exist.

    Raises
    ------
    StoreError
        If the tensor file is not readable.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with open_file(tensors, TENSORS) as file:
        spectra = file["series/mu"][:] / file["series/edge_step"][:][:, np.newaxis]
        series(file["mesh/energy"][:], spectra, file["series/delta"][:], folder / "series.png", edge=file.attrs["edge"])
    learning_curve(model / "history.csv", folder / "learning_curve.png")
    rows = _read_csv(model / "parity.csv")
    label, prediction = (np.array([float(row[name]) for row in rows]) for name in ("label", "prediction"))
    parity(label, prediction, folder / "parity.png")


@contextmanager
def _figure(out: Path, *, height: float) -> Iterator[Figure]:
    try:
        from matplotlib import rc_context  # noqa: PLC0415 (slow, and part of the extras)
        from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415
        from matplotlib.figure import Figure  # noqa: PLC0415
    except ImportError as error:
        raise EnvironmentProblem(f"figures need matplotlib ({error}); run `pip install 'xanesml[train]'`") from error
    with rc_context(_STYLE):
        figure = Figure(figsize=(COLUMN_WIDTH, height), layout="constrained")
        FigureCanvasAgg(figure)
        yield figure
        png, pdf = _paths(out)
        png.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(png, dpi=300)
        # Without its date, the same figure is the same file.
        figure.savefig(pdf, metadata={"CreationDate": None})


def _paths(out: Path) -> tuple[Path, Path]:
    return out.with_suffix(".png"), out.with_suffix(".pdf")


def _read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _plain_logarithms(axes: Axes) -> None:
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter  # noqa: PLC0415 (optional and slow)

    # A curve within one decade would get no labeled tick at all.
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())
