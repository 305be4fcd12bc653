"""Checks that all ranks make together: the output folder, its locks, parallel HDF5, clocks.

A check is collective over `Hosts.comm` and returns hosts and findings; those of rank 0 count.
Between two communications it calls `attempt`, so that a rank that fails or hangs still meets the others.
"""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
import shutil
import socket
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias, cast

from hpc.comm import same_host
from hpc.doctor.findings import Finding, Mark, Setting, ok, problem, warning
from hpc.doctor.limits import attempt, failure, meet
from hpc.doctor.machine import GIB
from xanesml.files.hdf5 import parallel_problem
from xanesml.files.mounts import file_system

if TYPE_CHECKING:
    from mpi4py import MPI

#: Prefix of every file that a check makes in the output folder.
PROBE = ".xanesml-doctor-"

#: Time in which other hosts must see a new file, s; NFS caches folders.
VISIBLE = 10.0

#: Largest offset between clocks at which the times in a store are still useful, s.
OFFSET = 1.0

#: Time limit of one rank's step between two communications, s.
STEP_LIMIT = 30.0

_NO_FOLDER = warning("not checked, since there is no output folder")
_LOCKED = ok("files can be locked")
_CLOCK_TAG = 31
_ROUNDS = 9

Findings: TypeAlias = list[tuple[str, Finding]]


@dataclass(frozen=True)
class Hosts:
    """The ranks, and the first rank of each host.

    Attributes
    ----------
    comm : mpi4py.MPI.Intracomm
        All ranks.
    here : mpi4py.MPI.Intracomm
        The ranks of this host.
    heads : mpi4py.MPI.Intracomm or None
        The first ranks of all hosts, rank 0 among them; None on other ranks.
    """

    comm: MPI.Intracomm
    here: MPI.Intracomm
    heads: MPI.Intracomm | None


@contextmanager
def by_host(comm: MPI.Intracomm) -> Iterator[Hosts]:
    """Make the communicators of the hosts, and free them at the end; collective."""
    everyone = comm.Dup()
    here = same_host(everyone)
    first = here.rank == 0
    heads = cast("MPI.Intracomm", everyone.Split(0 if first else 1, everyone.rank))
    yield Hosts(everyone, here, heads if first else None)
    # Freed on success only: it is collective.
    for made in (heads, here, everyone):
        made.Free()


@contextmanager
def folder_made(folder: Path) -> Iterator[None]:
    """Make a folder and its missing parents, and remove those that are empty at the end."""
    made = []
    # The check of the folder reports why it cannot be made.
    with suppress(OSError):
        made = [path for path in (folder, *folder.parents) if not path.exists()]
        folder.mkdir(parents=True, exist_ok=True)
    try:
        yield
    finally:
        for path in made:
            with suppress(OSError):
                path.rmdir()


def output_folder(hosts: Hosts, setting: Setting) -> Findings:
    """Check that every host sees what rank 0 writes in the output folder, and can write there."""
    with _probe(hosts, setting) as probe:
        return _after_rank_0(hosts, lambda: _write(probe, probe.name), lambda: _see(probe, probe.name))


def file_locking(hosts: Hosts, setting: Setting) -> Findings:
    """Lock a file in the output folder as HDF5 and as MPI does, and try it from every host."""
    # Rank 0 keeps the file open, and so its lock, until all hosts have tried.
    with _probe(hosts, setting) as probe, ExitStack() as opened:
        return _after_rank_0(
            hosts, lambda: _lock(probe, opened), lambda: _LOCKED if hosts.comm.rank == 0 else _held(probe)
        )


def parallel_hdf5(hosts: Hosts, setting: Setting) -> Findings:
    """Check whether all ranks can write one file through HDF5's mpio driver."""
    if not hosts.comm.bcast(setting.output.is_dir()):
        return [(socket.gethostname(), _NO_FOLDER)]
    try:
        reason = parallel_problem(setting.output, hosts.comm)
    except Exception as error:  # noqa: BLE001 (it is the finding)
        finding = failure(error)
    else:
        remedy = "no action needed: rank 0 writes the same file for all; for parallel h5py see docs/how-to/install.md"
        finding = ok("all ranks write the store") if reason is None else warning(reason, remedy)
    return [(socket.gethostname(), finding)]


def clocks(hosts: Hosts, _setting: Setting) -> Findings:
    """Measure the offset of each host's clock from rank 0's."""
    heads = hosts.heads
    if heads is None:
        return []
    names = heads.gather(socket.gethostname())
    if heads.rank != 0 or names is None:
        for _ in range(_ROUNDS):
            heads.recv(source=0, tag=_CLOCK_TAG)
            heads.send(time.time(), dest=0, tag=_CLOCK_TAG)
        return []
    if heads.size == 1:
        return [(names[0], ok("one host, nothing to compare"))]
    return [(names[other], judge_offset(_offset(heads, other))) for other in range(1, heads.size)]


