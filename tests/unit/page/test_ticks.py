from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xanesml.page.ticks import linear_ticks, logarithmic_ticks, tick_text


@pytest.mark.parametrize(
    ("low", "high", "most", "expected"),
    [
        (0, 10, 6, [0, 2, 4, 6, 8, 10]),
        (-0.45, 0.45, 7, [-0.4, -0.2, 0, 0.2, 0.4]),
        (11910, 11970, 7, [11910, 11920, 11930, 11940, 11950, 11960, 11970]),
        (0, 0.017, 7, [0, 0.005, 0.01, 0.015]),
    ],
)
def test_ticks_are_round(low: float, high: float, most: int, expected: list[float]) -> None:
    assert linear_ticks(low, high, most) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.9, 3.2, [1, 1.5, 2, 3]),
        (0.02, 0.9, [0.02, 0.05, 0.1, 0.2, 0.5]),
        (1e-6, 1, [1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 0.1, 1]),
    ],
)
def test_logarithmic_ticks_are_fewer_over_more_decades(low: float, high: float, expected: list[float]) -> None:
    assert logarithmic_ticks(low, high) == pytest.approx(expected)


@given(st.floats(-1e5, 1e5), st.floats(1e-6, 1e6), st.integers(3, 9))
def test_ticks_lie_within_and_their_texts_tell_them_apart(low: float, span: float, most: int) -> None:
    high = low + span
    if not high - low > 1e-9 * max(abs(low), abs(high)):
        return
    ticks = linear_ticks(low, high, most)
    assert 1 <= len(ticks) <= most
    slack = 1e-6 * (high - low)
    assert all(low - slack <= tick <= high + slack for tick in ticks)
    if len(ticks) > 1:
        step = ticks[1] - ticks[0]
        texts = [tick_text(tick, step) for tick in ticks]
        assert len(set(texts)) == len(texts)
        if step > 1e-4 and max(map(abs, ticks)) < 1e6:
            values = [float(text.replace("−", "-")) for text in texts]
            assert all(
                math.isclose(a, b, abs_tol=1e-3 * step) or abs(b) < 1e-4 for a, b in zip(values, ticks, strict=True)
            )
