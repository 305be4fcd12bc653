"""Reads a file's structure in a process of its own: HDF5 may crash, or never end, on a damaged one."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
from pathlib import Path

from xanesml.errors import StoreError
from xanesml.validation.conformity import examine_form
from xanesml.validation.opening import extent, open_whole

#: Longest time for reading the structure of a file, s.
TIMEOUT = 120.0


def crash(path: Path) -> str | None:
    """Return how HDF5 crashes on a file, in one line, or None."""
    command = [sys.executable, "-m", __name__, str(path)]
    try:
        ended = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, timeout=TIMEOUT, check=False)
    except subprocess.TimeoutExpired:
        how = f"does not finish reading it within {TIMEOUT:.0f} s"
    else:
        if ended.returncode >= 0:
            return None
        how = f"crashes on it ({signal.Signals(-ended.returncode).name})"
    return f"its structure is damaged: HDF5 {how}; restore it from a copy"


if __name__ == "__main__":
    found = extent(Path(sys.argv[1]))
    with contextlib.suppress(StoreError), open_whole(found) as opened:
        examine_form(opened, found)
