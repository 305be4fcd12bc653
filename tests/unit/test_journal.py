from __future__ import annotations

from pathlib import Path

import pytest

from xanesml.errors import StoreError
from xanesml.journal import Journal, journal_path, read_status
from xanesml.outcomes import Outcome


def note(journal: Journal, task: int, outcome: Outcome = Outcome.DONE, message: str = "") -> None:
    journal.run(task=task, outcome=outcome, seconds=2.0, rank=0, host="n1", message=message)


def test_status_tells_of_the_latest_call_only(tmp_path: Path) -> None:
    store = tmp_path / "store.h5"
    first = Journal(store, tasks=10, pending=10, ranks=2)
    for task in range(4):
        note(first, task)
    first.close()
    second = Journal(store, tasks=10, pending=6, ranks=3)
    note(second, 4)
    note(second, 5, Outcome.CRASHED, "signal 11")
    status = read_status(store)
    assert (status.tasks, status.pending, status.ranks, status.left, status.done) == (10, 6, 3, 4, 5)
    assert dict(status.outcomes) == {"done": 1, "crashed": 1}
    assert status.failures == ["task 5: crashed: signal 11"]
    assert not status.ended
    second.close()
    assert read_status(store).ended


def test_a_half_written_line_is_passed_over(tmp_path: Path) -> None:
    store = tmp_path / "store.h5"
    journal = Journal(store, tasks=3, pending=3, ranks=1)
    note(journal, 0)
    with journal_path(store).open("a", encoding="utf-8") as file:
        file.write('{"event": "run", "ta')
    assert read_status(store).outcomes["done"] == 1
    journal.close()


def test_no_journal_is_said(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="nothing was simulated there yet"):
        read_status(tmp_path / "store.h5")
