from __future__ import annotations

import errno
import fcntl
import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from xanesml.errors import StoreError
from xanesml.files import lock
from xanesml.files.lock import HEARTBEAT, SILENCE, StoreLock

#: A process that holds the lock of a store until it is killed.
HOLDER = """
import sys, time
from pathlib import Path
from xanesml.files.lock import StoreLock
held = StoreLock(Path(sys.argv[1]), print)
print("held", flush=True)
time.sleep(3600)
"""


def refuse_locks(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def refuse(*_arguments: Any) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "lockf", refuse)


def start_holder(store: Path) -> subprocess.Popen[str]:
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, str(store)], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    return holder


def end(holder: subprocess.Popen[str]) -> None:
    holder.kill()
    holder.communicate()


def test_another_process_is_refused_with_the_holders_name_and_let_in_after_its_death(tmp_path: Path) -> None:
    store = tmp_path / "store.h5"
    holder = start_holder(store)
    try:
        with pytest.raises(StoreError) as refused:
            StoreLock(store, print)
    finally:
        end(holder)
    message = str(refused.value)
    assert f"{store} is being written by process {holder.pid} on {socket.gethostname()} since " in message
    assert time.strftime("%Y") in message
    assert message.endswith("wait for it, or end it and start again")
    with StoreLock(store, print):
        assert json.loads((tmp_path / ".store.h5.lock").read_text())["pid"] == os.getpid()


def test_nothing_is_left_of_a_lock_that_was_let_go(tmp_path: Path) -> None:
    with StoreLock(tmp_path / "new" / "store.h5", print):
        assert [path.name for path in (tmp_path / "new").iterdir()] == [".store.h5.lock"]
    assert list(tmp_path.iterdir()) == [], "a folder made for nothing goes too"

    (tmp_path / "old").mkdir()
    held = StoreLock(tmp_path / "old" / "store.h5", print)
    held.close()
    held.close()
    assert list((tmp_path / "old").iterdir()) == []


def test_a_folder_with_a_store_in_it_stays(tmp_path: Path) -> None:
    store = tmp_path / "new" / "store.h5"
    with StoreLock(store, print):
        store.write_bytes(b"rows")
    assert list(store.parent.iterdir()) == [store]


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_without_locks_a_sign_of_life_keeps_others_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    refuse_locks(monkeypatch, number)
    store, told = tmp_path / "store.h5", []
    first = StoreLock(store, told.append)
    assert told == [
        f"{tmp_path}: the file system has no locks ({os.strerror(number)}); a sign of life takes their place"
    ]
    with pytest.raises(StoreError, match=rf"process {os.getpid()} on .*; if it is dead, start again in \d+ s"):
        StoreLock(store, told.append)
    first.close()
    StoreLock(store, told.append).close()


def test_without_locks_a_holder_silent_for_long_counts_as_dead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse_locks(monkeypatch, errno.ENOLCK)
    store = tmp_path / "store.h5"
    with StoreLock(store, str):
        for silence, dead in ((SILENCE - 5, False), (SILENCE + 5, True)):
            then = time.time() - silence
            os.utime(tmp_path / ".store.h5.lock", (then, then))
            if dead:
                StoreLock(store, str).close()
            else:
                with pytest.raises(StoreError, match=r"start again in \d s "):
                    StoreLock(store, str)


def test_a_sign_of_life_is_given_now_and_then(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / ".store.h5.lock"
    with StoreLock(tmp_path / "store.h5", print) as held:
        os.utime(path, (0, 0))
        held.beat()
        assert path.stat().st_mtime == 0, "too early"
        now = time.monotonic()
        monkeypatch.setattr(lock.time, "monotonic", lambda: now + HEARTBEAT)
        held.beat()
        assert path.stat().st_mtime > time.time() - 60
        path.unlink()
        monkeypatch.setattr(lock.time, "monotonic", lambda: now + 2 * HEARTBEAT)
        held.beat()


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    store = tmp_path / "file" / "store.h5"
    with pytest.raises(StoreError, match=rf"cannot write {store}: .*; check the folder and the space left"):
        StoreLock(store, print)


def test_a_disk_without_room_for_the_lock_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_arguments: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(lock.json, "dumps", full)
    with pytest.raises(StoreError, match="No space left on device"):
        StoreLock(tmp_path / "store.h5", print)
