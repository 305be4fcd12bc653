"""Child processes, each in a session of its own and killed with all its children."""

from __future__ import annotations

import contextlib
import os
import platform
import resource
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from xanesml.feff.guard import guard
from xanesml.feff.server import Served, serve, start_server

#: Prefixes of variables by which MPI and batch systems make a process a rank.
MPI_PREFIXES = ("OMPI_", "PMIX_", "PMI_", "PRTE_", "SLURM_", "MPI_", "HYDRA_", "I_MPI_")

#: One thread per program: parallelism is over runs.
SINGLE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}

#: Keep freed memory: FEFF's SCF loop allocates its matrices at every energy, and if glibc returns them
#: to the system each time, half of the loop's time is page faults. One arena: the settings do not hold in a
#: second one, which glibc takes where the loop's sphere has more than some hundred atoms.
GLIBC_KEEPS_MEMORY = {
    "MALLOC_ARENA_MAX": "1",
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": "8589934592",
    "MALLOC_TOP_PAD_": "268435456",
}

#: Time between the request to stop and the kill, s.
GRACE = 1.0

_POLL_INTERVAL = 0.01

# getrusage counts resident memory in KiB, on macOS in bytes.
_MAXRSS_PER_MIB = 1024.0**2 if platform.system() == "Darwin" else 1024.0

#: Return code of a program that could not be started, as in a shell.
NOT_STARTED = 127


def clean_environment(base: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the environment for a FEFF program, made of `base` or, by default, of this process's.

    It lacks the variables that would make the program an MPI rank, and sets one thread and, under glibc, that freed
    memory is kept.
    """
    source = os.environ if base is None else base
    kept = {name: value for name, value in source.items() if not name.startswith(MPI_PREFIXES)}
    return kept | SINGLE_THREAD | (GLIBC_KEEPS_MEMORY if platform.libc_ver()[0] == "glibc" else {})


def raise_stack_limit() -> None:
    """Raise this process's stack limit to the hard limit; its children inherit it.

    FEFF keeps large arrays on the stack. Setting the limit here instead of between
    fork and exec keeps `subprocess` on its fast path, which is also the safe one in a
    process with threads.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_STACK)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_STACK, (hard, hard))


def serve_runs() -> None:
    """Start a server that forks FEFF10's runs, so that a run reads nothing of Python; call it before MPI starts.

    Its runs have the environment of this moment.
    """
    # The place of the stack in memory is settled when a program starts.
    raise_stack_limit()
    start_server(clean_environment())


class ChildRun:
    """Programs run one after the other in one folder; a failing one ends the sequence.

    Each program leads a session and process group of its own, has no standard input
    and prints to the log. When it ends, the rest of its group is killed. The guard kills
    the group if this process is killed.

    Parameters
    ----------
    commands : sequence of sequence of str
        Argument vectors, at least one; no shell interprets them.
    folder : Path
        Working folder of the programs.
    log : Path
        File for their standard output and error, overwritten.
    environment : mapping of str
        Their whole environment.

    Attributes
    ----------
    cpu_seconds : float
        Processor time, user and system, of the ended programs and of the children that
        they waited for, s.
    memory : float
        Largest resident set of any of these processes, MiB; at least that of this process,
        which the system counts for its children.
    """

    def __init__(
        self, commands: Sequence[Sequence[str]], *, folder: Path, log: Path, environment: Mapping[str, str]
    ) -> None:
        self._waiting = list(commands)
        self._folder = folder
        self._log = log
        self._environment = environment
        self._child: subprocess.Popen[bytes] | Served | None = None
        self._returncode: int | None = None
        self.cpu_seconds = 0.0
        self.memory = 0.0
        log.write_bytes(b"")
        self._start_next()

    def poll(self) -> int | None:
        """Poll without blocking; start the next program after one has ended.

        Returns
        -------
        int or None
            None while programs run; then the return code of the last one that ran:
            0 if all succeeded, −n if signal n ended it, 127 if it could not be started
            (the log says why).
        """
        if self._child is not None and _has_ended(self._child.pid):
            returncode = self._reap()
            if returncode == 0 and self._waiting:
                self._start_next()
            else:
                self._returncode = returncode
        return self._returncode

    def kill(self) -> None:
        """End the programs with all their children and wait for the leader; does nothing if they have ended.

        The group gets SIGTERM, then SIGKILL when its leader has ended or `GRACE` is over.
        """
        if self._child is None:
            return
        self._waiting.clear()
        os.killpg(self._child.pid, signal.SIGTERM)
        deadline = time.monotonic() + GRACE
        while time.monotonic() < deadline and not _has_ended(self._child.pid):
            time.sleep(_POLL_INTERVAL)
        self._returncode = self._reap()

    def _start_next(self) -> None:
        command = self._waiting.pop(0)
        self._child = serve(command, self._folder, self._log, guard().watch)
        if self._child is not None:
            return
        with self._log.open("ab") as output:
            try:
                self._child = subprocess.Popen(
                    command,
                    cwd=self._folder,
                    env=self._environment,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            except OSError as error:
                output.write(f"cannot start {command[0]}: {error.strerror}\n".encode())
                self._returncode = NOT_STARTED
            else:
                guard().watch(self._child.pid)

    def _reap(self) -> int:
        assert self._child is not None  # noqa: S101
        pid = self._child.pid
        # Until the leader is waited for, its group's number cannot be reused.
        os.killpg(pid, signal.SIGKILL)
        guard().release(pid)
        _, status, usage = os.wait4(pid, 0)
        returncode = os.waitstatus_to_exitcode(status)
        # Of a process that takes orphans those of the group are children too.
        with contextlib.suppress(ChildProcessError):
            while True:
                os.waitpid(-pid, 0)
        # Waited for here: Popen does not report the resources used.
        self._child.returncode = returncode
        self._child = None
        self.cpu_seconds += usage.ru_utime + usage.ru_stime
        self.memory = max(self.memory, usage.ru_maxrss / _MAXRSS_PER_MIB)
        return returncode


def _has_ended(pid: int) -> bool:
    return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
