"""Checks the rows of a store: their checksums and their content."""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from xanesml.feff.outcomes import Outcome
from xanesml.files.arrays import Booleans, Indices, Integers
from xanesml.files.layout import STORE, Array, row_arrays
from xanesml.files.rows_text import about
from xanesml.store.rows import row_bytes, torn_rows

#: Rows read at a time.
BLOCK = 1024

_CODES = [int(outcome) for outcome in Outcome if outcome is not Outcome.PENDING]


@dataclass(frozen=True, kw_only=True)
class RowFindings:
    """The faults of a store's rows; arrays of row indices have the shape (n,), int64, increasing.

    Attributes
    ----------
    torn : ndarray
        Rows with an outcome that do not match their checksum.
    unfinished : ndarray
        Pending rows with content that matches no checksum.
    unmarked : ndarray
        Rows that match their checksum with an outcome other than the stored one.
    marks : ndarray of uint8, shape of `unmarked`
        Those outcomes.
    unknown : ndarray
        Rows that match their checksum but have an undefined outcome code.
    cut : ndarray
        Rows without content that lie partly behind the end of a truncated file.
    faults : dict of str to ndarray
        Rows that match their checksum but contradict themselves, by fault.
    outcomes : ndarray of int64, shape (256,)
        Number of rows with each outcome code.
    """

    torn: Integers
    unfinished: Integers
    unmarked: Integers
    marks: NDArray[np.uint8]
    unknown: Integers
    cut: Integers
    faults: dict[str, Integers]
    outcomes: Integers

    @property
    def suspect(self) -> Integers:
        """Rows that will be run again, those included that --repair would mark; increasing."""
        return np.sort(np.concatenate((self.torn, self.unfinished, self.unmarked)))

    @property
    def repairable(self) -> bool:
        """Whether there are rows to set back or to mark."""
        return any(len(rows) for rows in (self.torn, self.unfinished, self.unmarked, self.unknown, self.cut))

    def counts(self) -> str:
        """Return the number of rows by outcome as text."""
        known = {int(outcome): outcome.label for outcome in Outcome}
        present = np.flatnonzero(self.outcomes).tolist()
        return ", ".join(f"{self.outcomes[code]} {known.get(code, f'of unknown code {code}')}" for code in present)

    def problems(self, *, truncated: bool) -> list[str]:
        """Return the faults in lines."""
        again = "it|they is|are run again"
        left_by = "the end of the file is lost" if truncated else "a kill in mid-write leaves this"
        sentences = (
            (self.torn, f"does|do not match its|their checksum; {again}"),
            (self.unfinished, f"has|have no outcome and is|are not empty ({left_by}); {again}"),
            (self.unmarked, f"is|are complete but not marked; {again}, unless --repair marks it|them"),
            (self.unknown, "has|have an unknown outcome code"),
        )
        lines = [about(rows, what) for rows, what in sentences if len(rows)]
        return lines + [about(rows, what) for what, rows in self.faults.items()]


def examine_rows(file: h5py.File, size: int) -> RowFindings:
    """Check all rows of a store, block by block.

    Parameters
    ----------
    file : h5py.File
        A store whose form is sound.
    size : int
        Size of the file, bytes; cells beyond it count as never written.
    """
    arrays = row_arrays(STORE)
    parts: dict[str, list[NDArray[Any]]] = {
        name: [np.empty(0, np.int64)] for name in ("torn", "unfinished", "unmarked", "unknown", "cut")
    } | {"marks": [np.empty(0, np.uint8)]}
    faults: dict[str, list[Integers]] = {}
    outcomes = np.zeros(256, np.int64)
    total = len(file["runs/outcome"])
    there = {array.path: _rows_there(file[array.path], size) for array in arrays}
    for start in range(0, total, BLOCK):
        stop = min(start + BLOCK, total)
        columns = {array.path: _cells(file, array, start, stop, there[array.path]) for array in arrays}
        codes = columns["runs/outcome"]
        outcomes += np.bincount(codes, minlength=256)
        # The outcome comes last: if it is there, so is the whole row.
        torn = torn_rows(file, range(start, max(start, min(stop, there["runs/outcome"])))) - start
        blank = _blank(columns)
        suspects = _suspects(columns, torn, np.setdiff1d(np.flatnonzero(codes == Outcome.PENDING), blank))
        sound = np.ones(stop - start, bool)
        for name, rows in suspects.items():
            parts[name].append(rows if name == "marks" else start + rows)
            if name != "marks":
                sound[rows] = False
        unknown = sound & ~np.isin(codes, [*_CODES, Outcome.PENDING])
        parts["unknown"].append(start + np.flatnonzero(unknown))
        parts["cut"].append(start + blank[start + blank >= min(there.values())])
        for what, rows in _faults(columns, sound & ~unknown):
            faults.setdefault(what, []).append(start + rows)
    return RowFindings(
        **{name: np.concatenate(found) for name, found in parts.items()},
        faults={what: np.concatenate(found) for what, found in faults.items()},
        outcomes=outcomes,
    )


