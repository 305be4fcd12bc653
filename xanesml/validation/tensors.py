"""The content of a tensor file: finite, in order and in range."""

from __future__ import annotations

import math
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from xanesml.campaign import Campaign
from xanesml.layout import TENSORS
from xanesml.validation.conformity import attribute
from xanesml.validation.report import about

#: Bytes read at a time.
_BYTES = 2**24


def tensor_problems(file: h5py.File, campaign: Campaign | None) -> list[str]:
    """List what is wrong with the content of a tensor file of sound form.

    Parameters
    ----------
    file : h5py.File
        The file.
    campaign : Campaign or None
        Its campaign, where that parses.
    """
    problems = []
    for array in TENSORS.arrays:
        if array.dtype.startswith("<f"):
            bad = _not_finite(file[array.path])
            if len(bad):
                problems.append(f"{array.path}: " + about(bad, "is not finite", "are not finite"))
    families = campaign.averaging.families if campaign is not None else None
    problems += _ranges(file, families)
    problems += _rising(file)
    return problems + _reference(file)


def _not_finite(dataset: h5py.Dataset) -> NDArray[np.int64]:
    step = max(1, _BYTES // max(1, dataset.dtype.itemsize * math.prod(dataset.shape[1:])))
    found = [np.empty(0, np.int64)]
    for start in range(0, len(dataset), step):
        block = dataset[start : start + step]
        found.append(start + np.flatnonzero(~np.isfinite(block.reshape(len(block), -1)).all(axis=1)))
    return np.concatenate(found)


def _ranges(file: h5py.File, families: int | None) -> list[str]:
    limits: dict[str, tuple[float, float]] = {
        "series/task": (0, np.inf),
        "series/edge_step": (np.nextafter(0, 1), np.inf),
        "statistical/family": (0, np.inf if families is None else families - 1),
        "statistical/scale": (np.nextafter(0, 1), np.inf),
        "statistical/msd": (0, np.inf),
        "statistical/truncated": (0, 1),
        "particle/structure": (0, np.inf),
        "particle/absorbers": (1, np.inf),
        "particle/msd": (0, np.inf),
    }
    problems = []
    for path, (low, high) in limits.items():
        values: NDArray[Any] = file[path][:]
        bad = np.flatnonzero((values < low) | (values > high))
        if len(bad):
            first = f"such as {values[bad[0]]}"
            problems.append(f"{path}: " + about(bad, f"is out of range ({first})", f"are out of range ({first})"))
    return problems


def _rising(file: h5py.File) -> list[str]:
    problems = []
    for path in ("mesh/energy", "series/delta", "particle/structure"):
        bad = np.flatnonzero(~(np.diff(file[path][:]) > 0)) + 1
        if len(bad):
            problems.append(f"{path}: " + about(bad, "is not above the one before", "are not above those before"))
    tasks = file["series/task"][:]
    if len(np.unique(tasks)) < len(tasks):
        problems.append("series/task names a row of the store twice")
    return problems


def _reference(file: h5py.File) -> list[str]:
    problems = []
    normalization = attribute(file, "normalization")
    if normalization not in ("absolute", "feff"):
        problems.append(f"the root attribute normalization is {normalization!r}, not absolute or feff")
    mesh = file["mesh/energy"][:]
    for name in ("edge", "normalization_energy"):
        value = attribute(file, name)
        if not (isinstance(value, float) and len(mesh) and mesh[0] <= value <= mesh[-1]):
            problems.append(f"the root attribute {name} is {value!r}, which is not on the mesh")
    return problems
