"""The list of all checks, and the driver that runs them one after the other."""

from __future__ import annotations

import os
import socket
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hpc.comm import silent
from hpc.doctor import joint, machine, software
from hpc.doctor.findings import Finding, Mark, Setting, summarize
from hpc.doctor.joint import Findings, Hosts
from hpc.doctor.limits import attempt, meet, watchdog
from hpc.farming.scratch import scratch_base
from hpc.launcher import launched
from xanesml.campaign import Campaign

if TYPE_CHECKING:
    from mpi4py import MPI

#: Time that the ranks have to meet after a check beyond its own limit, s.
_MARGIN = 60.0

#: The other ranks give up a check by this time later than rank 0, which reports it, s.
_LATER = 10.0


@dataclass(frozen=True)
class HostCheck:
    """A check that the first rank of each host makes alone.

    Attributes
    ----------
    name : str
        The name that is printed.
    look : callable
        Makes the check.
    alike : str
        Remedy if hosts differ in what must be the same; empty if they may differ.
    limit : float
        Time limit, s.
    everywhere : bool
        Whether it is made on every host, or on rank 0 only.
    """

    name: str
    look: Callable[[Setting], Finding]
    alike: str = ""
    limit: float = 30.0
    everywhere: bool = True


@dataclass(frozen=True)
class JointCheck:
    """A check that all ranks make together, see `hpc.doctor.joint`; `limit` is its time limit, s."""

    name: str
    look: Callable[[Hosts, Setting], Findings]
    limit: float = 120.0


#: Joint checks come last, parallel HDF5 at the very end: a hang in it ends the doctor.
CHECKS: tuple[HostCheck | JointCheck, ...] = (
    HostCheck("launcher", software.launcher, everywhere=False),
    HostCheck("MPI library", software.mpi_library, alike="load the same MPI on all hosts"),
    HostCheck("packages", software.packages, alike="use one Python environment on all hosts"),
    HostCheck("scratch folder", machine.scratch_folder),
    HostCheck("engine", software.engine, alike="install the same FEFF on all hosts"),
    HostCheck("engine runs", software.engine_runs, limit=software.RUN_LIMIT + 30.0),
    HostCheck("stack limit", machine.stack_limit),
    HostCheck("cores", machine.cores),
    HostCheck("threads", machine.threads),
    HostCheck("memory", machine.memory),
    HostCheck("walltime", machine.walltime, everywhere=False),
    HostCheck("GPUs", machine.gpus, limit=60.0),
    HostCheck("training", software.training, limit=software.IMPORT_LIMIT + 30.0),
    JointCheck("clocks", joint.clocks),
    JointCheck("output folder", joint.output_folder),
    JointCheck("file locking", joint.file_locking),
    JointCheck("parallel HDF5", joint.parallel_hdf5),
)


def diagnose(
    comm: MPI.Intracomm,
    *,
    campaign: Campaign | None,
    output: Path,
    scratch: Path | None,
    echo: Callable[[str], None],
) -> bool:
    """Check everything that a job needs and print a line for each check; collective.

    All files that it writes are removed.

    Parameters
    ----------
    comm : mpi4py.MPI.Intracomm
        The ranks, started as the job will be.
    campaign : Campaign or None
        Its engine is checked; without a campaign, the default one.
    output : Path
        The output folder; it need not exist.
    scratch : Path or None
        Folder for FEFF's files. Default: $SLURM_TMPDIR, $TMPDIR or /tmp.
    echo : callable
        Prints a line; called on rank 0 only.

    Returns
    -------
    bool
        True on every rank if no check found a problem; warnings do not count.
    """
    told = launched()
    if comm.size == 1 and told is not None and told.processes > 1 and told.rank > 0:
        # One of several processes that do not see each other; the first reports for all.
        return False
    with joint.by_host(comm) as hosts, ExitStack() as stack:
        if comm.rank == 0:
            stack.enter_context(joint.folder_made(output))
        setting = _setting(hosts, campaign, output, scratch)
        marks: Counter[Mark] = Counter()
        for check in CHECKS:
            limit = check.limit + _MARGIN + (_LATER if comm.rank else 0.0)
            with watchdog(check.name, limit, echo if comm.rank == 0 else silent):
                found = _make(check, hosts, setting)
            if found is not None:
                marks[found.mark] += 1
                echo(found.line(check.name))
        if comm.rank == 0:
            echo(_verdict(marks))
        return bool(hosts.comm.bcast(not marks[Mark.PROBLEM]))


def _setting(hosts: Hosts, campaign: Campaign | None, output: Path, scratch: Path | None) -> Setting:
    mine = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set(range(os.cpu_count() or 1))
    return Setting(
        campaign=campaign,
        output=output,
        scratch=scratch_base(scratch),
        size=hosts.comm.size,
        hosts=hosts.comm.allreduce(int(hosts.heads is not None)),
        ranks=hosts.here.size,
        cores=frozenset().union(*hosts.here.allgather(mine)),
    )


def _make(check: HostCheck | JointCheck, hosts: Hosts, setting: Setting) -> Finding | None:
    """Make a check and return the findings of all hosts as one on rank 0; collective."""
    if isinstance(check, JointCheck):
        findings = check.look(hosts, setting)
        return summarize(findings) if hosts.comm.rank == 0 else None
    asked = hosts.heads is not None if check.everywhere else hosts.comm.rank == 0
    mine = (socket.gethostname(), attempt(lambda: check.look(setting), check.limit)) if asked else None
    meet(hosts.comm)
    gathered = hosts.comm.gather(mine)
    if gathered is None:
        return None
    return summarize([finding for finding in gathered if finding is not None], alike=check.alike)


def _verdict(marks: Counter[Mark]) -> str:
    problems, warnings = marks[Mark.PROBLEM], marks[Mark.WARNING]
    if not problems and not warnings:
        return f"all {marks.total()} checks are ok"
    return f"checks: {marks.total()}, problems: {problems}, warnings: {warnings}"
