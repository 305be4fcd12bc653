"""A store opened to be read: its tasks, structures and spectra, as arrays, by xarray and by pandas."""

from __future__ import annotations

import json
import os
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import ase
import numpy as np
from numpy.typing import NDArray

from xanesml.errors import StoreError
from xanesml.feff.outcomes import Outcome
from xanesml.files.arrays import Floats, Integers
from xanesml.files.layout import STORE
from xanesml.files.notebook import Card, Entry, OpenedFile, notebook_library
from xanesml.files.rows_text import about
from xanesml.store.kinds import Kind, count_kinds
from xanesml.store.plan import PlannedCampaign
from xanesml.store.rows import BLOCK, StoreView, count_outcomes, outcome_counts, torn_tasks
from xanesml.store.stored import stored_atoms, stored_campaign, stored_cluster, stored_table
from xanesml.store.tasks import TASK_UNITS, TaskTable
from xanesml.store.variants import card_set_rows, variant_names, variant_sizes

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

#: Columns of a spectrum with a value for each energy point.
_COLUMNS = ("energy", "mu", "mu0")

_UNITS = TASK_UNITS | {name: STORE[f"spectra/{name}"].units for name in ("edge", "energy")}


def open_store(path: str | os.PathLike[str]) -> Store:
    """Open a store to read it.

    Parameters
    ----------
    path : str or PathLike
        The store; a simulation may be writing to it.

    Returns
    -------
    Store
        The open store; also a context manager.

    Raises
    ------
    StoreError
        If the file is missing, unreadable, no store or of another version.
    """
    return Store(path)


class Store(OpenedFile):
    """A store, open for reading; see `open_store`. Nothing is read before it is asked for."""

    layout = STORE

    def __len__(self) -> int:
        """Return the number of tasks."""
        return len(self.file["runs/outcome"])

    @cached_property
    def campaign(self) -> PlannedCampaign:
        """The campaign that the store was laid out for; StoreError where this xanesml cannot read it."""
        return stored_campaign(self.file)

    @property
    def variants(self) -> tuple[str, ...]:
        """Names of the variants of the campaign's cards, in the order of their tasks."""
        return variant_names(self.file)

    @property
    def engine(self) -> str:
        """Engine and version that computed the spectra."""
        return str(self.file.attrs["engine"])

    @property
    def outcomes(self) -> dict[str, int]:
        """Number of tasks by outcome, such as `{"done": 91}`; outcomes that no task has are left out."""
        return outcome_counts(self.file)

    def tasks(self) -> TaskTable:
        """Return the task table, whose arrays are memory maps of the file."""
        return stored_table(stored_cluster(self.file), self.campaign.feff, StoreView(self.file))

    def structure(self, index: int) -> ase.Atoms:
        """Return one structure.

        Parameters
        ----------
        index : int
            The structure, from 0.

        Returns
        -------
        ase.Atoms
            Positions in Å; `info` says how it was made: `kind`, `delta` or `sigma` (Å) or `image`, `scale`.

        Raises
        ------
        StoreError
            If the store has no such structure.
        """
        count = len(self.file["structures/kind"])
        if not 0 <= index < count:
            raise StoreError(f"{self.path} has no structure {index}; give 0 … {count - 1}")
        return stored_atoms(self.file, index)

    def spectra(
        self,
        kind: Literal["distorted", "disordered", "image"] | None = None,
        *,
        variant: str | None = None,
        done: bool = True,
    ) -> Spectra:
        """Choose spectra in one set of cards; none is read yet.

        Parameters
        ----------
        kind : {"distorted", "disordered", "image"}, optional
            Kind of structure; by default all.
        variant : str, optional
            Name of a variant; by default those in the campaign's own cards.
        done : bool, optional
            Only tasks that are done. Default True; the others have no spectrum, and all of their values are NaN.

        Returns
        -------
        Spectra
            The spectra, in the order of the tasks; a slice of them chooses some.

        Raises
        ------
        StoreError
            If there is no such kind or variant.
        """
        labels = [one.label for one in Kind]
        if kind is not None and kind not in labels:
            raise StoreError(
                f"spectra of the kind {kind!r} do not exist; give {' or '.join(map(repr, labels))}, or none"
            )
        wanted = np.zeros(len(self), np.bool_)
        wanted[card_set_rows(self.file, variant)] = True
        if done:
            wanted &= self.file["runs/outcome"][:] == Outcome.DONE
        if kind is not None:
            wanted &= self.file["structures/kind"][:][self.file["tasks/structure"][:]] == labels.index(kind)
        return Spectra(self, np.flatnonzero(wanted).astype(np.int64))

    def _content(self) -> list[Entry]:
        file, sizes = self.file, variant_sizes(self.file)
        return [
            ("campaign", f"{json.loads(str(file.attrs['campaign']))['name']}, digest {file.attrs['campaign_digest']}"),
            ("structures", count_kinds(file["structures/kind"][:])),
            ("atoms", f"{len(file['structures/numbers'])} in each structure"),
            ("tasks", f"{len(self)}: {_counted(self.outcomes)}"),
            *([("variants", ", ".join(f"{name} {n}" for name, n in sizes.items()))] if sizes else []),
            ("engine", self.engine),
        ]


