"""Reads a file's structure as `validate` does, in a process of its own; see `xanesml.files.apart`."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path

from xanesml.errors import XanesmlError
from xanesml.validation.conformity import examine_form
from xanesml.validation.opening import extent, open_whole

if __name__ == "__main__":
    with contextlib.suppress(XanesmlError):
        found = extent(Path(sys.argv[1]))
        with open_whole(found) as opened:
            examine_form(opened, found)
