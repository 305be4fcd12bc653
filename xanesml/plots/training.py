"""What a training is judged by: the learning curve and the parity plot."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from xanesml.hdf5 import open_file
from xanesml.layout import TENSORS
from xanesml.mesh import normalize
from xanesml.plots.distorted import series
from xanesml.plots.style import BLUE, VERMILION, Floats, new_figure, paths

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Beyond so many epochs, markers would hide the line.
MOST_MARKERS = 20
#: More points than this are drawn as a density.
MOST_POINTS = 2000


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
    with new_figure(out, height=1.0 + 1.4 * len(panels)) as figure:
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
    return paths(out)


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
    with new_figure(out, height=3.1) as figure:
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
    return paths(out)


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
        spectra = normalize(file["series/mu"][:], file["series/edge_step"][:])
        series(file["mesh/energy"][:], spectra, file["series/delta"][:], folder / "series.png", edge=file.attrs["edge"])
    learning_curve(model / "history.csv", folder / "learning_curve.png")
    rows = _read_csv(model / "parity.csv")
    label, prediction = (np.array([float(row[name]) for row in rows]) for name in ("label", "prediction"))
    parity(label, prediction, folder / "parity.png")


def _read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _plain_logarithms(axes: Axes) -> None:
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter  # noqa: PLC0415 (optional and slow)

    # A curve within one decade would get no labeled tick at all.
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())
