"""Figures as SVG, drawn from numbers: curves, points with intervals, steps.

The drawing is whole without script. Its axes stand in attributes of the elements, by which the page's script reads
values back from positions, so that no number is in the page twice.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike

from xanesml.files.arrays import Booleans, Floats
from xanesml.page.ticks import linear_ticks, logarithmic_ticks, tick_text

#: Size of a figure and margins of its plot, in units of the drawing.
WIDTH, HEIGHT = 560, 330
LEFT, RIGHT, TOP, BOTTOM = 66, 22, 12, 46

#: Points of a curve, more than which are thinned evenly.
MOST_POINTS = 400

#: Colors that the style sheet has for series.
COLORS = 7

Look = Literal["line", "dots", "steps"]


@dataclass(frozen=True)
class Mark:
    """Numbers drawn in one way.

    Attributes
    ----------
    label : str
        Name in the legend and in readouts.
    x, y : ndarray, shape (n,)
        Values; what is not finite, or not positive along a logarithmic axis, is left out. Of steps, x has the n + 1
        edges.
    look : {"line", "dots", "steps"}
        How they are drawn.
    color : int or float
        Number of a color of the style sheet; a float from 0 to 1 is a place on its ramp.
    lower, upper : ndarray, shape (n,), optional
        Ends of intervals around dots.
    key : str
        What a picker picks it by; empty where none does.
    legend : bool
        Whether it is in the legend.
    dashed : bool
        Whether the line is dashed.
    """

    label: str
    x: Floats
    y: Floats
    look: Look = "line"
    color: int | float = 0
    lower: Floats | None = None
    upper: Floats | None = None
    key: str = ""
    legend: bool = True
    dashed: bool = False

    @property
    def style(self) -> str:
        """Class of its color in the style sheet."""
        return "ramp" if isinstance(self.color, float) else f"s{self.color % COLORS}"


@dataclass(frozen=True)
class Axis:
    """An axis.

    Attributes
    ----------
    label : str
        Quantity and unit.
    log : bool
        Whether it is logarithmic.
    limits : tuple of float, optional
        Its ends; by default those of the numbers.
    names : tuple of str
        Names of the places 0, 1, …, in place of numbers; along x, and without "|".
    """

    label: str
    log: bool = False
    limits: tuple[float, float] | None = None
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class Pick:
    """A slider that picks one of a chart's marks by its key.

    Attributes
    ----------
    label : str
        What is picked, with the unit.
    values : tuple of float
        Values by key: "0", "1", ….
    """

    label: str
    values: tuple[float, ...]


@dataclass(frozen=True)
class Chart:
    """A figure.

    Attributes
    ----------
    name, title, caption : str
        Its anchor, what it is, and what it shows.
    x, y : Axis
        The axes.
    marks : list of Mark
        What is drawn, in this order.
    ramp : tuple of str
        What the two ends of the color ramp stand for; empty where no mark uses it.
    pick : Pick, optional
        A slider.
    follows : str
        Name of the chart whose slider shows its value here as a line.
    diagonal : bool
        Whether the line y = x is drawn.
    levels : tuple of float
        Values of y at which a thin line is drawn.
    """

    name: str
    title: str
    caption: str
    x: Axis
    y: Axis
    marks: list[Mark] = field(default_factory=list)
    ramp: tuple[str, ...] = ()
    pick: Pick | None = None
    follows: str = ""
    diagonal: bool = False
    levels: tuple[float, ...] = ()

    @property
    def legend(self) -> list[Mark]:
        """Marks that the legend lists."""
        return [mark for mark in self.marks if mark.legend]

    def svg(self) -> str:
        """Return the figure as an SVG element; all texts in it are escaped."""
        return _Drawing(self).text()


def thinned(*columns: ArrayLike, most: int = MOST_POINTS) -> list[Floats]:
    """Return columns of equal length as arrays of float64 with at most so many rows, evenly taken, ends included."""
    arrays = [np.asarray(column, dtype=np.float64) for column in columns]
    count = len(arrays[0])
    if count <= most:
        return arrays
    rows = np.unique(np.linspace(0, count - 1, most).round().astype(int))
    return [array[rows] for array in arrays]


class _Scale:
    """Places of values along an axis: `start` at its low end, `stop` at its high one."""

    def __init__(self, axis: Axis, values: Sequence[Floats], start: float, stop: float, margin: float) -> None:
        self.axis, self._start, self._stop = axis, start, stop
        finite = np.concatenate([value[self._drawn(value)] for value in values] or [np.empty(0)])
        low, high = axis.limits or ((float(finite.min()), float(finite.max())) if len(finite) else (1.0, 10.0))
        if axis.names:
            low, high = -0.6, len(axis.names) - 0.4
        elif not low < high:
            low, high = (low / 2, high * 2) if axis.log else (low - 0.5, high + 0.5)
        elif axis.limits is None and axis.log:
            low, high = low * (low / high) ** margin, high * (high / low) ** margin
        elif axis.limits is None:
            low, high = low - margin * (high - low), high + margin * (high - low)
        self.low, self.high = low, high

    def _drawn(self, values: Floats) -> Booleans:
        return np.isfinite(values) & (values > 0) if self.axis.log else np.isfinite(values)

    def places(self, values: Floats) -> Floats:
        """Return the places, NaN for what is not drawn."""
        values = np.where(self._drawn(values), values, np.nan)
        low, high = self.low, self.high
        if self.axis.log:
            values, low, high = np.log10(values), math.log10(low), math.log10(high)
        # Far outside, SVG's numbers overflow.
        share = np.clip((values - low) / (high - low), -1, 2)
        return np.asarray(self._start + share * (self._stop - self._start), dtype=np.float64)

    def ticks(self, most: int) -> list[tuple[float, str]]:
        """Return places and texts of the ticks."""
        if self.axis.names:
            at = np.arange(len(self.axis.names), dtype=np.float64)
            return list(zip(self.places(at).tolist(), self.axis.names, strict=True))
        if self.axis.log:
            values = logarithmic_ticks(self.low, self.high)
            texts = [tick_text(value, value) for value in values]
        else:
            values = linear_ticks(self.low, self.high, most)
            step = values[1] - values[0] if len(values) > 1 else max(abs(self.high - self.low), 1e-12)
            texts = [tick_text(value, step) for value in values]
        return list(zip(self.places(np.array(values, dtype=np.float64)).tolist(), texts, strict=True))


class _Drawing:
    def __init__(self, chart: Chart) -> None:
        self._chart = chart
        ys = [part for mark in chart.marks for part in (mark.y, mark.lower, mark.upper) if part is not None]
        # Dots on the frame are cut in half; curves begin at it.
        margin = 0.03 if any(mark.look == "dots" for mark in chart.marks) else 0.0
        self._x = _Scale(chart.x, [mark.x for mark in chart.marks], LEFT, WIDTH - RIGHT, margin)
        self._y = _Scale(chart.y, [*ys, np.array(chart.levels)], HEIGHT - BOTTOM, TOP, 0.04)

    def text(self) -> str:
        chart, name = self._chart, escape(self._chart.name)
        axes = " ".join(
            f'data-{axis}="{scale.low:.9g},{scale.high:.9g},{int(scale.axis.log)}"'
            for axis, scale in (("x", self._x), ("y", self._y))
        )
        named = f' data-names="{escape("|".join(chart.x.names))}"' if chart.x.names else ""
        follows = f' data-follows="{escape(chart.follows)}"' if chart.follows else ""
        plot = f'x="{LEFT}" y="{TOP}" width="{WIDTH - LEFT - RIGHT}" height="{HEIGHT - TOP - BOTTOM}"'
        box = f"{LEFT} {TOP} {WIDTH - LEFT - RIGHT} {HEIGHT - TOP - BOTTOM}"
        return "".join(
            [
                f'<svg class="chart" id="{name}" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" tabindex="0" '
                f'aria-labelledby="{name}-title {name}-caption" {axes}{named}{follows}>',
                f'<rect class="frame" {plot}/>',
                f'<g class="ticks">{"".join(self._ticks())}</g>',
                f'<svg class="plot" {plot} viewBox="{box}" preserveAspectRatio="none">',
                *self._lines(),
                *map(self._mark, chart.marks),
                "</svg>",
                f'<text class="label" x="{(LEFT + WIDTH - RIGHT) / 2:g}" y="{HEIGHT - 8}" text-anchor="middle">'
                f"{escape(chart.x.label)}</text>",
                f'<text class="label" transform="translate(14 {(TOP + HEIGHT - BOTTOM) / 2:g}) rotate(-90)" '
                f'text-anchor="middle">{escape(chart.y.label)}</text>',
                "</svg>",
            ]
        )

    def _ticks(self) -> Iterable[str]:
        for place, text in self._x.ticks(7):
            yield f'<path class="grid" d="M{place:.1f} {TOP}V{HEIGHT - BOTTOM}"/>'
            yield (
                f'<text x="{place:.1f}" y="{HEIGHT - BOTTOM + 17}" text-anchor="middle" data-axis="x">'
                f"{escape(text)}</text>"
            )
        for place, text in self._y.ticks(6):
            yield f'<path class="grid" d="M{LEFT} {place:.1f}H{WIDTH - RIGHT}"/>'
            yield (f'<text x="{LEFT - 7}" y="{place + 4:.1f}" text-anchor="end" data-axis="y">{escape(text)}</text>')

    def _lines(self) -> Iterable[str]:
        if self._chart.diagonal:
            low, high = max(self._x.low, self._y.low), min(self._x.high, self._y.high)
            (x0, x1), (y0, y1) = (scale.places(np.array([low, high])) for scale in (self._x, self._y))
            yield f'<path class="level" d="M{x0:.1f} {y0:.1f}L{x1:.1f} {y1:.1f}"/>'
        for level in self._y.places(np.array(self._chart.levels, dtype=np.float64)):
            yield f'<path class="level" d="M{LEFT} {level:.1f}H{WIDTH - RIGHT}"/>'

    def _mark(self, mark: Mark) -> str:
        color = f'style="--at:{100 * mark.color:.0f}%"' if isinstance(mark.color, float) else ""
        classes = f"{mark.look} {mark.style}{' dashed' * mark.dashed}"
        key = f' data-key="{escape(mark.key)}"' if mark.key else ""
        label = f'data-label="{escape(mark.label)}"{key} {color}'
        x, y = self._x.places(mark.x), self._y.places(mark.y)
        if mark.look == "dots":
            spans = "" if mark.lower is None or mark.upper is None else self._spans(x, mark.lower, mark.upper, classes)
            # Lines without length have round ends of one size at every zoom.
            dots = "".join(f"M{a:.1f} {b:.1f}h0" for a, b in _finite(x, y))
            return f'{spans}<path class="{classes}" {label} d="{dots}"/>'
        if mark.look == "steps":
            y = np.repeat(y, 2)
            x = np.repeat(x, 2)[1:-1]
        return f'<path class="{classes}" {label} d="{_path(x, y)}"/>'

    def _spans(self, x: Floats, lower: Floats, upper: Floats, classes: str) -> str:
        ends = _finite(x, self._y.places(lower), self._y.places(upper))
        lines = "".join(f"M{a:.1f} {b:.1f}V{c:.1f}" for a, b, c in ends)
        return f'<path class="span {classes.removeprefix("dots ")}" d="{lines}"/>'


def _finite(*columns: Floats) -> Iterable[tuple[float, ...]]:
    """Return the rows of columns in which all are finite."""
    rows = np.stack(columns, axis=1)
    return [tuple(row) for row in rows[np.isfinite(rows).all(axis=1)].tolist()]


def _path(x: Floats, y: Floats) -> str:
    """Return the path through points; one that is NaN breaks it."""
    parts, pen = [], "M"
    for a, b in zip(x.tolist(), y.tolist(), strict=True):
        if not (math.isfinite(a) and math.isfinite(b)):
            pen = "M"
            continue
        parts.append(f"{pen}{a:.1f} {b:.1f}")
        pen = "L"
    return "".join(parts)
