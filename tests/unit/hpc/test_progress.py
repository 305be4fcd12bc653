from __future__ import annotations

import os
import pty
import subprocess
import sys

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


def test_lines_are_few_and_the_last_one_always_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter([0.0, *(0.1 * i for i in range(1, 11)), 20.0, 20.1, 40.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(now))
    lines: list[str] = []
    line = ProgressLine("FEFF runs", 13, lines.append)
    for _ in range(13):
        line.advance()
    line.close()
    assert lines == ["FEFF runs: 11 of 13, about 4 s left", "FEFF runs: 13 of 13, about 0 s left"]


def test_a_terminal_gets_a_bar_and_a_pipe_gets_lines() -> None:
    command = [sys.executable, "-c", SHOW]
    environment = os.environ | {"TERM": "xterm"}
    piped = subprocess.run(command, capture_output=True, text=True, env=environment, check=True, timeout=60).stdout
    assert piped.split() == ["runs:", "3", "of", "3,", "about", "0", "s", "left"]

    controller, terminal = pty.openpty()
    subprocess.run(command, stdout=terminal, stdin=subprocess.DEVNULL, env=environment, check=True, timeout=60)
    os.close(terminal)
    shown = b""
    try:
        while chunk := os.read(controller, 4096):
            shown += chunk
    except OSError:
        pass
    os.close(controller)
    assert b"3/3" in shown
