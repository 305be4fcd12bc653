"""Checks the content of a tensor file: finite, in order, in range, and in agreement with its campaign."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator

import h5py
import numpy as np

from xanesml.campaign import Campaign
from xanesml.files.arrays import Integers
from xanesml.files.hdf5 import COMPLETE, blocks
from xanesml.files.layout import MEANS, TENSORS
from xanesml.files.means import mean_row, source_of_mean
from xanesml.files.rows_text import about
from xanesml.validation.averages import Fault, average_problems, lines
from xanesml.validation.conformity import attribute

_POSITIVE = (float(np.nextafter(0, 1)), math.inf)
_SHARE = (0.0, 1.0)

#: Largest excess of a share over 1, in single precision.
_ROUNDING = 1e-6

#: Largest difference of a mean spectrum from the mean of the averages, edge steps.
_MEAN = 1e-9

#: Largest difference of the steps of an evenly spaced grid, in steps.
_UNEVEN = 1e-6


def tensor_problems(file: h5py.File, campaign: Campaign | None) -> list[str]:
    """List the problems of a tensor file's content, in bounded memory; its form is sound.

    Parameters
    ----------
    file : h5py.File
        The file.
    campaign : Campaign or None
        Its campaign; None where it does not parse.
    """
    families = campaign.averaging.families if campaign is not None else None
    problems = [
        *_complete(file),
        *lines(_not_finite(file)),
        *lines(_roughness(file)),
        *_ranges(file, families),
        *_rising(file),
        *_sites(file, campaign),
        *average_problems(file),
        *_normalization(file),
        *_how_made(file, campaign),
    ]
    # Of averages that are wrong the mean is too.
    return problems or _means(file)


def _not_finite(file: h5py.File) -> Iterator[Fault]:
    for array in TENSORS.arrays:
        # The coordination of a converted file may not be known.
        if not array.dtype.startswith("<f") or array.path in (*MEANS, "series/roughness", "statistical/coordination"):
            continue
        group, name = array.path.split("/")
        # Undefined for a distribution without width.
        shape = name in ("skewness", "kurtosis")
        for start, (block, *msd) in blocks(file[array.path], *([file[f"{group}/msd"]] if shape else [])):
            bad = ~np.isfinite(block.reshape(len(block), -1)).all(axis=1)
            if shape:
                bad &= ~(np.isnan(block) & (msd[0] == 0))
            yield Fault(array.path, "is|are not finite", start + np.flatnonzero(bad))


def _roughness(file: h5py.File) -> Iterator[Fault]:
    path = "series/roughness"
    values = file[path][:]
    places = np.arange(len(values))
    # Undefined at the ends, which have only one neighbor.
    end = (places == 0) | (places == len(values) - 1)
    yield Fault(path, "is|are not finite", places[~end & ~np.isfinite(values)])
    yield Fault(path, "is|are at an|the end|ends and not NaN", places[end & ~np.isnan(values)])


def _means(file: h5py.File) -> list[str]:
    """Compare the mean spectra with the averages that they are of."""
    problems = []
    # Files of the version without plots have none.
    for path in (path for path in MEANS if path in file):
        source = source_of_mean(path)
        if not np.allclose(file[path][:], mean_row(file[source]), rtol=0, atol=_MEAN, equal_nan=True):
            problems.append(f"{path} is not the mean of {source}")
    return problems


def _ranges(file: h5py.File, families: int | None) -> list[str]:
    limits: dict[str, tuple[float, float]] = {
        "mesh/r": _POSITIVE,
        "series/task": (0, np.inf),
        "series/multiplicity": (1, np.inf),
        "series/edge_step": _POSITIVE,
        "series/roughness": (0, np.inf),
        "statistical/family": (0, np.inf if families is None else families - 1),
        "statistical/scale": _POSITIVE,
        "statistical/weights": _SHARE,
        "statistical/msd": (0, np.inf),
        "statistical/coordination": (_POSITIVE[0], float(np.finfo(np.float64).max)),
        "statistical/distribution": _SHARE,
        "statistical/truncated": _SHARE,
        "particle/structure": (0, np.inf),
        "particle/absorbers": (1, file["particle/task"].shape[1]),
        "particle/task": (-1, np.inf),
        "particle/msd": (0, np.inf),
        "particle/coordination": _POSITIVE,
        "particle/distribution": _SHARE,
        "particle/weights": _SHARE,
        "particle/outside": _SHARE,
    }
    problems = []
    for path, (low, high) in limits.items():
        found: list[Integers] = []
        first = ""
        for start, (block,) in blocks(file[path]):
            outside = (block < low) | (block > high + (_ROUNDING if high == 1 else 0))
            if outside.any():
                first = first or f"such as {block[outside][0]}"
                found.append(start + np.flatnonzero(outside.reshape(len(block), -1).any(axis=1)))
        if found:
            problems.append(f"{path}: {about(np.concatenate(found), f'is|are out of range ({first})')}")
    return problems


def _rising(file: h5py.File) -> list[str]:
    problems = []
    for path in ("mesh/energy", "mesh/r", "series/delta", "particle/structure"):
        bad = np.flatnonzero(~(np.diff(file[path][:]) > 0)) + 1
        if len(bad):
            problems.append(f"{path}: {about(bad, 'is|are not above the one|ones before')}")
    gaps = np.diff(file["mesh/r"][:])
    if len(gaps) and not np.ptp(gaps) <= _UNEVEN * np.abs(gaps).max():
        problems.append(f"mesh/r is not evenly spaced: its steps are {gaps.min():g} to {gaps.max():g} Å")
    return problems


def _sites(file: h5py.File, campaign: Campaign | None) -> list[str]:
    """Compare the sites of the series with each other and with the campaign."""
    problems = []
    tasks = file["series/task"][:]
    if len(np.unique(tasks)) < tasks.size:
        problems.append("series/task names a row of the store twice")
    asked = campaign.distortion.absorbers if campaign is not None and campaign.distortion is not None else "sites"
    if asked == "center" and (tasks.shape[1] != 1 or (file["series/multiplicity"][:] != 1).any()):
        problems.append("series/multiplicity is not that of one central absorber, distortion.absorbers of the campaign")
    coordination = file["statistical/coordination"][:]
    if len(np.unique(coordination)) > 1:
        problems.append("statistical/coordination is not the same in all rows, which are averages of one series")
    return problems


def _normalization(file: h5py.File) -> list[str]:
    problems = []
    normalization = attribute(file, "normalization")
    if normalization not in ("absolute", "feff"):
        problems.append(f"the root attribute normalization is {normalization!r}, not absolute or feff")
    mesh = file["mesh/energy"][:]
    for name in ("edge", "normalization_energy"):
        value = attribute(file, name)
        if not (isinstance(value, float) and len(mesh) and mesh[0] <= value <= mesh[-1]):
            problems.append(f"the root attribute {name} is {value!r}, which is not on the mesh")
    length = attribute(file, "first_shell")
    if not (isinstance(length, float) and 0 < length < math.inf):
        problems.append(f"the root attribute first_shell is {length}, not a length in Å")
    return problems


def _complete(file: h5py.File) -> list[str]:
    mark = attribute(file, COMPLETE)
    return [] if mark == 1 else [f"was not completed: the root attribute {COMPLETE} is {mark}, not 1"]


def _how_made(file: h5py.File, campaign: Campaign | None) -> list[str]:
    problems = []
    interpolation, smoothing = attribute(file, "interpolation"), attribute(file, "smoothing")
    if interpolation not in ("linear", "pchip"):
        problems.append(f"the root attribute interpolation is {interpolation!r}, not linear or pchip")
    longest = len(file["series/delta"])
    odd = isinstance(smoothing, np.integer) and 5 <= smoothing <= longest and smoothing % 2 == 1
    if not (odd or smoothing == 0):
        problems.append(f"the root attribute smoothing is {smoothing}, not 0 or an odd number from 5 to {longest}")
    if campaign is not None and not problems:
        section = campaign.averaging
        for name, asked, found in (
            ("interpolation", section.interpolation, interpolation),
            ("smoothing", section.smoothing, smoothing),
            ("normalization", campaign.feff.normalization, attribute(file, "normalization")),
        ):
            if asked != found:
                problems.append(f"the root attribute {name} is {found}, but in the campaign {asked}")
    return problems + _refused(file)


def _refused(file: h5py.File) -> list[str]:
    text = str(attribute(file, "refused"))
    try:
        structures = np.array([int(index) for index in dict(json.loads(text))], dtype=np.int64)
    except (TypeError, ValueError):
        return [f"the root attribute refused is {text[:60]!r}, not reasons by structure as JSON"]
    both = np.intersect1d(structures, file["particle/structure"][:])
    if len(both):
        return [about(both, "is|are refused, but has|have an average", noun="structure")]
    return []
