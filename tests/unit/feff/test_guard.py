from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT
from processes import alive, wait_for

from xanesml.feff import guard as guard_module
from xanesml.feff.guard import Guard, guard

FAKE = ROOT / "tests" / "fake_feff.py"

#: A process that runs a hanging FEFF in a folder under its guard, like a rank.
PARENT = """
import os, sys, time
from pathlib import Path
from xanesml.feff.guard import guard
from xanesml.feff.process import ChildRun
scratch = Path(sys.argv[1])
guard().folder(scratch)
run = scratch / "run"
run.mkdir()
(run / "feff.inp").write_text("")
child = ChildRun([[sys.executable, sys.argv[2], "hang"]], folder=run, log=run / "run.log", environment=dict(os.environ))
while not (run / "hang.pid").exists():
    assert child.poll() is None
    time.sleep(0.01)
print(guard().pid, (run / "hang.pid").read_text().strip(), flush=True)
if sys.argv[3] == "leave":
    raise RuntimeError
time.sleep(60)
"""


def start_parent(scratch, then):
    scratch.mkdir()
    command = [sys.executable, "-c", PARENT, str(scratch), str(FAKE), then]
    parent = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    return parent, [int(word) for word in parent.stdout.readline().split()]


@pytest.fixture
def watcher():
    made = Guard()
    yield made
    made.close()


@pytest.fixture
def sleeper():
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)
    yield child
    child.kill()
    child.wait()


def test_nothing_outlives_a_killed_parent(tmp_path):
    parent, pids = start_parent(tmp_path / "scratch", "stay")
    assert all(map(alive, pids))
    assert len(pids) == 3
    for pid, number in ((pids[0], signal.SIGTERM), (pids[0], signal.SIGUSR1), (parent.pid, signal.SIGKILL)):
        os.kill(pid, number)
    wait_for(lambda: not any(map(alive, pids)) and not (tmp_path / "scratch").exists())
    assert parent.wait() == -signal.SIGKILL
    parent.stdout.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1])
def test_a_guard_that_has_only_just_started_ignores_signals_too(watcher, sleeper, number):
    os.kill(watcher.pid, number)
    watcher.watch(sleeper.pid)
    watcher._abandon()
    assert sleeper.wait(5) == -signal.SIGKILL
    assert number not in signal.pthread_sigmask(signal.SIG_BLOCK, ())


def test_a_parent_that_ends_by_itself_leaves_its_folder_but_no_process(tmp_path):
    parent, pids = start_parent(tmp_path / "scratch", "leave")
    assert parent.wait(10) == 1
    parent.stdout.close()
    wait_for(lambda: not any(map(alive, pids)))
    assert (tmp_path / "scratch" / "run" / "feff.inp").exists()


def test_a_released_group_and_the_rest_of_the_disk_are_left_alone(tmp_path, watcher, sleeper):
    (tmp_path / "kept").write_text("")
    folder = tmp_path / "gone\nwith a line break"
    folder.mkdir()
    (folder / "link").symlink_to(tmp_path / "kept")
    watcher.watch(sleeper.pid)
    watcher.folder(folder)
    watcher.release(sleeper.pid)
    process = watcher._process
    watcher._abandon()
    assert process.returncode == 0
    assert not folder.exists()
    assert (tmp_path / "kept").exists()
    assert sleeper.poll() is None


def test_a_line_cut_by_the_kill_counts_for_nothing(sleeper):
    program = [sys.executable, "-I", "-S", guard_module.__file__]
    subprocess.run(program, input=f"watch {sleeper.pid}", text=True, check=True, timeout=10)
    assert sleeper.poll() is None
    subprocess.run(program, input=f"watch {sleeper.pid}\n", text=True, check=True, timeout=10)
    assert sleeper.wait(5) == -signal.SIGKILL


def test_a_guard_that_dies_is_replaced_once_and_knows_what_to_watch(tmp_path, watcher, sleeper, caplog):
    folder = tmp_path / "scratch"
    folder.mkdir()
    watcher.folder(folder)
    watcher.watch(sleeper.pid)
    first = watcher._process
    first.kill()
    first.wait()
    watcher.release(1)
    second = watcher._process
    assert second.pid != first.pid
    assert not caplog.records
    watcher._abandon()
    assert sleeper.wait(5) == -signal.SIGKILL
    assert not folder.exists()


def test_runs_go_on_without_a_guard(watcher, caplog):
    for _ in range(2):
        watcher._process.kill()
        watcher._process.wait()
        watcher.watch(2**22)
    assert watcher.pid is None
    assert "the guard of FEFF's processes is gone" in caplog.text
    watcher.release(2**22)
    assert len(caplog.records) == 1


def test_a_guard_that_cannot_start_is_done_without(monkeypatch, caplog):
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    made = Guard()
    made.watch(2**22)
    made.close()
    assert made.pid is None
    assert "cannot start the guard" in caplog.text


def test_one_guard_a_process_with_nothing_inherited():
    assert guard() is guard()
    descriptors = {Path(f"/proc/{guard().pid}/fd/{number}").readlink().name for number in range(3)}
    assert descriptors == {"null", *(name for name in descriptors if name.startswith("pipe:"))}
    wait_for(lambda: Path(f"/proc/{guard().pid}/comm").read_text() != "")
    assert len(list(Path(f"/proc/{guard().pid}/fd").iterdir())) <= 4


def test_a_forked_child_has_a_guard_of_its_own():
    ours = guard().pid
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(write, b"own" if guard().pid not in (None, ours) else b"shared")
        guard().close()
        os._exit(0)
    os.close(write)
    assert os.read(read, 10) == b"own"
    os.close(read)
    os.waitpid(child, 0)
    assert alive(ours)
