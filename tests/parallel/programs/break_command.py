"""Run the command line with a plain exception in the work of rank 1: break_command.py COMMAND..."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import wraps
from importlib import import_module
from typing import Any

from mpi4py import MPI

from hpc.cli import main

#: Where each command's rank 1 breaks: module, attribute.
PLACES = {
    "simulate": ("hpc.farming.feff_worker", "FeffWorker.finish"),
    "average": ("hpc.average", "blocks"),
    "train": ("hpc.training.loop", "evaluate"),
    "tune": ("hpc.training.loop", "evaluate"),
}


def breaking(function: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(function)
    def broken(*arguments: Any, **named: Any) -> Any:
        if MPI.COMM_WORLD.rank == 1:
            raise RuntimeError("a defect on one rank")
        return function(*arguments, **named)

    return broken


if __name__ == "__main__":
    module, path = PLACES[sys.argv[1]]
    holder: Any = import_module(module)
    *outer, name = path.split(".")
    for part in outer:
        holder = getattr(holder, part)
    setattr(holder, name, breaking(getattr(holder, name)))
    main()
