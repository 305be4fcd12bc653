"""A tensor file opened to be read: the series, statistical and particle averages, and how a row was made."""

from __future__ import annotations

import os
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from xanesml.averages.series import Series
from xanesml.averages.trace import Group, trace_lines
from xanesml.errors import StoreError
from xanesml.files.layout import MEANS, TENSORS, Array
from xanesml.files.notebook import Card, Entry, OpenedFile, notebook_library

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr


def open_tensors(path: str | os.PathLike[str]) -> TensorFile:
    """Open a tensor file to read it.

    Parameters
    ----------
    path : str or PathLike
        The tensor file.

    Returns
    -------
    TensorFile
        The open file; also a context manager.

    Raises
    ------
    StoreError
        If the file is missing, unreadable, no tensor file or of another version.
    """
    return TensorFile(path)


class TensorFile(OpenedFile):
    """A tensor file, open for reading; see `open_tensors`. Nothing is read before it is asked for."""

    layout = TENSORS

    @cached_property
    def series(self) -> Series:
        """The distorted series on the common mesh, which statistical averages are made of."""
        return Series.read(self.file)

    def statistical(self, rows: slice | int = slice(None)) -> Averages:
        """Choose statistical averages; none is read yet.

        Parameters
        ----------
        rows : slice or int, optional
            Rows, in steps of 1 or more, or one of them; by default all.
        """
        return Averages(self, "statistical", rows)

    def particle(self, rows: slice | int = slice(None)) -> Averages:
        """Choose particle averages; none is read yet. The rows are as for `statistical`."""
        return Averages(self, "particle", rows)

    def trace(self, row: int, group: Group = "statistical") -> str:
        """Return how an average was made, as text: its distribution or structure, its FEFF runs, and a check.

        Parameters
        ----------
        row : int
            The row, from 0.
        group : {"statistical", "particle"}, optional
            Which averages it is a row of.

        Returns
        -------
        str
            A line for each item; see `xanesml.averages.trace.trace_lines`.

        Raises
        ------
        StoreError
            If the file has no such averages, or not as many, or is closed.
        """
        return "\n".join(trace_lines(Path(self.file.filename), row, group))

    def _content(self) -> list[Entry]:
        file = self.file
        mesh, delta, sites = file["mesh/energy"], file["series/delta"], file["series/multiplicity"][:]
        over = f", each the mean over {len(sites)} sites" if len(sites) > 1 else ""
        return [
            ("store", f"{file.attrs['store']}, campaign digest {file.attrs['campaign_digest']}"),
            ("mesh", f"{len(mesh)} energies, {mesh[0]:.1f} … {mesh[-1]:.1f} eV; edge {file.attrs['edge']:.1f} eV"),
            ("series", f"{len(delta)} distorted spectra, δ = {delta[0]:+.2f} … {delta[-1]:+.2f} Å{over}"),
            ("averages", f"{len(self.statistical()):,} statistical, {len(self.particle()):,} particle"),
        ]