def judge_offset(offset: float) -> Finding:
    """Return the finding for an offset of a clock, s."""
    if abs(offset) > OFFSET:
        return warning(
            "{} s off rank 0's",
            "ask the site to synchronize the clocks: times in store and journal are the hosts' own",
            offset,
        )
    return ok("within {} ms of rank 0's", value=abs(offset) * 1000)


def _offset(heads: MPI.Intracomm, other: int) -> float:
    offsets: list[float] = []
    for _ in range(_ROUNDS):
        sent = time.time()
        heads.send(None, dest=other, tag=_CLOCK_TAG)
        theirs: float = heads.recv(source=other, tag=_CLOCK_TAG)
        offsets.append(theirs - (sent + time.time()) / 2)
    return statistics.median(offsets)


@contextmanager
def _probe(hosts: Hosts, setting: Setting) -> Iterator[Path]:
    """Name a new file in the output folder, and remove it at the end; collective."""
    probe: Path = hosts.comm.bcast(setting.output / f"{PROBE}{secrets.token_hex(8)}")
    yield probe
    if hosts.comm.rank == 0:
        attempt(lambda: _removed(probe), STEP_LIMIT)


def _after_rank_0(hosts: Hosts, first: Callable[[], Finding], then: Callable[[], Finding]) -> Findings:
    """Call a function on rank 0 and, where it finds nothing wrong, another one on the first rank of each host."""
    found: Finding = hosts.comm.bcast(attempt(first, STEP_LIMIT) if hosts.comm.rank == 0 else None)
    if found.mark is Mark.OK:
        return _on_heads(hosts, then)
    return [(socket.gethostname(), found)] if hosts.comm.rank == 0 else []


def _on_heads(hosts: Hosts, look: Callable[[], Finding]) -> Findings:
    """Call a function on the first rank of each host; its findings are returned on rank 0."""
    mine = (socket.gethostname(), attempt(look, STEP_LIMIT)) if hosts.heads is not None else None
    meet(hosts.comm)
    findings = hosts.heads.gather(mine) if hosts.heads is not None else None
    return [finding for finding in findings or [] if finding is not None]


def _write(probe: Path, token: str) -> Finding:
    try:
        probe.write_text(token, encoding="ascii")
    except OSError as error:
        return problem(f"{probe.parent} cannot be written: {error.strerror}", "name another folder with --output")
    return ok("written")


def _see(probe: Path, token: str) -> Finding:
    folder, deadline = probe.parent, time.monotonic() + VISIBLE
    while _read(probe) != token:
        if time.monotonic() > deadline:
            return problem(
                f"{folder} does not show what rank 0 writes there", "name a folder with --output that all hosts share"
            )
        time.sleep(0.1)
    mine = probe.with_name(f"{probe.name}-{secrets.token_hex(4)}")
    written = _write(mine, token)
    mine.unlink(missing_ok=True)
    if written.mark is not Mark.OK:
        return written
    free = shutil.disk_usage(folder).free / GIB
    return ok(f"{folder} on {file_system(folder)}, {{}} GiB free", value=free)


def _read(probe: Path) -> str:
    try:
        # Listing the folder makes NFS ask its server again.
        os.listdir(probe.parent)  # noqa: PTH208 (for its effect)
        return probe.read_text(encoding="ascii")
    except OSError:
        return ""


def _removed(path: Path) -> Finding:
    path.unlink(missing_ok=True)
    return ok("removed")


def _lock(path: Path, opened: ExitStack) -> Finding:
    if not path.parent.is_dir():
        return _NO_FOLDER
    file = opened.enter_context(path.open("wb"))
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        fcntl.flock(file, fcntl.LOCK_UN)
    except OSError as error:
        if os.environ.get("HDF5_USE_FILE_LOCKING", "").upper() not in ("FALSE", "0"):
            return problem(f"flock, which HDF5 uses: {error.strerror}", "export HDF5_USE_FILE_LOCKING=FALSE")
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return warning(
            f"lockf, which MPI and simulate use: {error.strerror}",
            "start no second simulate on one store; choose --writer root if writing fails",
        )
    return _LOCKED


def _held(path: Path) -> Finding:
    with path.open("r+b") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EAGAIN):
                return _LOCKED
            raise
    return warning("a lock of rank 0's host does not hold here", "start no second simulate on one store")
