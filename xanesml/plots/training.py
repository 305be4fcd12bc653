"""Figures of a training: learning curves, predictions against labels, and the cost of each error of a measurement."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from xanesml.assessment.report import LABELS, NETWORK, REPORT_FILE, Errors, read_report
from xanesml.assessment.sensitivity import ERRORS, Sensitivity, read_sensitivity, sensitivity_file
from xanesml.averages.series import Series
from xanesml.files.arrays import Floats
from xanesml.files.hdf5 import open_file
from xanesml.files.layout import TENSORS
from xanesml.files.table import read_csv
from xanesml.plots.distorted import series
from xanesml.plots.style import (
    BLACK,
    BLUE,
    GRAY,
    GREEN,
    ORANGE,
    PURPLE,
    SKY,
    TWO_COLUMNS,
    VERMILION,
    new_figure,
    plain_logarithms,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: More points than this are drawn as a density.
MOST_POINTS = 2000

#: Bins of equal numbers of spectra, over which residuals and intervals are averaged.
_BINS = 12
#: Colors of the modes of training, in the campaign's order.
_COLORS = (BLUE, VERMILION, GREEN)
#: Color and marker of each predictor.
_LOOKS = {
    NETWORK: (BLACK, "o"),
    "moments": (VERMILION, "s"),
    "gradient_boosting": (GREEN, "^"),
    "ridge": (BLUE, "v"),
    "pca_ridge": (SKY, "D"),
    "edge_slope": (ORANGE, "P"),
    "mean": (PURPLE, "X"),
}


def learning_curves(histories: Mapping[str, Sequence[Path]], out: Path) -> None:
    """Draw the losses and the validation error of every network against the epoch.

    Parameters
    ----------
    histories : mapping of str to sequence of Path
        By mode of training, one CSV file for each network, with the columns `epoch`,
        `validation_mae`, Å², and `loss_training` and `loss_validation`, the same loss on spectra of the training and of
        the validation split: overfitting opens a gap between them.
    out : Path
        The PNG file; the PDF gets the same name. A dot marks the epoch with each
        network's smallest validation error, whose weights are kept.

    Raises
    ------
    StoreError
        If a file cannot be read, has no rows or lacks a column.
    """
    curves = {
        mode: [_columns(path, "epoch", "loss_training", "loss_validation", "validation_mae") for path in members]
        for mode, members in histories.items()
    }
    with new_figure(out, height=3.6) as figure:
        upper, lower = figure.subplots(2, 1, sharex=True)
        for (mode, members), color in zip(curves.items(), _COLORS, strict=False):
            for number, (epoch, loss, held_out, error) in enumerate(members):
                name = f"{mode}, {_count(len(members), 'network')}" if number == 0 else None
                upper.plot(epoch, loss, color=color, linewidth=0.7, label=name)
                upper.plot(epoch, held_out, color=color, linewidth=0.7, linestyle=(0, (2, 1)))
                lower.plot(epoch, 1e3 * error, color=color, linewidth=0.7)
                best = np.argmin(error)
                lower.plot(epoch[best], 1e3 * error[best], color=color, marker="o", markersize=3)
        upper.plot([], [], color=BLACK, marker="o", markersize=3, linestyle="", label="epoch kept")
        upper.plot([], [], color=BLACK, linewidth=0.7, label="training")
        upper.plot([], [], color=BLACK, linewidth=0.7, linestyle=(0, (2, 1)), label="validation")
        upper.set(ylabel="Loss", yscale="log")
        lower.set(xlabel="Epoch", ylabel="Validation MAE (10⁻³ Å²)", yscale="log")
        for axes in (upper, lower):
            plain_logarithms(axes)
        lower.xaxis.get_major_locator().set_params(integer=True)
        figure.align_ylabels([upper, lower])
        figure.legend(loc="outside upper center", ncols=3, columnspacing=1.2, handlelength=1.4, handletextpad=0.5)


def parity(
    label: Floats, prediction: Floats, half_width: Floats, out: Path, *, confidence: float, title: str = ""
) -> None:
    """Draw predicted against true MSD and, beside it, the residuals against the label with the intervals.

    Parameters
    ----------
    label, prediction : ndarray, shape (N,), float, Å²
        No NaN, N > 0.
    half_width : ndarray, shape (N,), float, Å²
        Half the width of each prediction's interval.
    out : Path
        The PNG file; the PDF gets the same name. Errors in it are in 10⁻³ Å².
    confidence : float
        Nominal share of the labels within the intervals; the figure states it with the actual share.
    title : str, optional
        Title, such as the mode of training.
    """
    true, predicted, half = (1e3 * np.asarray(values, dtype=np.float64) for values in (label, prediction, half_width))
    error, errors = predicted - true, Errors.of(predicted, true)
    text = [
        title,
        f"N = {true.size:,}",
        f"MAE {errors.mae:.3g}",
        f"RMSE {errors.rmse:.3g}",
        f"bias {errors.bias:+.2g}".replace("-", "−"),
    ]
    inside = f"{np.mean(np.abs(error) <= half):.1%} of the labels in\nintervals of {confidence:.0%}".replace("%", " %")
    limits = _padded(np.concatenate([true, predicted]))
    with new_figure(out, height=3.2, width=TWO_COLUMNS) as figure:
        left, right = figure.subplots(1, 2)
        edges, mean, width = _binned(true, error, half)
        vertical = _padded(np.concatenate([error, width, -width]))
        clouds = [_cloud(left, true, predicted, (*limits, *limits)), _cloud(right, true, error, (*limits, *vertical))]
        left.axline((limits[0], limits[0]), slope=1, color=VERMILION, linewidth=0.9)
        left.set(xlim=limits, ylim=limits, box_aspect=1)
        left.set(xlabel="True MSD (10⁻³ Å²)", ylabel="Predicted MSD (10⁻³ Å²)")
        left.text(0.04, 0.96, "\n".join(line for line in text if line), transform=left.transAxes, va="top", size=7)
        right.axhline(0, color=VERMILION, linewidth=0.9)
        _draw_means(right, edges, mean, width)
        right.set(xlim=limits, ylim=(vertical[0], vertical[1] + 0.2 * (vertical[1] - vertical[0])), box_aspect=1)
        right.set(xlabel="True MSD (10⁻³ Å²)", ylabel="Predicted − true MSD (10⁻³ Å²)")
        right.text(0.04, 0.96, inside, transform=right.transAxes, va="top", size=7)
        right.legend(loc="upper right", handlelength=1.6)
        if true.size > MOST_POINTS:
            most = max(cloud.get_array().max() for cloud in clouds)
            for cloud in clouds:
                cloud.set_clim(1, most)
            scale = figure.colorbar(clouds[1], ax=[left, right], label="Spectra per cell", aspect=25, pad=0.015)
            scale.ax.yaxis.set_major_formatter("{x:g}")


def sensitivity_curves(rows: Sequence[Sensitivity], out: Path) -> None:
    """Draw the mean absolute error of every predictor against the size of each error alone.

    Parameters
    ----------
    rows : sequence of Sensitivity
        From `xanesml.assessment.sensitivity.sensitivity`, at most seven errors.
    out : Path
        The PNG file; the PDF gets the same name. A dotted line marks the campaign's size of an error that it has on.
    """
    errors = list(dict.fromkeys(row.error for row in rows))
    predictors = [name for name in LABELS if any(row.predictor == name for row in rows)]
    columns = 3 if len(errors) < 6 else 4
    with new_figure(out, height=4.2, width=TWO_COLUMNS) as figure:
        panels = figure.subplots(2, columns, sharey=True).ravel()
        for number, (axes, error) in enumerate(zip(panels, errors, strict=False)):
            name, unit = ERRORS[error]
            own = [row for row in rows if row.error == error]
            for predictor in predictors:
                curve = [(row.size, 1e3 * row.mae) for row in own if row.predictor == predictor]
                color, marker = _LOOKS[predictor]
                ours = predictor == NETWORK
                axes.plot(
                    *zip(*curve, strict=True),
                    color=color,
                    marker=marker,
                    markersize=3.2 if ours else 2.6,
                    linewidth=1.5 if ours else 0.8,
                    zorder=3 if ours else 2,
                    label=LABELS[predictor],
                )
            if own[0].trained:
                axes.axvline(own[0].trained, color=GRAY, linestyle=":", linewidth=0.9, zorder=1)
            axes.set(title=name, xlabel=_capital(unit), yscale="log")
            axes.locator_params(axis="x", nbins=4)
            axes.margins(x=0.06)
            plain_logarithms(axes)
            if number % columns == 0:
                axes.set_ylabel("MAE (10⁻³ Å²)")
        handles, names = panels[0].get_legend_handles_labels()
        handles.append(panels[0].plot([], [], color=GRAY, linestyle=":", linewidth=0.9)[0])
        names.append("trained with")
        for axes in panels[len(errors) :]:
            axes.axis("off")
        legend = panels[-1].legend(handles, names, loc="center", handlelength=1.8, fontsize=6.5, borderpad=0)
        # In the layout it would make its column wider than the others.
        legend.set_in_layout(False)


def training_figures(tensors: Path, model: Path, folder: Path) -> None:
    """Draw the series, the learning curves, and for each mode parity and sensitivity.

    Parameters
    ----------
    tensors : Path
        The tensor file.
    model : Path
        Folder of the trained model: `report.json` lists the modes, each with a `parity-*.csv`, and
        the number of their `history-*.csv`. `sensitivity-*.csv` is drawn where it exists.
    folder : Path
        Folder of the figures; made if it does not exist.

    Raises
    ------
    StoreError
        If one of the files is not readable.
    """
    with open_file(tensors, TENSORS) as file:
        distorted, edge = Series.read(file), float(file.attrs["edge"])
    series(distorted.energy - edge, distorted.normalized, distorted.delta, folder / "series.png")
    modes = read_report(model / REPORT_FILE).modes
    learning_curves(
        {
            mode: [model / f"history-{mode}-{member}.csv" for member in range(len(content.best_epochs))]
            for mode, content in modes.items()
        },
        folder / "learning_curves.png",
    )
    for mode, content in modes.items():
        label, prediction, half_width = _columns(model / f"parity-{mode}.csv", "label", "prediction", "half_width")
        out, confidence = folder / f"parity-{mode}.png", content.interval.confidence
        parity(label, prediction, half_width, out, confidence=confidence, title=mode)
        table = model / sensitivity_file(mode)
        if table.exists():
            sensitivity_curves(read_sensitivity(table), folder / f"sensitivity-{mode}.png")


def _cloud(axes: Axes, x: Floats, y: Floats, extent: tuple[float, float, float, float]) -> Any:
    """Draw points, or their density where they are many."""
    if len(x) > MOST_POINTS:
        return axes.hexbin(x, y, gridsize=60, bins="log", cmap="cividis", extent=extent, linewidths=0.1, mincnt=1)
    return axes.scatter(x, y, s=6, color=BLUE, alpha=0.5, linewidths=0)


def _draw_means(axes: Axes, edges: Floats, mean: Floats, width: Floats) -> None:
    """Draw mean residuals and mean intervals in bins of the label, with a white seam against the points."""
    from matplotlib.patheffects import withStroke  # noqa: PLC0415 (optional and slow)

    seam = [withStroke(linewidth=2.2, foreground="white")]
    for values, name in ((width, "interval, mean"), (-width, None)):
        axes.stairs(
            values,
            edges,
            baseline=None,
            color=BLACK,
            linewidth=0.9,
            linestyle=(0, (4, 1.5)),
            label=name,
            path_effects=seam,
        )
    axes.stairs(mean, edges, baseline=None, color=ORANGE, linewidth=1.3, label="residual, mean", path_effects=seam)


def _padded(values: Floats) -> tuple[float, float]:
    lowest, highest = float(values.min()), float(values.max())
    margin = 0.04 * (highest - lowest) or 1.0
    return lowest - margin, highest + margin


def _binned(true: Floats, *columns: Floats) -> tuple[Floats, ...]:
    """Return the edges of bins of equal numbers of labels, and the means of some columns in them."""
    order = np.argsort(true, kind="stable")
    parts = np.array_split(order, min(_BINS, len(order)))
    middles = [(true[before[-1]] + true[after[0]]) / 2 for before, after in pairwise(parts)]
    edges = np.array([true[order[0]], *middles, true[order[-1]]])
    return edges, *(np.array([column[part].mean() for part in parts]) for column in columns)


def _columns(path: Path, *names: str) -> list[Floats]:
    rows = read_csv(path, lambda row: [float(row[name]) for name in names], made_by="xanesml train")
    return list(np.array(rows).T)


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'s' if number > 1 else ''}"


def _capital(text: str) -> str:
    return text if text == "eV" else text[0].upper() + text[1:]
