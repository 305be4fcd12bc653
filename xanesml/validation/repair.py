"""Repairs a store: rows that cannot be trusted become pending, so that they are run again."""

from __future__ import annotations

import os

import h5py
import numpy as np

from xanesml.errors import EnvironmentProblem
from xanesml.feff.outcomes import Outcome
from xanesml.files.arrays import Integers
from xanesml.files.layout import STORE, row_arrays
from xanesml.files.rows_text import about, stretches
from xanesml.files.whole import reason
from xanesml.store.rows import open_store_file
from xanesml.validation.opening import Extent
from xanesml.validation.rows import BLOCK, RowFindings, fill_value


def repair_store(found: Extent, rows: RowFindings) -> list[str]:
    """Extend a truncated store to its full size, mark complete rows, and set damaged ones back to pending.

    Parameters
    ----------
    found : Extent
        How much is there of a store whose form is sound, locked for writing.
    rows : RowFindings
        What is wrong with its rows.

    Returns
    -------
    list of str
        What was done, each in one line.

    Raises
    ------
    EnvironmentProblem
        If the store cannot be written.
    """
    did = []
    try:
        if found.truncated:
            os.truncate(found.path, found.whole)
            did.append(f"extended from {found.size} to its full {found.whole} bytes")
        with open_store_file(found.path, mode="r+") as file:
            back = np.sort(np.concatenate((rows.torn, rows.unfinished, rows.unknown)))
            _set_back(file, np.sort(np.concatenate((back, rows.cut))))
            for row, mark in zip(rows.unmarked.tolist(), rows.marks.tolist(), strict=True):
                file["runs/outcome"][row] = mark
        with found.path.open("rb") as synced:
            os.fsync(synced.fileno())
    except OSError as error:
        raise EnvironmentProblem(
            f"cannot repair {found.path}: {reason(error)}; give it write permission, or repair a copy"
        ) from error
    if len(back):
        did.append(about(back, "is|are pending again"))
    if len(rows.unmarked):
        counts = ", ".join(
            f"{np.count_nonzero(rows.marks == code)} {Outcome(code).label}" for code in np.unique(rows.marks)
        )
        did.append(about(rows.unmarked, f"is|are marked ({counts})"))
    return did


def _set_back(file: h5py.File, rows: Integers) -> None:
    # The outcome first, so that a kill leaves pending rows.
    arrays = row_arrays(STORE)[::-1]
    for first, last in stretches(rows):
        for start in range(first, last + 1, BLOCK):
            stop = min(start + BLOCK, last + 1)
            for array in arrays:
                dataset = file[array.path]
                dataset[start:stop] = np.full((stop - start, *dataset.shape[1:]), fill_value(array), array.dtype)
