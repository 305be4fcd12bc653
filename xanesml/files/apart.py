"""Reads a file's structure in a process of its own: HDF5 may crash, or never end, on a damaged one."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

#: Longest time for reading the structure of a file, s.
TIMEOUT = 120.0


def crash(module: str, path: Path) -> str | None:
    """Run a module with the file as its argument; return in one line how HDF5 crashes in it, or None.

    Parameters
    ----------
    module : str
        Full name of a module that reads the structure of the file when it is run.
    path : Path
        The file.
    """
    command = [sys.executable, "-m", module, str(path)]
    try:
        ended = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, timeout=TIMEOUT, check=False)
    except subprocess.TimeoutExpired:
        how = f"does not finish reading it within {TIMEOUT:.0f} s"
    else:
        if ended.returncode >= 0:
            return None
        how = f"crashes on it ({signal.Signals(-ended.returncode).name})"
    return f"its structure is damaged: HDF5 {how}; restore it from a copy"
