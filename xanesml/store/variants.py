"""Variants of a campaign's cards: runs of its tasks in other cards, in rows behind those in the campaign's own."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

import h5py
import numpy as np

from xanesml.campaign import FeffSection
from xanesml.errors import StoreError


@dataclass(frozen=True)
class Variant:
    """Tasks of a table in cards of their own.

    Attributes
    ----------
    name : str
        Name of the variant.
    feff : FeffSection
        All of its cards.
    rows : slice
        Its tasks.
    """

    name: str
    feff: FeffSection
    rows: slice

    @property
    def size(self) -> int:
        """Number of its tasks."""
        return int(self.rows.stop - self.rows.start)


def variant_names(file: h5py.File) -> tuple[str, ...]:
    """Return the names of a store's variants, in the order of their rows; none in stores of earlier versions."""
    return tuple(one["name"] for one in json.loads(str(file.attrs.get("variants", "[]"))))


def card_set_rows(file: h5py.File, variant: str | None = None) -> slice:
    """Return the rows of a store's tasks in one set of cards.

    Parameters
    ----------
    file : h5py.File
        The store.
    variant : str, optional
        Name of a variant. Default: the campaign's own cards, whose rows come first.

    Raises
    ------
    StoreError
        If the store has no such variant.
    """
    names = variant_names(file)
    if variant is not None and variant not in names:
        known = f"it has {', '.join(names)}" if names else "it has none"
        raise StoreError(f"{file.filename} has no variant {variant!r}; {known}")
    if not names:
        return slice(0, len(file["runs/outcome"]))
    code = 0 if variant is None else 1 + names.index(variant)
    return slice(*np.searchsorted(file["tasks/variant"][:], (code, code + 1)).tolist())


def variant_of(file: h5py.File, task: int) -> str:
    """Return the name of a task's variant, empty in the campaign's own cards."""
    names = variant_names(file)
    return ("", *names)[int(file["tasks/variant"][task])] if names else ""


def variant_sizes(file: h5py.File) -> dict[str, int]:
    """Return the number of tasks of each variant of a store."""
    rows = {name: card_set_rows(file, name) for name in variant_names(file)}
    return {name: one.stop - one.start for name, one in rows.items()}


def in_variants(sizes: Mapping[str, int]) -> str:
    """Return numbers of tasks by variant as text that follows that of all tasks; empty without variants."""
    counts = ", ".join(f"{count} in {name}" for name, count in sizes.items())
    return f" ({counts})" if counts else ""
