"""Exports a store: spectra as XDI, structures as extended XYZ."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

import ase.io
import h5py
import numpy as np
from ase.data import chemical_symbols

from xanesml.errors import StoreError
from xanesml.feff.outcomes import Outcome
from xanesml.files.arrays import Integers
from xanesml.files.lock import unused
from xanesml.files.rows_text import about
from xanesml.files.whole import whole_file, write_text
from xanesml.store.rows import open_store_file, read_spectrum, torn_tasks
from xanesml.store.stored import how_made, stored_atoms
from xanesml.store.variants import card_set_rows, variant_of

Echo = Callable[[str], None]


def parse_tasks(text: str, count: int) -> list[int]:
    """Parse a selection of tasks.

    Parameters
    ----------
    text : str
        Task numbers and ranges, both ends included, such as ``0,5-9``.
    count : int
        Number of tasks in the store.

    Returns
    -------
    list of int
        Task numbers, increasing, each once.

    Raises
    ------
    StoreError
        If a part of the text is neither, runs backwards, or names no task of the store.
    """
    accepted = f"give numbers and ranges from 0 to {count - 1}, such as 0,5-9"
    chosen: set[int] = set()
    for part in text.split(","):
        match = re.fullmatch(r"\s*([0-9]{1,18})\s*(?:-\s*([0-9]{1,18})\s*)?", part)
        if match is None:
            raise StoreError(f"--tasks {text}: {part.strip()!r} is neither a task nor a range of tasks; {accepted}")
        first, last = int(match[1]), int(match[2] or match[1])
        if last < first:
            raise StoreError(f"--tasks {text}: the range {first}-{last} runs backwards; {accepted}")
        if last >= count:
            raise StoreError(f"--tasks {text}: there is no task {last}; {accepted}")
        chosen.update(range(first, last + 1))
    return sorted(chosen)


def chosen_tasks(store: Path, text: str | None, variant: str | None = None) -> list[int]:
    """Return a selection of a store's tasks.

    Parameters
    ----------
    store : Path
        The store.
    text : str or None
        Tasks in any cards; see `parse_tasks`. None stands for all in one set of cards.
    variant : str, optional
        Name of a variant. Default: the campaign's own cards.

    Raises
    ------
    StoreError
        If there is no such task or variant, or both are given.
    """
    if text is not None and variant is not None:
        raise StoreError("--tasks are in any cards; give either --tasks or --variant")
    with open_store_file(store) as file:
        if text is not None:
            return parse_tasks(text, len(file["runs/outcome"]))
        rows = card_set_rows(file, variant)
        return list(range(rows.start, rows.stop))


def export_xdi(
    store: Path, folder: Path, tasks: Sequence[int] | None = None, *, echo: Echo, archive: bool = False
) -> int:
    """Write the spectra of tasks that are done, each as an XDI file `task-NNNNNN.xdi`.

    The columns are the photon energy (eV), μ and μ0 as FEFF printed them, in the full
    precision of the store. The namespace `Xanesml` describes task, structure and engine.

    Parameters
    ----------
    store : Path
        The store; no driver may be writing it.
    folder : Path
        Folder of the files; made if it does not exist. A file appears when it is complete.
    tasks : sequence of int, optional
        Tasks to export, increasing; by default all in the campaign's own cards. Those that are not done are left out.
    echo : callable
        Prints a line that names the tasks left out.
    archive : bool
        Whether the files go into one, `spectra.zip`, as accounts on clusters may have few files.

    Returns
    -------
    int
        Number of spectra written.

    Raises
    ------
    StoreError
        If none of the tasks is done, or the store cannot be used.
    EnvironmentProblem
        If the folder cannot be written.

    References
    ----------
    XDI 1.0, https://github.com/XraySpectroscopy/XAS-Data-Interchange.
    """
    with unused(store), open_store_file(store) as file:
        done = _done(file, store, tasks, echo)
        edge = _edge(file, store)
        spectra = ((f"task-{task:06d}.xdi", _xdi(file, task, edge)) for task in done.tolist())
        if archive:
            with whole_file(folder / "spectra.zip") as partial, ZipFile(partial, "w", ZIP_DEFLATED) as members:
                for name, text in spectra:
                    # Of no date, so that the same store gives the same bytes.
                    members.writestr(ZipInfo(name), text, ZIP_DEFLATED)
        else:
            for name, text in spectra:
                write_text(folder / name, text, durable=False)
    return len(done)


def export_extxyz(store: Path, target: Path, tasks: Sequence[int] | None = None, *, echo: Echo) -> int:
    """Write structures into one extended XYZ file, one frame for each.

    A frame has its index in the store (`structure`), its distortion or disorder (`kind`;
    `delta` or `sigma`, Å, or `image`; `scale`), its absorbing atoms (`absorbers`), the number of
    atoms that each stands for (`multiplicity`), and those of its tasks that are done
    (`tasks_done`, left out if there are none).

    Parameters
    ----------
    store : Path
        The store; no driver may be writing it.
    target : Path
        File to write; it appears when it is complete and replaces an earlier one.
    tasks : sequence of int, optional
        Tasks whose structures are exported, increasing; by default all in the campaign's own cards.
    echo : callable
        Prints a line that names the tasks that are not done.

    Returns
    -------
    int
        Number of frames written.

    Raises
    ------
    StoreError
        If none of the tasks is done, or the store cannot be used.
    EnvironmentProblem
        If the file cannot be written.
    """
    with (
        unused(store),
        open_store_file(store) as file,
        whole_file(target) as partial,
        partial.open("w", encoding="utf-8") as frames,
    ):
        done = _done(file, store, tasks, echo)
        of_task, absorber, multiplicity = (
            file[f"tasks/{name}"][:] for name in ("structure", "absorber", "multiplicity")
        )
        wanted = np.unique(of_task[selected_tasks(file, tasks)])
        # In other cards a structure has the same absorbers.
        order = np.argsort(of_task[card_set_rows(file)], kind="stable")
        firsts = np.searchsorted(of_task[order], wanted)
        lasts = np.searchsorted(of_task[order], wanted, side="right")
        for structure, first, last in zip(wanted.tolist(), firsts, lasts, strict=True):
            here = order[first:last]
            atoms = stored_atoms(file, structure)
            atoms.info["absorbers"], atoms.info["multiplicity"] = absorber[here], multiplicity[here]
            if len(finished := done[of_task[done] == structure]):
                atoms.info["tasks_done"] = finished
            ase.io.write(frames, atoms, format="extxyz")
    return len(wanted)


def _done(file: h5py.File, store: Path, tasks: Sequence[int] | None, echo: Echo) -> Integers:
    """Return the selected tasks that are done and match their checksum; name the others."""
    outcomes = file["runs/outcome"][:]
    wanted = selected_tasks(file, tasks)
    done = outcomes == Outcome.DONE
    done[torn_tasks(file, wanted[done[wanted]])] = False
    usable: Integers = wanted[done[wanted]]
    others = wanted[~done[wanted]]
    if not len(usable):
        raise StoreError(f"{store}: none of the {len(wanted)} tasks is done; run `xanesml simulate CAMPAIGN` first")
    if len(others):
        echo(f"{store}: {about(others, 'is|are', 'task')} not done, or damaged, and left out")
    return usable


def selected_tasks(file: h5py.File, tasks: Sequence[int] | None) -> Integers:
    """Return the selected tasks, shape (n,): by default all in the campaign's own cards."""
    if tasks is not None:
        return np.asarray(tasks, dtype=np.int64)
    rows = card_set_rows(file)
    return np.arange(rows.start, rows.stop)


