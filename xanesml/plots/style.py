"""Style of all figures: sizes, colors, names of axes, and the writing of PNG and PDF."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from xanesml.errors import EnvironmentProblem
from xanesml.files.arrays import Floats, Indices
from xanesml.files.whole import whole_file

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.collections import LineCollection
    from matplotlib.figure import Figure


#: Okabe and Ito's colors, distinct for all kinds of color vision.
BLACK, ORANGE, BLUE, GREEN, VERMILION = "#000000", "#E69F00", "#0072B2", "#009E73", "#D55E00"
SKY, PURPLE = "#56B4E9", "#CC79A7"
GRAY = "#808080"

#: One and two columns of a journal, inches.
COLUMN_WIDTH, TWO_COLUMNS = 3.4, 7.0

#: Curves drawn at most in one panel; more would hide each other.
MOST_CURVES = 60

ENERGY = "Energy relative to the edge (eV)"
ABSORPTION = "Normalized absorption"
DELTA = "Shift of the first shell δ (Å)"
MSD = "MSD (10⁻³ Å²)"

_STYLE: dict[Any, Any] = {
    "font.size": 8,
    "axes.labelsize": 8,
    "axes.titlesize": 8,
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


@contextmanager
def new_figure(out: Path | None, *, height: float, width: float = COLUMN_WIDTH) -> Iterator[Figure]:
    """Yield a figure to draw on, without pyplot's global state, and write it as PNG and PDF.

    Parameters
    ----------
    out : Path or None
        The PNG file; the PDF gets the same name. Its folder is made if it does not exist. None writes no file.
    height, width : float
        Size, inches.

    Yields
    ------
    Figure
        An empty figure with constrained layout; a notebook shows it as PNG.

    Raises
    ------
    EnvironmentProblem
        If matplotlib is not installed, or the folder cannot be written to.
    """
    try:
        from matplotlib import rc_context  # noqa: PLC0415 (slow, and part of the extras)
        from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415
    except ImportError as error:
        raise EnvironmentProblem(f"figures need matplotlib ({error}); run `pip install 'xanesml[train]'`") from error
    with rc_context(_STYLE):
        figure = _figure_class()(figsize=(width, height), layout="constrained")
        FigureCanvasAgg(figure)
        yield figure
        if out is None:
            # A notebook draws it later, without this style: ticks are made now, with it.
            figure.draw_without_rendering()
            return
        with whole_file(out.with_suffix(".png"), durable=False) as partial:
            figure.savefig(partial, dpi=300)
        # Without a date, the same figure gives the same file.
        with whole_file(out.with_suffix(".pdf"), durable=False) as partial:
            figure.savefig(partial, metadata={"CreationDate": None})


@cache
def _figure_class() -> type[Figure]:
    """Return a class of figures that a notebook shows although pyplot does not know them."""
    from matplotlib.figure import Figure  # noqa: PLC0415 (slow, and part of the extras)

    class NotebookFigure(Figure):  # type: ignore[misc,unused-ignore]  # matplotlib has no types
        def _repr_png_(self) -> bytes:
            content = BytesIO()
            self.savefig(content, format="png", dpi=150)
            return content.getvalue()

    return NotebookFigure


def colored_curves(
    axes: Axes,
    abscissa: Floats,
    curves: Floats,
    values: Floats,
    *,
    limits: tuple[float, float] | None = None,
    linestyles: str | Sequence[str] = "solid",
    linewidth: float = 0.7,
) -> LineCollection:
    """Draw curves colored by a value each.

    Parameters
    ----------
    axes : Axes
        Where to draw; its abscissa is set to the curves' range.
    abscissa : ndarray, shape (M,), float
        Common to all curves.
    curves : ndarray, shape (N, M), float
        Their ordinates, no NaN.
    values : ndarray, shape (N,), float
        Values that the colors show.
    limits : tuple of float, optional
        Values at the ends of the color scale. Default: the smallest and the largest.
    linestyles : str or sequence of str
        One style for all, or one for each.
    linewidth : float
        Width of the curves, points.

    Returns
    -------
    LineCollection
        The curves, from which to make a color bar.
    """
    from matplotlib import colormaps  # noqa: PLC0415 (optional and slow)
    from matplotlib.collections import LineCollection  # noqa: PLC0415
    from matplotlib.colors import ListedColormap  # noqa: PLC0415

    # The yellow of the last tenth is hardly visible on white paper.
    colors = ListedColormap(colormaps["viridis"](np.linspace(0.0, 0.9, 256)))
    lines = LineCollection(
        [np.column_stack([abscissa, curve]) for curve in curves],
        cmap=colors,
        linewidths=linewidth,
        linestyles=linestyles,
    )
    lines.set_array(np.asarray(values, dtype=np.float64))
    if limits is not None:
        lines.set_clim(*limits)
    axes.add_collection(lines)
    axes.autoscale_view()
    axes.set_xlim(abscissa[0], abscissa[-1])
    return lines


def evenly_spread(values: ArrayLike, most: int = MOST_CURVES) -> Indices:
    """Choose some of many values so that they are spread evenly over their range.

    Parameters
    ----------
    values : array_like, shape (N,)
        Numbers, no NaN.
    most : int
        Largest number to choose, at least 2.

    Returns
    -------
    ndarray of int, shape (n,)
        Their indices, by ascending value: all if there are no more than `most`, otherwise those
        nearest to evenly spaced targets from the smallest to the largest, each once.
    """
    numbers = np.asarray(values, dtype=np.float64)
    order = np.argsort(numbers, kind="stable")
    if len(order) <= most:
        return order
    rising = numbers[order]
    targets = np.linspace(rising[0], rising[-1], most)
    nearest = np.abs(rising - targets[:, np.newaxis]).argmin(axis=1)
    chosen: Indices = order[np.unique(nearest)]
    return chosen


def plain_logarithms(axes: Axes) -> None:
    """Label a logarithmic ordinate at 1, 2 and 5 of each decade, as plain numbers."""
    from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter  # noqa: PLC0415 (optional and slow)

    # A curve within one decade would get no labeled tick at all.
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())