class Spectra(Card):
    """Spectra of some tasks of a store. They are read once, when they are first asked for.

    `spectra[start:stop:step]` and `spectra[index]` choose some of them or one, so that of a large store only a part
    is read.

    Attributes
    ----------
    tasks : ndarray, shape (n,), int64
        Task indices, ascending.
    """

    def __init__(self, store: Store, tasks: Integers) -> None:
        self._store = store
        self.tasks = tasks

    def __len__(self) -> int:
        return len(self.tasks)

    def __getitem__(self, rows: slice | int) -> Spectra:
        """Choose some of the spectra, or one, whose arrays keep their first dimension."""
        return Spectra(self._store, np.sort(np.atleast_1d(self.tasks[rows])))

    @property
    def energy(self) -> Floats:
        """Photon energies, shape (n, E), float64, eV; NaN beyond the points of a spectrum."""
        return self._arrays["energy"]

    @property
    def mu(self) -> Floats:
        """Absorption as FEFF printed it, shape (n, E), float64; NaN beyond the points of a spectrum."""
        return self._arrays["mu"]

    @property
    def mu0(self) -> Floats:
        """Atomic background as FEFF printed it, shape (n, E), float64; NaN beyond the points of a spectrum."""
        return self._arrays["mu0"]

    @cached_property
    def coordinates(self) -> dict[str, NDArray[Any]]:
        """Columns that describe each spectrum, shape (n,): `TaskTable.columns`, `edge` (float64, eV), `outcome`."""
        file = self._store.file
        labels = {outcome.value: outcome.label for outcome in Outcome}
        outcomes = file["runs/outcome"][:][self.tasks].tolist()
        return self._store.tasks().columns(self.tasks) | {
            "edge": file["spectra/edge"][:][self.tasks],
            "outcome": np.array([labels.get(code, f"unknown-{code}") for code in outcomes], dtype=np.str_),
        }

    def to_xarray(self) -> xr.Dataset:
        """Return the spectra with their coordinates.

        Returns
        -------
        xarray.Dataset
            `mu` and `mu0` over the dimensions `task` and `energy_point`, as in the file. Every run has its own
            energies, so the coordinate `energy` has both; those of `coordinates` are along `task`. Units are in
            the attributes.

        Raises
        ------
        EnvironmentProblem
            If xarray is not installed.
        StoreError
            If rows are damaged or the store is closed.
        """
        xarray = notebook_library("xarray")

        def spectral(name: str) -> tuple[tuple[str, ...], Floats, dict[str, str]]:
            array = STORE[f"spectra/{name}"]
            return array.shape, self._arrays[name], {"units": array.units, "description": array.description}

        coordinates = {
            name: ("task", values, {"units": _UNITS[name]} if name in _UNITS else {})
            for name, values in self.coordinates.items()
        }
        attributes = self._store.file.attrs
        dataset: xr.Dataset = xarray.Dataset(
            {name: spectral(name) for name in ("mu", "mu0")},
            coords={"task": self.tasks, "energy": spectral("energy")} | coordinates,
            attrs={name: str(attributes[name]) for name in ("campaign", "campaign_digest", "engine")},
        )
        return dataset

    def to_pandas(self) -> pd.DataFrame:
        """Return a tidy table: a row for every energy point of every spectrum.

        Returns
        -------
        pandas.DataFrame
            `task`, the columns of `coordinates`, `energy` (eV), `mu` and `mu0`; units in `attrs["units"]`.

        Raises
        ------
        EnvironmentProblem
            If pandas is not installed.
        StoreError
            If rows are damaged or the store is closed.
        """
        pandas = notebook_library("pandas")
        inside = np.isfinite(self.energy)
        row = np.nonzero(inside)[0]
        described = {"task": self.tasks} | self.coordinates
        table: pd.DataFrame = pandas.DataFrame(
            {name: values[row] for name, values in described.items()}
            | {name: self._arrays[name][inside] for name in _COLUMNS}
        )
        table.attrs["units"] = _UNITS
        return table

    @cached_property
    def _arrays(self) -> dict[str, Floats]:
        """Energies and spectra, shape (n, E) each, read and verified in blocks of rows."""
        file, tasks = self._store.file, self.tasks
        if len(torn := torn_tasks(file, tasks)):
            raise StoreError(
                f"{self._store.path}: {about(torn, 'does|do', 'task')} not match the checksum; "
                f"`xanesml validate {self._store.path} --repair` marks such rows to be run again"
            )
        points = file["spectra/points"][:][tasks]
        width = int(points.max(initial=0))
        arrays = {name: np.empty((len(tasks), width)) for name in _COLUMNS}
        for start in (np.unique(tasks // BLOCK) * BLOCK).tolist():
            stop = min(start + BLOCK, len(self._store))
            rows = slice(*np.searchsorted(tasks, (start, stop)).tolist())
            for name, values in arrays.items():
                values[rows] = file[f"spectra/{name}"][start:stop, :width][tasks[rows] - start]
        return arrays

    def card(self) -> tuple[str, list[Entry]]:
        """Return what is printed: how many spectra, of which kinds, and with which outcomes."""
        if self._store.closed:
            return f"{len(self)} spectra of {self._store.path} (closed)", []
        if not len(self):
            return f"no spectra of {self._store.path}", []
        kinds, counts = np.unique(self.coordinates["kind"], return_counts=True)
        points = self._store.file["spectra/points"][:][self.tasks]
        return f"{len(self)} spectra of {self._store.path}", [
            ("structures", _counted(dict(zip(kinds.tolist(), counts.tolist(), strict=True)))),
            ("tasks", f"{self.tasks[0]} … {self.tasks[-1]}"),
            ("points", " … ".join(map(str, sorted({points.min(), points.max()})))),
            ("outcomes", _counted(count_outcomes(self._store.file["runs/outcome"][:][self.tasks]))),
        ]


def _counted(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.items()) or "none"
