from __future__ import annotations

import errno
import fcntl
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from xanesml.errors import EnvironmentProblem, StoreError
from xanesml.files import lock
from xanesml.files.lock import SILENCE, WriteLock, unused

#: A process that holds the lock of a store until it is killed.
HOLDER = """
import sys, time
from pathlib import Path
from xanesml.files.lock import WriteLock
held = WriteLock(Path(sys.argv[1]), print)
print("held", flush=True)
time.sleep(3600)
"""

READER = """
import sys
from pathlib import Path
from xanesml.files.lock import unused
with unused(Path(sys.argv[1])):
    print("read")
"""


def refuse_locks(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def refuse(*_arguments: Any) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "lockf", refuse)


@contextmanager
def as_another_process() -> Iterator[None]:
    """Forget the locks that this process holds."""
    own = lock._OWN.copy()
    lock._OWN.clear()
    yield
    lock._OWN.update(own)


def start_holder(store: Path) -> subprocess.Popen[str]:
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, str(store)], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    return holder


def end(holder: subprocess.Popen[str]) -> None:
    holder.kill()
    holder.communicate()


@pytest.mark.parametrize("take", [WriteLock, unused])
def test_another_process_is_refused_with_the_holders_name_and_let_in_after_its_death(
    tmp_path: Path, take: Callable[[Path], AbstractContextManager[Any]]
) -> None:
    store = tmp_path / "store.h5"
    holder = start_holder(store)
    try:
        with pytest.raises(StoreError) as refused, take(store):
            pass
    finally:
        end(holder)
    message = str(refused.value)
    assert f"{store} is being written by process {holder.pid} on {socket.gethostname()} since " in message
    assert time.strftime("%Y") in message
    assert message.endswith("wait for it, or end it and start again")
    with take(store):
        signed = json.loads((tmp_path / ".store.h5.lock").read_text())["pid"]
        assert signed == (os.getpid() if take is WriteLock else holder.pid)


def test_a_lock_holds_by_whatever_link_a_file_is_reached(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    link = tmp_path / "elsewhere" / "link.h5"
    link.symlink_to("../store.h5")
    holder = start_holder(tmp_path / "store.h5")
    try:
        for take in (WriteLock, unused):
            with pytest.raises(StoreError, match="is being written by process"), take(link):
                pass
    finally:
        end(holder)


def test_readers_share_and_keep_a_writer_out(tmp_path: Path) -> None:
    store = tmp_path / "store.h5"
    with unused(store):
        assert list(tmp_path.iterdir()) == [], "no lock file is made for a reader"
    # As a driver leaves it that was killed.
    (tmp_path / ".store.h5.lock").write_text("")
    with unused(store):
        reader = subprocess.run([sys.executable, "-c", READER, str(store)], capture_output=True, text=True, check=True)
        assert reader.stdout == "read\n"
        writer = subprocess.run([sys.executable, "-c", HOLDER, str(store)], capture_output=True, text=True, check=False)
        assert "is being written by another process" in writer.stderr


@pytest.mark.parametrize("take", [WriteLock, unused])
def test_of_two_that_find_a_lock_file_only_one_holds_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, take: Callable[[Path], AbstractContextManager[Any]]
) -> None:
    store, path = tmp_path / "store.h5", tmp_path / ".store.h5.lock"
    path.write_text("")
    holders = []
    lockf = fcntl.lockf

    def too_late(*arguments: Any) -> None:
        # Between open and lock the first holder goes, and another comes.
        if not holders:
            path.unlink()
            holders.append(start_holder(store))
        lockf(*arguments)

    monkeypatch.setattr(fcntl, "lockf", too_late)
    try:
        with pytest.raises(StoreError, match=r"is being written by process \d+ on"), take(store):
            pytest.fail("both hold the lock")
        assert json.loads(path.read_text())["pid"] == holders[0].pid
    finally:
        end(holders[0])


