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
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, TypeAlias, cast

from hpc.comm import same_host
from hpc.doctor.findings import Finding, Mark, Setting
from hpc.doctor.limits import attempt, failure, meet
from hpc.doctor.machine import GIB, file_system
from xanesml.files.hdf5 import parallel_problem

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

_NO_FOLDER = Finding(Mark.WARNING, "not checked, since there is no output folder")
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
    comm, token = hosts.comm, secrets.token_hex(8)
    probe = setting.output / f"{PROBE}{token}"
    written = attempt(lambda: _write(probe, token), STEP_LIMIT) if comm.rank == 0 else None
    probe, token, written = comm.bcast((probe, token, written))
    findings: Findings = []
    if written.mark is Mark.OK:
        findings = _on_heads(hosts, lambda: _see(probe, token))
    elif comm.rank == 0:
        findings = [(socket.gethostname(), written)]
    if comm.rank == 0:
        attempt(lambda: _removed(probe), STEP_LIMIT)
    return findings


def file_locking(hosts: Hosts, setting: Setting) -> Findings:
    """Lock a file in the output folder as HDF5 and as MPI does, and try it from every host."""
    comm, path = hosts.comm, setting.output / f"{PROBE}{secrets.token_hex(8)}"
    file: list[IO[bytes]] = []
    locked = attempt(lambda: _lock(path, file), STEP_LIMIT) if comm.rank == 0 else None
    path, locked = comm.bcast((path, locked))
    findings: Findings = []
    if locked.mark is Mark.OK:
        findings = _on_heads(hosts, lambda: locked if comm.rank == 0 else _held(path))
    elif comm.rank == 0:
        findings = [(socket.gethostname(), locked)]
    if file:
        file[0].close()
        attempt(lambda: _removed(path), STEP_LIMIT)
    return findings


def parallel_hdf5(hosts: Hosts, setting: Setting) -> Findings:
    """Check whether all ranks can write one file through HDF5's mpio driver."""
    if not hosts.comm.bcast(setting.output.is_dir()):
        return [(socket.gethostname(), _NO_FOLDER)]
    try:
        problem = parallel_problem(setting.output, hosts.comm)
    except Exception as error:  # noqa: BLE001 (it is the finding)
        finding = failure(error)
    else:
        finding = Finding(Mark.OK, "all ranks write the store")
        if problem is not None:
            finding = Finding(
                Mark.WARNING,
                problem,
                "no action needed: rank 0 writes the same file for all; for parallel h5py see docs/install.md",
            )
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
        return [(names[0], Finding(Mark.OK, "one host, nothing to compare"))]
    return [(names[other], judge_offset(_offset(heads, other))) for other in range(1, heads.size)]


def judge_offset(offset: float) -> Finding:
    """Return the finding for an offset of a clock, s."""
    if abs(offset) > OFFSET:
        return Finding(
            Mark.WARNING,
            "{} s off rank 0's",
            "ask the site to synchronize the clocks: times in store and journal are the hosts' own",
            offset,
        )
    return Finding(Mark.OK, "within {} ms of rank 0's", value=abs(offset) * 1000)


def _offset(heads: MPI.Intracomm, other: int) -> float:
    offsets: list[float] = []
    for _ in range(_ROUNDS):
        sent = time.time()
        heads.send(None, dest=other, tag=_CLOCK_TAG)
        theirs: float = heads.recv(source=other, tag=_CLOCK_TAG)
        offsets.append(theirs - (sent + time.time()) / 2)
    return statistics.median(offsets)


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
        return Finding(
            Mark.PROBLEM, f"{probe.parent} cannot be written: {error.strerror}", "name another folder with --output"
        )
    return Finding(Mark.OK, "written")


def _see(probe: Path, token: str) -> Finding:
    folder, deadline = probe.parent, time.monotonic() + VISIBLE
    while _read(probe) != token:
        if time.monotonic() > deadline:
            return Finding(
                Mark.PROBLEM,
                f"{folder} does not show what rank 0 writes there",
                "name a folder with --output that all hosts share",
            )
        time.sleep(0.1)
    mine = probe.with_name(f"{probe.name}-{secrets.token_hex(4)}")
    written = _write(mine, token)
    mine.unlink(missing_ok=True)
    if written.mark is not Mark.OK:
        return written
    free = shutil.disk_usage(folder).free / GIB
    return Finding(Mark.OK, f"{folder} on {file_system(folder)}, {{}} GiB free", value=free)


def _read(probe: Path) -> str:
    try:
        # Listing the folder makes NFS ask its server again.
        os.listdir(probe.parent)  # noqa: PTH208 (for its effect)
        return probe.read_text(encoding="ascii")
    except OSError:
        return ""


def _removed(path: Path) -> Finding:
    path.unlink(missing_ok=True)
    return Finding(Mark.OK, "removed")


def _lock(path: Path, file: list[IO[bytes]]) -> Finding:
    if not path.parent.is_dir():
        return _NO_FOLDER
    file.append(path.open("wb"))
    try:
        fcntl.flock(file[0], fcntl.LOCK_EX | fcntl.LOCK_NB)
        fcntl.flock(file[0], fcntl.LOCK_UN)
    except OSError as error:
        if os.environ.get("HDF5_USE_FILE_LOCKING", "").upper() not in ("FALSE", "0"):
            return Finding(
                Mark.PROBLEM, f"flock, which HDF5 uses: {error.strerror}", "export HDF5_USE_FILE_LOCKING=FALSE"
            )
    try:
        fcntl.lockf(file[0], fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return Finding(
            Mark.WARNING,
            f"lockf, which MPI and simulate use: {error.strerror}",
            "start no second simulate on one store; choose --writer root if writing fails",
        )
    return Finding(Mark.OK, "files can be locked")


def _held(path: Path) -> Finding:
    with path.open("r+b") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EAGAIN):
                return Finding(Mark.OK, "files can be locked")
            raise
    return Finding(Mark.WARNING, "a lock of rank 0's host does not hold here", "start no second simulate on one store")
