"""Time limits for checks, and findings made of exceptions: no check hangs or ends the others."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from hpc.doctor.findings import Finding, problem
from xanesml.errors import EnvironmentProblem, XanesmlError
from xanesml.feff.process import clean_environment

if TYPE_CHECKING:
    from mpi4py import MPI

#: Exit status after giving up a check of all ranks: the command line's for bad input.
GIVEN_UP = 2

_POLL_INTERVAL = 0.02


def attempt(look: Callable[[], Finding], limit: float) -> Finding:
    """Return the finding of a function that may raise or hang, and that does not communicate.

    It runs in a thread, which is abandoned if it hangs, for example in a system call on a dead file system.
    An exception, or no answer within `limit` seconds, is a problem.
    """
    found: list[Finding] = []

    def run() -> None:
        try:
            found.append(look())
        except XanesmlError as error:
            found.append(problem(str(error)))
        except Exception as error:  # noqa: BLE001 (it is what was found)
            found.append(failure(error))

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(limit)
    return found[0] if found else problem(f"no answer within {limit:.0f} s", "check whether the host hangs")


def failure(error: Exception) -> Finding:
    """Return an exception in a check as a problem."""
    said = (str(error).splitlines() or [""])[0][:200]
    return problem(f"the check failed with {type(error).__name__}: {said}")


def run_child(command: Sequence[str], limit: float) -> subprocess.CompletedProcess[str]:
    """Run a program in an environment without the launcher's variables, and capture its output as text.

    Raises
    ------
    EnvironmentProblem
        If it was killed after `limit` seconds.
    """
    try:
        return subprocess.run(
            command,
            env=clean_environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=limit,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise EnvironmentProblem(
            f"{command[0]} was not done after {limit:.0f} s; look for a host or a file system that hangs"
        ) from error


def last_words(child: subprocess.CompletedProcess[str]) -> str:
    """Return why a program failed: the last line of its errors or output, or else its exit status."""
    if child.returncode < 0:
        return f"ended by {signal.Signals(-child.returncode).name}"
    lines = [line.strip() for text in (child.stdout, child.stderr) for line in text.splitlines() if line.strip()]
    return lines[-1][:200] if lines else f"exit status {child.returncode}"


@contextmanager
def watchdog(name: str, limit: float, echo: Callable[[str], None]) -> Iterator[None]:
    """End this process if the block takes longer than `limit` seconds, and say which check is given up.

    A rank that waits in the MPI library or in HDF5 cannot be interrupted; the launcher ends the others.
    """

    def give_up() -> None:
        text = f"the ranks were not done after {limit:.0f} s, which ends the doctor; it may have left files behind"
        echo(problem(text, "look for a host or a file system that hangs").line(name))
        sys.stdout.flush()
        os._exit(GIVEN_UP)

    timer = threading.Timer(limit, give_up)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def meet(comm: MPI.Intracomm) -> None:
    """Wait for all ranks without keeping the core busy, which others may need; collective."""
    request = comm.Ibarrier()
    while not request.Test():
        time.sleep(_POLL_INTERVAL)
