"""HDF5 files: laid out whole, opened with a check of their format, probed for parallel writing.

A file is created by one process under a temporary name, every dataset contiguous
and allocated, every dimension named, and renamed when complete. After that only raw
data is written: no group, attribute or size changes, so that ranks may write their rows
independently through the `mpio` driver, and a kill leaves a readable file.

HDF5's own file locks are not used: file systems that refuse them are common on
clusters, and a lock of the driver's keeps a second writer out.
"""

from __future__ import annotations

import errno
import hashlib
import json
import math
import os
import platform
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

import h5py
import numpy as np
from numpy.typing import NDArray

from xanesml.errors import EnvironmentProblem, StoreError
from xanesml.files.layout import CONVERTIBLE, SIZES, Layout
from xanesml.files.nexus import Rows, write_plots
from xanesml.files.whole import reason, system_words, whole_file

_PACKAGES = (
    *("xanesml", "numpy", "scipy", "h5py", "ase", "feff10-rs", "mpi4py"),
    *("scikit-learn", "tensorflow", "jax", "keras", "horovod"),
)
_MADE_BY = {"xanesml-store": "xanesml simulate", "xanesml-tensors": "xanesml average"}

#: All names and attributes of a file lie in blocks of this size at its front, so that a truncated file
#: loses rows and not its structure.
METADATA_BYTES = 256 * 1024

#: Bytes read at a time.
BLOCK_BYTES = 2**24

#: Name that netCDF gives the scale of a dimension without values, before the dimension's size.
NO_VALUES = "This is a netCDF dimension but not a netCDF variable."

#: Root attribute of formats that are written in several steps; readers refuse a file without.
COMPLETE = "complete"

_SIGNATURE = b"\x89HDF\r\n\x1a\n"


def package_versions() -> str:
    """Return the versions of Python, HDF5 and the packages that results depend on, as JSON."""
    versions = {"python": platform.python_version(), "hdf5": h5py.version.hdf5_version}
    for package in _PACKAGES:
        with suppress(PackageNotFoundError):
            versions[package] = version(package)
    return json.dumps(versions)


def create(
    path: Path,
    layout: Layout,
    *,
    sizes: Mapping[str, int],
    attributes: Mapping[str, str | bytes | float | int],
    initial: Mapping[str, NDArray[Any]],
    fill: Callable[[h5py.File], None] | None = None,
    rows: Rows | None = None,
) -> None:
    """Lay a file out whole: all datasets at full size, contiguous and allocated.

    Parameters
    ----------
    path : Path
        File to create; it appears under this name only when complete and on disk.
    layout : Layout
        Format of the file.
    sizes : mapping of str to int
        Sizes of the dimensions of the layout; those of `layout.SIZES` may be left out.
    attributes : mapping
        Root attributes besides the format's name, version and package versions.
    initial : mapping of str to array
        Content of the datasets that are known already; the others hold their fill value.
    fill : callable, optional
        Called with the open file after that, to write what is too large to be held at
        once, and to modify attributes of fixed length (`numpy.bytes_`) that depend on it.
        Other attributes would go behind the datasets, where a truncated file has lost them.
    rows : mapping, optional
        Rows that the layout's plots name, see `xanesml.files.nexus.write_plots`.

    Raises
    ------
    EnvironmentProblem
        If the folder cannot be written to or the disk is too small.
    """
    with whole_file(path) as partial:
        with h5py.File(
            partial, "w", libver=("earliest", "v110"), meta_block_size=METADATA_BYTES, locking=False
        ) as file:
            sizes = {**SIZES, **sizes}
            file.attrs.update(schema=layout.schema, schema_version=layout.version, versions=package_versions())
            file.attrs.update(attributes)
            if COMPLETE in layout.attributes:
                # In place from the start, as an attribute made later would go behind the datasets.
                file.attrs[COMPLETE] = np.uint8(attributes.get(COMPLETE, 0))
            for array in layout.arrays:
                shape = tuple(sizes[name] for name in array.shape)
                dataset = file.create_dataset(
                    array.path,
                    shape,
                    dtype=array.dtype,
                    fillvalue=None if array.dtype.startswith("|S") else array.fill,
                    dcpl=_unallocated(),
                )
                dataset.attrs["units"] = array.units
                dataset.attrs["description"] = array.description
                if array.coordinates:
                    dataset.attrs["coordinates"] = array.coordinates
            _name_dimensions(file, layout, sizes)
            write_plots(file, layout.plots, rows or {})
            # Only now, when all names and attributes are in the file, are the datasets allocated behind them.
            for array in layout.arrays:
                dataset = file[array.path]
                if array.path in initial:
                    dataset[...] = initial[array.path]
                elif dataset.size:
                    dataset[:1] = dataset[:1]
            if fill is not None:
                fill(file)
        _reserve(partial)


