"""HDF5 files: laid out whole, opened with a check of their format, written row by row.

A file is created by one process under a temporary name, every dataset contiguous
and allocated, and renamed when complete. After that only raw data is written: no
group, attribute or size changes, so that ranks may write their rows independently
through the `mpio` driver, and a kill leaves a readable file.

A row's spectra are written first, then their checksum, then the outcome byte.
"""

from __future__ import annotations

import json
import os
import platform
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol

import h5py
import numpy as np
from numpy.typing import NDArray

from xanesml.errors import StoreError
from xanesml.layout import STORE, Layout
from xanesml.outcomes import Outcome

_SPECTRA = ("energy", "mu", "mu0")
_PACKAGES = ("xanesml", "numpy", "scipy", "h5py", "ase", "feff10-rs", "mpi4py", "tensorflow", "keras", "horovod")
_MADE_BY = {"xanesml-store": "xanesml simulate", "xanesml-tensors": "xanesml average"}


def package_versions() -> str:
    """Return the versions of Python, HDF5 and the packages that results depend on, as JSON."""
    versions = {"python": platform.python_version(), "hdf5": h5py.version.hdf5_version}
    for package in _PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return json.dumps(versions)


def create(
    path: Path,
    layout: Layout,
    *,
    sizes: Mapping[str, int],
    attributes: Mapping[str, str | float | int],
    initial: Mapping[str, NDArray[Any]],
) -> None:
    """Lay a file out whole: all datasets at full size, contiguous and allocated.

    Parameters
    ----------
    path : Path
        File to create; it appears under this name only when complete.
    layout : Layout
        Format of the file.
    sizes : mapping of str to int
        Length of each dimension letter of the layout.
    attributes : mapping
        Root attributes besides the format's name, version and package versions.
    initial : mapping of str to array
        Content of the datasets that are known already; the others hold their fill value.

    Raises
    ------
    StoreError
        If the folder cannot be written to or the disk is full.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with h5py.File(partial, "w", libver=("earliest", "v108")) as file:
            file.attrs["schema"] = layout.schema
            file.attrs["schema_version"] = layout.version
            file.attrs["versions"] = package_versions()
            for name, value in attributes.items():
                file.attrs[name] = value
            for array in layout.arrays:
                shape = tuple(int(letter) if letter.isdigit() else sizes[letter] for letter in array.shape)
                properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
                properties.set_layout(h5py.h5d.CONTIGUOUS)
                properties.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
                dataset = file.create_dataset(
                    array.path,
                    shape,
                    dtype=array.dtype,
                    fillvalue=None if array.dtype.startswith("|S") else array.fill,
                    dcpl=properties,
                )
                dataset.attrs["units"] = array.units
                dataset.attrs["description"] = array.description
                if array.path in initial:
                    dataset[...] = initial[array.path]
        partial.replace(path)
    except OSError as error:
        raise StoreError(
            f"cannot write {path}: {error.strerror or error}; check the folder and the space left"
        ) from error
    finally:
        if partial.exists():
            partial.unlink()


def open_file(path: Path, layout: Layout, *, mode: Literal["r", "r+"] = "r", comm: object | None = None) -> h5py.File:
    """Open a file after checking that it has the layout's format and version.

    Parameters
    ----------
    path : Path
        File to open.
    layout : Layout
        Format expected.
    mode : {"r", "r+"}
        Read only, or read and write rows.
    comm : mpi4py.MPI.Comm, optional
        Open collectively with the `mpio` driver on this communicator.

    Returns
    -------
    h5py.File
        The open file. Written without a communicator, each write reaches the file
        system before the call returns, so that rows keep their order through a kill.

    Raises
    ------
    StoreError
        If the file is missing, unreadable, of another format or another version.
    """
    made_by = _MADE_BY[layout.schema]
    if not path.is_file():
        raise StoreError(f"{path} does not exist; make it with `{made_by} CAMPAIGN`")
    try:
        if comm is not None:
            file = h5py.File(path, mode, driver="mpio", comm=comm)
        else:
            access = h5py.h5p.create(h5py.h5p.FILE_ACCESS)
            access.set_fclose_degree(h5py.h5f.CLOSE_STRONG)
            access.set_sieve_buf_size(0)
            flags = h5py.h5f.ACC_RDONLY if mode == "r" else h5py.h5f.ACC_RDWR
            file = h5py.File(h5py.h5f.open(os.fsencode(path), flags, fapl=access))
    except OSError as error:
        raise StoreError(
            f"{path} is not a readable HDF5 file ({error}); make it anew with `{made_by} CAMPAIGN`"
        ) from error
    schema, found = file.attrs.get("schema"), file.attrs.get("schema_version")
    if schema != layout.schema or found != layout.version:
        file.close()
        raise StoreError(
            f"{path} is {schema or 'no xanesml file'} version {found}, but {layout.schema} version {layout.version} "
            f"is needed; make it with `{made_by} CAMPAIGN` in another --output folder"
        )
    return file


def parallel_problem(folder: Path, comm: Any) -> str | None:
    """Say why files in a folder cannot be written through the `mpio` driver.

    Collective: all ranks of the communicator call it and get the same answer. A
    small file is laid out by rank 0, written by all and read back.

    Parameters
    ----------
    folder : Path
        An existing folder on the file system in question.
    comm : mpi4py.MPI.Comm
        The communicator that would write.

    Returns
    -------
    str or None
        The reason in one line, or None where `mpio` works.
    """
    if not h5py.get_config().mpi:
        return "this h5py was built without MPI"
    probe = folder / ".xanesml-mpio-probe.h5"
    problem: str | None = None
    if comm.rank == 0:
        try:
            with h5py.File(probe, "w") as file:
                file.create_dataset("rank", (comm.size,), dtype="<i4")
        except OSError as error:
            problem = f"{folder} cannot be written: {error}"
    problem = comm.bcast(problem)
    if problem is None:
        try:
            with h5py.File(probe, "r+", driver="mpio", comm=comm) as file:
                file["rank"][comm.rank] = comm.rank + 1
        except OSError as error:
            problem = f"the file system refuses parallel HDF5: {error}"
        problem = next((p for p in comm.allgather(problem) if p), None)
    if comm.rank == 0:
        if problem is None:
            with h5py.File(probe, "r") as file:
                if not np.array_equal(file["rank"][:], np.arange(1, comm.size + 1)):
                    problem = "rows written through mpio did not read back"
        probe.unlink(missing_ok=True)
    answer: str | None = comm.bcast(problem)
    return answer


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


@dataclass(frozen=True)
class Row:
    """What one FEFF run yielded, ready to be written.

    Attributes
    ----------
    task : int
        Row of the store.
    outcome : Outcome
        What became of the run.
    message : str
        Why it is not done; empty where it is.
    seconds : float
        Wall time, s.
    finished : float
        End of the run, seconds since 1970 UTC.
    host : str
        Host it was on.
    spectrum : Spectrum or None
        The spectra of a run that is done.
    """

    task: int
    outcome: Outcome
    message: str
    seconds: float
    finished: float
    host: str
    spectrum: Spectrum | None


def write_row(file: h5py.File, row: Row) -> None:
    """Write one row of a store: spectra, provenance, checksum, and the outcome last.

    Parameters
    ----------
    file : h5py.File
        A store opened with mode `r+`, through any driver.
    row : Row
        The row; a done one needs its spectrum.
    """
    task = row.task
    room = file["spectra/energy"].shape[1]
    checksum = 0
    if row.spectrum is not None:
        padded = {name: np.full(room, np.nan) for name in _SPECTRA}
        for name in _SPECTRA:
            values = getattr(row.spectrum, name)
            padded[name][: len(values)] = values
            file[f"spectra/{name}"][task] = padded[name]
        points, edge = np.int32(len(row.spectrum.energy)), np.float64(row.spectrum.edge)
        file["spectra/points"][task] = points
        file["spectra/edge"][task] = edge
        checksum = _checksum(*padded.values(), points, edge)
    file["runs/seconds"][task] = row.seconds
    file["runs/finished"][task] = row.finished
    file["runs/host"][task] = np.bytes_(row.host.encode()[:64])
    file["runs/message"][task] = np.bytes_(row.message.encode()[:240])
    file["runs/checksum"][task] = np.uint32(checksum)
    file["runs/outcome"][task] = np.uint8(row.outcome)


def torn_rows(file: h5py.File) -> NDArray[np.int64]:
    """Find the rows marked done whose spectra do not match their checksum.

    Parameters
    ----------
    file : h5py.File
        A store.

    Returns
    -------
    ndarray, shape (n,), int64
        Task indices, increasing.
    """
    done = np.flatnonzero(file["runs/outcome"][:] == Outcome.DONE)
    stored = file["runs/checksum"][:]
    points, edge = file["spectra/points"][:], file["spectra/edge"][:]
    torn = []
    for block in np.array_split(done, max(1, len(done) // 1024)):
        rows = {name: file[f"spectra/{name}"][block] for name in _SPECTRA} if len(block) else {}
        for i, task in enumerate(block):
            if _checksum(*(rows[name][i] for name in _SPECTRA), points[task], edge[task]) != stored[task]:
                torn.append(task)
    return np.asarray(torn, dtype=np.int64)


def copy_done_rows(source: h5py.File, target: h5py.File) -> int:
    """Take over the runs that another store has done already.

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
    identities = source["tasks/identity"][:]
    row_of = {identities[row]: row for row in usable}
    pairs = [(row_of[name], row) for row, name in enumerate(target["tasks/identity"][:]) if name in row_of]
    for old, new in pairs:
        count = points[old]
        energy, mu, mu0 = (source[f"spectra/{name}"][old, :count] for name in _SPECTRA)
        row = Row(
            task=new,
            outcome=Outcome.DONE,
            message="",
            seconds=source["runs/seconds"][old],
            finished=source["runs/finished"][old],
            host=source["runs/host"][old].decode(),
            spectrum=StoredSpectrum(energy, mu, mu0, source["spectra/edge"][old]),
        )
        write_row(target, row)
    return len(pairs)


def outcome_counts(file: h5py.File) -> dict[str, int]:
    """Count the rows of a store by the label of their outcome, absent outcomes left out."""
    codes, counts = np.unique(file["runs/outcome"][:], return_counts=True)
    return {Outcome(code).label: int(count) for code, count in zip(codes, counts, strict=True)}


def open_store(path: Path, *, mode: Literal["r", "r+"] = "r", comm: object | None = None) -> h5py.File:
    """Open a store; see `open_file`."""
    return open_file(path, STORE, mode=mode, comm=comm)


def _checksum(*values: NDArray[Any] | np.generic) -> int:
    checksum = 0
    for value in values:
        checksum = zlib.crc32(value.tobytes(), checksum)
    return checksum
