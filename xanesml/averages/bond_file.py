"""A distribution of bond lengths as a text file."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from xanesml.errors import StoreError
from xanesml.files.arrays import Floats

#: Names of the first column that say what it holds; others are judged by the values.
_SHIFTS, _LENGTHS = ("delta", "shift", "dr"), ("r", "length", "distance", "bond")

#: Lengths below this multiple of the first shell are no bond lengths, and shifts beyond it no shifts.
_PART = 0.5


def read_bonds(path: Path, first_shell: float) -> tuple[Floats, Floats, str]:
    """Read bond lengths, or shifts from the undistorted first shell, with their shares.

    Parameters
    ----------
    path : Path
        Text with one row for each bond, or for each point of a distribution: the length or the shift, Å, and, in a
        second column, its share; without one all have the same. Separated by blanks, commas or semicolons; `#`
        starts a comment. A line of words, commented or not, may name the first column: `delta`, `shift` or `dr` for
        shifts, `r`, `length`, `distance` or `bond` for lengths. Without such a name the values decide.
    first_shell : float
        Length of the undistorted first shell, Å.

    Returns
    -------
    shifts : ndarray of float64, shape (B,)
        Lengths minus that of the undistorted first shell, Å.
    shares : ndarray of float64, shape (B,)
        Their shares, of sum 1.
    read_as : str
        `lengths` or `shifts`.

    Raises
    ------
    StoreError
        If the file cannot be read, has a row that is no numbers, negative shares or none above 0, or values that
        are neither lengths nor shifts.
    """
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        raise StoreError(f"--bonds {path} cannot be read: {error.strerror}; give an existing file") from error
    named = ""
    rows: list[list[float]] = []
    for number, line in enumerate(lines, start=1):
        words = re.split(r"[\s,;]+", line.partition("#")[0].strip())
        try:
            row = [float(word) for word in words if word]
        except ValueError:
            row = []
            if rows:
                raise StoreError(f"--bonds {path}, line {number}: {line.strip()[:60]!r} is no row of numbers") from None
        if row:
            if len(row) != len(rows[0]) if rows else len(row) > 2:
                raise StoreError(
                    f"--bonds {path}, line {number} has {len(row)} numbers; give the length or shift, and its share, "
                    "in every row or in none"
                )
            rows.append(row)
        elif not rows:
            first = re.findall(r"[A-Za-z]+", line)[:1]
            named = next((word.lower() for word in first if word.lower() in (*_SHIFTS, *_LENGTHS)), named)
    if not rows:
        raise StoreError(f"--bonds {path} has no numbers; give bond lengths in Å, one a row, with or without a share")
    values = np.array(rows, dtype=np.float64)
    places, shares = values[:, 0], values[:, 1] if values.shape[1] > 1 else np.ones(len(values))
    if not np.isfinite(values).all() or (shares < 0).any() or not shares.sum() > 0:
        raise StoreError(f"--bonds {path} has numbers that are not finite, negative shares, or no share above 0")
    counted = places[shares > 0]
    lengths, shifts = (counted > _PART * first_shell).all(), (np.abs(counted) < _PART * first_shell).all()
    if (named in _SHIFTS and not shifts) or (named in _LENGTHS and not lengths) or not (lengths or shifts):
        raise StoreError(
            f"--bonds {path} has values from {counted.min():g} to {counted.max():g}; give lengths about "
            f"{first_shell:.4f} Å, the undistorted first shell, or shifts from it about 0"
        )
    return (places - first_shell if lengths else places), shares / shares.sum(), "lengths" if lengths else "shifts"
