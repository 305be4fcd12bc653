"""Open MPI gives rank 0 a terminal of its own, whatever mpirun itself writes to."""

from __future__ import annotations

import sys

import pytest
from conftest import MpiRun

pytestmark = pytest.mark.requires("mpi")

SHOW = """
from hpc.progress import ProgressLine
line = ProgressLine("runs", 1, print)
line.advance()
line.close()
"""


def test_mpirun_into_a_pipe_gets_lines_and_no_bar(mpirun: MpiRun) -> None:
    done = mpirun(1, sys.executable, "-c", SHOW, env={"TERM": "xterm"})
    assert done.stdout.strip() == "runs: 1 of 1, about 0 s left"
