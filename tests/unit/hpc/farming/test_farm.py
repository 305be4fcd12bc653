"""The farm over fake ranks: who runs what, and what happens when something fails or is stopped."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from fake_comm import Aborted, FakeComm, run_ranks

from hpc.drain import Drain
from hpc.farming import dispatcher
from hpc.farming.farm import BATCH_SECONDS, run_farm
from xanesml.errors import EnvironmentProblem, StoreError, XanesmlError

RANKS = [1, 2, 4]


class Nap:
    """A task that takes a time, s, and then fails or is done; remembers whether it was killed."""

    def __init__(self, seconds: float, error: Exception | None) -> None:
        self._end, self._error = time.monotonic() + seconds, error
        self.killed = False

    def poll(self) -> str | None:
        if time.monotonic() < self._end:
            return None
        if self._error is not None:
            raise self._error
        return "done"

    def kill(self) -> None:
        self.killed = True


@dataclass
class Case:
    """A farm of naps, with places to put errors, and what came of it.

    Hooks get rank and task; what they raise is raised in the method of that name.
    """

    seconds: Callable[[int], float] = lambda _task: 0.002
    start: Callable[[int, int], object] = lambda _rank, _task: None
    poll: Callable[[int, int], Exception | None] = lambda _rank, _task: None
    finish: Callable[[int, int], object] = lambda _rank, _task: None
    report: Callable[[int, int], object] = lambda _rank, _task: None
    dispatched: Callable[[int, int], object] = lambda _rank, _task: None
    retired: Callable[[int], object] = lambda _rank: None
    tick: Callable[[], object] = lambda: None
    drained: tuple[int, ...] = ()
    drains: list[Drain] = field(default_factory=list)
    batches: list[int] = field(default_factory=list)
    naps: list[tuple[int, Nap]] = field(default_factory=list)
    reported: list[tuple[int, int]] = field(default_factory=list)
    answers: list[tuple[int, str]] = field(default_factory=list)
    retirements: list[tuple[int, str]] = field(default_factory=list)

    def run(self, ranks: int, tasks: int) -> list[XanesmlError | None]:
        """Farm the tasks; return what each rank raised."""
        self.drains = [Drain() for _ in range(ranks)]
        for rank in self.drained:
            self.drains[rank].finish()

        def part(comm: FakeComm) -> None:
            lead = Lead(self) if comm.rank == 0 else None
            worker = Worker(self, comm.rank)
            run_farm(comm, range(tasks), worker=worker, lead=lead, drain=self.drains[comm.rank])

        return run_ranks(ranks, part)

    @property
    def tasks(self) -> list[int]:
        """The tasks that were reported, ascending."""
        return sorted(task for task, _ in self.reported)


@dataclass
class Worker:
    case: Case
    rank: int

    def start(self, task: int) -> Nap:
        self.case.start(self.rank, task)
        nap = Nap(self.case.seconds(task), self.case.poll(self.rank, task))
        self.case.naps.append((task, nap))
        return nap

    def finish(self, task: int, result: str) -> int:
        assert result == "done"
        self.case.finish(self.rank, task)
        return task

    def answered(self, answers: Sequence[str]) -> None:
        self.case.answers += [(self.rank, answer) for answer in answers]


@dataclass
class Lead:
    case: Case

    def dispatched(self, rank: int, tasks: Sequence[int]) -> None:
        self.case.batches.append(len(tasks))
        for task in tasks:
            self.case.dispatched(rank, task)

    def report(self, rank: int, finished: int) -> str:
        self.case.report(rank, finished)
        self.case.reported.append((finished, rank))
        return f"to {finished}"

    def retired(self, rank: int, problem: EnvironmentProblem) -> None:
        self.case.retired(rank)
        self.case.retirements.append((rank, str(problem)))

    def tick(self) -> None:
        self.case.tick()


def full_disk(*_: object) -> None:
    raise StoreError("the disk is full")


def at(task: int) -> Callable[[int, int], object]:
    """Return a hook that finds the disk full at one task."""
    return lambda _rank, other: full_disk() if other == task else None


def assert_all_raised(raised: list[Any], kind: type[XanesmlError], words: str) -> None:
    assert [(type(error), str(error), error.collective) for error in raised] == [(kind, words, True)] * len(raised)


@pytest.mark.parametrize("ranks", RANKS)
@pytest.mark.parametrize("tasks", [0, 1, 40])
def test_every_task_runs_once(ranks: int, tasks: int) -> None:
    case = Case()
    assert case.run(ranks, tasks) == [None] * ranks
    assert case.tasks == list(range(tasks))
    assert sorted(case.answers) == sorted((rank, f"to {task}") for task, rank in case.reported)


def test_a_long_task_does_not_hold_the_others_up() -> None:
    case = Case(seconds=lambda task: 0.3 if task == 0 else 0.01)
    case.run(2, 12)
    slow = next(rank for task, rank in case.reported if task == 0)
    assert Counter(rank for _, rank in case.reported) == {slow: 1, 1 - slow: 11}


def test_short_tasks_come_in_batches_and_long_ones_one_by_one() -> None:
    # Not in no time at all: rank 0, which shares its processor with rank 1, could run them all before rank 1 asks.
    short, long = Case(seconds=lambda _task: 0.001), Case(seconds=lambda _task: 1.2 * BATCH_SECONDS)
    short.run(2, 500)
    long.run(2, 6)
    assert max(short.batches) > 2
    assert long.batches == [1] * 6
    assert (short.tasks, long.tasks) == (list(range(500)), list(range(6)))


@pytest.mark.parametrize("ranks", RANKS)
def test_a_rank_asked_to_finish_stops_all_after_what_runs(ranks: int) -> None:
    case = Case()
    case.start = lambda rank, task: case.drains[rank].finish() if task == 3 else None
    assert case.run(ranks, 400) == [None] * ranks
    assert 3 in case.tasks, "the run under way is finished"
    assert len(case.tasks) == len(set(case.tasks)) < 40


@pytest.mark.parametrize("ranks", RANKS)
def test_a_rank_asked_to_abandon_kills_its_task_and_does_not_report_it(ranks: int) -> None:
    case = Case(seconds=lambda task: 30.0 if task == 3 else 0.002)
    case.start = lambda rank, task: setattr(case.drains[rank], "_abandon", True) if task == 3 else None
    assert case.run(ranks, 400) == [None] * ranks
    assert 3 not in case.tasks
    assert [nap.killed for task, nap in case.naps if task == 3] == [True]
    assert len(case.tasks) < 40


def test_a_rank_that_is_drained_from_the_start_takes_no_task_and_closes_the_farm() -> None:
    case = Case(seconds=lambda _task: 0.01, drained=(1,))
    assert case.run(2, 4000) == [None, None]
    assert {rank for _, rank in case.reported} <= {0}
    assert len(case.tasks) < 40


@pytest.mark.parametrize("where", ["start", "poll", "finish"])
@pytest.mark.parametrize("bad", [0, 2])
def test_a_rank_with_a_problem_of_its_own_retires_and_its_task_runs_elsewhere(where: str, bad: int) -> None:
    problem = EnvironmentProblem("no room on this host")

    def ails(rank: int, _task: int) -> Exception | None:
        if rank != bad:
            return None
        if where == "poll":
            return problem
        raise problem

    case = Case(**{where: ails})
    assert case.run(3, 40) == [None] * 3
    assert case.tasks == list(range(40))
    assert bad not in {rank for _, rank in case.reported}
    assert case.retirements == [(bad, "no room on this host")]


@pytest.mark.parametrize("ranks", RANKS)
def test_when_all_ranks_have_retired_all_know_why(ranks: int) -> None:
    def ails(_rank: int, _task: int) -> Exception:
        return EnvironmentProblem("no room on this host")

    case = Case(poll=ails)
    assert_all_raised(case.run(ranks, 40), EnvironmentProblem, "no room on this host")
    assert sorted(case.retirements) == [(rank, "no room on this host") for rank in range(ranks)]
    assert case.tasks == []


@pytest.mark.parametrize("ranks", RANKS)
@pytest.mark.parametrize("where", ["finish", "dispatched", "report"])
def test_an_error_that_concerns_all_kills_what_runs_and_is_raised_everywhere(ranks: int, where: str) -> None:
    # With several ranks task 0 would take a minute.
    case = Case(seconds=lambda task: 60.0 if task == 0 and ranks > 1 else 0.002, **{where: at(3)})
    began = time.monotonic()
    assert_all_raised(case.run(ranks, 40), StoreError, "the disk is full")
    assert time.monotonic() - began < 10
    assert 3 not in case.tasks
    # On a rank that has not started it yet, it is not started either.
    assert ranks == 1 or all(nap.killed for task, nap in case.naps if task == 0)


def test_an_error_of_the_tick_or_of_the_note_on_a_retirement_stops_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dispatcher, "_TICK", 0.01)
    assert_all_raised(Case(tick=full_disk).run(3, 4000), StoreError, "the disk is full")

    def ails(rank: int, _task: int) -> Exception | None:
        return EnvironmentProblem("no room on this host") if rank == 1 else None

    assert_all_raised(Case(poll=ails, retired=full_disk).run(3, 4000), StoreError, "the disk is full")


@pytest.mark.parametrize("bad", [0, 1])
def test_a_defect_on_one_rank_ends_the_others(bad: int) -> None:
    def breaks(rank: int, _task: int) -> None:
        if rank == bad:
            raise RuntimeError("a defect")

    raised = Case(start=breaks).run(3, 40)
    assert [type(error) for error in raised] == [RuntimeError if rank == bad else Aborted for rank in range(3)]
