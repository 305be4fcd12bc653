"""The farm's messages over MPI, and a real signal; failures are tested over fake ranks in tests/unit/hpc/farming."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from conftest import MpiRun

pytestmark = pytest.mark.requires("mpi")

PROGRAM = str(Path(__file__).with_name("programs") / "farm_tasks.py")


def farm(mpirun: MpiRun, ranks: int, tasks: int, *options: str) -> list[tuple[int, int]]:
    done = mpirun(ranks, sys.executable, PROGRAM, str(tasks), *options, timeout=60)
    assert done.returncode == 0, done.stderr
    return [(task, rank) for task, rank in json.loads(done.stdout)]


@pytest.mark.parametrize("ranks", [1, 2, 5])
def test_every_task_runs_once_and_every_rank_works(mpirun: MpiRun, ranks: int) -> None:
    reported = farm(mpirun, ranks, 40)
    assert sorted(task for task, _ in reported) == list(range(40))
    assert {rank for _, rank in reported} == set(range(ranks))


@pytest.mark.parametrize("ranks", [2, 5])
def test_very_short_tasks_come_in_batches_and_each_runs_once(mpirun: MpiRun, ranks: int) -> None:
    reported = farm(mpirun, ranks, 5000, "run", "0")
    assert sorted(task for task, _ in reported) == list(range(5000))


def test_a_signal_to_one_rank_stops_all_after_what_runs(mpirun: MpiRun) -> None:
    tasks = [task for task, _ in farm(mpirun, 2, 400, "drain")]
    assert 3 in tasks, "the run that was under way is finished"
    assert len(set(tasks)) == len(tasks) < 40