class Averages(Card):
    """Some averages of a tensor file. A column is read when it is asked for.

    Parameters
    ----------
    tensors : TensorFile
        The open file.
    group : {"statistical", "particle"}
        Which averages.
    rows : slice or int
        Rows, in steps of 1 or more, or one of them.

    Raises
    ------
    StoreError
        If the rows run backwards, or there is no such row.
    """

    def __init__(self, tensors: TensorFile, group: Group, rows: slice | int) -> None:
        self._tensors, self._group = tensors, group
        count = len(tensors.file[f"{group}/spectra"])
        if not isinstance(rows, slice):
            if not 0 <= rows < count:
                raise StoreError(f"{tensors.path} has no {group} average {rows}; give 0 … {count - 1}")
            rows = slice(rows, rows + 1)
        chosen = range(count)[rows]
        if chosen.step < 1:
            raise StoreError(f"the rows {rows} run backwards; give a step of 1 or more")
        self.rows = chosen

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def names(self) -> list[str]:
        """Names of the columns, such as `spectra` and `msd`; `weights` only where the file keeps them."""
        of_group = [array for array in TENSORS.arrays if array.path.startswith(f"{self._group}/")]
        arrays = [array for array in of_group if array.path not in MEANS]
        names = [array.path.split("/")[1] for array in arrays]
        kept = len(self._tensors.file[f"{self._group}/weights"]) > 0
        return [name for name in names if kept or name != "weights"]

    def __getitem__(self, name: str) -> NDArray[Any]:
        """Read a column.

        Parameters
        ----------
        name : str
            One of `names`.

        Returns
        -------
        ndarray, shape (n, ...)
            The values, with the dtype and unit that `xanesml.files.layout.TENSORS` gives.

        Raises
        ------
        StoreError
            If there is no such column, or the file is closed.
        """
        if name not in self.names:
            raise StoreError(f"{self._group} averages have no column {name!r}; they have {', '.join(self.names)}")
        values: NDArray[Any] = self._tensors.file[f"{self._group}/{name}"][
            self.rows.start : self.rows.stop : self.rows.step
        ]
        return values

    def to_xarray(self) -> xr.Dataset:
        """Return the averages with their labels.

        Returns
        -------
        xarray.Dataset
            `spectra` over `average` (of particles: `structure`) and `energy`, `distribution` over `r`, `weights`
            over `delta`, and a variable for each label. Units are in the attributes.

        Raises
        ------
        EnvironmentProblem
            If xarray is not installed.
        StoreError
            If the file is closed.
        """
        xarray = notebook_library("xarray")
        file = self._tensors.file
        columns = {name: TENSORS[f"{self._group}/{name}"] for name in self.names}
        axes = {name: TENSORS[TENSORS.scales[name]] for name in ("energy", "r", "delta")}
        dataset: xr.Dataset = xarray.Dataset(
            {name: (column.shape, self[name], _attributes(column)) for name, column in columns.items()},
            coords={name: (name, file[column.path][:], _attributes(column)) for name, column in axes.items()},
            attrs={name: str(file.attrs[name]) for name in ("campaign", "campaign_digest", "store", "normalization")}
            | {name: float(file.attrs[name]) for name in ("edge", "first_shell")},
        )
        if self._group == "statistical":
            # Weights that are kept have a row for each average.
            dataset = dataset.rename(weighted="average") if "weights" in dataset else dataset
            dataset = dataset.assign_coords(average=np.array(self.rows, dtype=np.int64))
        return dataset

    def to_pandas(self) -> pd.DataFrame:
        """Return the table of labels: a row for each average, without the spectra.

        Returns
        -------
        pandas.DataFrame
            Indexed by the row of the file; units in `attrs["units"]`.

        Raises
        ------
        EnvironmentProblem
            If pandas is not installed.
        StoreError
            If the file is closed.
        """
        pandas = notebook_library("pandas")
        labels = [name for name in self.names if len(TENSORS[f"{self._group}/{name}"].shape) == 1]
        table: pd.DataFrame = pandas.DataFrame(
            {name: self[name] for name in labels}, index=pandas.Index(self.rows, name="average")
        )
        units = {name: TENSORS[f"{self._group}/{name}"].units for name in labels}
        table.attrs["units"] = {name: unit for name, unit in units.items() if unit}
        return table

    def card(self) -> tuple[str, list[Entry]]:
        """Return what is printed: how many averages, and the range of their MSD."""
        title = f"{len(self):,} {self._group} averages of {self._tensors.path}"
        if self._tensors.closed:
            return f"{title} (closed)", []
        if not len(self):
            return title, []
        msd = self["msd"]
        return title, [
            ("rows", f"{self.rows[0]} … {self.rows[-1]}"),
            ("MSD", f"{msd.min():.4f} … {msd.max():.4f} Å²"),
            ("columns", ", ".join(self.names)),
        ]


def _attributes(array: Array) -> dict[str, str]:
    return {"units": array.units, "description": array.description}
