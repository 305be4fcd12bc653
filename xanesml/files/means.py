"""Means over all rows of a dataset."""

from __future__ import annotations

import h5py
import numpy as np

from xanesml.files.arrays import Floats
from xanesml.files.hdf5 import blocks
from xanesml.files.layout import MEANS


def mean_row(dataset: h5py.Dataset) -> Floats:
    """Return the mean of the rows of a dataset, shape (rows, n), read in bounded memory; NaN where there are none."""
    total = np.zeros(dataset.shape[1])
    for _, (block,) in blocks(dataset):
        total += block.sum(axis=0, dtype=np.float64)
    return total / len(dataset) if len(dataset) else np.full(dataset.shape[1], np.nan)


def write_means(file: h5py.File) -> None:
    """Write the mean spectra of a tensor file whose averages are all there."""
    for path in MEANS:
        file[path][...] = mean_row(file[source_of_mean(path)])


def source_of_mean(path: str) -> str:
    """Return the dataset that a mean spectrum is the mean of."""
    return f"{path.split('/', maxsplit=1)[0]}/spectra"
