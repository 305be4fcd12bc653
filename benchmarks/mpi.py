"""Start a benchmark again on several ranks, and read what its rank 0 has measured."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from typing import Any

#: Word after which a benchmark finds the arguments of the part that runs on ranks.
RANK_PART = "--rank-part"

_AS_ROOT = {"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}


def mpirun(ranks: int, *command: str, environment: dict[str, str] | None = None) -> str:
    """Run a command on a number of ranks, also with more ranks than cores, and return what it prints.

    The variable LAUNCHER holds the words of another launcher than Open MPI's, before the number of ranks.
    """
    launcher = shlex.split(os.environ.get("LAUNCHER", "mpirun --oversubscribe --bind-to none -n"))
    done = subprocess.run(
        [*launcher, str(ranks), *command],
        env=os.environ | _AS_ROOT | (environment or {}),
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode:
        sys.exit(f"{' '.join(command)} on {ranks} ranks: exit status {done.returncode}\n{done.stdout}")
    return done.stdout


def on_ranks(ranks: int, program: str, *words: object) -> Any:
    """Run the rank part of a benchmark, and return what its rank 0 hands to `answer`."""
    return json.loads(mpirun(ranks, sys.executable, program, RANK_PART, *map(str, words)))


def rank_part() -> list[str] | None:
    """Return the arguments of the part that runs on ranks; None where this is not it."""
    return sys.argv[2:] if sys.argv[1:2] == [RANK_PART] else None


def answer(measured: object) -> None:
    """Print a measurement for `on_ranks`; for rank 0 alone."""
    print(json.dumps(measured))
