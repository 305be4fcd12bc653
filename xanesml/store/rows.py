"""The store: one HDF5 file with a row for every FEFF run.

A row's spectra and provenance are written first, then their checksum, then the
outcome byte. Whatever a kill leaves half-written does not match its checksum.
"""

from __future__ import annotations

import math
import os
import struct
import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import Any, Literal, NamedTuple, cast

import h5py
import numpy as np
from numpy.typing import NDArray

from xanesml.errors import StoreError
from xanesml.feff.outcomes import Outcome
from xanesml.feff.xmu import Spectrum
from xanesml.files.arrays import Floats, Integers, Wholes
from xanesml.files.file_array import FileArray
from xanesml.files.hdf5 import open_file
from xanesml.files.layout import STORE, Array, fixed_arrays, row_arrays
from xanesml.files.mounts import is_local
from xanesml.files.whole import reason
from xanesml.store.variants import variant_names

#: Rows read at a time when checksums are verified.
BLOCK = 512


class StoredSpectrum(NamedTuple):
    """A spectrum read from a store: energies (eV), μ and μ0, each of shape (E,), float64, and the edge, eV."""

    energy: Floats
    mu: Floats
    mu0: Floats
    edge: float


@dataclass(kw_only=True, slots=True)
class Row:
    """The result of a task, as a row of the store. Texts are cut to their column.

    Attributes
    ----------
    task : int
        Row of the store.
    outcome : Outcome
        Outcome of the task.
    finished : float
        End of the last run, seconds since 1970 UTC.
    host : str
        Host of that run.
    seconds, cpu_seconds : float
        Wall time and processor time of all its FEFF runs, s.
    memory : float
        Largest resident memory of a FEFF process, MiB.
    tries : int
        Number of FEFF runs.
    changes : str
        Cards that differ from the task's in the run that counts; empty where none does.
    solver : str
        Solver of the full multiple scattering.
    message : str
        Why the task is not done; empty where it is.
    log : str
        End of FEFF's log where the task is not done.
    spectrum : Spectrum, StoredSpectrum or None
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
    spectrum: Spectrum | StoredSpectrum | None = None


class RowPacker:
    """Packs rows into the bytes of a store's columns.

    Parameters
    ----------
    points : int
        Room for energy points in a spectrum of the store.
    """

    def __init__(self, points: int) -> None:
        arrays = row_arrays(STORE)
        self._fields = struct.Struct("<" + "".join(map(_struct_format, arrays[len(_PADDED) :])))
        self._start = 8 * len(_PADDED) * points
        self._content = bytearray(self._start + self._fields.size)
        self._view = memoryview(self._content)
        self._spectra = np.frombuffer(self._content, "<f8", len(_PADDED) * points).reshape(len(_PADDED), points)

    def pack(self, row: Row) -> bytes:
        """Return a row's bytes, one column after the other in the store's order, checksum included.

        Raises
        ------
        ValueError
            If the spectrum has more points than there is room for.
        """
        spectrum = row.spectrum
        count, edge = (0, math.nan) if spectrum is None else (len(spectrum.energy), spectrum.edge)
        if spectrum is not None:
            for target, source in zip(self._spectra, (spectrum.energy, spectrum.mu, spectrum.mu0), strict=True):
                target[:count] = source
        self._spectra[:, count:] = math.nan
        run = (value.encode() if isinstance(value, str) else value for value in _run_fields(row))
        self._fields.pack_into(self._content, self._start, count, edge, *run, 0, row.outcome)
        # Of all bytes but its own.
        checksum = zlib.crc32(self._view[-1:], zlib.crc32(self._view[: -_END.size]))
        _END.pack_into(self._content, len(self._content) - _END.size, checksum, row.outcome)
        return bytes(self._content)


#: Columns of one value an energy point; they come first in a row.
_PADDED = ("spectra/energy", "spectra/mu", "spectra/mu0")

# The fields of a `Row` that are columns, in their order; the checksum and the outcome end a row.
_run_fields = attrgetter(*(array.path.removeprefix("runs/") for array in row_arrays(STORE)[len(_PADDED) + 2 : -2]))
_END = struct.Struct("<IB")


def _struct_format(array: Array) -> str:
    dtype = np.dtype(array.dtype)
    return f"{dtype.itemsize}s" if dtype.kind == "S" else dtype.char


#: Bytes and the offset in a file that they belong at.
Piece = tuple[int, memoryview]


class RowWriter:
    """Writes rows into an open store: each column's bytes at the place that HDF5 gave it.

    All datasets are contiguous and allocated, so the place of a row in the file is known.
    Writing there directly costs a fifth of the processor time of HDF5's own writes, and
    no part of a row stays in a library's buffer.

    Parameters
    ----------
    file : h5py.File
        A store opened with mode `r+`.
    write_pieces : callable, optional
        Writes pieces to the same file, in order, for instance through MPI-IO; raises
        OSError. Default: the file's own descriptor, for files opened without MPI.
    """

    def __init__(self, file: h5py.File, write_pieces: Callable[[Iterable[Piece]], object] | None = None) -> None:
        self._name = file.filename
        self._write_pieces = write_pieces or _descriptor_writer(file.id.get_vfd_handle())
        self._packer = RowPacker(file["spectra/energy"].shape[1])
        self._columns = []
        start = 0
        for array in row_arrays(STORE):
            column = file[array.path]
            size = column.dtype.itemsize * math.prod(column.shape[1:])
            self._columns.append((column.id.get_offset(), size, start, start + size))
            start += size

    def write(self, row: Row) -> None:
        """Write one row; see `write_packed`."""
        self.write_packed(row.task, self._packer.pack(row))

    def write_packed(self, task: int, content: bytes) -> None:
        """Write one row: spectra and provenance, then the checksum, then the outcome.

        Parameters
        ----------
        task : int
            Row of the store.
        content : bytes
            The row, packed by a `RowPacker` with the store's room for energy points.

        Raises
        ------
        StoreError
            If the row cannot be written, as on a full disk; its task is then not done.
        """
        view = memoryview(content)
        try:
            self._write_pieces([(place + task * size, view[start:stop]) for place, size, start, stop in self._columns])
        except OSError as error:
            raise StoreError(
                f"cannot write to {self._name}: {reason(error, Path(self._name))}; fix this and rerun; "
                "finished rows are safe"
            ) from error


def _descriptor_writer(descriptor: int) -> Callable[[Iterable[Piece]], object]:
    def write_pieces(pieces: Iterable[Piece]) -> None:
        for offset, content in pieces:
            written = os.pwrite(descriptor, content, offset)
            # A nearly full disk takes a part; the next call raises the reason.
            while written < len(content):
                written += os.pwrite(descriptor, content[written:], offset + written)

    return write_pieces


def torn_rows(file: h5py.File, rows: range | None = None) -> Integers:
    """Find the rows with an outcome whose content does not match their checksum.

    Parameters
    ----------
    file : h5py.File
        A store.
    rows : range, optional
        Rows to check, in steps of 1; all by default.

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
        columns = {path: column[block] for path, column in columns_of.items()}
        stored, content = columns["runs/checksum"], row_bytes(columns)
        torn += [start + int(i) for i in ended if zlib.crc32(content[i].data) != stored[i]]
    return np.array(torn, dtype=np.int64)


