"""Rows of a file as text: 3, 17–19, 40."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from xanesml.files.arrays import Integers

#: Length that a list of rows is cut to, characters.
WIDTH = 60


def stretches(rows: Integers) -> Iterator[tuple[int, int]]:
    """Yield the first and last of each stretch of neighbors among increasing integers."""
    breaks = np.flatnonzero(np.diff(rows) != 1)
    firsts, lasts = (np.concatenate(parts) for parts in ((rows[:1], rows[breaks + 1]), (rows[breaks], rows[-1:])))
    yield from zip(firsts.tolist(), lasts.tolist(), strict=True)


def ranges(rows: Integers, width: int = WIDTH) -> str:
    """Return increasing integers as text, such as ``3, 17–19, 40``, cut to about `width` characters."""
    text = ""
    for first, last in stretches(rows):
        part = str(first) if first == last else f"{first}–{last}"
        if text and len(text) + len(part) > width:
            return f"{text} … ({len(rows)} in all)"
        text += f"{', ' if text else ''}{part}"
    return text


def about(rows: Integers, one: str, many: str, noun: str = "row") -> str:
    """Return a sentence about some rows: ``row 3 is …`` or ``rows 3, 17–19 are …``."""
    return f"{noun} {ranges(rows)} {one}" if len(rows) == 1 else f"{noun}s {ranges(rows)} {many}"
