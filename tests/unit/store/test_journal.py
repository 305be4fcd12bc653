from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from xanesml.errors import StoreError
from xanesml.feff.outcomes import Outcome
from xanesml.store import journal
from xanesml.store.journal import Journal, journal_path


def lines(store: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in journal_path(store).read_text().splitlines()]


def note(written: Journal, task: int, **values: Any) -> None:
    defaults = {"outcome": Outcome.DONE, "seconds": 2.0, "rank": 0, "host": "n1", "tries": 1, "message": ""}
    written.run(task=task, **defaults | values)


def test_it_tells_what_happens_in_order(tmp_path: Path) -> None:
    store = tmp_path / "store.h5"
    assert journal_path(store) == tmp_path / "store.journal"
    written = Journal(store, outcomes={"done": 3, "pending": 7}, pending=7, ranks=2)
    written.give(1, (4, 5))
    note(written, 4, rank=1, seconds=1.23456)
    note(written, 5, rank=1, outcome=Outcome.CRASHED, tries=2, message="signal 11; 2 tries")
    written.retire(1, "no room")
    written.close()
    times = [line.pop("time") for line in lines(store)]
    assert times == sorted(times)
    assert abs(times[-1] - time.time()) < 60
    told = [{key: value for key, value in line.items() if key != "time"} for line in lines(store)]
    assert told == [
        {"event": "start", "outcomes": {"done": 3, "pending": 7}, "pending": 7, "ranks": 2},
        {"event": "give", "rank": 1, "tasks": [4, 5]},
        {"event": "run", "task": 4, "outcome": "done", "seconds": 1.235, "rank": 1, "host": "n1"},
        {
            "event": "run",
            "task": 5,
            "outcome": "crashed",
            "seconds": 2.0,
            "rank": 1,
            "host": "n1",
            "tries": 2,
            "message": "signal 11; 2 tries",
        },
        {"event": "retire", "rank": 1, "message": "no room"},
        {"event": "end"},
    ]


def test_a_line_waits_in_memory_for_a_second_at_most(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = tmp_path / "store.h5"
    written = Journal(store, outcomes={}, pending=3, ranks=1)
    assert len(lines(store)) == 1, "the start is told at once"
    note(written, 0)
    assert len(lines(store)) == 1
    written.flush()
    assert len(lines(store)) == 2
    now = time.monotonic()
    monkeypatch.setattr(journal.time, "monotonic", lambda: now + 1.1)
    note(written, 1)
    assert len(lines(store)) == 3
    written.close()


def test_a_line_cut_off_by_a_kill_stays_a_line_of_its_own(tmp_path: Path) -> None:
    store = tmp_path / "store.h5"
    journal_path(store).write_text('{"time": 1.0, "event": "run", "ta')
    Journal(store, outcomes={}, pending=0, ranks=1).close()
    kept, start, end = journal_path(store).read_text().splitlines()
    assert kept == '{"time": 1.0, "event": "run", "ta'
    assert [json.loads(line)["event"] for line in (start, end)] == ["start", "end"]


def test_a_journal_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    store = tmp_path / "store.h5"
    journal_path(store).mkdir()
    with pytest.raises(StoreError, match=f"cannot write {journal_path(store)}: Is a directory; fix this"):
        Journal(store, outcomes={}, pending=0, ranks=1)


@pytest.mark.requires("linux")
def test_a_full_disk_is_said_and_the_file_closed(tmp_path: Path) -> None:
    store = tmp_path / "store.h5"
    journal_path(store).symlink_to("/dev/full")
    with pytest.raises(StoreError, match="No space left on device"):
        Journal(store, outcomes={}, pending=0, ranks=1)

    journal_path(store).unlink()
    written = Journal(store, outcomes={}, pending=9, ranks=1)
    full = os.open("/dev/full", os.O_WRONLY)
    os.dup2(full, written._file.fileno())
    os.close(full)
    with pytest.raises(StoreError, match="No space left on device"):
        for task in range(1000):
            note(written, task)
    with pytest.raises(StoreError, match="No space left on device"):
        written.close()
    assert written._file.closed
