"""The store: one HDF5 file with a row for every FEFF run.

A row's spectra and provenance are written first, then their checksum, then the
outcome byte. Whatever a kill leaves half-written does not match its checksum.
"""

from __future__ import annotations

import math
import os
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol

import h5py
import numpy as np
from numpy.typing import NDArray

from xanesml.errors import StoreError
from xanesml.hdf5 import open_file, reason
from xanesml.layout import STORE, fixed_arrays, row_arrays
from xanesml.outcomes import Outcome

#: Rows read at a time when checksums are verified.
BLOCK = 512


class Spectrum(Protocol):
    """What a store keeps of a spectrum: arrays of shape (E,), float64, eV, and the edge, eV."""

    @property
    def energy(self) -> NDArray[np.float64]: ...  # noqa: D102
    @property
    def mu(self) -> NDArray[np.float64]: ...  # noqa: D102
    @property
    def mu0(self) -> NDArray[np.float64]: ...  # noqa: D102
    @property
    def edge(self) -> float: ...  # noqa: D102


class StoredSpectrum(NamedTuple):
    """A `Spectrum` read from a store."""

    energy: NDArray[np.float64]
    mu: NDArray[np.float64]
    mu0: NDArray[np.float64]
    edge: float


@dataclass(frozen=True, kw_only=True)
class Row:
    """What a task yielded, ready to be written. Texts are cut to their column.

    Attributes
    ----------
    task : int
        Row of the store.
    outcome : Outcome
        What became of the task.
    finished : float
        End of the last run, seconds since 1970 UTC.
    host : str
        Host it was on.
    seconds, cpu_seconds : float
        Wall time and processor time of all its FEFF runs, s.
    memory : float
        Largest resident memory of a FEFF process, MiB.
    tries : int
        FEFF runs that it took.
    changes : str
        Cards that differ from the campaign's in the run that counts; empty where none does.
    solver : str
        What solved the full multiple scattering.
    message : str
        Why it is not done; empty where it is.
    log : str
        End of FEFF's log where it is not done.
    spectrum : Spectrum or None
        The spectra of a task that is done.
    """

    task: int
    outcome: Outcome
    finished: float
    host: str
    seconds: float = math.nan
    cpu_seconds: float = math.nan
    memory: float = math.nan
    tries: int = 1
    changes: str = ""
    solver: str = ""
    message: str = ""
    log: str = ""
    spectrum: Spectrum | None = None

    def values(self) -> dict[str, Any]:
        """Return the row's value in every column but the spectra and the checksum."""
        return {
            "runs/seconds": self.seconds,
            "runs/cpu_seconds": self.cpu_seconds,
            "runs/memory": self.memory,
            "runs/finished": self.finished,
            "runs/host": self.host.encode(),
            "runs/tries": self.tries,
            "runs/changes": self.changes.encode(),
            "runs/solver": self.solver.encode(),
            "runs/message": self.message.encode(),
            "runs/log": self.log.encode(),
            "runs/outcome": int(self.outcome),
            "spectra/points": 0 if self.spectrum is None else len(self.spectrum.energy),
            "spectra/edge": math.nan if self.spectrum is None else self.spectrum.edge,
        }


class RowWriter:
    """Writes rows into an open store: each column's bytes at the place that HDF5 gave it.

    All datasets are contiguous and allocated, so that a row's place in the file is known.
    Writing there directly costs a third of the processor time of HDF5's own writes, and
    leaves nothing of a row in a library's memory.

    Parameters
    ----------
    file : h5py.File
        A store opened with mode `r+`.
    write_at : callable, optional
        Writes bytes, (n,) uint8, at an offset in the same file, such as that of an MPI
        file; raises OSError. By default through the file's own descriptor, which is for
        files opened without MPI.
    """

    def __init__(self, file: h5py.File, write_at: Callable[[int, NDArray[np.uint8]], object] | None = None) -> None:
        self._name = file.filename
        self._write_at = write_at or _descriptor_writer(file.id.get_vfd_handle())
        arrays = row_arrays(STORE)
        # One after the other in memory, as the checksum has them; the checksum itself is not among them.
        covered = [array for array in arrays if array.path != "runs/checksum"]
        self._row = np.zeros(1, [(array.path, array.dtype, file[array.path].shape[1:]) for array in covered])
        self._checksum = np.zeros(1, STORE["runs/checksum"].dtype)
        content = self._row.view(np.uint8)
        fields = self._row.dtype.fields
        assert fields is not None  # noqa: S101 (a structured array)
        self._columns = []
        for array in arrays:
            if array.path == "runs/checksum":
                piece = self._checksum.view(np.uint8)
            else:
                dtype, start = fields[array.path][:2]
                piece = content[start : start + dtype.itemsize]
            self._columns.append((file[array.path].id.get_offset(), len(piece), piece))

    def write(self, row: Row) -> None:
        """Write one row: spectra and provenance, then the checksum, then the outcome.

        Raises
        ------
        StoreError
            If the file system refuses, as when the disk is full; the row is then not done.
        """
        for path, value in row.values().items():
            self._row[path] = value
        for name in ("energy", "mu", "mu0"):
            padded = self._row[f"spectra/{name}"][0]
            count = 0
            if row.spectrum is not None:
                values = getattr(row.spectrum, name)
                count = len(values)
                padded[:count] = values
            padded[count:] = np.nan
        self._checksum[0] = zlib.crc32(self._row.data)
        try:
            for offset, size, piece in self._columns:
                self._write_at(offset + row.task * size, piece)
        except OSError as error:
            raise StoreError(
                f"cannot write to {self._name}: {reason(error, Path(self._name))}; what is done is safe: "
                "mend that and start the same command again"
            ) from error


