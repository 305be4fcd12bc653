#!/usr/bin/env python3
"""Rows written per second: the store's writer against the same bytes through MPI-IO.

    python benchmarks/write_rows.py [--rows N] [--folder DIR]

The baseline is `MPI.File.Write_at` of the same pieces of every row, at the same offsets and
in the same order, into a file of the same size; every rank writes its rows, as through the
`mpio` driver. Below it, one contiguous piece for a whole row. The rank-0 writer writes all
rows, those of the other ranks as the bytes that they sent. The file system's cache takes what
is written; medians of five rounds, in turn.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from mpi import answer, on_ranks, rank_part

if TYPE_CHECKING:
    from mpi4py import MPI

ROUNDS = 5
BASELINE = "Write_at, piece by piece (baseline)"
SEED = 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=4000)
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        store = Path(folder) / "store.h5"
        lay_out_store(store, options.rows)
        print(f"{'ranks':>5s}  {'method':36s} {'rows/s':>8s} {'µs per row':>9s} {'ratio':>6s}")
        for ranks in (1, 2):
            rates = on_ranks(ranks, __file__, store, options.rows)
            for name, rate in rates.items():
                print(f"{ranks:5d}  {name:36s} {rate:8.0f} {1e6 * ranks / rate:9.1f} {rate / rates[BASELINE]:6.2f}")


def lay_out_store(path: Path, rows: int) -> None:
    from xanesml.campaign import Campaign  # noqa: PLC0415
    from xanesml.store.create import lay_out  # noqa: PLC0415
    from xanesml.store.plan import expand  # noqa: PLC0415

    campaign = Campaign.model_validate({"name": "rows", "disorder": {"structures": -(-rows // 13)}})
    lay_out(path, campaign, expand(campaign), "none")


def on_each_rank(store: Path, count: int) -> None:
    from mpi4py import MPI  # noqa: PLC0415 (initializes MPI)

    from hpc.farming.shared_file import SharedFile  # noqa: PLC0415
    from xanesml.feff.outcomes import Outcome  # noqa: PLC0415
    from xanesml.files.layout import STORE, row_arrays  # noqa: PLC0415
    from xanesml.store.rows import Row, RowPacker, RowWriter, StoredSpectrum, open_store_file  # noqa: PLC0415

    comm = MPI.COMM_WORLD
    mine = range(comm.rank, count, comm.size)
    rng = np.random.default_rng(SEED)
    energy = np.linspace(11_900.0, 11_970.0, 108)
    spectrum = StoredSpectrum(energy, rng.random(108), rng.random(108), 11_919.0)
    done = {"outcome": Outcome.DONE, "finished": 1.7e9, "host": "node0001", "seconds": 40.0, "cpu_seconds": 39.0}
    done |= {"memory": 120.0, "solver": "dense, 495 unknowns", "spectrum": spectrum}

    def row(task: int) -> Row:
        return Row(task=task, **done)  # type: ignore[arg-type]

    def mpio() -> float:
        with open_store_file(store, mode="r+", comm=comm) as file:
            shared = SharedFile(comm, store)
            writer = RowWriter(file, shared.write_pieces)
            seconds = timed(comm, lambda task: writer.write(row(task)), mine)
            shared.close()
            return seconds

    def root() -> float:
        if comm.rank:
            return timed(comm, lambda task: comm.send(packer.pack(row(task)), 0), mine)
        with open_store_file(store, mode="r+") as file:
            writer = RowWriter(file)

            def write(task: int) -> None:
                source = task % comm.size
                writer.write_packed(task, comm.recv(source=source) if source else packer.pack(row(task)))

            return timed(comm, write, range(count))

    with open_store_file(store) as file:
        packer = RowPacker(file["spectra/energy"].shape[1])
        columns = [(file[array.path].id.get_offset(), file[array.path][0].nbytes) for array in row_arrays(STORE)]
    raw = store.with_suffix(".raw")
    if comm.rank == 0:
        shutil.copyfile(store, raw)
    comm.Barrier()
    total = sum(size for _, size in columns)
    pieces = [(offset, size, np.full(size, 7, np.uint8)) for offset, size in columns]
    whole = np.full(total, 7, np.uint8)

    def write_at(layout: list[tuple[int, int, np.ndarray[tuple[int], np.dtype[np.uint8]]]]) -> float:
        file = MPI.File.Open(comm, str(raw), MPI.MODE_RDWR)

        def write(task: int) -> None:
            for offset, size, piece in layout:
                file.Write_at(offset + task * size, piece)

        seconds = timed(comm, write, mine)
        file.Close()
        return seconds

    ways: dict[str, Callable[[], float]] = {
        BASELINE: lambda: write_at(pieces),
        "Write_at, one piece a row": lambda: write_at([(pieces[0][0], total, whole)]),
        "RowWriter, mpio": mpio,
        "RowWriter, rank 0 for all": root,
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(ROUNDS):
        for name, way in ways.items():
            seconds[name].append(way())
    if comm.rank == 0:
        answer({name: count / statistics.median(values) for name, values in seconds.items()})


def timed(comm: MPI.Intracomm, write: Callable[[int], None], tasks: range) -> float:
    comm.Barrier()
    began = time.perf_counter()
    for task in tasks:
        write(task)
    comm.Barrier()
    return time.perf_counter() - began


if __name__ == "__main__":
    words = rank_part()
    if words is None:
        main()
    else:
        on_each_rank(Path(words[0]), int(words[1]))
