"""Run the command line with a plain exception on one rank: break_command.py MODULE:ATTRIBUTE RANK COMMAND..."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import wraps
from importlib import import_module
from typing import Any

from mpi4py import MPI

from hpc.cli import main


def breaking(function: Callable[..., Any], rank: int) -> Callable[..., Any]:
    @wraps(function)
    def broken(*arguments: Any, **named: Any) -> Any:
        if MPI.COMM_WORLD.rank == rank:
            raise RuntimeError("a defect on one rank")
        return function(*arguments, **named)

    return broken


if __name__ == "__main__":
    place, number = sys.argv[1:3]
    del sys.argv[1:3]
    module, _, path = place.partition(":")
    holder: Any = import_module(module)
    *outer, name = path.split(".")
    for part in outer:
        holder = getattr(holder, part)
    setattr(holder, name, breaking(getattr(holder, name), int(number)))
    main()
