from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from hpc import progress
from hpc.progress import ProgressLine

SHOW = """
from hpc.progress import ProgressLine
line = ProgressLine("runs", 3, print)
for _ in range(3):
    line.advance()
line.close()
"""

#: A launcher that gives its child a terminal, as Open MPI does for rank 0, and passes on what it prints.
LAUNCH = """
import os, pty, sys
os.environ["OMPI_COMM_WORLD_SIZE"] = "1"
pty.spawn([sys.executable, *sys.argv[1:]])
"""


def test_lines_are_few_and_the_last_one_always_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter([0.0, *(0.1 * i for i in range(1, 11)), 20.0, 20.1, 40.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(now))
    lines: list[str] = []
    line = ProgressLine("FEFF runs", 13, lines.append)
    for _ in range(13):
        line.advance()
    line.close()
    assert lines == ["FEFF runs: 11 of 13, about 4 s left", "FEFF runs: 13 of 13, about 0 s left"]


@pytest.mark.parametrize("launcher", [[], ["launch.py"]], ids=["alone", "launched"])
def test_a_terminal_gets_a_bar_and_a_pipe_gets_lines(tmp_path: Path, launcher: list[str]) -> None:
    (tmp_path / "launch.py").write_text(LAUNCH)
    (tmp_path / "show.py").write_text(SHOW)
    command = [sys.executable, *launcher, "show.py"]
    environment = os.environ | {"TERM": "xterm"}
    run = {"cwd": tmp_path, "env": environment, "timeout": 60, "stdin": subprocess.DEVNULL}
    piped = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, **run).stdout
    assert piped.split() == ["runs:", "3", "of", "3,", "about", "0", "s", "left"]

    controller, terminal = pty.openpty()
    subprocess.run(command, check=True, stdout=terminal, **run)
    os.close(terminal)
    shown = b""
    try:
        while chunk := os.read(controller, 4096):
            shown += chunk
    except OSError:
        pass
    os.close(controller)
    assert b"3/3" in shown
