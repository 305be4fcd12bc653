"""Checks the averages of a tensor file against their weights, distributions and absorbers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import h5py
import numpy as np

from xanesml.averages.distributions import weighted_moments
from xanesml.averages.series import Series
from xanesml.files.arrays import Integers
from xanesml.files.hdf5 import blocks
from xanesml.files.rows_text import about

#: Fault of weights and of distributions.
SUM = "does|do not sum to 1"

#: Largest deviation from 1 of the sum of a row's weights, in single precision.
WEIGHT_SUM = 1e-5

#: Largest deviation from 1 of the sum of a distribution.
DISTRIBUTION_SUM = 1e-4

#: Largest deviation of a spectrum from the average under its weights, edge steps.
SPECTRUM = 1e-4

#: Largest absolute and relative deviation of labels from the moments of their weights, in single precision.
LABELS = {
    "mean_shift": (1e-6, 0.0),
    "msd": (1e-9, 1e-5),
    "skewness": (1e-4, 1e-4),
    "kurtosis": (1e-3, 1e-3),
}


class Fault(NamedTuple):
    """Rows of a dataset with the same fault, worded as `about` takes it."""

    path: str
    what: str
    rows: Integers


def lines(faults: Iterable[Fault]) -> list[str]:
    """Return a line for every dataset and fault, with the rows of all blocks."""
    gathered: dict[tuple[str, str], list[Integers]] = {}
    for path, what, rows in faults:
        if len(rows):
            gathered.setdefault((path, what), []).append(rows)
    return [f"{path}: {about(np.concatenate(parts), what)}" for (path, what), parts in gathered.items()]


def average_problems(file: h5py.File) -> list[str]:
    """List the averages of a tensor file that contradict its other datasets, in bounded memory; its form is sound."""
    kept, count = len(file["statistical/weights"]), len(file["statistical/family"])
    problems = lines(_distributions(file)) + lines(_bonds(file)) + lines(_absorbers(file))
    if kept == count:
        problems += lines(_weights(file))
    elif kept:
        problems.append(f"statistical/weights: {kept} rows for {count} averages, where all or none are kept")
    return problems


def _distributions(file: h5py.File) -> Iterator[Fault]:
    path = "statistical/distribution"
    for start, (shares,) in blocks(file[path]):
        bad = ~(np.abs(shares.sum(axis=1, dtype=np.float64) - 1) <= DISTRIBUTION_SUM)
        yield Fault(path, SUM, start + np.flatnonzero(bad))
    path = "particle/distribution"
    for start, (shares, outside) in blocks(file[path], file["particle/outside"]):
        total = shares.sum(axis=1, dtype=np.float64)
        # The bins reach a little beyond the series, so that they may hold bonds outside it.
        bad = ~((total >= 1 - outside - DISTRIBUTION_SUM) & (total <= 1 + DISTRIBUTION_SUM))
        what = "does|do not hold the share of the bonds that particle/outside leaves"
        yield Fault(path, what, start + np.flatnonzero(bad))


def _bonds(file: h5py.File) -> Iterator[Fault]:
    """Compare the weights of bonds over the series with the other labels of the bonds."""
    path, delta = "particle/weights", file["series/delta"][:]
    columns = (file[f"particle/{name}"] for name in ("weights", "outside", "mean_shift"))
    for start, (weights, outside, shift) in blocks(*columns):
        # All are 0 where all bonds lie outside.
        expected = np.where(outside > 1 - WEIGHT_SUM, 0.0, 1.0)
        off = ~(np.abs(weights.sum(axis=1) - expected) <= WEIGHT_SUM)
        yield Fault(path, SUM, start + np.flatnonzero(off))
        moved = (np.abs(weights @ delta - shift) > LABELS["mean_shift"][0]) & (outside < WEIGHT_SUM) & ~off
        yield Fault(path, "does|do not have the mean shift of the bonds", start + np.flatnonzero(moved))


def _absorbers(file: h5py.File) -> Iterator[Fault]:
    path = "particle/task"
    for start, (tasks, absorbers) in blocks(file[path], file["particle/absorbers"]):
        miscounted = (tasks >= 0).sum(axis=1) != absorbers
        what = "does|do not name as many rows of the store as particle/absorbers says"
        yield Fault(path, what, start + np.flatnonzero(miscounted))
        rising = np.sort(tasks, axis=1)
        twice = ((np.diff(rising, axis=1) == 0) & (rising[:, 1:] >= 0)).any(axis=1)
        yield Fault(path, "names|name a row of the store twice", start + np.flatnonzero(twice))


def _weights(file: h5py.File) -> Iterator[Fault]:
    """Compare labels and spectra with the weights, in rows whose weights sum to 1."""
    series = Series.read(file)
    names = ("weights", "spectra", *LABELS)
    for start, (single, spectra, *labels) in blocks(*(file[f"statistical/{name}"] for name in names)):
        weights = single.astype(np.float64)
        total = weights.sum(axis=1)
        sound = np.abs(total - 1) <= WEIGHT_SUM
        yield Fault("statistical/weights", SUM, start + np.flatnonzero(~sound))
        what = "is|are inconsistent with the weights"
        with np.errstate(all="ignore"):
            expected = weighted_moments(weights / total[:, np.newaxis], series.delta)
            for (name, (absolute, relative)), stored in zip(LABELS.items(), labels, strict=True):
                right = getattr(expected, name)
                # Numbers that are not finite are named elsewhere.
                off = np.abs(stored - right) > absolute + relative * np.abs(right)
                yield Fault(f"statistical/{name}", what, start + np.flatnonzero(off & sound))
            off = (np.abs(spectra[sound] - series.average(weights[sound])) > SPECTRUM).any(axis=1)
        yield Fault("statistical/spectra", what, start + np.flatnonzero(sound)[off])