def torn_tasks(file: h5py.File, tasks: Wholes) -> Integers:
    """Find those of some tasks whose rows have an outcome and do not match their checksum; see `torn_rows`."""
    count = len(file["runs/outcome"])
    starts = (np.unique(tasks // BLOCK) * BLOCK).tolist()
    torn = [torn_rows(file, range(start, min(start + BLOCK, count))) for start in starts]
    found: Integers = np.intersect1d(np.concatenate([np.empty(0, np.int64), *torn]), tasks)
    return found


def row_bytes(columns: Mapping[str, NDArray[Any]]) -> NDArray[np.uint8]:
    """Return the bytes of rows that their checksum covers, shape (rows, bytes), the outcome last."""
    views = [
        np.ascontiguousarray(column).reshape(len(column), math.prod(column.shape[1:])).view(np.uint8)
        for path, column in columns.items()
        if path != "runs/checksum"
    ]
    return np.concatenate(views, axis=1)


def read_spectrum(file: h5py.File, task: int) -> StoredSpectrum:
    """Read the spectrum of a task that is done, without padding."""
    count = file["spectra/points"][task]
    energy, mu, mu0 = (file[f"spectra/{name}"][task, :count] for name in ("energy", "mu", "mu0"))
    return StoredSpectrum(energy, mu, mu0, float(file["spectra/edge"][task]))


def copy_done_rows(source: h5py.File, target: h5py.File) -> int:
    """Copy the finished tasks of another store.

    Parameters
    ----------
    source : h5py.File
        A store; it may be the target itself, of whose variants some may have the input of a finished task.
    target : h5py.File
        A store opened with mode `r+`, not through `mpio`.

    Returns
    -------
    int
        Number of tasks copied: those with the same identity, done in the source,
        with a matching checksum and room in the target, where they are not done.
    """
    left = np.flatnonzero(target["runs/outcome"][:] != Outcome.DONE)
    wanted, theirs = target["tasks/identity"][:][left], source["tasks/identity"][:]
    room, points = target["spectra/energy"].shape[1], source["spectra/points"][:]
    done = (source["runs/outcome"][:] == Outcome.DONE) & (points <= room) & np.isin(theirs, wanted)
    if not done.any():
        # Without reading every spectrum for its checksum.
        return 0
    usable = np.setdiff1d(np.flatnonzero(done), torn_rows(source))
    # Several tasks of a store may have one input: that of a variant whose cards change nothing here.
    held, first = np.unique(theirs[usable], return_index=True)
    ours = np.flatnonzero(np.isin(wanted, held))
    rows = usable[first[np.searchsorted(held, wanted[ours])]]
    writer = RowWriter(target)
    for old, new in zip(rows.tolist(), left[ours].tolist(), strict=True):
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


def open_store_file(path: Path, *, mode: Literal["r", "r+"] = "r", comm: object | None = None) -> h5py.File:
    """Open a store; see `xanesml.files.hdf5.open_file`."""
    return open_file(path, STORE, mode=mode, comm=comm)


class StoreView:
    """The datasets of a store that never change, as read-only memory maps.

    Ranks read the structures of their tasks through it: nothing is sent or kept in memory,
    and no second HDF5 library reads a file that is being written. Pickles as a path and
    offsets. On a file system that hosts may share the structures are not mapped, but read
    when they are asked for, and the rest is read once.

    Parameters
    ----------
    file : h5py.File
        The store.

    Attributes
    ----------
    path : str
        Its path.
    variants : tuple of str
        Names of its variants.
    """

    def __init__(self, file: h5py.File) -> None:
        self.path = file.filename
        self.variants = variant_names(file)
        self._where = {
            array.path: (file[array.path].id.get_offset(), file[array.path].shape, array.dtype)
            for array in fixed_arrays(STORE)
            # Stores of earlier versions lack some.
            if array.path in file
        }

    def __getitem__(self, path: str) -> NDArray[Any]:
        offset, shape, dtype = self._where[path]
        if is_local(Path(self.path)):
            return np.memmap(self.path, dtype=dtype, mode="r", offset=offset, shape=shape)
        array = FileArray(self.path, offset, shape, dtype)
        # By far the largest, of which a rank needs little.
        return cast("NDArray[Any]", array) if path == "structures/positions" else np.asarray(array)