def mark_complete(file: h5py.File) -> None:
    """Mark a file as complete, the last that is written."""
    file.attrs.modify(COMPLETE, np.uint8(1))


def _name_dimensions(file: h5py.File, layout: Layout, sizes: Mapping[str, int]) -> None:
    """Name the dimensions of all datasets by HDF5 dimension scales, in the way of netCDF."""
    scales = {}
    for name, path in layout.scales.items():
        if path in file:
            scales[name], label = file[path], name
        else:
            # Never allocated: it takes no room in the file.
            scales[name] = file.create_dataset(path, (sizes[name],), dtype="|u1", dcpl=_unallocated())
            label = f"{NO_VALUES}{sizes[name]:10d}"
        scales[name].make_scale(label)
    for array in layout.arrays:
        # A scale has none itself.
        if array.path not in layout.scales.values():
            for axis, name in zip(file[array.path].dims, array.shape, strict=True):
                axis.attach_scale(scales[name])
    for link, path in layout.links.items():
        file[link] = file[path]


def _unallocated() -> h5py.h5p.PropDCID:
    """Return the properties of a contiguous dataset that is allocated when it is first written."""
    properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    properties.set_layout(h5py.h5d.CONTIGUOUS)
    properties.set_alloc_time(h5py.h5d.ALLOC_TIME_LATE)
    return properties


def _reserve(path: Path) -> None:
    """Allocate all blocks of a file, so that a full disk shows now and not at a row later."""
    with path.open("r+b") as file:
        try:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
        except OSError as error:
            if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS):
                raise


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
        If the file is missing, truncated, damaged, of another format or another version, or was not
        completed and is opened to be read.
    EnvironmentProblem
        If the system cannot read it, for want of a permission for example.
    """
    made_by = _MADE_BY[layout.schema]
    try:
        if path.is_dir():
            raise StoreError(f"{path} is a folder; give the file in it")
        if not path.is_file():
            raise StoreError(f"{path} does not exist; make it with `{made_by} CAMPAIGN`")
        if comm is not None:
            file = h5py.File(path, mode, driver="mpio", comm=comm)
        else:
            access = h5py.h5p.create(h5py.h5p.FILE_ACCESS)
            access.set_fclose_degree(h5py.h5f.CLOSE_STRONG)
            access.set_sieve_buf_size(0)
            access.set_file_locking(False, True)
            flags = h5py.h5f.ACC_RDONLY if mode == "r" else h5py.h5f.ACC_RDWR
            file = h5py.File(h5py.h5f.open(os.fsencode(path), flags, fapl=access))
    except OSError as error:
        raise unreadable(path, error) or StoreError(_why_not_open(path, error, made_by)) from error
    try:
        schema, found, mark = (file.attrs.get(name) for name in ("schema", "schema_version", COMPLETE))
    except OSError as error:
        file.close()
        raise unreadable(path, error) or StoreError(
            f"{path} is damaged: {reason(error)}; restore it from a copy"
        ) from error
    try:
        away = leads_away(file, layout)
    except (KeyError, OSError, RuntimeError, TypeError, ValueError) as error:
        file.close()
        raise (isinstance(error, OSError) and unreadable(path, error)) or StoreError(
            f"{path} is damaged: {' '.join(str(error).split())[:150]}; restore it from a copy"
        ) from error
    if away is not None:
        file.close()
        raise StoreError(f"{path}: {away} leads to another file, which is not read; restore {path.name} from a copy")
    if schema != layout.schema or layout.of_version(found) is None:
        file.close()
        remedy = f"make it with `{made_by} CAMPAIGN` in another --output folder"
        if schema == layout.schema and found in CONVERTIBLE:
            remedy = f"run `xanesml convert {path}`"
        raise StoreError(
            f"{path} is {schema or 'no xanesml file'} version {found}, but {layout.schema} version {layout.version} "
            f"is needed; {remedy}"
        )
    if mode == "r" and COMPLETE in layout.attributes and mark != 1:
        file.close()
        raise StoreError(f"{path} was not completed: it lacks the mark that is written last; run `{made_by} CAMPAIGN`")
    return file


def leads_away(file: h5py.File, layout: Layout) -> str | None:
    """Return a group or dataset of the layout whose content is in another file, or None.

    Files of ours have hard links and their own data only. HDF5 follows external links, virtual datasets and
    external storage to any file that the user may read.
    """
    for group in dict.fromkeys(array.path.split("/")[0] for array in layout.arrays):
        link = file.get(group, getlink=True)
        if link is not None and not isinstance(link, h5py.HardLink):
            return group
    for array in layout.arrays:
        link = file.get(array.path, getlink=True)
        if link is None:
            continue
        if not isinstance(link, h5py.HardLink):
            return array.path
        item = file[array.path]
        if isinstance(item, h5py.Dataset) and (item.is_virtual or item.external):
            return array.path
    return None


def unreadable(path: Path, error: OSError) -> EnvironmentProblem | None:
    """Return an error of the system in reading a file as what it is; None for one about the file's content."""
    words = system_words(error)
    if words is None:
        return None
    if error.errno in (errno.EAGAIN, errno.EWOULDBLOCK):
        return EnvironmentProblem(
            f"{path} is locked by a program that has it open ({words}); close it there, or set "
            "HDF5_USE_FILE_LOCKING=FALSE"
        )
    return EnvironmentProblem(
        f"cannot read {path}: {words}; this tells nothing about its content: see to permissions, disk and network, "
        "and try again"
    )


