from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import FAKE_CAMPAIGN

from xanesml.errors import StoreError
from xanesml.feff.outcomes import Outcome
from xanesml.store import journal
from xanesml.store.journal import Journal, journal_path
from xanesml.store.status import read_status, status_lines
from xanesml.store.tally import totals_path

BEGAN = 1_700_000_000.0


class Clock:
    """Seconds since 1970 as the journal sees them."""

    def __init__(self) -> None:
        self.now = BEGAN

    def time(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.now


def test_variants_are_counted_also_from_totals_that_do_not_know_them(tmp_path: Path) -> None:
    store = tmp_path / "store.h5"
    Journal(store, outcomes={"pending": 10}, pending=10, ranks=1).close()
    head, totals = totals_path(store).read_text().splitlines()
    known = {name: value for name, value in json.loads(totals).items() if name != "variants"}
    totals_path(store).write_text(f"{head}\n{json.dumps(known)}")
    assert not [line for line in status_lines(read_status(store), failures=5, now=BEGAN) if "variants" in line]
    Journal(store, outcomes={"pending": 16}, pending=16, ranks=1, variants={"hl": 4, "shifts": 2}).close()
    assert list(status_lines(read_status(store), failures=5, now=BEGAN))[1] == "variants: 4 in hl, 2 in shifts"


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(journal, "time", clock)
    return clock


def note(
    written: Journal,
    task: int,
    outcome: Outcome = Outcome.DONE,
    *,
    rank: int = 0,
    seconds: float = 2.0,
    message: str = "",
) -> None:
    written.run(task=task, outcome=outcome, seconds=seconds, rank=rank, host="n1", tries=1, message=message)


def test_it_tells_of_the_latest_call_only(tmp_path: Path) -> None:
    store = tmp_path / "store.h5"
    first = Journal(store, outcomes={"pending": 10}, pending=10, ranks=2)
    for task in range(4):
        note(first, task, seconds=100)
    note(first, 4, Outcome.CRASHED, message="of old")
    first.retire(1, "of old")
    first.close()
    second = Journal(store, outcomes={"pending": 5, "done": 4, "crashed": 1}, pending=6, ranks=3)
    note(second, 4)
    note(second, 5, Outcome.CRASHED, message="signal 11")
    second.flush()
    status = read_status(store)
    assert (status.tasks, status.pending, status.ranks, status.left, status.done) == (10, 6, 3, 4, 5)
    assert dict(status.outcomes) == {"done": 1, "crashed": 1}
    assert status.totals() == {"pending": 4, "done": 5, "crashed": 1}
    assert [(run.task, run.message) for run in status.failed] == [(5, "signal 11")]
    assert [run.seconds for run in status.slowest] == [2.0, 2.0]
    assert status.retired == {}
    assert not status.ended
    second.close()
    assert read_status(store).ended


def test_half_a_line_is_passed_over(tmp_path: Path) -> None:
    store = tmp_path / "store.h5"
    written = Journal(store, outcomes={"pending": 3}, pending=3, ranks=1)
    note(written, 0)
    written.flush()
    whole = journal_path(store).read_bytes()
    for length in range(len(whole.splitlines(keepends=True)[0]), len(whole)):
        journal_path(store).write_bytes(whole[:length])
        assert read_status(store).outcomes.total() == (length == len(whole) - 1)
    written.close()


def test_totals_and_the_rest_say_what_the_whole_journal_says(tmp_path: Path, clock: Clock) -> None:
    store = tmp_path / "store.h5"
    written = Journal(store, outcomes={"pending": 300, "done": 5}, pending=300, ranks=7)
    assert totals_path(store).exists(), "those of an earlier call do not stay"
    for task in range(300):
        clock.now += 0.3
        written.give(task % 7, [task, task + 1])
        outcome, seconds = list(Outcome)[1 + task % 4], float(task * 37 % 101)
        note(written, task, outcome, rank=task % 7, seconds=seconds, message=f"m{task}")
        if task == 200:
            written.retire(6, "no room")
        written.flush()
        if task % 25 == 24:
            whole = read_status(store)
            totals = totals_path(store).read_text()
            totals_path(store).unlink()
            assert read_status(store) == whole
            totals_path(store).write_text(totals)
    written.close()
    ended = read_status(store)
    head = json.loads(totals_path(store).read_text().split("\n")[0])
    assert head == {"journal_bytes": journal_path(store).stat().st_size}
    assert (ended.ended, ended.outcomes.total(), len(ended.slowest), len(ended.failed)) == (True, 300, 100, 100)
    # A later call is told of at once.
    again = Journal(store, outcomes={"pending": 1}, pending=1, ranks=2)
    assert read_status(store).ranks == 2
    again.close()


def test_only_what_the_totals_lack_is_read(tmp_path: Path, clock: Clock) -> None:
    store = tmp_path / "store.h5"
    written = Journal(store, outcomes={"pending": 9}, pending=9, ranks=1)
    for task in range(5):
        note(written, task)
    clock.now += 60
    written.flush()
    note(written, 5)
    written.flush()
    # Who read all of it would find one run only.
    size = journal_path(store).stat().st_size
    last = journal_path(store).read_text().splitlines()[-1]
    journal_path(store).write_text("x" * (size - len(last) - 2) + f"\n{last}\n")
    assert read_status(store).outcomes == {"done": 6}
    written.close()


@pytest.mark.parametrize("text", ["", "{}", '{"journal_bytes": 0}\n{"a": 1}', '{"journal_bytes": 99999}\n{}', "x\n[]"])
def test_totals_that_are_of_no_use_are_passed_over(tmp_path: Path, text: str) -> None:
    store = tmp_path / "store.h5"
    written = Journal(store, outcomes={"pending": 3}, pending=3, ranks=1)
    note(written, 0)
    written.close()
    totals_path(store).write_text(text)
    assert read_status(store).outcomes == {"done": 1}


def test_no_journal_is_said(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="nothing was simulated there yet"):
        read_status(tmp_path / "store.h5")


def test_rate_load_and_what_runs_are_worked_out(tmp_path: Path, clock: Clock) -> None:
    store = tmp_path / "store.h5"
    written = Journal(store, outcomes={"done": 90, "pending": 10}, pending=10, ranks=4)
    for rank in range(3):
        written.give(rank, [rank])
    clock.now += 30
    note(written, 0, rank=0, seconds=30)
    written.give(0, [3])
    clock.now += 10
    note(written, 1, Outcome.TIMED_OUT, rank=1, seconds=20, message="out of time")
    written.retire(2, "no room on n2")
    written.flush()
    status = read_status(store)
    now = BEGAN + 60
    # Rank 0: 30 s in a run and 30 s in the next one; rank 1: 20 s; rank 2 gave its task back.
    assert status.load(now) == pytest.approx({0: 1.0, 1: 1 / 3, 2: 0.0, 3: 0.0})
    assert status.runs_per_hour(now) == pytest.approx(120)
    assert list(status_lines(status, failures=5, now=now)) == [
        "tasks: 91 of 100 done (91 done, 8 pending, 1 timed-out), 8 left to run in this call",
        "latest call: 1 done, 1 timed-out; 4 ranks, under way, last sign of life 20 s ago",
        "rate: 120 runs per hour, about 4 min left",
        "load: 33% of the ranks' time in FEFF; rank 2 0%, rank 0 100%",
        "ranks far below the mean: 2, 3",
        "retired: rank 2: no room on n2",
        "running: task 3 on rank 0 for 30 s",
        "slowest: task 0: 30.0 s, done",
        "slowest: task 1: 20.0 s, timed-out",
        "failed: task 1: timed-out: out of time",
    ]
    # After the end nothing moves any more.
    written.close()
    ended = read_status(store)
    assert ended.runs_per_hour(now) == ended.runs_per_hour(now + 3600) == pytest.approx(180)
    assert ended.load(now)[0] == pytest.approx(0.75)
    lines = list(status_lines(ended, failures=1, now=now + 3600))
    assert lines[1] == "latest call: 1 done, 1 timed-out; 4 ranks, ended"
    assert lines[2] == "rate: 180 runs per hour"
    assert not [line for line in lines if line.startswith("running")]


def test_only_so_many_runs_are_remembered_and_listed(tmp_path: Path) -> None:
    store = tmp_path / "store.h5"
    written = Journal(store, outcomes={"pending": 500}, pending=500, ranks=1)
    for task in range(500):
        note(written, task, Outcome.CRASHED, seconds=float(task % 250), message=f"run {task}")
    written.close()
    status = read_status(store)
    assert [run.task for run in status.failed] == list(range(400, 500))
    assert len(status.slowest) == 100
    assert [run.seconds for run in status.slowest[:4]] == [249, 249, 248, 248]
    listed = list(status_lines(status, failures=2, now=BEGAN))
    assert [line for line in listed if line.startswith("failed")] == [
        "failed: task 498: crashed: run 498",
        "failed: task 499: crashed: run 499",
    ]
    assert not [line for line in status_lines(status, failures=0, now=BEGAN) if line.startswith(("failed", "slowest"))]


def test_the_command_never_opens_the_store(tmp_path: Path) -> None:
    (tmp_path / "campaign.toml").write_text(FAKE_CAMPAIGN, encoding="utf-8")
    store = tmp_path / "store.h5"
    Journal(store, outcomes={"pending": 3}, pending=3, ranks=1).close()
    # Whoever opens this waits for a writer that never comes, also in a library.
    os.mkfifo(store)
    command = [str(Path(sys.executable).with_name("xanesml")), "status", str(tmp_path / "campaign.toml")]
    told = subprocess.run([*command, "-o", str(tmp_path)], capture_output=True, text=True, timeout=60, check=True)
    assert told.stdout.startswith("tasks: 0 of 3 done (3 pending), 3 left to run in this call\n")
