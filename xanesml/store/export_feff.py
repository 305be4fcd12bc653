"""Exports a store as the folders of a FEFF user: one for each task, with feff.inp, and xmu.dat when it is done."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import h5py

from xanesml.feff.outcomes import Outcome
from xanesml.feff.request import Request, wave_number
from xanesml.feff.xmu import CHANGED, EXPORTED
from xanesml.files.lock import unused
from xanesml.files.whole import write_text
from xanesml.store.export import Echo, selected_tasks
from xanesml.store.rows import StoreView, open_store_file, read_spectrum, torn_tasks
from xanesml.store.stored import stored_campaign, stored_cluster, stored_table


def export_feff(store: Path, folder: Path, tasks: Sequence[int] | None = None, *, echo: Echo) -> tuple[int, int]:
    """Write a folder `task-NNNNNN` for each task.

    It holds feff.inp, as it was or will be run, and, if the task is done, xmu.dat with what the store keeps of it:
    omega, mu and mu0 in full precision, as FEFF printed them, k from omega and the edge, and chi = mu − mu0. The
    store does not keep the energy e, which FEFF counts from its Fermi level: that column is NaN, and the header says
    so. Of the header there is what the task's cards say.

    Parameters
    ----------
    store : Path
        The store; no driver may be writing it.
    folder : Path
        Folder of the folders; made if it does not exist. A file appears when it is complete.
    tasks : sequence of int, optional
        Tasks to export, increasing; by default all in the campaign's own cards.
    echo : callable
        Prints a line that tells what the files lack, and how many damaged rows are left out.

    Returns
    -------
    int, int
        Number of folders, and of those with an xmu.dat.

    Raises
    ------
    StoreError
        If the store cannot be used.
    EnvironmentProblem
        If the folder cannot be written.
    """
    with unused(store), open_store_file(store) as file:
        campaign = stored_campaign(file)
        table = stored_table(stored_cluster(file), campaign.feff, StoreView(file))
        outcomes = file["runs/outcome"][:]
        wanted = selected_tasks(file, tasks)
        done = outcomes == Outcome.DONE
        torn = torn_tasks(file, wanted[done[wanted]])
        done[torn] = False
        for task in wanted.tolist():
            text, request = table.inputs(task)
            target = folder / f"task-{task:06d}"
            write_text(target / "feff.inp", text, durable=False)
            if done[task]:
                write_text(target / "xmu.dat", _xmu(file, task, request), durable=False)
            else:
                # Of an earlier export, when the row was another.
                (target / "xmu.dat").unlink(missing_ok=True)
    count = int(done[wanted].sum())
    if count:
        echo("xmu.dat: the column e is NaN, as the store does not keep FEFF's Fermi level; the header says the rest")
    if len(torn):
        echo(f"{store}: {len(torn)} damaged rows have no xmu.dat; run `xanesml validate {store}`")
    return len(wanted), count


def _xmu(file: h5py.File, task: int, request: Request) -> str:
    spectrum = read_spectrum(file, task)
    cards = request.cards
    scf = "Non-SCF" if cards.scf is None else f"SCF {cards.scf[0]:3d} {cards.scf[1]:8.4f} {cards.scf[2]:3d}"
    changes = file["runs/changes"][task].decode(errors="replace")
    header = [
        f"{EXPORTED}{file.attrs['engine']}",
        f"Task {task}, identity {file['tasks/identity'][task].decode()}, campaign {file.attrs['campaign_digest']}",
        "omega, mu and mu0 as FEFF printed them; k from omega and the edge; chi = mu - mu0; e (nan) is not stored",
        *([f"{CHANGED}{changes}"] if changes else []),
        f"POT  {scf}",
        f"Abs   Z={request.absorber_number:2d} {request.edge:2s} shell",
        f"FMS rfms={request.fms_radius:7.4f}",
        *([] if cards.s02 is None else [f"S02={cards.s02:5.3f}"]),
        *([] if cards.step is None else [f"xsedge+ 50, used to normalize mu {cards.step:20.4E}"]),
        "-" * 71,
        "omega    e    k    mu    mu0     chi     @#",
    ]
    columns = (spectrum.energy, wave_number(spectrum.energy - spectrum.edge), spectrum.mu, spectrum.mu0)
    chi = (spectrum.mu - spectrum.mu0).tolist()
    rows = [
        f" {omega!r:>20} nan {k!r:>22} {mu!r:>24} {mu0!r:>24} {one!r:>24}"
        for omega, k, mu, mu0, one in zip(*(column.tolist() for column in columns), chi, strict=True)
    ]
    return "".join(f"{line}\n" for line in [*(f"# {line}" for line in header), *rows])
