"""A first look at a file in a process of its own: HDF5 may crash, or never end, on a damaged structure."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

from xanesml.validation.report import ValidationReport

#: Longest time for reading the structure of a file, s.
TIMEOUT = 120.0


def crash(path: Path) -> ValidationReport | None:
    """Return a report that says how HDF5 came to grief on a file's structure; None where it did not."""
    command = [sys.executable, "-m", __name__, str(path)]
    try:
        ended = subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, timeout=TIMEOUT, check=False)
    except subprocess.TimeoutExpired:
        how = f"does not come to an end with it within {TIMEOUT:.0f} s"
    else:
        if ended.returncode >= 0:
            return None
        how = f"crashes on it ({signal.Signals(-ended.returncode).name})"
    return ValidationReport(path=path, problems=(f"its structure is damaged: HDF5 {how}; make it anew",))


if __name__ == "__main__":
    from xanesml.validation.validate import examine_structure

    examine_structure(Path(sys.argv[1]))
