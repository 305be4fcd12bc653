"""Rows of a file as text: 3, 17–19, 40."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np

from xanesml.files.arrays import Integers

#: Length that a list of rows is cut to, characters.
WIDTH = 60

# A word for one row, and one for several.
_BY_NUMBER = re.compile(r"(\w+)\|(\w+)")


def stretches(rows: Integers) -> Iterator[tuple[int, int]]:
    """Yield the first and last of each stretch of neighbors among increasing integers."""
    breaks = np.flatnonzero(np.diff(rows) != 1)
    firsts, lasts = (np.concatenate(parts) for parts in ((rows[:1], rows[breaks + 1]), (rows[breaks], rows[-1:])))
    yield from zip(firsts.tolist(), lasts.tolist(), strict=True)


def ranges(rows: Integers) -> str:
    """Return increasing integers as text, such as ``3, 17–19, 40``, cut to about `WIDTH` characters."""
    text = ""
    for first, last in stretches(rows):
        part = str(first) if first == last else f"{first}–{last}"
        if text and len(text) + len(part) > WIDTH:
            return f"{text} … ({len(rows)} in all)"
        text += f"{', ' if text else ''}{part}"
    return text


def about(rows: Integers, text: str, noun: str = "row") -> str:
    """Return a sentence about some rows: ``row 3 is …`` or ``rows 3, 17–19 are …``, of a `text` with ``is|are``."""
    one = len(rows) == 1
    worded = _BY_NUMBER.sub(r"\1" if one else r"\2", text)
    return f"{noun}{'' if one else 's'} {ranges(rows)} {worded}"