def _descriptor_writer(descriptor: int) -> Callable[[int, NDArray[np.uint8]], object]:
    def write_at(offset: int, content: NDArray[np.uint8]) -> None:
        written = os.pwrite(descriptor, content.data, offset)
        # A disk that is nearly full takes a part; the next call says why.
        while written < len(content):
            written += os.pwrite(descriptor, content[written:].data, offset + written)

    return write_at


def torn_rows(file: h5py.File, rows: range | None = None) -> NDArray[np.int64]:
    """Find the rows with an outcome whose content does not match their checksum.

    Parameters
    ----------
    file : h5py.File
        A store.
    rows : range, optional
        Rows to look at, in steps of 1; all by default.

    Returns
    -------
    ndarray, shape (n,), int64
        Task indices, increasing.
    """
    arrays = row_arrays(STORE)
    rows = range(len(file["runs/outcome"])) if rows is None else rows
    columns_of = {array.path: file[array.path] for array in arrays}
    torn: list[int] = []
    for start in range(rows.start, rows.stop, BLOCK):
        block = slice(start, min(start + BLOCK, rows.stop))
        ended = np.flatnonzero(columns_of["runs/outcome"][block] != Outcome.PENDING)
        if not len(ended):
            continue
        columns = {path: np.ascontiguousarray(column[block]) for path, column in columns_of.items()}
        stored = columns.pop("runs/checksum")
        views = [column.reshape(len(column), -1).view(np.uint8) for column in columns.values()]
        content = np.concatenate(views, axis=1)
        torn += [start + int(i) for i in ended if zlib.crc32(content[i].data) != stored[i]]
    return np.array(torn, dtype=np.int64)


def read_spectrum(file: h5py.File, task: int) -> StoredSpectrum:
    """Return the spectrum of a task that is done, without padding."""
    count = file["spectra/points"][task]
    energy, mu, mu0 = (file[f"spectra/{name}"][task, :count] for name in ("energy", "mu", "mu0"))
    return StoredSpectrum(energy, mu, mu0, float(file["spectra/edge"][task]))


def copy_done_rows(source: h5py.File, target: h5py.File) -> int:
    """Take over the tasks that another store has done already.

    Parameters
    ----------
    source : h5py.File
        A store.
    target : h5py.File
        A store opened with mode `r+`, not through `mpio`.

    Returns
    -------
    int
        Number of tasks taken over: those with the same identity, done in the source,
        with a matching checksum and room in the target.
    """
    done = np.flatnonzero(source["runs/outcome"][:] == Outcome.DONE)
    room, points = target["spectra/energy"].shape[1], source["spectra/points"][:]
    usable = np.setdiff1d(done[points[done] <= room], torn_rows(source))
    _, theirs, ours = np.intersect1d(
        source["tasks/identity"][:][usable], target["tasks/identity"][:], return_indices=True
    )
    writer = RowWriter(target)
    for old, new in zip(usable[theirs].tolist(), ours.tolist(), strict=True):
        writer.write(_read_row(source, old, new))
    return len(ours)


def _read_row(file: h5py.File, task: int, renamed: int) -> Row:
    texts = ("host", "changes", "solver", "message", "log")
    numbers = ("seconds", "cpu_seconds", "memory", "finished")
    return Row(
        task=renamed,
        outcome=Outcome(file["runs/outcome"][task]),
        tries=int(file["runs/tries"][task]),
        spectrum=read_spectrum(file, task),
        **{name: file[f"runs/{name}"][task].item() for name in numbers},
        **{name: file[f"runs/{name}"][task].decode(errors="ignore") for name in texts},
    )


def outcome_counts(file: h5py.File) -> dict[str, int]:
    """Count the rows of a store by the label of their outcome, absent outcomes left out."""
    return count_outcomes(file["runs/outcome"][:])


def count_outcomes(outcomes: NDArray[np.uint8]) -> dict[str, int]:
    """Count outcome codes, shape (T,), by their label, absent ones left out."""
    codes, counts = np.unique(outcomes, return_counts=True)
    labels = {int(outcome): outcome.label for outcome in Outcome}
    # A damaged file has codes without a name.
    return {labels.get(int(c), f"unknown-{c}"): int(n) for c, n in zip(codes, counts, strict=True)}


def open_store(path: Path, *, mode: Literal["r", "r+"] = "r", comm: object | None = None) -> h5py.File:
    """Open a store; see `xanesml.hdf5.open_file`."""
    return open_file(path, STORE, mode=mode, comm=comm)


class StoreView:
    """The datasets of a store that never change, as read-only memory maps.

    Ranks read the structures of their tasks through it: nothing is held or sent, and
    no second HDF5 library looks at a file that is being written. Pickles as a path
    and offsets.

    Parameters
    ----------
    path : Path
        The store.
    file : h5py.File
        The same, open.
    """

    def __init__(self, path: Path, file: h5py.File) -> None:
        self._path = path
        self._where = {
            array.path: (file[array.path].id.get_offset(), file[array.path].shape, array.dtype)
            for array in fixed_arrays(STORE)
        }

    def __getitem__(self, path: str) -> NDArray[Any]:
        offset, shape, dtype = self._where[path]
        return np.memmap(self._path, dtype=dtype, mode="r", offset=offset, shape=shape)

    def __iter__(self) -> Iterator[str]:
        return iter(self._where)
