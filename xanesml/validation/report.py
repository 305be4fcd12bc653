"""The result of a validation, in lines."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from xanesml.files.arrays import Integers


@dataclass(frozen=True, kw_only=True)
class ValidationReport:
    """The problems of a file.

    Attributes
    ----------
    path : Path
        The file.
    content : str
        Its format and content, such as ``xanesml-store version 3, 7 tasks: 5 done, 2 pending``;
        empty where they are not known.
    problems : tuple of str
        The problems, each in one line; after a repair, those that remain.
    torn : ndarray, shape (n,), int64
        Rows of a store that must be run again, or marked; increasing; after a repair, those that remain.
    repairs : tuple of str
        The repairs, each in one line.
    """

    path: Path
    content: str = ""
    problems: tuple[str, ...] = ()
    torn: Integers = field(default_factory=lambda: np.empty(0, np.int64))
    repairs: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether no problem remains."""
        return not self.problems

    def lines(self) -> list[str]:
        """Return the repairs, the problems, and the verdict with the counts, in this order."""
        found = [f"{self.path}: {text}" for text in (*(f"repaired: {text}" for text in self.repairs), *self.problems)]
        count = len(self.problems)
        verdict = "valid" if self.ok else f"not valid, {count} problem{'s' if count > 1 else ''}"
        return [*found, f"{self.path}: {verdict}{': ' if self.content else ''}{self.content}"]