def test_a_lock_file_that_goes_between_open_and_lock_means_that_no_writer_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / ".store.h5.lock"
    lockf = fcntl.lockf

    def gone(*arguments: Any) -> None:
        path.unlink(missing_ok=True)
        monkeypatch.setattr(fcntl, "lockf", lockf)
        lockf(*arguments)

    for take in (unused, WriteLock):
        path.write_text("")
        monkeypatch.setattr(fcntl, "lockf", gone)
        with take(tmp_path / "store.h5"):
            assert path.exists() == (take is WriteLock)
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_left_of_a_lock_that_was_let_go(tmp_path: Path) -> None:
    with WriteLock(tmp_path / "new" / "store.h5", print):
        assert [path.name for path in (tmp_path / "new").iterdir()] == [".store.h5.lock"]
    assert list(tmp_path.iterdir()) == [], "a folder made for nothing goes too"

    (tmp_path / "old").mkdir()
    held = WriteLock(tmp_path / "old" / "store.h5", print)
    held.close()
    held.close()
    assert list((tmp_path / "old").iterdir()) == []


def test_a_folder_with_a_store_in_it_stays(tmp_path: Path) -> None:
    store = tmp_path / "new" / "store.h5"
    with WriteLock(store, print):
        store.write_bytes(b"rows")
    assert list(store.parent.iterdir()) == [store]


@pytest.mark.parametrize("number", [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP])
def test_without_locks_a_sign_of_life_keeps_others_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    refuse_locks(monkeypatch, number)
    store, told = tmp_path / "store.h5", []
    first = WriteLock(store, told.append)
    assert told == [f"{tmp_path}: the file system has no locks ({os.strerror(number)}); using a sign of life instead"]
    message = rf"process {os.getpid()} on .*; if it is dead, start again in \d+ s"
    with as_another_process(), pytest.raises(StoreError, match=message):
        WriteLock(store, told.append)
    first.close()
    WriteLock(store, told.append).close()


def test_without_locks_a_holder_silent_for_long_counts_as_dead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse_locks(monkeypatch, errno.ENOLCK)
    store = tmp_path / "store.h5"
    with WriteLock(store, str):
        for silence, dead in ((SILENCE - 5, False), (SILENCE + 5, True)):
            then = time.time() - silence
            os.utime(tmp_path / ".store.h5.lock", (then, then))
            with as_another_process():
                if dead:
                    WriteLock(store, str).close()
                else:
                    with pytest.raises(StoreError, match=r"start again in \d s "):
                        WriteLock(store, str)


@pytest.fixture
def granted_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """A shared file system that grants a lock on each host by itself, as Lustre does with localflock."""
    monkeypatch.setattr(lock, "is_local", lambda _path: False)
    monkeypatch.setattr(fcntl, "lockf", lambda *_arguments: None)


def sign(path: Path, host: str) -> None:
    path.write_text(json.dumps({"host": host, "pid": 77, "time": time.time()}))


@pytest.mark.usefixtures("granted_everywhere")
def test_a_writer_of_another_host_that_lives_keeps_others_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, path, said = tmp_path / "store.h5", tmp_path / ".store.h5.lock", []
    sign(path, "elsewhere")
    with (
        pytest.raises(StoreError, match=r"process 77 on elsewhere .*; if it is dead, start again in 1\d\d s"),
        unused(store),
    ):
        pytest.fail("a reader came in")
    # Its next sign of life comes while this one waits.
    monkeypatch.setattr(lock.time, "sleep", lambda _seconds: os.utime(path, (0, time.time() + 5)))
    with pytest.raises(StoreError, match=r"process 77 on elsewhere since .*; wait for it, or end it and start again$"):
        WriteLock(store, said.append)
    assert len(said) == 1
    assert "it is waited for, up to 1" in said[0]


