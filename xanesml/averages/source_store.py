"""The store that a tensor file was made from: opened where it is at hand, its spectra on the mesh, its runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from xanesml.averages.mesh import edge_step, onto_mesh
from xanesml.campaign import Campaign
from xanesml.errors import EnvironmentProblem, StoreError
from xanesml.feff.outcomes import Outcome
from xanesml.files.arrays import Floats, Wholes
from xanesml.files.hdf5 import text_attribute
from xanesml.store.rows import open_store_file, torn_tasks

#: Different hosts, solvers and the like that are named; the others are counted.
NAMED = 4


@contextmanager
def open_source(tensors: h5py.File) -> Iterator[tuple[h5py.File | None, str]]:
    """Open the store that a tensor file was made from, for the length of a `with` block.

    It is searched for beside the tensor file, so that a copied folder uses its own, then at the path that the
    tensor file names. A store of other tasks is not used.

    Yields
    ------
    h5py.File or None
        The open store; None where it cannot be used.
    str
        Its path, or why it cannot be used.
    """
    named = Path(str(tensors.attrs["store"]))
    beside = Path(tensors.filename).parent / named.name
    found = beside if beside.is_file() else named
    unread = "its FEFF runs are not listed"
    if not found.is_file():
        yield None, f"{named} does not exist; {unread}"
        return
    try:
        store = open_store_file(found)
    except (EnvironmentProblem, StoreError) as error:
        yield None, f"{error}; {unread}"
        return
    with store:
        digest = text_attribute(store, "tasks_digest")
        if digest == text_attribute(tensors, "tasks_digest"):
            yield store, str(found)
        else:
            yield None, f"{found} has other tasks ({digest}); {unread}"


def unusable(store: h5py.File, tasks: Wholes) -> list[int]:
    """Return the tasks that are not done in a store, or whose rows do not match their checksum."""
    undone = store["runs/outcome"][:][tasks] != Outcome.DONE
    bad: list[int] = tasks[undone | np.isin(tasks, torn_tasks(store, tasks))].tolist()
    return bad


def spectra_on_mesh(
    store: h5py.File, tasks: Wholes, mesh: Floats, edge: float, campaign: Campaign
) -> tuple[Floats, Floats, float]:
    """Read spectra from a store and bring them onto a mesh.

    Parameters
    ----------
    store : h5py.File
        The store.
    tasks : ndarray of int, shape (n,)
        Tasks that are done, close to each other; n > 0.
    mesh : ndarray of float64, shape (M,)
        Photon energies, ascending, eV.
    edge : float
        Photon energy of the edge, eV.
    campaign : Campaign
        Its interpolation and normalization are used.

    Returns
    -------
    mu : ndarray of float64, shape (n, M)
        Spectra, not normalized.
    steps : ndarray of float64, shape (n,)
        Their edge steps; ones where FEFF has normalized the spectra.
    energy : float
        Photon energy at which μ0 gives the edge steps, eV.

    Raises
    ------
    StoreError
        If a spectrum does not cover the mesh, with its task, or has no edge step.
    """
    rows = slice(int(tasks.min()), int(tasks.max()) + 1)
    energy, mu, mu0, points = (
        store[f"spectra/{name}"][rows][tasks - rows.start] for name in ("energy", "mu", "mu0", "points")
    )

    def on_mesh(values: Floats) -> Floats:
        return onto_mesh(energy, values, points, mesh, campaign.averaging.interpolation, tasks=tasks)

    steps, normalization_energy = edge_step(on_mesh(mu0), mesh, edge)
    if campaign.feff.normalization == "feff":
        steps = np.ones_like(steps)
    return on_mesh(mu), steps, normalization_energy


def describe_runs(store: h5py.File, tasks: Wholes) -> list[str]:
    """Return three lines: where, when and how the FEFF runs of tasks that are done were made."""

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
    """Return the different values, each with its count; the value alone where there is only one."""
    counts = Counter(map(str, values)).most_common()
    if len(counts) == 1:
        return counts[0][0]
    more = f" and {len(counts) - NAMED} others" if len(counts) > NAMED else ""
    return ", ".join(f"{value} ({count})" for value, count in counts[:NAMED]) + more
