"""The store that a tensor file was made from: whether it is at hand, how its rows were run, and their spectra."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np

from xanesml.averages.mesh import edge_step, onto_mesh
from xanesml.errors import StoreError
from xanesml.feff.outcomes import Outcome
from xanesml.files.arrays import Floats, Wholes
from xanesml.files.hdf5 import text_attribute
from xanesml.store.rows import open_store, torn_rows

#: Different hosts, solvers and the like that are named; the others are counted.
NAMED = 4


class Origin(NamedTuple):
    """The store that a tensor file was made from.

    Attributes
    ----------
    store : h5py.File or None
        The store, open, where it is at hand.
    said : str
        Its path, or why it is not at hand.
    """

    store: h5py.File | None
    said: str


@contextmanager
def origin(tensors: h5py.File) -> Iterator[Origin]:
    """Open the store that a tensor file was made from, for the length of a `with` block.

    Looked for at the path that the tensor file names, then beside the tensor file; one with
    other tasks does not count.
    """
    named = Path(str(tensors.attrs["store"]))
    found = named if named.is_file() else Path(tensors.filename).parent / named.name
    untold = "so nothing is told of the FEFF runs"
    if not found.is_file():
        yield Origin(None, f"{named} is not there, {untold}")
        return
    try:
        store = open_store(found)
    except StoreError as error:
        yield Origin(None, f"{error}; {untold}")
        return
    with store:
        digest = text_attribute(store, "tasks_digest")
        same = digest == text_attribute(tensors, "tasks_digest")
        yield Origin(store, str(found)) if same else Origin(None, f"{found} holds other tasks ({digest}), {untold}")


def unusable(store: h5py.File, tasks: Wholes) -> list[int]:
    """Return those rows of a store that are not done, or do not match their checksum."""
    outcomes = store["runs/outcome"]
    return [
        task
        for task in tasks.tolist()
        if outcomes[task] != Outcome.DONE or len(torn_rows(store, range(task, task + 1)))
    ]


def spectra(tensors: h5py.File, store: h5py.File, tasks: Wholes) -> tuple[Floats, Floats]:
    """Bring rows of a store onto the mesh of a tensor file, as averaging does.

    Parameters
    ----------
    tensors, store : h5py.File
        The tensor file, and the store it was made from.
    tasks : ndarray of int, shape (n,)
        Wholes of the store that are done.

    Returns
    -------
    mu : ndarray of float64, shape (n, M)
        Spectra, not normalized.
    steps : ndarray of float64, shape (n,)
        Their edge steps; ones where FEFF has normalized them.

    Raises
    ------
    StoreError
        If they do not cover the mesh.
    """
    mesh, method = tensors["mesh/energy"][:], tensors.attrs["interpolation"]
    energy, mu, mu0, points = (
        np.stack([store[f"spectra/{name}"][task] for task in tasks]) for name in ("energy", "mu", "mu0", "points")
    )
    on_mesh = onto_mesh(energy, mu, points, mesh, method=method)
    if tensors.attrs["normalization"] == "feff":
        return on_mesh, np.ones(len(tasks))
    background = onto_mesh(energy, mu0, points, mesh, method=method)
    return on_mesh, edge_step(background, mesh, float(tensors.attrs["edge"]))[0]


def how_run(store: h5py.File, tasks: Wholes) -> list[str]:
    """Say in three lines where, when and how rows of a store that are done were run."""

    def column(name: str) -> list[Any]:
        values = [store[f"runs/{name}"][task] for task in tasks]
        return [value.decode(errors="replace") if isinstance(value, bytes) else value.item() for value in values]

    ended = [datetime.fromtimestamp(value, timezone.utc) for value in column("finished")]
    first, last = (f"{moment:%Y-%m-%d %H:%M}" for moment in (min(ended), max(ended)))
    when = first if first == last else f"{first} to {last}"
    return [
        f"{len(tasks)} on {_counted(column('host'))}, ended {when} UTC",
        f"tries {_counted(column('tries'))}; changes {_counted(value or 'none' for value in column('changes'))}; "
        f"solver {_counted(column('solver'))}",
        f"engine {store.attrs['engine']}",
    ]


def _counted(values: Iterable[object]) -> str:
    """Return different values with how often each comes; the value alone where there is but one."""
    counts = Counter(map(str, values)).most_common()
    if len(counts) == 1:
        return counts[0][0]
    more = f" and {len(counts) - NAMED} others" if len(counts) > NAMED else ""
    return ", ".join(f"{value} ({count})" for value, count in counts[:NAMED]) + more