def _rows_there(dataset: h5py.Dataset, size: int) -> int:
    row = dataset.dtype.itemsize * math.prod(dataset.shape[1:])
    return max(0, (size - int(dataset.id.get_offset() or 0)) // row) if row else len(dataset)


def _cells(file: h5py.File, array: Array, start: int, stop: int, there: int) -> NDArray[Any]:
    dataset = file[array.path]
    column: NDArray[Any] = np.full((stop - start, *dataset.shape[1:]), fill_value(array), array.dtype)
    end = min(stop, there)
    if start < end:
        dataset.read_direct(column, np.s_[start:end], np.s_[: end - start])
    return column


def fill_value(array: Array) -> Any:
    """Return the value of a column in a fresh store."""
    return b"" if array.dtype.startswith("|S") else array.fill


def _blank(columns: dict[str, NDArray[Any]]) -> Integers:
    """Return the pending rows of a block that are as in a fresh store, to the bit."""
    pending = np.flatnonzero((columns["runs/outcome"] == Outcome.PENDING) & (columns["runs/checksum"] == 0))
    fresh = {
        path: np.full((1, *column.shape[1:]), fill_value(STORE[path]), column.dtype) for path, column in columns.items()
    }
    blank: Indices = pending[(_content(columns, pending) == _content(fresh, np.zeros(1, np.int64))).all(axis=1)]
    return blank


def _content(columns: dict[str, NDArray[Any]], rows: Integers) -> NDArray[np.uint8]:
    return row_bytes({path: column[rows] for path, column in columns.items()})


def _suspects(columns: dict[str, NDArray[Any]], torn: Integers, unfinished: Integers) -> dict[str, NDArray[Any]]:
    """Tell a block's rows that do not match their checksum apart, as in `RowFindings`."""
    rows = np.concatenate((torn, unfinished))
    marks = {}
    for row, content in zip(rows.tolist(), _content(columns, rows), strict=True):
        base = zlib.crc32(content[:-1].data)
        stored = columns["runs/checksum"][row]
        fitting = [code for code in _CODES if zlib.crc32(bytes([code]), base) == stored]
        if fitting:
            marks[row] = fitting[0]
    unmarked = np.array(sorted(marks), dtype=np.int64)
    return {
        "torn": np.setdiff1d(torn, unmarked),
        "unfinished": np.setdiff1d(unfinished, unmarked),
        "unmarked": unmarked,
        "marks": np.array([marks[row] for row in unmarked.tolist()], dtype=np.uint8),
    }


def _faults(columns: dict[str, NDArray[Any]], sound: Booleans) -> Iterator[tuple[str, Integers]]:
    """Yield the faults of rows that match their checksum, and the rows of the block that have them."""
    codes, points = columns["runs/outcome"], columns["spectra/points"]
    done = sound & (codes == Outcome.DONE)
    failed = sound & (codes != Outcome.DONE) & (codes != Outcome.PENDING)
    spectra = {name: columns[f"spectra/{name}"] for name in ("energy", "mu", "mu0")}
    room = spectra["energy"].shape[1]
    inside = np.arange(room) < points[:, np.newaxis]
    finite = np.all([np.isfinite(values) for values in spectra.values()], axis=0)
    empty = np.all([np.isnan(values) for values in spectra.values()], axis=0)
    with np.errstate(invalid="ignore"):
        rising = np.diff(spectra["energy"], axis=1) > 0
        positive = spectra["mu0"] > 0
    wrong = {
        f"done, but the number of energy points is not 1 to {room}": done & ((points < 1) | (points > room)),
        "done, but with numbers that are not finite": done
        & (~(finite | ~inside).all(axis=1) | ~np.isfinite(columns["spectra/edge"])),
        "done, but with numbers beyond the last energy point": done & ~(empty | inside).all(axis=1),
        "done, but with energies that do not increase": done & ~(rising | ~inside[:, 1:]).all(axis=1),
        "done, but with μ0 that is not positive": done & ~(positive | ~inside).all(axis=1),
        "done without a try": done & (columns["runs/tries"] < 1),
        "not done, but with a spectrum": failed
        & ((points != 0) | ~empty.all(axis=1) | ~np.isnan(columns["spectra/edge"])),
    }
    for what, which in wrong.items():
        if which.any():
            yield what, np.flatnonzero(which)
