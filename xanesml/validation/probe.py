"""Reads a file's structure as `validate` does, in a process of its own; see `xanesml.files.apart`."""

from __future__ import annotations

from pathlib import Path

from xanesml.validation.conformity import examine_form
from xanesml.validation.opening import extent, open_whole


def probe(path: Path) -> None:
    """Read all of a file's structure."""
    found = extent(path)
    with open_whole(found) as opened:
        examine_form(opened, found)