def full_size(path: Path) -> int | None:
    """Return the size that a file laid out by `create` has when it is whole, bytes; None for any other file."""
    with path.open("rb") as file:
        head = file.read(48)
    # The end-of-file address in a superblock of version 0, which `libver` earliest gives.
    if len(head) < 48 or not head.startswith(_SIGNATURE) or head[8] != 0:
        return None
    return int.from_bytes(head[40:48], "little")


def text_attribute(item: h5py.File | h5py.Dataset, name: str) -> str:
    """Return a text attribute, of fixed or of variable length."""
    value = item.attrs[name]
    return value.decode() if isinstance(value, bytes) else str(value)


def content_digest(file: h5py.File, paths: Iterable[str]) -> str:
    """Return the BLAKE2b (32 hexadecimal digits) of the bytes of some datasets, read in bounded memory."""
    digest = hashlib.blake2b(digest_size=16)
    for path in paths:
        for _, (block,) in blocks(file[path]):
            digest.update(np.ascontiguousarray(block).data)
    return digest.hexdigest()


def blocks(*datasets: h5py.Dataset) -> Iterator[tuple[int, list[NDArray[Any]]]]:
    """Yield blocks of datasets of equal length, in bounded memory: the first row, and their content."""
    row = sum(dataset.dtype.itemsize * math.prod(dataset.shape[1:]) for dataset in datasets)
    step = max(1, BLOCK_BYTES // max(1, row))
    for start in range(0, len(datasets[0]), step):
        yield start, [dataset[start : start + step] for dataset in datasets]


def parallel_problem(folder: Path, comm: Any) -> str | None:
    """Test whether files in a folder can be written through the `mpio` driver.

    Collective: all ranks of the communicator call it and get the same answer. Rank 0
    lays out a small file, all ranks write it, and rank 0 reads it back.

    Parameters
    ----------
    folder : Path
        An existing folder on the file system in question.
    comm : mpi4py.MPI.Comm
        The communicator that would write.

    Returns
    -------
    str or None
        Why they cannot, in one line, or None where `mpio` works.
    """
    if not h5py.get_config().mpi:
        return "this h5py was built without MPI"
    probe = folder / ".xanesml-mpio-probe.h5"
    problem: str | None = None
    if comm.rank == 0:
        try:
            with h5py.File(probe, "w", locking=False) as file:
                file.create_dataset("rank", (comm.size,), dtype="<i4")
        except OSError as error:
            problem = f"{folder} cannot be written: {reason(error)}"
    problem = comm.bcast(problem)
    if problem is None:
        try:
            with h5py.File(probe, "r+", driver="mpio", comm=comm) as file:
                file["rank"][comm.rank] = comm.rank + 1
        except OSError as error:
            problem = f"the file system refuses parallel HDF5: {reason(error)}"
        problem = next((p for p in comm.allgather(problem) if p), None)
    if comm.rank == 0:
        if problem is None:
            with h5py.File(probe, "r", locking=False) as file:
                if not np.array_equal(file["rank"][:], np.arange(1, comm.size + 1)):
                    problem = "rows written through mpio did not read back"
        probe.unlink(missing_ok=True)
    answer: str | None = comm.bcast(problem)
    return answer


def _why_not_open(path: Path, error: OSError, made_by: str) -> str:
    # Of file locking and of how it is closed.
    if str(error).rstrip(")").endswith(("don't match", "doesn't match")):
        return f"{path} is open in this process in another way than xanesml's; close it there first"
    try:
        whole, size = full_size(path), path.stat().st_size
    except OSError:
        # HDF5's own error says why.
        whole = None
    if whole is not None and size < whole:
        return (
            f"{path} is truncated: {size} of {whole} bytes are there; "
            f"`xanesml validate {path}` names the rows that are lost, and --repair keeps the others"
        )
    return (
        f"{path} is not a readable HDF5 file ({reason(error)}); `xanesml validate {path}` says more; restore it from a "
        f"copy, or run `{made_by} CAMPAIGN` in another --output folder"
    )
