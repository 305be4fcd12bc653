"""What a launcher says about the processes that it started, from the environment variables that it gives them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import NamedTuple

from xanesml.errors import EnvironmentProblem

#: Variables in which launchers pass the number of processes, and the number of this one: Open MPI, MVAPICH, PMI
#: (MPICH, Intel MPI, HPE's PALS), IBM's jsrun, Flux, a Slurm step. The innermost launcher comes first: mpirun may
#: itself run in a Slurm step, whose tasks are then its daemons.
VARIABLES = (
    ("OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK"),
    ("MV2_COMM_WORLD_SIZE", "MV2_COMM_WORLD_RANK"),
    ("PMI_SIZE", "PMI_RANK"),
    ("JSM_NAMESPACE_SIZE", "JSM_NAMESPACE_RANK"),
    ("FLUX_JOB_SIZE", "FLUX_TASK_RANK"),
    ("SLURM_STEP_NUM_TASKS", "SLURM_PROCID"),
)


class Launched(NamedTuple):
    """Number of processes according to the launcher, number of this one, and the variable that says so."""

    processes: int
    rank: int
    variable: str


def launched(environment: Mapping[str, str] = os.environ) -> Launched | None:
    """Return the launcher's information, or None without a launcher."""
    for size, rank in VARIABLES:
        if environment.get(size, "").isdigit():
            number = environment.get(rank, "")
            return Launched(int(environment[size]), int(number) if number.isdigit() else 0, size)
    return None


def check_all_joined(size: int, environment: Mapping[str, str] = os.environ) -> None:
    """Refuse to work where the launcher started more processes than this one can reach.

    Each of them would take itself for the whole job and write the same files.

    Parameters
    ----------
    size : int
        Number of ranks that this process reaches, itself included.
    environment : mapping
        Environment variables.

    Raises
    ------
    EnvironmentProblem
        If they are fewer than the launcher started.
    """
    told = launched(environment)
    if told is not None and told.processes > size:
        raise EnvironmentProblem(
            f"the launcher started {told.processes} processes ({told.variable}), but this one reaches {size}: its MPI "
            "library is not the launcher's. Start with the mpirun of that library, give srun the matching --mpi "
            "(srun --mpi=list), or install mpi4py for the launcher's MPI; xanesml doctor names the libraries"
        )


def speaks(size: int, environment: Mapping[str, str] = os.environ) -> bool:
    """Return whether a process that reaches `size` ranks, and is the first of them, is the first of all started."""
    told = launched(environment)
    return told is None or told.processes <= size or told.rank == 0
