"""Figure of the cost of each error of a measurement, one panel each."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from xanesml.assessment.report import LABELS, NETWORK
from xanesml.assessment.sensitivity import ERRORS, Sensitivity
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


def _capital(text: str) -> str:
    return text if text == "eV" else text[0].upper() + text[1:]