def _edge(file: h5py.File, store: Path) -> str:
    try:
        return str(json.loads(str(file.attrs["campaign"]))["feff"]["edge"])
    except (ValueError, LookupError, TypeError) as error:
        raise StoreError(f"{store}: its campaign is damaged; run `xanesml validate {store}` for details") from error


def _xdi(file: h5py.File, task: int, edge: str) -> str:
    absorber = int(file["tasks/absorber"][task])
    spectrum = read_spectrum(file, task)
    made = how_made(file, int(file["tasks/structure"][task]))
    own = {
        "task": task,
        **made,
        "absorber": absorber,
        "multiplicity": int(file["tasks/multiplicity"][task]),
        **({"variant": variant} if (variant := variant_of(file, task)) else {}),
        "campaign_digest": file.attrs["campaign_digest"],
        "engine": file.attrs["engine"],
        "identity": file["tasks/identity"][task].decode(),
        "changes": file["runs/changes"][task].decode(errors="replace") or "none",
        "solver": file["runs/solver"][task].decode(errors="replace") or "unknown",
        "seconds": float(file["runs/seconds"][task]),
    }
    # No field of ours has "element", "mono" or "edge_en" in its name: larch would read it as the standard field.
    headers = {
        "Column.1": "energy eV",
        "Column.2": "mu",
        "Column.3": "mu0",
        "Element.symbol": chemical_symbols[file["structures/numbers"][absorber]],
        "Element.edge": edge,
        "Scan.edge_energy": f"{spectrum.edge!r} eV",
    } | {f"Xanesml.{name}": value for name, value in own.items()}
    lines = [f"XDI/1.0 Xanesml/{version('xanesml')}"]
    lines += [f"{name}: {' '.join(str(value).split())}" for name, value in headers.items()]
    lines += ["-------------", "energy mu mu0"]
    columns = (column.tolist() for column in (spectrum.energy, spectrum.mu, spectrum.mu0))
    rows = [f"  {energy!r:<20} {mu!r:<24} {mu0!r}" for energy, mu, mu0 in zip(*columns, strict=True)]
    return "".join(f"{line}\n" for line in [*(f"# {line}" for line in lines), *rows])
