"""FEFF runs that somebody else made: their folders, their input, their verdict, and where they come from."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from xanesml.errors import EnvironmentProblem
from xanesml.feff.request import Request
from xanesml.feff.verdict import Verdict, judge_elsewhere
from xanesml.feff.xmu import read_program
from xanesml.structures.feff_inp import FeffInput, read_feff_input

INPUT, OUTPUT = "feff.inp", "xmu.dat"


def run_folders(folder: Path) -> Iterator[Path]:
    """Yield a folder and those in it, at any depth, that hold a feff.inp; in the order of their names.

    Raises
    ------
    EnvironmentProblem
        If the folder cannot be read.
    """

    def fail(error: OSError) -> None:
        raise EnvironmentProblem(f"{error.filename} cannot be read: {error.strerror}; give an existing folder")

    for parent, folders, files in os.walk(folder, onerror=fail, followlinks=False):
        folders.sort()
        if INPUT in files:
            yield Path(parent)


@dataclass(frozen=True)
class ElsewhereRun:
    """A folder with feff.inp and perhaps xmu.dat; each file is read when it is needed.

    Attributes
    ----------
    folder : Path
        The folder.
    """

    folder: Path

    @property
    def finished(self) -> bool:
        """Whether there is an xmu.dat."""
        return (self.folder / OUTPUT).is_file()

    @property
    def input(self) -> FeffInput:
        """What its feff.inp says; StructureError where that cannot be read."""
        return read_feff_input(self.folder / INPUT)

    @cached_property
    def program(self) -> str:
        """The FEFF that its xmu.dat names, empty where it names none or cannot be read."""
        try:
            return read_program(self.folder / OUTPUT)
        except OSError:
            return ""

    @property
    def ended(self) -> float:
        """Time of the last change of xmu.dat, seconds since 1970."""
        return (self.folder / OUTPUT).stat().st_mtime

    def judge(self, request: Request) -> tuple[Verdict, bool]:
        """Judge the run like one of ours; see `xanesml.feff.verdict.judge_elsewhere`."""
        return judge_elsewhere(self.folder, request)

    def origin(self, *, logged: bool) -> str:
        """Return where the run comes from, in lines: its files with their hashes, its program, and its log."""
        lines = [
            f"imported from {self.folder.resolve()}",
            *(f"{name} blake2b {_digest(self.folder / name)}" for name in (INPUT, OUTPUT)),
            f"computed by {self.program or 'an unknown program'}",
            "judged with FEFF's log" if logged else "without a log: whether the potentials converged is not known",
        ]
        return "\n".join(lines)


def _digest(path: Path) -> str:
    return hashlib.blake2b(path.read_bytes(), digest_size=16).hexdigest()
