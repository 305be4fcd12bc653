from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path

import pytest
from conftest import MpiRun

pytestmark = pytest.mark.requires("mpi")

PROGRAM = str(Path(__file__).with_name("programs") / "farm_tasks.py")


def run(mpirun: MpiRun, ranks: int, tasks: int, *options: str) -> list[str]:
    done = mpirun(ranks, sys.executable, PROGRAM, str(tasks), *options, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def farm(mpirun: MpiRun, ranks: int, tasks: int, *options: str) -> list[tuple[int, int]]:
    return pairs(run(mpirun, ranks, tasks, *options))


def pairs(lines: list[str]) -> list[tuple[int, int]]:
    return [(task, rank) for task, rank in json.loads(lines[-1])]


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


@pytest.mark.parametrize("ranks", [1, 2, 5])
def test_very_short_tasks_come_in_batches_and_each_runs_once(mpirun: MpiRun, ranks: int) -> None:
    reported = farm(mpirun, ranks, 5000, "run", "0")
    assert sorted(task for task, _ in reported) == list(range(5000))


@pytest.mark.parametrize("ranks", [2, 5])
def test_a_rank_with_a_problem_of_its_own_retires_and_its_task_runs_elsewhere(mpirun: MpiRun, ranks: int) -> None:
    lines = run(mpirun, ranks, 40, "retire")
    reported = pairs(lines)
    assert lines[-2] == f"retired: [{ranks - 1}]"
    assert sorted(task for task, _ in reported) == list(range(40))
    assert {rank for _, rank in reported} == set(range(ranks - 1))


@pytest.mark.parametrize("ranks", [1, 2, 5])
def test_when_all_ranks_have_retired_all_know_why(mpirun: MpiRun, ranks: int) -> None:
    lines = run(mpirun, ranks, 40, "all-retire")
    assert lines[-2] == f"retired: {list(range(ranks))}"
    assert sorted(lines[:-2]) == [f"rank {rank}: no room on this host (True)" for rank in range(ranks)]
    assert pairs(lines) == []


@pytest.mark.parametrize("mode", ["fatal", "untold"])
@pytest.mark.parametrize("ranks", [1, 2, 5])
def test_an_error_that_concerns_all_ends_what_runs_and_is_raised_everywhere(
    mpirun: MpiRun, ranks: int, mode: str
) -> None:
    # Task 0 naps for 20 s, and is not waited for.
    lines = run(mpirun, ranks, 40, mode, "2" if ranks > 1 else "0.02")
    assert sorted(lines[:-2]) == [f"rank {rank}: the disk is full (True)" for rank in range(ranks)]
    assert 3 not in [task for task, _ in pairs(lines)]


@pytest.mark.parametrize("ranks", [2, 5])
def test_an_error_on_one_rank_ends_all_with_its_traceback(mpirun: MpiRun, ranks: int) -> None:
    done = mpirun(ranks, sys.executable, PROGRAM, "40", "error", timeout=60)
    assert done.returncode != 0
    assert f"rank {ranks - 1} on " in done.stderr
    assert "RuntimeError: a defect on one rank" in done.stderr
