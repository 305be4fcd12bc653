"""Rank 0's part in a simulation: how many failures it prints, keeps and allows, however many ranks fail at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from hpc.drain import Drain
from hpc.farming.feff_lead import KEPT_FAILURES, KEPT_IN_ALL, TOLD, FeffLead
from hpc.farming.feff_worker import FeffWorker
from hpc.farming.pending import Pending
from xanesml.campaign import Campaign
from xanesml.feff.outcomes import Outcome
from xanesml.feff.run import RunResult
from xanesml.store.journal import Journal
from xanesml.store.plan import expand
from xanesml.store.rows import Row


class Case:
    """A lead of many ranks, and what it printed."""

    def __init__(self, folder: Path, *, kept: int = 0, allowed: int = 10**9) -> None:
        pending = Pending(10**6, np.arange(1), {}, np.empty(0))
        self.drain, self.said = Drain(), list[str]()
        self._journal = Journal(folder / "store.h5", outcomes={}, pending=10**6, ranks=1)
        self.lead = FeffLead(self._journal, pending, None, self.drain, self.said.append, kept=kept, allowed=allowed)

    def report(self, task: int, rank: int, outcome: Outcome = Outcome.CRASHED) -> int | None:
        message = "" if outcome is Outcome.DONE else "signal 11"
        row = Row(task=task, outcome=outcome, finished=0.0, host="n", seconds=1.0, message=message)
        return self.lead.report(rank, (row, b""))


@pytest.fixture
def case(tmp_path: Path) -> Iterator[Case]:
    made = Case(tmp_path)
    yield made
    made.lead.close()


def test_ten_thousand_ranks_that_fail_at_once_keep_a_hundred_folders(case: Case) -> None:
    kept = [case.report(task, rank=task % 10_000) for task in range(20_000)]
    assert [task for task in kept if task is not None] == list(range(KEPT_IN_ALL))


def test_one_rank_keeps_few_and_those_of_earlier_calls_count(case: Case, tmp_path: Path) -> None:
    assert case.report(0, rank=1, outcome=Outcome.DONE) is None
    assert [case.report(task, rank=1) for task in range(1, 8)] == [1, 2, 3, 4, 5, None, None]
    assert KEPT_FAILURES == 5
    (tmp_path / "later").mkdir()
    later = Case(tmp_path / "later", kept=KEPT_IN_ALL - 1)
    assert [later.report(task, rank=task) for task in range(3)] == [0, None, None]
    later.lead.close()


def test_messages_have_an_end_for_each_outcome(case: Case) -> None:
    for task in range(1000):
        case.report(task, rank=0, outcome=Outcome.CRASHED if task % 2 else Outcome.TIMED_OUT)
    told = Counter(line.split(": ")[1] for line in case.said if line.startswith("task "))
    assert told == {"crashed": TOLD, "timed-out": TOLD}
    assert sum("are only counted; xanesml status lists the latest" in line for line in case.said) == 2


def test_one_failure_more_than_is_allowed_closes_the_farm(tmp_path: Path) -> None:
    case = Case(tmp_path, allowed=2)
    for task in range(3):
        assert (case.lead.too_many, case.drain.requested) == (False, False)
        case.report(task, rank=0)
    assert (case.lead.too_many, case.lead.failed, case.drain.requested) == (True, 3, True)
    case.lead.close()


def test_a_failed_folder_waits_for_the_answer(tmp_path: Path) -> None:
    scratch, failures = tmp_path / "scratch", tmp_path / "failed"
    scratch.mkdir()
    campaign = Campaign.model_validate({"name": "x", "structure": {"atoms": 13}, "distortion": {}})
    worker = FeffWorker(expand(campaign), None, campaign, lambda: scratch, failures, None)  # type: ignore[arg-type]
    for task in (3, 4):
        folder = worker._folder = scratch / "run"
        folder.mkdir()
        (folder / "feff.inp").write_text(f"input {task}")
        result = RunResult(outcome=Outcome.CRASHED, seconds=1.0, cpu_seconds=1.0, memory=1.0, message="signal 11")
        worker.finish(task, result)
        assert not folder.exists()
    assert not failures.exists(), "no rank looks into the shared folder"
    worker.answered([3, None])
    assert [path.name for path in failures.iterdir()] == ["task-000003"]
    assert (failures / "task-000003" / "feff.inp").read_text() == "input 3"
    assert list(scratch.iterdir()) == []
