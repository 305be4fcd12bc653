from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path

import pytest
from conftest import MpiRun

pytestmark = pytest.mark.mpi

PROGRAM = str(Path(__file__).with_name("programs") / "farm_tasks.py")


def farm(mpirun: MpiRun, ranks: int, tasks: int, mode: str = "run") -> list[tuple[int, int]]:
    done = mpirun(ranks, sys.executable, PROGRAM, str(tasks), mode, timeout=60)
    assert done.returncode == 0, done.stderr
    return [(task, rank) for task, rank in json.loads(done.stdout.splitlines()[-1])]


@pytest.mark.parametrize("ranks", [1, 2, 5])
def test_every_task_runs_once_and_every_rank_works(mpirun: MpiRun, ranks: int) -> None:
    reported = farm(mpirun, ranks, 40)
    assert sorted(task for task, _ in reported) == list(range(40))
    assert {rank for _, rank in reported} == set(range(ranks))


def test_a_long_task_does_not_hold_the_others_up(mpirun: MpiRun) -> None:
    reported = farm(mpirun, 2, 12)
    slow = next(rank for task, rank in reported if task == 0)
    assert Counter(rank for _, rank in reported)[1 - slow] > 6


@pytest.mark.parametrize("ranks", [1, 5])
def test_fewer_tasks_than_ranks(mpirun: MpiRun, ranks: int) -> None:
    assert [task for task, _ in farm(mpirun, ranks, 1)] == [0]
    assert farm(mpirun, ranks, 0) == []


@pytest.mark.parametrize("ranks", [1, 2, 5])
def test_a_drained_rank_stops_all_after_what_runs(mpirun: MpiRun, ranks: int) -> None:
    tasks = [task for task, _ in farm(mpirun, ranks, 400, "drain")]
    assert 3 in tasks, "the run that was under way is finished"
    assert len(tasks) < 40
    assert len(set(tasks)) == len(tasks)


def test_an_abandoned_task_is_not_reported(mpirun: MpiRun) -> None:
    tasks = [task for task, _ in farm(mpirun, 1, 400, "abandon")]
    assert tasks == [0, 1, 2]


@pytest.mark.parametrize("ranks", [2, 5])
def test_an_error_on_one_rank_ends_all_with_its_traceback(mpirun: MpiRun, ranks: int) -> None:
    done = mpirun(ranks, sys.executable, PROGRAM, "40", "error", timeout=60)
    assert done.returncode != 0
    assert f"rank {ranks - 1} on " in done.stderr
    assert "RuntimeError: a defect on one rank" in done.stderr