@pytest.mark.usefixtures("granted_everywhere")
def test_a_writer_of_another_host_that_is_dead_is_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store, path = tmp_path / "store.h5", tmp_path / ".store.h5.lock"
    monkeypatch.setattr(lock, "SILENCE", 0.3)
    for host, wait in (("elsewhere", 1), (socket.gethostname(), 0)):
        said: list[str] = []
        sign(path, host)
        with WriteLock(store, said.append):
            assert json.loads(path.read_text())["pid"] == os.getpid()
        # A killed writer of this host has lost its lock.
        assert len(said) == wait


def test_on_a_file_system_of_one_host_its_name_does_not_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "is_local", lambda _path: True)
    sign(tmp_path / ".store.h5.lock", "called so yesterday")
    said: list[str] = []
    WriteLock(tmp_path / "store.h5", said.append).close()
    assert said == []


def test_a_sign_of_life_is_given_now_and_then(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse_locks(monkeypatch, errno.ENOLCK)
    monkeypatch.setattr(lock, "HEARTBEAT", 0.01)
    path = tmp_path / ".store.h5.lock"
    with WriteLock(tmp_path / "store.h5"):
        for _ in range(2):
            os.utime(path, (0, 0))
            while not path.stat().st_mtime:
                time.sleep(0.001)
        path.unlink()
        monkeypatch.undo()
    assert not [thread for thread in threading.enumerate() if "sign of life" in thread.name and thread.join(10)]


def test_the_lock_of_a_process_holds_against_itself(tmp_path: Path) -> None:
    store = tmp_path / "store.h5"
    (tmp_path / "link.h5").symlink_to("store.h5")
    with WriteLock(store):
        for path in (store, tmp_path / "link.h5"):
            for take in (WriteLock, unused):
                with pytest.raises(StoreError, match="is being written by this very process"), take(path):
                    pass
        writer = subprocess.run([sys.executable, "-c", HOLDER, str(store)], capture_output=True, text=True, check=False)
        assert f"is being written by process {os.getpid()}" in writer.stderr
    with WriteLock(store), WriteLock(tmp_path / "other.h5"):
        pass


def test_what_killed_writers_left_goes_and_what_others_write_stays(tmp_path: Path) -> None:
    left = [".store.h5~12ab.partial.h5", "..store.h5~12ab.partial.h5~34cd.partial.h5"]
    others = [".store.h5.old~12ab.partial.h5", ".mystore.h5~12ab.partial.h5", "store.h5"]
    for name in left + others:
        (tmp_path / name).touch()
    WriteLock(tmp_path / "store.h5").close()
    assert {path.name for path in tmp_path.iterdir()} == set(others)


@pytest.mark.parametrize("take", [WriteLock, unused])
def test_a_link_in_place_of_a_lock_is_not_followed(
    tmp_path: Path, take: Callable[[Path], AbstractContextManager[Any]]
) -> None:
    (tmp_path / "precious").write_text("text")
    (tmp_path / ".store.h5.lock").symlink_to("precious")
    with pytest.raises(EnvironmentProblem, match="Too many levels of symbolic links"), take(tmp_path / "store.h5"):
        pass
    assert (tmp_path / "precious").read_text() == "text"


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    store = tmp_path / "file" / "store.h5"
    with pytest.raises(EnvironmentProblem, match=rf"cannot write {store}: .*; check the folder and the space left"):
        WriteLock(store, print)


def test_a_disk_without_room_for_the_lock_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_arguments: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(lock.json, "dumps", full)
    with pytest.raises(EnvironmentProblem, match="No space left on device"):
        WriteLock(tmp_path / "store.h5", print)


def test_a_lock_file_that_cannot_be_opened_is_named(tmp_path: Path) -> None:
    (tmp_path / ".store.h5.lock").mkdir()
    message = r"cannot tell whether .*store\.h5 is in use: .*lock: Is a directory"
    with pytest.raises(EnvironmentProblem, match=message), unused(tmp_path / "store.h5"):
        pass
