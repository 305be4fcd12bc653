"""Write the same rows into a store through mpio, or through rank 0: write_rows.py STORE mpio|root"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from hpc.comm import world
from hpc.farming.shared_file import SharedFile
from xanesml.feff.outcomes import Outcome
from xanesml.feff.xmu import Spectrum
from xanesml.store.rows import Row, RowWriter, open_store_file

TASKS, POINTS = 23, 40


def row(task: int) -> Row:
    if task % 7 == 3:
        return Row(
            task=task,
            outcome=Outcome.CRASHED,
            message=f"signal {task}",
            seconds=0.5,
            finished=1.0e9 + task,
            host="node",
        )
    rng = np.random.default_rng(task)
    spectrum = Spectrum(
        energy=np.arange(POINTS, dtype=float),
        mu=rng.random(POINTS),
        mu0=rng.random(POINTS),
        edge=11919.0,
        absorber_number=79,
        shell="L3",
        scf=False,
        fms_radius=7.0,
    )
    return Row(
        task=task, outcome=Outcome.DONE, seconds=1.0 + task, finished=1.0e9 + task, host="node", spectrum=spectrum
    )


def main(store: Path, writer: str) -> None:
    comm = world()
    mine = range(comm.rank, TASKS, comm.size)
    if writer == "mpio":
        with open_store_file(store, mode="r+", comm=comm) as file:
            shared = SharedFile(comm, store)
            writer = RowWriter(file, shared.write_pieces)
            for task in mine:
                writer.write(row(task))
            shared.close()
    elif comm.rank == 0:
        with open_store_file(store, mode="r+") as file:
            root = RowWriter(file)
            for task in range(TASKS):
                root.write(row(task) if task % comm.size == 0 else comm.recv(source=task % comm.size))
    else:
        for task in mine:
            comm.send(row(task), dest=0)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
