from __future__ import annotations

import re
from xml.etree import ElementTree

import numpy as np
import pytest

from xanesml.page.chart import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, Axis, Chart, Mark, thinned

SVG = "{http://www.w3.org/2000/svg}"


def drawn(chart: Chart) -> ElementTree.Element:
    return ElementTree.fromstring(chart.svg().replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1))


def chart(*marks: Mark, **changes: object) -> Chart:
    values: dict[str, object] = {"x": Axis("x (eV)"), "y": Axis("y", limits=(0.0, 10.0))}
    return Chart("name", "title", "caption", marks=list(marks), **(values | changes))  # type: ignore[arg-type]


def points(path: str) -> list[tuple[str, float, float]]:
    return [(letter, float(x), float(y)) for letter, x, y in re.findall(r"([ML])(-?[\d.]+) (-?[\d.]+)", path)]


def marks_of(one: Chart) -> list[str]:
    return [path.attrib["d"] for path in drawn(one).iter(f"{SVG}path") if "data-label" in path.attrib]


def test_a_curve_runs_from_corner_to_corner_of_the_plot() -> None:
    (path,) = marks_of(chart(Mark("line", np.array([2.0, 3.0, 4.0]), np.array([0.0, 5.0, 10.0]))))
    assert points(path) == [
        ("M", LEFT, HEIGHT - BOTTOM),
        ("L", (LEFT + WIDTH - RIGHT) / 2, (TOP + HEIGHT - BOTTOM) / 2),
        ("L", WIDTH - RIGHT, TOP),
    ]


def test_a_gap_breaks_the_curve_and_has_no_place_on_the_axes() -> None:
    x, y = np.array([0.0, 1.0, 2.0, 3.0]), np.array([1.0, np.nan, 3.0, 4.0])
    (path,) = marks_of(chart(Mark("line", x, y)))
    assert [letter for letter, _, _ in points(path)] == ["M", "M", "L"]
    assert "nan" not in chart(Mark("line", x, y), y=Axis("y")).svg().lower()


def test_what_a_logarithmic_axis_cannot_show_is_left_out() -> None:
    (path,) = marks_of(
        chart(Mark("dots", np.arange(4.0), np.array([0.0, -1.0, 1.0, 100.0]), "dots"), y=Axis("y", True, (1.0, 100.0)))
    )
    assert [y for _, _, y in points(path)] == [HEIGHT - BOTTOM, TOP]


def test_steps_have_the_width_of_their_bins() -> None:
    (path,) = marks_of(chart(Mark("steps", np.array([0.0, 1.0, 4.0]), np.array([5.0, 10.0]), "steps")))
    middle = LEFT + (WIDTH - RIGHT - LEFT) / 4
    assert [x for _, x, _ in points(path)] == pytest.approx([LEFT, middle, middle, WIDTH - RIGHT], abs=0.06)
    half = (TOP + HEIGHT - BOTTOM) / 2
    assert [y for _, _, y in points(path)] == pytest.approx([half, half, TOP, TOP], abs=0.06)


def test_intervals_stand_behind_their_dots() -> None:
    x, y = np.array([0.0, 1.0]), np.array([5.0, 5.0])
    one = chart(Mark("dots", x, y, "dots", 0, np.array([0.0, np.nan]), np.array([10.0, 9.0])))
    spans = [path.attrib["d"] for path in drawn(one).iter(f"{SVG}path") if "span" in path.attrib["class"]]
    assert re.fullmatch(rf"M[\d.]+ {HEIGHT - BOTTOM:.1f}V{TOP:.1f}", spans[0])


@pytest.mark.parametrize(
    "values", [[], [1.0], [2.0, 2.0], [np.nan, np.nan], [-1e300, 1e300]], ids=["none", "one", "alike", "NaN", "huge"]
)
@pytest.mark.parametrize("log", [False, True])
def test_any_numbers_make_a_drawing(values: list[float], log: bool) -> None:
    y = np.array(values, dtype=np.float64)
    with np.errstate(over="ignore"):
        svg = drawn(chart(Mark("line", np.arange(float(len(y))), y), y=Axis("y", log=log)))
    numbers = re.findall(r"nan|inf|e\+?\d{3}", " ".join(path.attrib["d"] for path in svg.iter(f"{SVG}path")))
    assert numbers == []


def test_texts_are_escaped() -> None:
    bad = '"><script>alert(1)</script>'
    svg = chart(Mark(bad, np.arange(2.0), np.arange(2.0), key=bad), x=Axis(bad, names=(bad,)), y=Axis(bad)).svg()
    assert "<script" not in svg
    # And is sound XML.
    assert bad in [path.attrib.get("data-label") for path in ElementTree.fromstring(svg).iter("path")]


def test_thinning_keeps_the_ends_and_rows_together() -> None:
    x, y = thinned(np.arange(1000), 2 * np.arange(1000), most=50)
    assert len(x) == 50
    assert (x[0], x[-1]) == (0, 999)
    np.testing.assert_array_equal(y, 2 * x)
    (same,) = thinned([1, 2, 3])
    assert same.tolist() == [1, 2, 3]
