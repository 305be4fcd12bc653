"""What a validation has found, in lines."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from xanesml.files.arrays import Integers


@dataclass(frozen=True, kw_only=True)
class ValidationReport:
    """What is wrong with a file.

    Attributes
    ----------
    path : Path
        The file.
    content : str
        What it is and holds, such as ``xanesml-store version 2, 7 tasks: 5 done, 2 pending``;
        empty where that cannot be told.
    problems : tuple of str
        What is wrong, each in one line; after a repair, what is left of it.
    torn : ndarray, shape (n,), int64
        Rows of a store that have to be run again, or marked; increasing. After a repair as `problems`.
    repairs : tuple of str
        What was repaired, each in one line.
    """

    path: Path
    content: str = ""
    problems: tuple[str, ...] = ()
    torn: Integers = field(default_factory=lambda: np.empty(0, np.int64))
    repairs: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong, or nothing is any more."""
        return not self.problems

    def lines(self) -> list[str]:
        """Return what was repaired, what is wrong, and the verdict with the counts, in this order."""
        found = [f"{self.path}: {text}" for text in (*(f"repaired: {text}" for text in self.repairs), *self.problems)]
        count = len(self.problems)
        verdict = "valid" if self.ok else f"not valid, {count} problem{'s' if count > 1 else ''}"
        return [*found, f"{self.path}: {verdict}{': ' if self.content else ''}{self.content}"]
